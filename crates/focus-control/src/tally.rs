//! How many participants there are of each user, server and room.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::Private;
use crate::origin::Origin;

/// Counts of what is there now; no zeros.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    users: BTreeMap<Private, usize>,
    servers: BTreeMap<Private, usize>,
    rooms: BTreeMap<Private, Room>,
}

#[derive(Debug, Default)]
struct Room {
    participants: usize,
    conferences: BTreeSet<Private>,
}

/// What a newcomer would be beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beside {
    pub(crate) user: usize,
    pub(crate) server: usize,
    pub(crate) room: usize,
    /// Other conferences of the room.
    pub(crate) conferences: usize,
}

impl Tally {
    pub(crate) fn beside(&self, origin: &Origin, conference: &Private) -> Beside {
        let room = self.rooms.get(&origin.room);
        Beside {
            user: self.users.get(&origin.user).copied().unwrap_or_default(),
            server: self.servers.get(&origin.server).copied().unwrap_or_default(),
            room: room.map_or(0, |room| room.participants),
            conferences: room.map_or(0, |room| room.conferences.iter().filter(|other| *other != conference).count()),
        }
    }

    pub(crate) fn add(&mut self, origin: &Origin, conference: &Private) {
        *self.users.entry(origin.user.clone()).or_default() += 1;
        *self.servers.entry(origin.server.clone()).or_default() += 1;
        let room = self.rooms.entry(origin.room.clone()).or_default();
        room.participants += 1;
        room.conferences.insert(conference.clone());
    }

    /// `last`: nobody is left in the conference.
    pub(crate) fn remove(&mut self, origin: &Origin, conference: &Private, last: bool) {
        for (counts, word) in [(&mut self.users, &origin.user), (&mut self.servers, &origin.server)] {
            if let Some(count) = counts.get_mut(word) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(word);
                }
            }
        }
        if let Some(room) = self.rooms.get_mut(&origin.room) {
            room.participants -= 1;
            if last {
                room.conferences.remove(conference);
            }
            if room.participants == 0 {
                self.rooms.remove(&origin.room);
            }
        }
    }

    /// Participants by each of the three counts.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn totals(&self) -> [usize; 3] {
        let rooms = self.rooms.values().map(|room| room.participants).sum();
        [self.users.values().sum(), self.servers.values().sum(), rooms]
    }
}
