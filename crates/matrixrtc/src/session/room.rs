//! Who is in the room, as far as it is known: a client that loads members lazily knows few of them.

use std::collections::BTreeMap;

use ruma::{OwnedUserId, UserId};

use crate::event::RoomEvent;
use crate::time::Timestamp;

/// Users remembered before they have anything to do with the session. Of those beyond it is asked when they have.
const JOINED_MAX: usize = 16_384;

#[derive(Debug, Clone, Default)]
pub(super) struct RoomMembers {
    users: BTreeMap<OwnedUserId, Known>,
}

#[derive(Debug, Clone, Copy)]
enum Known {
    Asked,
    Is { joined: bool, since: Timestamp },
}

impl RoomMembers {
    /// Whether anything is different from before for one who `is_claimant`.
    pub(super) fn set(&mut self, user: &UserId, joined: bool, since: Timestamp, is_claimant: bool) -> bool {
        if !is_claimant {
            if !joined {
                self.users.remove(user);
            } else if self.users.contains_key(user) || self.users.len() < JOINED_MAX {
                self.users.insert(user.to_owned(), Known::Is { joined, since });
            }
            return false;
        }
        let before = self.users.insert(user.to_owned(), Known::Is { joined, since });
        !matches!(before, Some(Known::Is { joined: before, .. }) if before == joined)
    }

    /// This user has nothing to do with the session any more.
    pub(super) fn release(&mut self, user: &UserId) {
        let is_worth_it = self.users.len() <= JOINED_MAX && self.get(user).is_some_and(|(is_joined, _)| is_joined);
        if !is_worth_it {
            self.users.remove(user);
        }
    }

    pub(super) fn get(&self, user: &UserId) -> Option<(bool, Timestamp)> {
        match self.users.get(user) {
            Some(Known::Is { joined, since }) => Some((*joined, *since)),
            _ => None,
        }
    }

    /// Whether to ask for this user, who has something to do with the session: once.
    pub(super) fn ask(&mut self, user: &UserId) -> bool {
        let is_new = !self.users.contains_key(user);
        if is_new {
            self.users.insert(user.to_owned(), Known::Asked);
        }
        is_new
    }
}

/// Whom an `m.room.member` event is about, and whether they are in the room.
pub(super) fn parse(event: &RoomEvent) -> Option<(OwnedUserId, bool)> {
    let user = UserId::parse(event.state_key.as_deref()?).ok()?;
    Some((user, event.content.get("membership").is_some_and(|membership| membership == "join")))
}
