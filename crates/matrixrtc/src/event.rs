//! Events in, normalised claims out; and the other way round. One file per version on the wire.
//!
//! Everything in here is a pure function of one event. What other events say (room membership, slots, redactions, newer events) and
//! what time it is belongs to [`Session`](crate::session::Session).

use std::time::Duration;

use ruma::{EventId, OwnedDeviceId, OwnedEventId, OwnedUserId, UserId};
use serde_json::{Map, Value};

use crate::membership::Membership;
use crate::time::Timestamp;

pub mod encryption_key;
mod fields;
mod join;
pub mod key_request;
pub mod legacy_member;
pub mod member;
pub mod notification;
pub mod own;
pub mod reaction;
pub mod slot;

pub use join::{Join, Outgoing, Profile};
pub use own::MemberFormat;

/// What MSC4354 lets an event be sticky for at most.
pub const STICKY_MAX: Duration = Duration::from_secs(60 * 60);

/// An event of the room, decrypted if it was encrypted.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomEvent {
    pub kind: String,
    pub event_id: OwnedEventId,
    pub sender: OwnedUserId,
    /// `origin_server_ts`.
    pub sent_at: Timestamp,
    pub state_key: Option<String>,
    pub content: Map<String, Value>,
    pub sticky: Option<Sticky>,
    /// Of a redaction: what it redacts.
    pub redacts: Option<OwnedEventId>,
    /// It came without its content, for a redaction had been there before.
    pub is_redacted: bool,
    /// The sender's device that encrypted it, as the crypto layer vouches for it. `None`: it came in clear.
    pub encrypted_by: Option<OwnedDeviceId>,
}

/// MSC4354: how long an event is delivered to everybody, and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sticky {
    pub duration: Duration,
    /// What the server says is left of it.
    pub left: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event: `{0}` is missing or wrong")]
pub struct NotAnEvent(pub &'static str);

impl RoomEvent {
    /// From the form that the client-server API has. For an encrypted event: of the decrypted payload merged into the outer event, as
    /// clients do, with [`Self::encrypted_by`] set afterwards.
    ///
    /// # Errors
    /// If it lacks what every event has.
    pub fn from_json(event: &Value) -> Result<Self, NotAnEvent> {
        let text = |key: &'static str| event.get(key).and_then(Value::as_str).ok_or(NotAnEvent(key));
        let content = match event.get("content") {
            Some(Value::Object(content)) => content.clone(),
            _ => return Err(NotAnEvent("content")),
        };
        let redacts = event.get("redacts").or_else(|| content.get("redacts")).and_then(Value::as_str);
        let unsigned = event.get("unsigned");
        Ok(Self {
            kind: text("type")?.to_owned(),
            event_id: EventId::parse(text("event_id")?).map_err(|_| NotAnEvent("event_id"))?,
            sender: UserId::parse(text("sender")?).map_err(|_| NotAnEvent("sender"))?,
            sent_at: event
                .get("origin_server_ts")
                .and_then(Value::as_u64)
                .map(Timestamp::from_millis)
                .ok_or(NotAnEvent("origin_server_ts"))?,
            state_key: event.get("state_key").and_then(Value::as_str).map(str::to_owned),
            sticky: Sticky::read(event),
            redacts: redacts.and_then(|id| EventId::parse(id).ok()),
            is_redacted: unsigned.is_some_and(|unsigned| unsigned.get("redacted_because").is_some()),
            encrypted_by: None,
            content,
        })
    }
}

impl Sticky {
    fn read(event: &Value) -> Option<Self> {
        let sticky = event.get("sticky").or_else(|| event.get("msc4354_sticky"))?;
        let duration = sticky.get("duration_ms")?.as_u64().map(Duration::from_millis)?;
        let unsigned = event.get("unsigned");
        let left = unsigned.and_then(|unsigned| {
            let stable = unsigned.get("sticky_duration_remaining_ms");
            stable.or_else(|| unsigned.get("msc4354_sticky_duration_ttl_ms"))?.as_u64().map(Duration::from_millis)
        });
        Some(Self { duration: duration.min(STICKY_MAX), left })
    }

    /// When it ends for one who received it at `received`.
    pub fn ends(&self, sent_at: Timestamp, received: Timestamp) -> Timestamp {
        match self.left {
            Some(left) => received.plus(left.min(self.duration)),
            None => sent_at.min(received).plus(self.duration),
        }
    }
}

/// What one member event says.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    Joined(Membership),
    Left(Leave),
}

/// Why a member says that it left.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Leave {
    pub code: Option<String>,
    pub reason: Option<String>,
}

impl Leave {
    /// Whether the homeserver sent it in the member's place: it had stopped to say that it is alive.
    pub fn is_delayed(&self) -> bool {
        matches!(self.code.as_deref(), Some("delayed_leave" | "delayed" | "m.lost_connection"))
    }
}

/// Why an event does not make a member. To be counted: [`Self::as_str`] has few values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    #[error("not a member event")]
    NotMember,
    #[error("`{0}` is missing or wrong")]
    BadField(&'static str),
    #[error("the list of memberships of years ago")]
    OldList,
    #[error("the slot id is malformed or of another application")]
    BadSlot,
    #[error("one of the transports is none")]
    BadTransport,
    #[error("the state key belongs to somebody else")]
    ForeignStateKey,
    #[error("it names another user than its sender")]
    ForeignUser,
    #[error("it names another device than the one that encrypted it")]
    ForeignDevice,
    #[error("it is not sticky")]
    NotSticky,
    #[error("it has no sticky key, or two")]
    BadStickyKey,
    #[error("it came in clear in an encrypted room")]
    Cleartext,
    #[error("it has expired")]
    Expired,
    #[error("its sender is not in the room")]
    NotInRoom,
    #[error("it belongs to another slot")]
    OtherSlot,
    #[error("the slot is closed")]
    SlotClosed,
    #[error("there are too many")]
    TooMany,
}

impl Refusal {
    /// A label for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotMember => "not_member",
            Self::BadField(_) => "bad_field",
            Self::OldList => "old_list",
            Self::BadSlot => "bad_slot",
            Self::BadTransport => "bad_transport",
            Self::ForeignStateKey => "foreign_state_key",
            Self::ForeignUser => "foreign_user",
            Self::ForeignDevice => "foreign_device",
            Self::NotSticky => "not_sticky",
            Self::BadStickyKey => "bad_sticky_key",
            Self::Cleartext => "cleartext",
            Self::Expired => "expired",
            Self::NotInRoom => "not_in_room",
            Self::OtherSlot => "other_slot",
            Self::SlotClosed => "slot_closed",
            Self::TooMany => "too_many",
        }
    }
}

/// What a member event of any version says; `received` is the wall clock now.
///
/// # Errors
/// Why it says nothing that counts.
pub fn parse_member(event: &RoomEvent, received: Timestamp) -> Result<Claim, Refusal> {
    if legacy_member::is_legacy_member(event) {
        legacy_member::parse(event)
    } else if member::is_member(event) {
        member::parse(event, received)
    } else {
        Err(Refusal::NotMember)
    }
}

#[cfg(test)]
mod tests;
