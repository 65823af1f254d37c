//! Names of the things on the control plane's border.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// One signalling connection. Given by the driver, below 2^63, never used twice; from there on they are the control plane's
/// own, for connections over data channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    pub(crate) fn of_channel(number: u64) -> Self {
        Self(1 << 63 | number)
    }

    pub(crate) fn is_channel(self) -> bool {
        self.0 >> 63 == 1
    }
}

/// One media worker, 0-based. Other workers reach it by the `LinkId` of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub usize);

/// One command to a worker; its reply carries the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One signalling session, across its sockets. Random, so that nobody can count or guess the sessions of a focus;
/// the right to resume it is proved by a secret of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionId(pub(crate) [u8; 16]);

impl SessionId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(Self(URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// A word of the outside world, such as who somebody is or what a conference is called there. It is compared and
/// never shown: `Debug` keeps it out of logs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Private(pub(crate) String);

impl Private {
    /// For those who know what the word means, outside of the control plane.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}
