//! A participant: who it is, where its peer is, and what the others know of it.

use focus_signaling::wire;
use sfu_core::{ConferenceId, ParticipantId, PeerId};

use crate::id::{Private, WorkerId};
use crate::origin::Origin;
use crate::session::Session;
use crate::track::Tracks;

pub(crate) struct Participant {
    pub(crate) id: ParticipantId,
    pub(crate) identity: Private,
    pub(crate) conference: ConferenceId,
    pub(crate) worker: WorkerId,
    pub(crate) name: Private,
    pub(crate) may_publish: bool,
    /// What its token told of it, if it did.
    pub(crate) origin: Option<Origin>,
    pub(crate) stage: Stage,
    pub(crate) keys: Vec<wire::KeySalt>,
    pub(crate) tracks: Tracks,
    pub(crate) session: Session,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its worker has not made the peer yet. Nobody knows of it.
    Joining,
    /// Welcomed, and announced to the others.
    Joined,
}

impl Participant {
    /// Each participant has one peer for its whole life, so that the two can share their number.
    pub(crate) fn peer(&self) -> PeerId {
        PeerId(self.id.0)
    }

    pub(crate) fn is_joined(&self) -> bool {
        self.stage == Stage::Joined
    }

    /// For the others.
    pub(crate) fn to_wire(&self) -> wire::Participant {
        wire::Participant {
            id: self.id.to_string(),
            identity: Some(self.identity.0.clone()),
            name: self.name.0.clone(),
            keys: self.keys.clone(),
            tracks: self.tracks.iter().map(|(id, track)| track.to_wire(*id)).collect(),
        }
    }
}

/// The participant that a peer belongs to; see [`Participant::peer`].
pub(crate) fn of_peer(peer: PeerId) -> ParticipantId {
    ParticipantId(peer.0)
}
