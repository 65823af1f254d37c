//! How many connections each source address has, so that one cannot take all that there are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections of one source address. Generous, because a company or a carrier may be behind one address: with a socket
/// for each participant and a few connections while pages load, this is a meeting of some 200 people.
pub(crate) const PER_SOURCE_MAX: usize = 256;

/// Addresses with their connections: no more of them than there are connections.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<BTreeMap<IpAddr, usize>>);

/// One connection, while it is held.
#[derive(Debug)]
pub(crate) struct Place {
    sources: Arc<Sources>,
    /// `None`: not counted.
    source: Option<IpAddr>,
}

impl Sources {
    /// `None`: the source has as many connections as it may.
    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let source = counted(ip);
        if let Some(source) = source {
            let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let count = sources.entry(source).or_default();
            if *count >= PER_SOURCE_MAX {
                return None;
            }
            *count += 1;
        }
        Some(Place { sources: self.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(source) = self.source else { return };
        let mut sources = self.sources.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&source);
            }
        }
    }
}

/// What an address is counted as; `None`: not at all.
///
/// - Loopback and private addresses (RFC 1918, RFC 4193) are not: that is where a reverse proxy is, on this machine or in
///   the next container, and all clients come from its address. Nobody on the internet has such a source address.
/// - Who has one IPv6 address has its /64 (RFC 6177), so that one counts as a whole.
fn counted(ip: IpAddr) -> Option<IpAddr> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (!ip.is_loopback() && !ip.is_private()).then_some(IpAddr::V4(ip)),
        IpAddr::V6(ip) if ip.is_loopback() || ip.is_unique_local() => None,
        IpAddr::V6(ip) => Some(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_source_cannot_take_all() {
        let sources = Arc::new(Sources::default());
        let enter = |text| sources.enter(ip(text));
        let mut places: Vec<Place> = (0..PER_SOURCE_MAX).map(|_| enter("203.0.113.1").expect("room")).collect();
        assert!(enter("203.0.113.1").is_none() && enter("::ffff:203.0.113.1").is_none());
        assert!(enter("203.0.113.2").is_some(), "another");
        places.pop();
        places.push(enter("203.0.113.1").expect("what was given back"));
        places.clear();
        assert!(sources.0.lock().expect("lock").is_empty(), "nothing is kept of who has gone");
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let sources = Arc::new(Sources::default());
        let places: Vec<_> =
            (0..PER_SOURCE_MAX).map(|n| sources.enter(ip(&format!("2001:db8::{n:x}"))).expect("room")).collect();
        assert!(sources.enter(ip("2001:db8::ffff:1")).is_none());
        assert!(sources.enter(ip("2001:db8:0:1::1")).is_some());
        drop(places);
    }

    #[test]
    fn a_reverse_proxy_is_not_bounded() {
        let sources = Arc::new(Sources::default());
        for proxy in ["127.0.0.1", "::1", "172.17.0.1", "::ffff:10.0.0.1", "fd00::1"] {
            let places: Vec<_> = (0..=PER_SOURCE_MAX).map(|_| sources.enter(ip(proxy))).collect();
            assert!(places.iter().all(Option::is_some), "{proxy}");
        }
    }
}
