//! The calls of a room in the past, derived from its member events: when each began and ended, who came, who left, and who was lost.
//!
//! There is no event that says "call started", so everybody derives it alike: the items depend on the events alone, and not on the order in
//! which they were given. A timeline can be paged backwards and each page given in as it comes.
//!
//! Time is what the servers said (`origin_server_ts`): a server with a wrong clock has wrong calls, and nothing here can know.

mod derive;

use std::collections::BTreeMap;
use std::time::Duration;

use ruma::{OwnedEventId, OwnedUserId};

use crate::event::{Claim, RoomEvent, legacy_member, member, parse_member};
use crate::membership::{MemberKey, Membership};
use crate::slot::SlotId;
use crate::time::Timestamp;

/// Member events and redactions that are kept: those of some hundred calls. Beyond this the oldest go, whatever order they
/// came in.
pub const FACTS_MAX: usize = 8_192;

/// One line of a room's call history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub at: Timestamp,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The first member came.
    Started {
        by: MemberKey,
    },
    Joined {
        member: MemberKey,
    },
    /// It said so.
    Left {
        member: MemberKey,
    },
    /// The homeserver sent the leave in its place, or nobody renewed its membership.
    LostConnection {
        member: MemberKey,
    },
    /// Its event was redacted: a moderator's way to end a membership.
    Removed {
        member: MemberKey,
    },
    /// The last member went. `most` were there together.
    Ended {
        duration: Duration,
        most: usize,
    },
}

/// Where a member's events replace each other: the sender, and the state key or sticky key.
type Place = (OwnedUserId, String);

#[derive(Debug, Clone, PartialEq)]
enum Fact {
    Joined(Place, Box<Membership>),
    Left(Place, How),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Left,
    Lost,
    Removed,
}

/// The call history of one slot in one room.
#[derive(Debug, Clone)]
pub struct History {
    slot: SlotId,
    /// By time, then event id: the order in which they count.
    facts: BTreeMap<(Timestamp, OwnedEventId), Fact>,
    /// When each event was redacted.
    redactions: BTreeMap<OwnedEventId, Timestamp>,
}

impl History {
    pub fn new(slot: SlotId) -> Self {
        Self { slot, facts: BTreeMap::new(), redactions: BTreeMap::new() }
    }

    /// Any event of the room's timeline, old or new, in any order, also twice: member events and redactions are picked out.
    pub fn handle_event(&mut self, event: &RoomEvent) {
        if let Some(redacted) = &event.redacts {
            let at = self.redactions.entry(redacted.clone()).or_insert(event.sent_at);
            *at = event.sent_at.min(*at);
            if self.redactions.len() > FACTS_MAX {
                let first = self.redactions.iter().min_by(|one, two| (one.1, one.0).cmp(&(two.1, two.0)));
                first.map(|(id, _)| id.clone()).and_then(|id| self.redactions.remove(&id));
            }
            return;
        }
        let Some(place) = place(event) else { return };
        // How much of its time was left when we asked is no part of the past.
        let mut event = event.clone();
        event.sticky = event.sticky.map(|sticky| crate::event::Sticky { left: None, ..sticky });
        let fact = match parse_member(&event, event.sent_at) {
            Ok(Claim::Joined(membership)) if membership.slot == self.slot => Fact::Joined(place, Box::new(membership)),
            Ok(Claim::Left(_)) if event.is_redacted => Fact::Left(place, How::Removed),
            Ok(Claim::Left(leave)) if leave.is_delayed() => Fact::Left(place, How::Lost),
            // Whatever stands there now, it is no member of this call.
            Ok(_) => Fact::Left(place, How::Left),
            Err(_) => return,
        };
        self.facts.insert((event.sent_at, event.event_id), fact);
        if self.facts.len() > FACTS_MAX {
            self.facts.pop_first();
        }
    }

    /// The history up to `until`, oldest first. A call that goes on has no [`What::Ended`].
    pub fn items(&self, until: Timestamp) -> Vec<Item> {
        derive::items(&self.facts, &self.redactions, until)
    }
}

fn place(event: &RoomEvent) -> Option<Place> {
    let key = if legacy_member::is_legacy_member(event) {
        event.state_key.clone()?
    } else if member::is_member(event) {
        member::sticky_key(event).ok().map(str::to_owned)?
    } else {
        return None;
    };
    Some((event.sender.clone(), key))
}

#[cfg(test)]
mod tests;
