//! What becomes of published tracks: muted, put under another key, ended by the engine.

use std::time::Instant;

use focus_signaling::Errcode;
use focus_signaling::wire::{Announce, Mute, ServerMessage};
use sfu_core::{Command, ParticipantId, TrackId};

use super::Control;
use crate::bounds::{ANNOUNCE_BURST, ANNOUNCE_INTERVAL};
use crate::id::WorkerId;
use crate::pending::{Asker, What, no_such_track};
use crate::track::{Track, Tracks, set_key_index};

impl Control {
    pub(super) fn mute(&mut self, me: ParticipantId, asker: Asker, mute: Mute) {
        let Some(participant) = self.participants.get(&me) else { return };
        let track = TrackId::parse(&mute.track);
        let publisher = track.and_then(|track| self.publisher(participant, track));
        let (Some(track), Some(publisher)) = (track, publisher) else {
            return self.refuse(asker, no_such_track(&mute.track));
        };
        if publisher.id != me {
            return self.refuse(asker, Errcode::Forbidden.body("only its publisher mutes a track"));
        }
        let command = Command::Mute { track, muted: mute.muted };
        self.ask(me, asker, What::Mute { track, muted: mute.muted }, command);
    }

    pub(super) fn muted(&mut self, me: ParticipantId, track: TrackId, muted: bool) {
        let Some(participant) = self.participants.get_mut(&me) else { return };
        let conference = participant.conference;
        let Some(published) = participant.tracks.get_mut(&track) else { return };
        if published.muted != muted {
            published.muted = muted;
            let message = ServerMessage::Mute(Mute { track: track.to_string(), muted });
            self.tell_others(me, conference, &message);
        }
    }

    /// Keys are passed on as they are; all encrypted tracks, also those of an offer on its way, are now under this one.
    pub(super) fn announce(&mut self, now: Instant, me: ParticipantId, asker: Asker, announce: Announce) {
        let Some(participant) = self.participants.get_mut(&me) else { return };
        if let Err(wait) = participant.session.announces.take(now, ANNOUNCE_BURST, ANNOUNCE_INTERVAL) {
            return self.refuse(asker, Errcode::LimitExceeded.body("too many announcements").retry_after(wait));
        }
        participant.keys = announce.keys;
        let before = participant.tracks.clone();
        set_key_index(&mut participant.tracks, announce.key_index);
        if let Some(offer) = &mut participant.session.offer {
            set_key_index(&mut offer.tracks, announce.key_index);
        }
        self.tell_engines_of_keys(me, &before);
        self.tell_updated(me);
    }

    /// Tells every worker that knows the participant's tracks which of them are under another key than they were `before`.
    pub(super) fn tell_engines_of_keys(&mut self, me: ParticipantId, before: &Tracks) {
        let Some(participant) = self.participants.get(&me) else { return };
        let Some(conference) = self.conferences.get(&participant.conference) else { return };
        let changed = participant.tracks.iter().filter_map(|(track, now)| {
            let index = now.key_index();
            (index != before.get(track).map_or(0, Track::key_index)).then_some((*track, index))
        });
        let workers = conference.workers.keys();
        let all: Vec<_> = changed.flat_map(|change| workers.clone().map(move |worker| (*worker, change))).collect();
        for (worker, (track, index)) in all {
            self.command(worker, Command::SetKeyIndex { track, index });
        }
    }

    /// The publisher's engine ended a track by itself. It may also belong to an offer whose reply is still to come.
    pub(super) fn track_ended(&mut self, worker: WorkerId, track: TrackId) {
        let publisher = self.tracks.get(&track).copied();
        let Some(me) = publisher.filter(|id| self.participants.get(id).is_some_and(|p| p.worker == worker)) else {
            return;
        };
        let Some(mut participant) = self.participants.remove(&me) else { return };
        participant.tracks.remove(&track);
        if let Some(offer) = &mut participant.session.offer {
            offer.tracks.remove(&track);
        }
        self.unpublish(&participant, track);
        self.participants.insert(me, participant);
        self.tell_updated(me);
    }
}
