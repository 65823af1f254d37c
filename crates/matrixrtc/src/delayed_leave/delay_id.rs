//! The name of a scheduled leave.

use std::fmt;

/// Id of a delayed event. Whoever knows it can send the event or put it off, on some servers without a token: a capability, which
/// `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct DelayId(pub String);

impl DelayId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for DelayId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl From<&str> for DelayId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl PartialEq<str> for DelayId {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for DelayId {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Debug for DelayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[delay id]")
    }
}
