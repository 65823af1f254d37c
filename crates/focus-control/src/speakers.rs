//! Who speaks in one conference, put together from what each of its workers hears.

use std::collections::BTreeMap;
use std::time::Instant;

use sfu_core::{ParticipantId, Speaker};

use crate::bounds::{SPEAKERS, SPEAKERS_INTERVAL};
use crate::id::WorkerId;
use crate::throttle::{Throttle, Turn};

#[derive(Debug, Default)]
pub(crate) struct Speakers {
    heard: BTreeMap<WorkerId, Vec<Speaker>>,
    sent: Vec<Speaker>,
    throttle: Throttle,
}

impl Speakers {
    pub(crate) fn report(&mut self, worker: WorkerId, speakers: Vec<Speaker>) {
        if speakers.is_empty() {
            self.heard.remove(&worker);
        } else {
            self.heard.insert(worker, speakers);
        }
    }

    pub(crate) fn forget(&mut self, participant: ParticipantId) {
        self.heard.values_mut().for_each(|speakers| speakers.retain(|speaker| speaker.participant != participant));
        self.heard.retain(|_, speakers| !speakers.is_empty());
    }

    /// What was sent last, for somebody who was not there.
    pub(crate) fn sent(&self) -> &[Speaker] {
        &self.sent
    }

    /// What to send now, if it has changed.
    pub(crate) fn poll(&mut self, now: Instant) -> Turn<Vec<Speaker>> {
        let merged = self.merged();
        if merged == self.sent {
            return Turn::Nothing;
        }
        self.throttle.turn(now, SPEAKERS_INTERVAL, || {
            self.sent.clone_from(&merged);
            merged
        })
    }

    fn merged(&self) -> Vec<Speaker> {
        let mut all: Vec<Speaker> = self.heard.values().flatten().copied().collect();
        all.sort_by_key(|speaker| (speaker.level, speaker.participant));
        all.truncate(SPEAKERS);
        all
    }
}
