//! The signalling side of a participant: its socket, its right to resume, what it has asked for and not been answered.

use std::collections::{BTreeMap, BTreeSet};

use focus_signaling::wire;
use sfu_core::{Mid, Rid, TrackId};

use crate::id::{ConnectionId, RequestId, SessionId};
use crate::secret::ResumeSecrets;
use crate::throttle::RateLimit;
use crate::track::Tracks;

pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) secrets: ResumeSecrets,
    /// `None`: held, until its client resumes or the window closes.
    pub(crate) connection: Option<ConnectionId>,
    /// Of the last offer, answered or not.
    pub(crate) offer_seq: Option<u64>,
    /// At most one is on its way.
    pub(crate) offer: Option<PendingOffer>,
    /// Commands that the worker has not answered.
    pub(crate) pending: BTreeSet<RequestId>,
    pub(crate) keyframes: RateLimit,
    pub(crate) offers: RateLimit,
    pub(crate) announces: RateLimit,
    pub(crate) resumes: RateLimit,
    /// What the client was told last of each of its subscriptions; what is not here has ended.
    pub(crate) subscriptions: BTreeMap<TrackId, Subscription>,
    /// Changes that the client will be told in one message, with the end of this round of events.
    pub(crate) changed: BTreeMap<TrackId, Subscription>,
}

impl Session {
    pub(crate) fn new(id: SessionId, connection: ConnectionId) -> Self {
        Self {
            id,
            secrets: ResumeSecrets::default(),
            connection: Some(connection),
            offer_seq: None,
            offer: None,
            pending: BTreeSet::new(),
            keyframes: RateLimit::default(),
            offers: RateLimit::default(),
            announces: RateLimit::default(),
            resumes: RateLimit::default(),
            subscriptions: BTreeMap::new(),
            changed: BTreeMap::new(),
        }
    }
}

/// An offer that the worker has not answered.
pub(crate) struct PendingOffer {
    pub(crate) seq: u64,
    /// What is published once it is accepted.
    pub(crate) tracks: Tracks,
}

/// What a subscription gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) mid: Mid,
    pub(crate) rid: Option<Rid>,
    pub(crate) paused: Option<sfu_core::Pause>,
}

impl Subscription {
    pub(crate) fn ended(self) -> Self {
        Self { rid: None, paused: Some(sfu_core::Pause::Off), ..self }
    }

    pub(crate) fn to_wire(self, track: TrackId) -> wire::Subscription {
        wire::Subscription {
            track: track.to_string(),
            mid: self.mid.to_string(),
            rid: self.rid.map(|rid| rid.to_string()),
            paused: self.paused.map(|pause| match pause {
                sfu_core::Pause::Muted => wire::Pause::Muted,
                sfu_core::Pause::NoSource => wire::Pause::NoSource,
                sfu_core::Pause::Bandwidth => wire::Pause::Bandwidth,
                sfu_core::Pause::Off => wire::Pause::Off,
            }),
        }
    }
}

pub(crate) fn subscribed<'a>(
    subscriptions: impl IntoIterator<Item = (&'a TrackId, &'a Subscription)>,
) -> wire::ServerMessage {
    let tracks = subscriptions.into_iter().map(|(track, subscription)| subscription.to_wire(*track)).collect();
    wire::ServerMessage::Subscribed(wire::Subscribed { tracks })
}
