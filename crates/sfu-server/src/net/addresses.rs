//! Which addresses clients are told, and how what arrives is matched to them.
//!
//! An ICE candidate has two faces here ([`LocalCandidate`]): `advertised` is what clients are told, `bound` is what the
//! engine is told as the destination of a datagram that came for it.
//! - A plain interface: both are the interface's own address, with the port of the socket.
//! - Behind NAT: `advertised` comes from `media.advertise`. The router rewrites the destination to one of our own
//!   addresses, so `bound` is the machine's primary address of that family. Should the router choose another of ours,
//!   [`MediaAddresses::destination`] still says `bound`: nothing but the advertised address can have been meant.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use sfu_core::config::LocalCandidate;

use crate::config::Advertise;

/// A client tries each with each of its own, so more only delay the start of a call.
const CANDIDATES_MAX: usize = 16;
/// Bridges and tunnels of container engines and virtual machines: real interfaces, but no client is behind them.
const INTERNAL_INTERFACES: [&str; 10] =
    ["docker", "br-", "veth", "virbr", "podman", "cni", "cali", "flannel", "vnet", "lxc"];

/// An address of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) ip: IpAddr,
}

/// All addresses of this machine, in the system's order.
pub(crate) fn interfaces() -> std::io::Result<Vec<Interface>> {
    let all = if_addrs::get_if_addrs()?;
    Ok(all.into_iter().map(|i| Interface { ip: i.ip(), name: i.name }).collect())
}

/// The candidates, and the rule that maps what arrives on to them.
#[derive(Debug, Clone)]
pub(crate) struct MediaAddresses {
    candidates: Vec<LocalCandidate>,
}

impl MediaAddresses {
    /// `listen`: the addresses that the sockets are bound to, with their real port.
    pub(crate) fn new(listen: &[SocketAddr], advertise: &[Advertise], machine: &[Interface], dev: bool) -> Self {
        let mut candidates = Vec::new();
        let mut add = |advertised, bound| {
            let candidate = LocalCandidate { advertised, bound };
            if candidates.len() < CANDIDATES_MAX && !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        };
        for socket in listen {
            let at = |ip| SocketAddr::new(ip, socket.port());
            let family: Vec<&Interface> = machine.iter().filter(|i| i.ip.is_ipv4() == socket.is_ipv4()).collect();
            let own: Vec<IpAddr> = match socket.ip().is_unspecified() {
                true => family.iter().filter(|i| is_meant(i, dev)).map(|i| i.ip).collect(),
                false => vec![socket.ip()],
            };
            // The primary address: the first that is no loopback, or whatever there is.
            let primary = own.iter().find(|ip| !ip.is_loopback()).or(own.first()).copied();
            let primary = primary.or(family.first().map(|i| i.ip)).unwrap_or(socket.ip());
            let mut told = advertise.iter().filter(|a| a.ip.is_ipv4() == socket.is_ipv4()).peekable();
            // What an operator lists replaces the machine's own addresses, which may be nobody's business. A
            // developer at this machine's own browser needs them in any case.
            if told.peek().is_none() || dev {
                own.iter().for_each(|ip| add(at(*ip), at(*ip)));
            }
            for entry in told {
                let is_own = own.contains(&entry.ip) || family.iter().any(|i| i.ip == entry.ip);
                let bound = if is_own && socket.ip().is_unspecified() { entry.ip } else { primary };
                add(SocketAddr::new(entry.ip, entry.port.unwrap_or(socket.port())), at(bound));
            }
        }
        Self { candidates }
    }

    pub(crate) fn candidates(&self) -> &[LocalCandidate] {
        &self.candidates
    }

    /// The candidate address that a datagram came to. `socket` is what the socket is bound to; `ip` is where the
    /// kernel says that the datagram was addressed to, which tells one of many only if the socket takes all.
    pub(crate) fn destination(&self, socket: SocketAddr, ip: Option<IpAddr>) -> SocketAddr {
        let exact = SocketAddr::new(ip.unwrap_or(socket.ip()), socket.port());
        let same_family = |c: &&LocalCandidate| c.bound.is_ipv4() == exact.is_ipv4();
        let mut known = self.candidates.iter().filter(same_family);
        if known.clone().any(|c| c.bound == exact) {
            return exact;
        }
        // Not an address that we told anybody. If one of those is behind NAT, it is the one that was meant.
        let behind_nat = known.clone().find(|c| c.advertised.ip() != c.bound.ip());
        behind_nat.or(known.next()).map_or(exact, |c| c.bound)
    }
}

/// Whether clients are to be told of this address without being asked to.
fn is_meant(interface: &Interface, dev: bool) -> bool {
    let link_local = match interface.ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        // A link-local address means nothing without its zone, and a browser's candidates have none.
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let private_v6 = matches!(interface.ip, IpAddr::V6(ip) if Ipv6Addr::is_unique_local(&ip));
    let internal = INTERNAL_INTERFACES.iter().any(|prefix| interface.name.starts_with(prefix));
    !link_local && (dev || !(interface.ip.is_loopback() || private_v6 || internal))
}

#[cfg(test)]
mod tests;
