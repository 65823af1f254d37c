//! The data channel of one participant, as the control plane holds it.

use std::time::Instant;

use focus_signaling::channel::Channel;
use focus_signaling::wire::Limits;

use crate::id::ConnectionId;

pub(crate) struct DataChannel {
    pub(crate) machine: Channel,
    /// What its present connection is called; `None`: nobody said hello since the last one ended.
    pub(crate) connection: Option<ConnectionId>,
    /// The engine could not take what was to be sent, so that the client has half a message. Nothing more is said on it.
    pub(crate) broken: bool,
    /// Of the call under way.
    pub(crate) now: Instant,
}

impl DataChannel {
    pub(crate) fn new(now: Instant, limits: Limits) -> Self {
        Self { machine: Channel::new(now, limits), connection: None, broken: false, now }
    }
}
