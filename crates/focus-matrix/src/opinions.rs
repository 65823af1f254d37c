//! What several homeservers say of one person in one room. They need not agree: one that is cut off does not know of a kick yet, and one
//! that lags does not know of a join.
//!
//! MSC4502 answers yes or no, and "no" is also the answer about a room that the homeserver is not in, or not any more. So the "no" of a homeserver
//! that is not the user's own counts only if it says, asked *after* that "no", that it is in the room itself. If it has said yes of the
//! user before, somebody removed him, and it knows of that. If it never did, his join may not have reached it: then nobody is
//! thrown out, and nobody is let in before they agree.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId};

use crate::authorize::Membership;
use crate::watch::SWEEP_PUSHED;

/// For how long a "yes" is remembered. Whoever is in a call is asked about more often.
const REMEMBERED: Duration = Duration::from_secs(60);
const _: () = assert!(REMEMBERED.as_secs() > 2 * SWEEP_PUSHED.as_secs());
/// A homeserver that has nobody in a room is asked about that room so often; one that does not answer, at all.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Rooms, by homeserver, and people in them. Those of the largest calls that a focus bears, at some homeservers. Who finds no place
/// was never heard of.
const ROOMS_MAX: usize = 4096;
const PEOPLE_MAX: usize = 16_384;

/// What a homeserver that is not the user's own has against him.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing, or nothing that counts.
    None,
    /// It is in the room, said that he was, and says that he is not.
    Removed,
    /// It is in the room and has never heard of him there.
    Unheard,
}

#[derive(Default)]
struct Room {
    /// Of whom it said yes, and when.
    joined: BTreeMap<OwnedUserId, Instant>,
    /// When it last said that it is in it.
    inside: Option<Instant>,
    asked: Option<Instant>,
}

/// What homeservers said lately.
#[derive(Default)]
pub struct Opinions {
    rooms: BTreeMap<(OwnedServerName, OwnedRoomId), Room>,
    /// Those that did not answer, until when they are left alone.
    quiet: BTreeMap<OwnedServerName, Instant>,
    people: usize,
}

impl Opinions {
    /// Whether to ask a homeserver about people in the room that are not its own.
    pub fn asks(&mut self, now: Instant, server: &ServerName, room: &RoomId) -> bool {
        if self.quiet.get(server).is_some_and(|until| now < *until) {
            return false;
        }
        let Some(known) = self.room(now, server, room) else { return false };
        let is_due = known.asked.is_none_or(|asked| now >= asked + ASK_AGAIN);
        if is_due {
            known.asked = Some(now);
        }
        is_due || known.joined.values().chain(&known.inside).any(|said| now < *said + REMEMBERED)
    }

    /// What it answered.
    pub fn handle_said(
        &mut self,
        now: Instant,
        server: &ServerName,
        room: &RoomId,
        user: &UserId,
        membership: Membership,
    ) {
        match membership {
            Membership::Joined => {
                self.quiet.remove(server);
                let is_full = self.people >= PEOPLE_MAX;
                let Some(known) = self.room(now, server, room) else { return };
                if let Some(said) = known.joined.get_mut(user) {
                    *said = now;
                } else if !is_full {
                    known.joined.insert(user.to_owned(), now);
                    self.people += 1;
                }
            }
            Membership::Unavailable => {
                self.quiet.insert(server.to_owned(), now + ASK_AGAIN);
            }
            Membership::NotJoined | Membership::Unseen => {
                self.quiet.remove(server);
            }
        }
    }

    /// It has said no of the user, and then that it is in the room itself: what that means.
    pub fn handle_inside(&mut self, now: Instant, server: &ServerName, room: &RoomId, user: &UserId) -> Doubt {
        let Some(known) = self.room(now, server, room) else { return Doubt::Unheard };
        known.inside = Some(now);
        match known.joined.get(user) {
            Some(said) if now < *said + REMEMBERED => Doubt::Removed,
            _ => Doubt::Unheard,
        }
    }

    fn room(&mut self, now: Instant, server: &ServerName, room: &RoomId) -> Option<&mut Room> {
        let key = (server.to_owned(), room.to_owned());
        if !self.rooms.contains_key(&key) && (self.rooms.len() >= ROOMS_MAX || self.people >= PEOPLE_MAX) {
            self.forget(now);
            if self.rooms.len() >= ROOMS_MAX {
                return None;
            }
        }
        Some(self.rooms.entry(key).or_default())
    }

    fn forget(&mut self, now: Instant) {
        self.rooms.retain(|_, room| {
            room.joined.retain(|_, said| now < *said + REMEMBERED);
            let is_inside = room.inside.is_some_and(|said| now < said + REMEMBERED);
            is_inside || !room.joined.is_empty() || room.asked.is_some_and(|asked| now < asked + ASK_AGAIN)
        });
        self.quiet.retain(|_, until| now < *until);
        self.people = self.rooms.values().map(|room| room.joined.len()).sum();
    }
}

/// What the user's own homeserver says, and what others have against it.
pub fn agree(own: Membership, doubts: impl IntoIterator<Item = Doubt>) -> Membership {
    let (mut removed, mut unheard) = (false, false);
    for doubt in doubts {
        removed |= doubt == Doubt::Removed;
        unheard |= doubt == Doubt::Unheard;
    }
    match own {
        Membership::Joined | Membership::Unavailable if removed => Membership::NotJoined,
        Membership::Joined if unheard => Membership::Unavailable,
        own => own,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
