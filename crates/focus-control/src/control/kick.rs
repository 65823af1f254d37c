//! Whom others order to be removed, and kept out.

use std::time::{Duration, Instant};

use focus_signaling::wire::LeaveReason;
use focus_signaling::{CloseCode, Errcode};
use sfu_core::ParticipantId;

use super::Control;
use super::leave::End;
use crate::denied;
use crate::id::Private;
use crate::io::Output;
use crate::origin::{Origin, Presence};

impl Control {
    /// Ends what `identity` has in `conference`, and refuses the tokens that it has by now. Its peer is disconnected in
    /// the same round of outputs. Returns until when (since 1970) the removal must be remembered; see [`deny`](Self::deny).
    pub fn kick(&mut self, now: Instant, conference: &str, identity: &str) -> Duration {
        self.handle_timeout(now);
        let until = self.clock.at(now) + denied::term();
        self.deny(now, conference, identity, until);
        let (conference, identity) = (Private(conference.to_owned()), Private(identity.to_owned()));
        let live = self.conference_names.get(&conference).and_then(|id| self.conferences.get(id));
        if let Some(me) = live.and_then(|conference| conference.identities.get(&identity)).copied() {
            self.put_out(now, me);
        }
        until
    }

    /// The same for all that `user` has in conferences of `room`, by the words of their tokens' origin: with it, no token
    /// that was made for another device, or another conference of the room, is of any use.
    pub fn remove(&mut self, now: Instant, room: &str, user: &str) -> Duration {
        self.handle_timeout(now);
        let until = self.clock.at(now) + denied::term();
        self.deny(now, room, user, until);
        let is_meant = |origin: &Origin| origin.room.as_str() == room && origin.user.as_str() == user;
        let theirs = self.participants.values().filter(|p| p.origin.as_ref().is_some_and(is_meant));
        let theirs: Vec<ParticipantId> = theirs.map(|participant| participant.id).collect();
        for participant in theirs {
            self.put_out(now, participant);
        }
        until
    }

    fn put_out(&mut self, now: Instant, me: ParticipantId) {
        self.counters.kicked += 1;
        let farewell = Some((Errcode::Forbidden, "removed from the room"));
        let reason = Some(LeaveReason::Removed);
        self.end(now, me, End { reason, farewell, code: CloseCode::Forbidden, peer_gone: false });
    }

    /// Takes up a removal that [`kick`](Self::kick) (conference and identity) or [`remove`](Self::remove) (room and
    /// user) made before the process was started again.
    pub fn deny(&mut self, now: Instant, place: &str, who: &str, until: Duration) {
        self.denied.forget_expired(self.clock.at(now));
        self.denied.insert(Private(place.to_owned()), Private(who.to_owned()), until, self.bounds.denied);
        self.await_forgetting(now);
    }

    /// Whether anybody is in the conference.
    pub fn has_conference(&self, name: &str) -> bool {
        self.conference_names.contains_key(&Private(name.to_owned()))
    }

    /// For those who watch participants.
    pub(super) fn presence(&self, me: ParticipantId) -> Option<Presence> {
        let participant = self.participants.get(&me)?;
        let conference = self.conferences.get(&participant.conference)?.name.clone();
        let origin = participant.origin.clone()?;
        Some(Presence { conference, identity: participant.identity.clone(), origin })
    }

    pub(super) fn tell_watchers(&mut self, output: impl FnOnce(Presence) -> Output, me: ParticipantId) {
        if let Some(presence) = self.presence(me) {
            self.outputs.push_back(output(presence));
        }
    }
}
