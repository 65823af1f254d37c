//! Server names: <https://spec.matrix.org/v1.16/appendices/#server-name>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A user id has 255 bytes, and the name is a part of it.
const NAME_BYTES_MAX: usize = 253;
/// RFC 1035 §2.3.4.
const LABEL_BYTES_MAX: usize = 63;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Ip(IpAddr),
    /// In lower case.
    Dns(String),
}

/// A well-formed server name. That something answers to it is not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerName {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

impl ServerName {
    /// Stricter than the grammar in one thing: what other parsers might take for an IPv4 address, such as `127.1`, is no
    /// DNS name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > NAME_BYTES_MAX {
            return None;
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (ip, port) = rest.split_once(']')?;
            let ip: Ipv6Addr = ip.parse().ok()?;
            let port = match port {
                "" => None,
                port => Some(parse_port(port.strip_prefix(':')?)?),
            };
            return Some(Self { host: Host::Ip(ip.into()), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (text, None),
        };
        Some(Self { host: parse_host(host)?, port })
    }
}

impl Host {
    /// As it stands in a URL or a `Host` header.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
            Self::Ip(IpAddr::V4(ip)) => ip.to_string(),
            Self::Dns(name) => name.clone(),
        }
    }
}

fn parse_host(text: &str) -> Option<Host> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(Host::Ip(ip.into()));
    }
    let is_label = |label: &str| {
        let chars = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty() && label.len() <= LABEL_BYTES_MAX && label.bytes().all(chars)
    };
    let last = text.rsplit('.').next()?;
    // <https://url.spec.whatwg.org/#ends-in-a-number-checker>
    let is_number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    (text.split('.').all(is_label) && !is_number).then(|| Host::Dns(text.to_ascii_lowercase()))
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_are_taken_apart() {
        for (text, host, port) in [
            ("matrix.org", "matrix.org", None),
            ("Matrix.ORG:8448", "matrix.org", Some(8448)),
            ("1.2.3.4", "1.2.3.4", None),
            ("1.2.3.4:1", "1.2.3.4", Some(1)),
            ("[2001:db8::1]", "[2001:db8::1]", None),
            ("[2001:db8::1]:65535", "[2001:db8::1]", Some(65535)),
            ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", None),
            ("localhost", "localhost", None),
        ] {
            let name = ServerName::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((name.host.to_text().as_str(), name.port), (host, port));
        }
    }

    #[test]
    fn bad_names_are_not() {
        let long = "a.".repeat(200);
        let label = format!("{}.org", "a".repeat(64));
        for text in [
            "",
            ":",
            ":8448",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:1:2",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a@b",
            "user@host:1",
            "a_b",
            "a..b",
            ".a",
            "a.",
            "münchen.example",
            "a%2eb",
            "[::1",
            "::1",
            "[fe80::1%25eth0]",
            "[1.2.3.4]",
            "[::1]8448",
            "127.1",
            "0177.0.0.1",
            "2130706433",
            "0x7f.0.0.1",
            "0x7f000001",
            "1.2.3.4.5",
            "a.0x7f",
            "http://a",
            "a\n",
            "a\0",
            &long,
            &label,
        ] {
            assert_eq!(ServerName::parse(text), None, "{text:?}");
        }
    }
}
