//! Subscriptions: what a client wants goes to its worker; what it gets comes from there as events, and only those count.

use std::time::Instant;

use focus_signaling::Errcode;
use focus_signaling::wire::{Keyframe, Subscribe, Want};
use sfu_core::{Command, Mid, ParticipantId, Pause, PeerId, Rid, TrackId};

use super::Control;
use crate::bounds::{KEYFRAME_BURST, KEYFRAME_INTERVAL};
use crate::id::WorkerId;
use crate::participant::of_peer;
use crate::pending::{Asker, What, no_such_track};
use crate::session::Subscription;

impl Control {
    /// Each want stands for itself: one that cannot be is answered by an error, the others are done.
    pub(super) fn subscribe(&mut self, me: ParticipantId, asker: Asker, subscribe: Subscribe) {
        for want in subscribe.tracks {
            self.want(me, asker, &want);
        }
    }

    fn want(&mut self, me: ParticipantId, asker: Asker, want: &Want) {
        let Some(participant) = self.participants.get(&me) else { return };
        let peer = participant.peer();
        let track = TrackId::parse(&want.track);
        let publisher = track.and_then(|track| self.publisher(participant, track));
        let (Some(track), Some(publisher)) = (track, publisher) else {
            // A track that ends while its subscriber turns away from it is nobody's error.
            if track.is_none() || !want.off {
                self.refuse(asker, no_such_track(&want.track));
            }
            return;
        };
        if publisher.id == me {
            return self.refuse(asker, Errcode::InvalidParam.body(format!("{track}: one's own track")));
        }
        if want.off {
            self.ask(me, asker, What::Unsubscribe, Command::Unsubscribe { peer, track });
            return;
        }
        let Some(mid) = want.mid.as_deref().and_then(Mid::new) else {
            return self.refuse(asker, Errcode::InvalidParam.body(format!("{track}: needs a mid")));
        };
        let want = sfu_core::Want {
            width: want.width.unwrap_or(0),
            height: want.height.unwrap_or(0),
            fps: want.fps.unwrap_or(0),
        };
        self.ask(me, asker, What::Subscribe(track), Command::Subscribe { peer, track, mid, want });
    }

    /// From the engine. Events of tracks that have ended meanwhile are late: their end has been told.
    pub(super) fn subscription_changed(
        &mut self,
        worker: WorkerId,
        peer: PeerId,
        track: TrackId,
        mid: Mid,
        rid: Option<Rid>,
        paused: Option<Pause>,
    ) {
        let me = of_peer(peer);
        let Some(participant) = self.participants.get(&me) else { return };
        if participant.worker != worker || self.publisher(participant, track).is_none_or(|publisher| publisher.id == me)
        {
            return;
        }
        let Some(participant) = self.participants.get_mut(&me) else { return };
        let (session, now) = (&mut participant.session, Subscription { mid, rid, paused });
        if paused == Some(Pause::Off) {
            if session.subscriptions.remove(&track).is_none() {
                return;
            }
        } else if session.subscriptions.insert(track, now) == Some(now) {
            return;
        } else {
            // One m-line carries one track: another one that had it was moved out.
            for (other, ended) in session.subscriptions.extract_if(.., |other, s| *other != track && s.mid == mid) {
                session.changed.insert(other, ended.ended());
            }
        }
        session.changed.insert(track, now);
        self.subscribers_changed.insert(me);
    }

    /// Whether it is subscribed to the track is for its engine to say.
    pub(super) fn keyframe(&mut self, now: Instant, me: ParticipantId, asker: Asker, keyframe: Keyframe) {
        let Some(participant) = self.participants.get(&me) else { return };
        let peer = participant.peer();
        let track = TrackId::parse(&keyframe.track);
        let Some(track) = track.filter(|track| self.publisher(participant, *track).is_some_and(|p| p.id != me)) else {
            return self.refuse(asker, no_such_track(&keyframe.track));
        };
        let Some(participant) = self.participants.get_mut(&me) else { return };
        if let Err(wait) = participant.session.keyframes.take(now, KEYFRAME_BURST, KEYFRAME_INTERVAL) {
            return self.refuse(asker, Errcode::LimitExceeded.body("too many key-frame requests").retry_after(wait));
        }
        self.ask(me, asker, What::Keyframe(track), Command::RequestKeyframe { peer, track });
    }
}
