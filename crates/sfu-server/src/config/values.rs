//! Values that an operator writes as text.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration as an operator writes it: `500ms`, `60s`, `5m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(pub Duration);

impl Period {
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no duration; write one like 500ms, 60s, 5m or 1h");
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (digits, unit) = text.split_at(unit_at);
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let ms = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            _ => None,
        };
        ms.map(|ms| Self(Duration::from_millis(ms))).ok_or_else(wrong)
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// An address that clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Advertise {
    pub ip: IpAddr,
    /// `None`: the port that is listened on.
    pub port: Option<u16>,
}

impl TryFrom<String> for Advertise {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Ok(ip) = text.parse() {
            return Ok(Self { ip, port: None });
        }
        let address: SocketAddr = text
            .parse()
            .map_err(|_| format!("`{text}` is neither an IP address nor IP:port (names are not looked up)"))?;
        Ok(Self { ip: address.ip(), port: Some(address.port()) })
    }
}

impl From<Advertise> for String {
    fn from(advertise: Advertise) -> Self {
        match advertise.port {
            Some(port) => SocketAddr::new(advertise.ip, port).to_string(),
            None => advertise.ip.to_string(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}
