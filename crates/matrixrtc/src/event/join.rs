//! What a client says about itself, before it is put into one of the forms.

use std::time::Duration;

use ruma::{OwnedDeviceId, OwnedUserId};
use serde_json::{Map, Value};

use crate::focus_selection::FocusSelection;
use crate::slot::SlotId;
use crate::time::Timestamp;
use crate::transport::Transport;

/// What the reference client sets, and what is assumed where a legacy event does not say.
pub const EXPIRES: Duration = Duration::from_secs(4 * 60 * 60);

/// One's own membership.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    pub user: OwnedUserId,
    pub device: OwnedDeviceId,
    /// Unique for this join, from a good source of randomness. Legacy events of the interop profile say it as `membershipID`.
    pub member_id: String,
    pub slot: SlotId,
    pub intent: Option<String>,
    pub capabilities: Vec<String>,
    /// The first of each kind is published to.
    pub transports: Vec<Transport>,
    /// Kinds, as of [`Transport::kind`].
    pub can_subscribe: Vec<String>,
    pub selection: FocusSelection,
    /// `None` with the first event of this join; then its `origin_server_ts`, which every later one repeats.
    pub created_at: Option<Timestamp>,
    /// From `created_at`. Sticky events end with their stickiness instead.
    pub expires: Duration,
}

impl Join {
    /// To the room's call, choosing focus by `multi_sfu`, able to receive over the kinds that are published to.
    pub fn new(
        user: impl Into<OwnedUserId>,
        device: impl Into<OwnedDeviceId>,
        member_id: impl Into<String>,
        transports: Vec<Transport>,
    ) -> Self {
        let mut can_subscribe: Vec<String> = Vec::new();
        for transport in &transports {
            if !can_subscribe.iter().any(|kind| kind == transport.kind()) {
                can_subscribe.push(transport.kind().to_owned());
            }
        }
        Self {
            user: user.into(),
            device: device.into(),
            member_id: member_id.into(),
            slot: SlotId::default(),
            intent: None,
            capabilities: Vec::new(),
            transports,
            can_subscribe,
            selection: FocusSelection::MultiSfu,
            created_at: None,
            expires: EXPIRES,
        }
    }
}

/// Which readers an event is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// All clients of today. Those of closed mind about transports see the member, without its `rust_sfu` transports.
    #[default]
    Interop,
    /// Only those that know `rust_sfu`. Others show the member as having left.
    Pure,
}

/// An event to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    pub kind: &'static str,
    /// Of state events.
    pub state_key: Option<String>,
    pub content: Map<String, Value>,
    /// Of sticky events: to be asked of the server.
    pub sticky: Option<Duration>,
}
