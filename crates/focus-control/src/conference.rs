//! A conference: its members, and the workers that they are on.

use std::collections::{BTreeMap, BTreeSet};

use sfu_core::ParticipantId;

use crate::id::{Private, WorkerId};
use crate::quality::Scores;
use crate::speakers::Speakers;

pub(crate) struct Conference {
    pub(crate) name: Private,
    /// Where it began; see [`placement`](crate::placement).
    pub(crate) home: WorkerId,
    pub(crate) participants: BTreeSet<ParticipantId>,
    /// The live participant of each identity.
    pub(crate) identities: BTreeMap<Private, ParticipantId>,
    /// Participants per worker; no zeros. Each of these workers knows every track of the conference.
    pub(crate) workers: BTreeMap<WorkerId, usize>,
    pub(crate) speakers: Speakers,
    pub(crate) scores: Scores,
}

impl Conference {
    pub(crate) fn new(name: Private, home: WorkerId) -> Self {
        Self {
            name,
            home,
            participants: BTreeSet::new(),
            identities: BTreeMap::new(),
            workers: BTreeMap::new(),
            speakers: Speakers::default(),
            scores: Scores::default(),
        }
    }

    /// Whether it is the worker's first.
    pub(crate) fn add(&mut self, participant: ParticipantId, identity: Private, worker: WorkerId) -> bool {
        self.participants.insert(participant);
        self.identities.insert(identity, participant);
        let count = self.workers.entry(worker).or_default();
        *count += 1;
        *count == 1
    }

    /// Whether it was the worker's last.
    pub(crate) fn remove(&mut self, participant: ParticipantId, identity: &Private, worker: WorkerId) -> bool {
        self.participants.remove(&participant);
        self.identities.remove(identity);
        self.speakers.forget(participant);
        self.scores.forget(participant);
        let Some(count) = self.workers.get_mut(&worker) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            self.workers.remove(&worker);
        }
        last
    }
}
