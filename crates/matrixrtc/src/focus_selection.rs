//! Where each member's media are to be found, given everybody's memberships.
//!
//! Pure functions of the memberships alone, so that all who have the same ones come to the same result.

use serde::{Deserialize, Serialize};

/// How a member says that it chooses its focus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum FocusSelection {
    /// Each member publishes to its own first transport, others come there to subscribe. All new forms imply it.
    MultiSfu,
    /// All use the first transport of the oldest member. Of old clients only.
    OldestMembership,
    /// Nobody knows where this member's media are.
    Unknown(String),
}

impl FocusSelection {
    pub fn as_str(&self) -> &str {
        match self {
            Self::MultiSfu => "multi_sfu",
            Self::OldestMembership => "oldest_membership",
            Self::Unknown(name) => name,
        }
    }
}

impl From<String> for FocusSelection {
    fn from(name: String) -> Self {
        match name.as_str() {
            "multi_sfu" => Self::MultiSfu,
            "oldest_membership" => Self::OldestMembership,
            _ => Self::Unknown(name),
        }
    }
}

impl From<FocusSelection> for String {
    fn from(selection: FocusSelection) -> Self {
        selection.as_str().to_owned()
    }
}
