//! Where each member's media are to be found, given everybody's memberships.
//!
//! Pure functions of the memberships alone, so that all who have the same ones come to the same result.

use serde::{Deserialize, Serialize};

use crate::membership::Membership;
use crate::transport::{FullMesh, Transport};

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

/// The transports that `member` publishes to, given all `members` of the session, oldest first ([`Session::members`]): of each kind
/// the first that it advertises, in its order. With `oldest_membership`, the oldest member's instead. None if it chooses by a
/// rule that is not known here, or has none.
///
/// `full_mesh` is among them if it is advertised; whether it is used now is [`mesh::decide`](crate::mesh::decide)'s.
///
/// [`Session::members`]: crate::session::Session::members
pub fn published<'a>(member: &'a Membership, members: &[&'a Membership]) -> Vec<&'a Transport> {
    match &member.selection {
        FocusSelection::MultiSfu => first_of_each_kind(&member.transports),
        FocusSelection::OldestMembership => match members.first() {
            // As the reference client has it: the oldest one's own choice, unless it would choose by the oldest again.
            Some(oldest) if !matches!(oldest.selection, FocusSelection::Unknown(_)) => {
                first_of_each_kind(&oldest.transports)
            }
            Some(_) => Vec::new(),
            None => first_of_each_kind(&member.transports),
        },
        FocusSelection::Unknown(_) => Vec::new(),
    }
}

/// Every focus that somebody publishes to, once, in the order of the members: where a client has to be to receive everything. The
/// same for all who have the same members.
pub fn foci<'a>(members: &[&'a Membership]) -> Vec<&'a Transport> {
    let mut foci: Vec<&Transport> = Vec::new();
    for transport in members.iter().flat_map(|member| published(member, members)) {
        if transport.kind() != FullMesh::TYPE && !foci.iter().any(|known| known.is_same_focus(transport)) {
            foci.push(transport);
        }
    }
    foci
}

fn first_of_each_kind(transports: &[Transport]) -> Vec<&Transport> {
    let mut firsts: Vec<&Transport> = Vec::new();
    for transport in transports {
        if !firsts.iter().any(|known| known.kind() == transport.kind()) {
            firsts.push(transport);
        }
    }
    firsts
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::member;
    use crate::time::Timestamp;

    fn sfu(url: &str) -> Value {
        json!({"type": "rust_sfu", "url": url})
    }

    fn livekit(url: &str) -> Value {
        json!({"type": "livekit", "livekit_service_url": url})
    }

    fn urls(transports: &[&Transport]) -> Vec<String> {
        let url = |transport: &&Transport| {
            let object = transport.to_json();
            object.get("url").or_else(|| object.get("livekit_service_url")).unwrap_or(&object["type"]).clone()
        };
        transports.iter().map(url).map(|url| url.as_str().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn multi_sfu() {
        let a = member("@a:x", &[livekit("https://a"), sfu("wss://a"), sfu("wss://a2"), json!({"type": "full_mesh"})]);
        let b = member("@b:x", &[sfu("wss://b")]);
        let members = [&a, &b];
        assert_eq!(urls(&published(&a, &members)), ["https://a", "wss://a", "full_mesh"]);
        assert_eq!(urls(&published(&b, &members)), ["wss://b"]);
        assert_eq!(urls(&foci(&members)), ["https://a", "wss://a", "wss://b"]);
    }

    #[test]
    fn oldest_membership() {
        let old = FocusSelection::OldestMembership;
        let a = Membership { selection: old.clone(), ..member("@a:x", &[livekit("https://a")]) };
        let b = Membership { selection: old, ..member("@b:x", &[livekit("https://b")]) };
        let c = member("@c:x", &[sfu("wss://c")]);
        assert_eq!(urls(&published(&b, &[&a, &b, &c])), ["https://a"]);
        assert_eq!(urls(&published(&c, &[&a, &b, &c])), ["wss://c"], "each by its own rule");
        assert_eq!(urls(&published(&b, &[&c, &a, &b])), ["wss://c"], "the oldest one's own choice");
        assert_eq!(urls(&foci(&[&a, &b])), ["https://a"]);
    }

    #[test]
    fn unknown_rule() {
        let lot = FocusSelection::Unknown("by_lot".to_owned());
        let a = Membership { selection: lot, ..member("@a:x", &[livekit("https://a")]) };
        let old = FocusSelection::OldestMembership;
        let b = Membership { selection: old, ..member("@b:x", &[livekit("https://b")]) };
        assert_eq!(published(&a, &[&a, &b]), Vec::<&Transport>::new());
        assert_eq!(published(&b, &[&a, &b]), Vec::<&Transport>::new(), "the oldest one's rule is not known");
    }

    /// Two that joined in the same millisecond: without a second criterion each would take another for the oldest.
    #[test]
    fn ties_are_broken_alike() {
        let old = FocusSelection::OldestMembership;
        let member = |user: &str, url: &str| Membership { selection: old.clone(), ..member(user, &[livekit(url)]) };
        let (a, b) = (member("@a:x", "https://a"), member("@b:x", "https://b"));
        let sorted = |mut members: Vec<Membership>| {
            members.sort_by(Membership::by_age);
            let members: Vec<&Membership> = members.iter().collect();
            urls(&foci(&members))
        };
        assert_eq!(sorted(vec![a.clone(), b.clone()]), sorted(vec![b, a.clone()]));
        let younger = Membership { created_at: Timestamp::from_millis(1), ..a };
        assert_eq!(sorted(vec![younger, member("@b:x", "https://b")]), ["https://b"]);
    }
}
