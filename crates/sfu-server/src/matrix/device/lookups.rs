//! Events of devices that are not known yet: they wait until their user's homeserver has said which devices there are. That
//! server may be slow, or mean harm, so nothing else waits with them, and it gets only so many places.

use std::collections::BTreeMap;

use focus_signaling::todevice::Content;
use ruma::{OwnedDeviceId, OwnedUserId};

/// Users that are asked about at a time.
const USERS_MAX: usize = 64;
/// Of these, users of one homeserver: others find places when it does not answer.
const USERS_PER_SERVER_MAX: usize = 8;
/// Events of one user that wait. A client repeats what was dropped.
const EVENTS_PER_USER_MAX: usize = 8;

/// An event whose sender has yet to be found.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Curve25519 key of the sending device.
    pub(super) key: String,
    pub(super) claimed: Option<OwnedDeviceId>,
    /// Its content and size. `None`: it could not be decrypted.
    pub(super) content: Option<(Content, usize)>,
}

/// What to do about an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Ask about its user.
    Ask,
    /// Somebody does already.
    Waits,
    /// There is none: it is dropped.
    None,
}

#[derive(Debug, Default)]
pub(super) struct Lookups {
    users: BTreeMap<OwnedUserId, Vec<Waiting>>,
}

impl Lookups {
    pub(super) fn add(&mut self, user: &OwnedUserId, event: Waiting) -> Place {
        if let Some(waiting) = self.users.get_mut(user) {
            if waiting.len() >= EVENTS_PER_USER_MAX {
                return Place::None;
            }
            waiting.push(event);
            return Place::Waits;
        }
        let of_server = self.users.keys().filter(|other| other.server_name() == user.server_name()).count();
        if self.users.len() >= USERS_MAX || of_server >= USERS_PER_SERVER_MAX {
            return Place::None;
        }
        self.users.insert(user.clone(), vec![event]);
        Place::Ask
    }

    /// The user's homeserver has answered, or has not: what waited for it.
    pub(super) fn take(&mut self, user: &OwnedUserId) -> Vec<Waiting> {
        self.users.remove(user).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Waiting {
        let json = r#"{"room_id":"!r:a","slot_id":"s","member_id":"m","session":"x","ack":1}"#;
        let content = Content::parse(json).expect("a content");
        Waiting { key: "key".into(), claimed: None, content: Some((content, json.len())) }
    }

    fn user(name: &str) -> OwnedUserId {
        name.try_into().expect("a user id")
    }

    #[test]
    fn one_question_for_each_user() {
        let mut lookups = Lookups::default();
        assert_eq!(lookups.add(&user("@a:one"), event()), Place::Ask);
        for _ in 1..EVENTS_PER_USER_MAX {
            assert_eq!(lookups.add(&user("@a:one"), event()), Place::Waits);
        }
        assert_eq!(lookups.add(&user("@a:one"), event()), Place::None);
        assert_eq!(lookups.take(&user("@a:one")).len(), EVENTS_PER_USER_MAX);
        assert_eq!(lookups.add(&user("@a:one"), event()), Place::Ask);
    }

    #[test]
    fn a_server_that_does_not_answer_leaves_places_to_others() {
        let mut lookups = Lookups::default();
        let places = (0..20).map(|n| lookups.add(&user(&format!("@u{n}:evil")), event()));
        assert_eq!(places.filter(|place| *place == Place::Ask).count(), USERS_PER_SERVER_MAX);
        assert_eq!(lookups.add(&user("@a:one"), event()), Place::Ask);
        let places = (0..200).map(|n| lookups.add(&user(&format!("@u:server{n}")), event()));
        assert_eq!(places.filter(|place| *place == Place::Ask).count(), USERS_MAX - USERS_PER_SERVER_MAX - 1);
    }
}
