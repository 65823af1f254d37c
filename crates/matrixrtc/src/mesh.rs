//! When two members connect to each other, and when they go over a focus.
//!
//! `full_mesh` needs no server and costs nothing but uplink, which grows with each member; so it is used by two, and a third makes
//! them go over to the focus that they advertise anyway. The rule is a function of what the member events say, which all
//! members know alike: nobody has to negotiate, and nobody is in a mesh alone.
//!
//! * *Grow*: as soon as there are three members, or one that cannot take part, all go over the focus. Connect there first, then end
//!   the mesh.
//! * *Shrink*: two that are left go back only [`SHRINK_AFTER`] after the last of the others left, so that one who comes and goes does
//!   not tear the two to and fro. Two of whom one joined after that start as a mesh at once.
//! * Alone, one stays with what one has and sends nothing.

use std::time::Duration;

use crate::membership::{MemberKey, Membership};
use crate::time::Timestamp;
use crate::transport::FullMesh;

/// How long two members stay at the focus after there were more.
pub const SHRINK_AFTER: Duration = Duration::from_secs(30);

/// How media travel now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// Nobody to send anything to.
    Alone,
    /// The two connect to each other; who makes the offer is told by [`is_offerer`].
    Mesh,
    /// Over the advertised foci.
    Focus {
        /// When it should be decided again, though no event has come: two go back to the mesh then.
        until: Option<Timestamp>,
    },
}

/// `members` are those of the session, ourselves included; `last_left_at` is
/// [`Session::last_left_at`](crate::session::Session::last_left_at); `wall` is the wall clock now.
pub fn decide(members: &[&Membership], last_left_at: Option<Timestamp>, wall: Timestamp) -> Topology {
    let (one, two) = match members {
        [] | [_] => return Topology::Alone,
        [one, two] if is_able(one) && is_able(two) => (*one, *two),
        _ => return Topology::Focus { until: None },
    };
    let younger = one.created_at.max(two.created_at);
    match last_left_at.filter(|left_at| *left_at > younger) {
        Some(left_at) if left_at.plus(SHRINK_AFTER) > wall => {
            Topology::Focus { until: Some(left_at.plus(SHRINK_AFTER)) }
        }
        _ => Topology::Mesh,
    }
}

/// Whether a member offers to be called directly, and can call so.
pub fn is_able(member: &Membership) -> bool {
    let advertises = member.transports.iter().any(|transport| transport.kind() == FullMesh::TYPE);
    advertises && member.can_subscribe_to(FullMesh::TYPE)
}

/// Of two in a mesh, the lower by user, device and member id makes the offer (as MSC3401 had it).
pub fn is_offerer(me: &MemberKey, other: &MemberKey) -> bool {
    me < other
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::member;

    const T: u64 = 1_000_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(T + millis)
    }

    fn able(user: &str, created: u64) -> Membership {
        let transports = [json!({"type": "rust_sfu", "url": "wss://a"}), json!({"type": "full_mesh"})];
        Membership { created_at: at(created), ..member(user, &transports) }
    }

    #[test]
    fn two_are_a_mesh_at_once_and_three_are_not() {
        let (a, b, c) = (able("@a:x", 0), able("@b:x", 10), able("@c:x", 20));
        assert_eq!(decide(&[], None, at(0)), Topology::Alone);
        assert_eq!(decide(&[&a], None, at(0)), Topology::Alone);
        assert_eq!(decide(&[&a, &b], None, at(10)), Topology::Mesh);
        assert_eq!(decide(&[&a, &b, &c], None, at(20)), Topology::Focus { until: None });
    }

    #[test]
    fn both_must_be_able() {
        let (a, b) = (able("@a:x", 0), able("@b:x", 10));
        let deaf = Membership { can_subscribe: vec!["rust_sfu".to_owned()], ..b.clone() };
        let silent = Membership { transports: b.transports[..1].to_vec(), ..b };
        for other in [deaf, silent] {
            assert_eq!(decide(&[&a, &other], None, at(10)), Topology::Focus { until: None });
        }
    }

    #[test]
    fn two_that_are_left_wait() {
        let (a, b, c) = (able("@a:x", 0), able("@b:x", 10), able("@c:x", 40));
        let back = at(30).plus(SHRINK_AFTER);
        assert_eq!(decide(&[&a, &b], Some(at(30)), at(30)), Topology::Focus { until: Some(back) });
        assert_eq!(decide(&[&a, &b], Some(at(30)), back), Topology::Mesh);
        // Who joined after that knows nothing of it, and needs not.
        assert_eq!(decide(&[&a, &c], Some(at(30)), at(40)), Topology::Mesh);
        assert_eq!(decide(&[&a, &c], None, at(40)), Topology::Mesh);
    }

    #[test]
    fn one_of_two_offers() {
        let (a, b) = (able("@a:x", 0).key, able("@b:x", 0).key);
        assert!(is_offerer(&a, &b) && !is_offerer(&b, &a));
    }
}
