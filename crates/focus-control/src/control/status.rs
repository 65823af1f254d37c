//! Speakers and connection quality: from the workers' events to what a conference is told, at its pace.

use std::time::Instant;

use focus_signaling::wire::{self, ParticipantQuality, Score, ServerMessage};
use sfu_core::{ConferenceId, ParticipantId, PeerId, Quality, Speaker};

use super::Control;
use crate::id::WorkerId;
use crate::io::Sign;
use crate::participant::of_peer;
use crate::quality::score;
use crate::throttle::Turn;
use crate::timers::Deadline;

impl Control {
    pub(super) fn speakers_heard(
        &mut self,
        now: Instant,
        worker: WorkerId,
        conference: ConferenceId,
        mut speakers: Vec<Speaker>,
    ) {
        let is_here = |speaker: &Speaker| {
            let participant = self.participants.get(&speaker.participant);
            participant.is_some_and(|p| p.is_joined() && p.conference == conference && p.worker == worker)
        };
        speakers.retain(is_here);
        let Some(state) = self.conferences.get_mut(&conference) else { return };
        state.speakers.report(worker, speakers);
        self.tell_speakers(now, conference);
    }

    pub(super) fn tell_speakers(&mut self, now: Instant, conference: ConferenceId) {
        let Some(state) = self.conferences.get_mut(&conference) else { return };
        match state.speakers.poll(now) {
            Turn::Nothing => self.timers.disarm(Deadline::Speakers(conference)),
            Turn::Wait(at) => self.timers.arm(Deadline::Speakers(conference), at),
            Turn::Send(speakers) => {
                self.timers.disarm(Deadline::Speakers(conference));
                self.tell_all(conference, &speakers_message(&speakers));
            }
        }
    }

    pub(super) fn quality_measured(&mut self, now: Instant, worker: WorkerId, peer: PeerId, quality: &Quality) {
        let Some(participant) = self.participants.get(&of_peer(peer)) else { return };
        if participant.worker != worker || !participant.is_joined() {
            return;
        }
        let (id, conference) = (participant.id, participant.conference);
        self.sign(id, Sign::Media { quiet: quality.quiet });
        if let Some(state) = self.conferences.get_mut(&conference) {
            state.scores.report(id, score(quality));
        }
        self.tell_quality(now, conference);
    }

    pub(super) fn tell_quality(&mut self, now: Instant, conference: ConferenceId) {
        let Some(state) = self.conferences.get_mut(&conference) else { return };
        match state.scores.poll(now) {
            Turn::Nothing => self.timers.disarm(Deadline::Quality(conference)),
            Turn::Wait(at) => self.timers.arm(Deadline::Quality(conference), at),
            Turn::Send(changed) => {
                self.timers.disarm(Deadline::Quality(conference));
                self.tell_all(conference, &quality_message(changed));
            }
        }
    }

    /// What the others have been told so far, for one who was not there.
    pub(super) fn tell_status(&mut self, me: ParticipantId, conference: ConferenceId) {
        let Some(state) = self.conferences.get(&conference) else { return };
        let speakers = Some(state.speakers.sent()).filter(|sent| !sent.is_empty()).map(speakers_message);
        let scores: Vec<_> = state.scores.sent().collect();
        if let Some(message) = speakers {
            self.tell(me, message);
        }
        if !scores.is_empty() {
            self.tell(me, quality_message(scores));
        }
    }
}

fn speakers_message(speakers: &[Speaker]) -> ServerMessage {
    let speakers =
        speakers.iter().map(|s| wire::Speaker { participant: s.participant.to_string(), level: s.level }).collect();
    ServerMessage::Speakers(wire::Speakers { speakers })
}

fn quality_message(scores: Vec<(ParticipantId, Score)>) -> ServerMessage {
    let participants =
        scores.into_iter().map(|(p, score)| ParticipantQuality { participant: p.to_string(), score }).collect();
    ServerMessage::Quality(wire::Quality { participants })
}
