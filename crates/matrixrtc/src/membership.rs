//! One device's claim to be in a session, whatever event made it.

use std::cmp::Ordering;

use ruma::{DeviceId, OwnedDeviceId, OwnedEventId, OwnedUserId, UserId};
use serde::Serialize;

use crate::focus_selection::FocusSelection;
use crate::identity;
use crate::slot::SlotId;
use crate::time::Timestamp;
use crate::transport::Transport;

/// Whose membership: nobody can have somebody else's, for the sender is part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct MemberKey {
    pub user: OwnedUserId,
    /// See [`Membership::device_from`] for how far it can be trusted.
    pub device: OwnedDeviceId,
    /// Unique for each join in new events; `membershipID`, or else `user:device`, in legacy ones.
    pub member_id: String,
}

impl MemberKey {
    /// Not after any of this user's.
    pub(crate) fn first_of(user: &UserId) -> Self {
        Self { user: user.to_owned(), device: <&DeviceId>::from("").to_owned(), member_id: String::new() }
    }

    /// What a `rust_sfu` focus calls this member.
    pub fn identity(&self) -> String {
        identity::participant(&self.user, &self.member_id)
    }
}

/// Normalised from one event. It says what a member claims; whether it counts (in the room, not expired, of this slot) is the
/// session's affair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Membership {
    #[serde(flatten)]
    pub key: MemberKey,
    pub device_from: DeviceFrom,
    pub slot: SlotId,
    /// `m.call` for calls.
    pub application: String,
    /// What the member wants of the call: `audio`, `video`, or something else.
    pub intent: Option<String>,
    /// What the member's device can do, in words of the application.
    pub capabilities: Vec<String>,
    /// When the member joined, as far as its event tells; never after the event itself.
    pub created_at: Timestamp,
    /// When it ends unless it is renewed.
    pub expires_at: Timestamp,
    /// In the member's order of preference. Where it publishes of these: [`focus_selection::published`](crate::focus_selection).
    pub transports: Vec<Transport>,
    /// Kinds of transports ([`Transport::kind`]) over which it can receive.
    pub can_subscribe: Vec<String>,
    pub selection: FocusSelection,
    pub event_id: OwnedEventId,
    /// `origin_server_ts` of the event.
    pub sent_at: Timestamp,
    pub form: Form,
}

impl Membership {
    pub fn can_subscribe_to(&self, kind: &str) -> bool {
        self.can_subscribe.iter().any(|known| known == kind)
    }

    /// Oldest first; those of the same age by user, device and member id, so that all sort alike.
    pub fn by_age(&self, other: &Membership) -> Ordering {
        self.created_at.cmp(&other.created_at).then_with(|| self.key.cmp(&other.key))
    }
}

/// How the device of a membership is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceFrom {
    /// The event was encrypted by it.
    Encryption,
    /// The event's content, which any device of the same user can have written.
    Content,
    /// Nothing: the newest form names no device, and this event was not encrypted. The member id stands in its place; no device
    /// has that name, so nothing can be sent to it.
    Nothing,
}

/// The form of the event on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// State event `org.matrix.msc3401.call.member`.
    Legacy,
    /// Sticky, with `rtc_transports`.
    RtcTransports,
    /// Sticky, with `transports` and the user and device in `member`.
    Transports,
    /// Sticky, as MSC4143 has it since September 2026: `member.membership`, neither user nor device.
    Spec,
}

impl Form {
    pub fn is_sticky(self) -> bool {
        self != Self::Legacy
    }
}
