//! Offers: what a participant publishes, from its offer until the others know.

use std::time::Instant;

use focus_signaling::Errcode;
use focus_signaling::wire::{Answer, Candidate, MidTrack, Offer, ParticipantEvent, ServerMessage};
use rand::RngCore;
use sfu_core::{Command, LinkId, ParticipantId, TrackId};

use super::Control;
use crate::bounds::{OFFER_BURST, OFFER_INTERVAL, OFFER_RETRY};
use crate::participant::Participant;
use crate::pending::{Asker, What};
use crate::session::PendingOffer;
use crate::track::{Track, Tracks};

impl Control {
    /// One offer at a time: a second one before the answer is refused, not queued, because it was made without knowing
    /// the answer and would most likely be out of date.
    pub(super) fn offer(&mut self, now: Instant, me: ParticipantId, asker: Asker, offer: Offer) {
        let Some(participant) = self.participants.get(&me) else { return };
        let session = &participant.session;
        if session.offer.is_some() {
            let error = Errcode::LimitExceeded.body("the last offer has not been answered").retry_after(OFFER_RETRY);
            return self.refuse(asker, error);
        }
        if let Some(last) = session.offer_seq.filter(|last| offer.seq <= *last) {
            return self.refuse(asker, Errcode::InvalidParam.body(format!("seq must grow, the last was {last}")));
        }
        if !participant.may_publish && !offer.tracks.is_empty() {
            return self.refuse(asker, Errcode::Forbidden.body("the token does not allow publishing"));
        }
        if offer.tracks.len() > self.bounds.limits.published_tracks {
            let most = self.bounds.limits.published_tracks;
            return self.refuse(asker, Errcode::TooLarge.body(format!("no more than {most} published tracks")));
        }
        let tracks: Option<Vec<Track>> = offer.tracks.into_iter().map(Track::new).collect();
        let Some(tracks) = tracks else {
            return self.refuse(asker, Errcode::InvalidParam.body("a mid has 1 to 16 token characters"));
        };
        let Some(tracks) = self.with_ids(me, tracks) else {
            return self.refuse(asker, Errcode::InvalidParam.body("a mid is named twice"));
        };
        let Some(participant) = self.participants.get_mut(&me) else { return };
        if let Err(wait) = participant.session.offers.take(now, OFFER_BURST, OFFER_INTERVAL) {
            return self.refuse(asker, Errcode::LimitExceeded.body("too many offers").retry_after(wait));
        }
        let published = tracks.iter().map(|(id, track)| track.published(*id)).collect();
        let command = Command::Offer { peer: participant.peer(), sdp: offer.sdp, published };
        participant.session.offer_seq = Some(offer.seq);
        participant.session.offer = Some(PendingOffer { seq: offer.seq, tracks });
        if self.ask(me, asker, What::Offer, command) {
            self.counters.offers += 1;
        } else if let Some(participant) = self.participants.get_mut(&me) {
            participant.session.offer = None;
        }
    }

    /// A track keeps its id as long as it comes from the same source on the same m-line.
    fn with_ids(&mut self, me: ParticipantId, offered: Vec<Track>) -> Option<Tracks> {
        let mut tracks = Tracks::new();
        for track in offered {
            if tracks.values().any(|other| other.mid == track.mid) {
                return None;
            }
            let kept =
                self.participants.get(&me)?.tracks.iter().find(|(_, old)| old.is_same(&track)).map(|(id, _)| *id);
            let id = kept.unwrap_or_else(|| self.new_track_id(&tracks));
            tracks.insert(id, track);
        }
        Some(tracks)
    }

    fn new_track_id(&mut self, others: &Tracks) -> TrackId {
        loop {
            let id = TrackId(self.rng.next_u64());
            if !self.tracks.contains_key(&id) && !others.contains_key(&id) {
                return id;
            }
        }
    }

    /// The engine has taken the offer.
    pub(super) fn offer_accepted(&mut self, me: ParticipantId, asker: Asker, sdp: String) {
        let Some(participant) = self.participants.get_mut(&me) else { return };
        let Some(PendingOffer { seq, tracks }) = participant.session.offer.take() else { return };
        let before = std::mem::replace(&mut participant.tracks, tracks.clone());
        self.answer(
            me,
            asker,
            ServerMessage::Answer(Answer {
                sdp,
                seq,
                tracks: tracks
                    .iter()
                    .map(|(id, track)| MidTrack { mid: track.mid.to_string(), track: id.to_string() })
                    .collect(),
            }),
        );
        let Some(participant) = self.participants.remove(&me) else { return };
        for ended in before.keys().filter(|id| !tracks.contains_key(id)) {
            self.unpublish(&participant, *ended);
        }
        for (new, track) in tracks.iter().filter(|(id, _)| !before.contains_key(id)) {
            self.publish(&participant, *new, track);
        }
        self.participants.insert(me, participant);
        self.tell_engines_of_keys(me, &before);
        if before != tracks {
            self.tell_updated(me);
        }
    }

    pub(super) fn offer_refused(&mut self, me: ParticipantId) {
        if let Some(participant) = self.participants.get_mut(&me) {
            participant.session.offer = None;
        }
    }

    /// Makes a track known to the index and to the conference's other workers.
    fn publish(&mut self, publisher: &Participant, id: TrackId, track: &Track) {
        self.tracks.insert(id, publisher.id);
        let Some(conference) = self.conferences.get(&publisher.conference) else { return };
        let others: Vec<_> = conference.workers.keys().copied().filter(|worker| *worker != publisher.worker).collect();
        for worker in others {
            let command = Command::AddRemoteTrack {
                conference: publisher.conference,
                link: LinkId(publisher.worker.0 as u64),
                track: id,
                participant: publisher.id,
                kind: track.kind(),
            };
            self.command(worker, command);
        }
    }

    /// The reverse of `publish`; its subscribers are told that it is off.
    pub(super) fn unpublish(&mut self, publisher: &Participant, id: TrackId) {
        self.tracks.remove(&id);
        let Some(conference) = self.conferences.get(&publisher.conference) else { return };
        for member in &conference.participants {
            let Some(participant) = self.participants.get_mut(member) else { continue };
            if let Some(subscription) = participant.session.subscriptions.remove(&id) {
                participant.session.changed.insert(id, subscription.ended());
                self.subscribers_changed.insert(*member);
            }
        }
        let others: Vec<_> = conference.workers.keys().copied().filter(|worker| *worker != publisher.worker).collect();
        for worker in others {
            self.command(worker, Command::RemoveRemoteTrack { track: id });
        }
    }

    /// Tells the others what the participant publishes and which keys it has, now.
    pub(super) fn tell_updated(&mut self, me: ParticipantId) {
        let Some(participant) = self.participants.get(&me) else { return };
        let (conference, participant) = (participant.conference, participant.to_wire());
        self.tell_subscriptions();
        self.tell_others(me, conference, &ServerMessage::Participant(ParticipantEvent::Updated { participant }));
    }

    /// A trickled candidate. The end of candidates says nothing that an ICE-lite agent would need.
    pub(super) fn candidate(&mut self, me: ParticipantId, asker: Asker, Candidate { candidate }: Candidate) {
        let Some(participant) = self.participants.get(&me) else { return };
        if !candidate.is_empty() {
            let command = Command::Candidate { peer: participant.peer(), candidate };
            self.ask(me, asker, What::Candidate, command);
        }
    }
}
