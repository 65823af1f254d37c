//! Ringing: the notification that deployed clients send (MSC4075 as of 2025), the invite of its text of September 2026, and the decline
//! (MSC4310, since folded into it).

use std::time::Duration;

use ruma::{EventId, OwnedEventId, OwnedUserId, UserId};
use serde_json::{Value, json};

use super::RoomEvent;
use crate::slot::SlotId;
use crate::time::Timestamp;

/// What deployed clients send; the invite's unstable type is the same.
pub const TYPE: &str = "org.matrix.msc4075.rtc.notification";
/// All types that are read.
pub const TYPES: [&str; 3] = [TYPE, "m.rtc.notification", "m.rtc.invite"];
/// What deployed clients decline with.
pub const DECLINE_TYPE: &str = "org.matrix.msc4310.rtc.decline";
/// All types that are read.
pub const DECLINE_TYPES: [&str; 2] = [DECLINE_TYPE, "m.rtc.decline"];

/// The sender's clock is believed so far from the server's; else the server's time counts.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(20);
/// Nobody's telephone rings longer: of the deployed form.
pub const LIFETIME_MAX: Duration = Duration::from_secs(90);
/// The same of the invite.
pub const INVITE_LIFETIME_MAX: Duration = Duration::from_secs(120);
/// Users that are named one by one. More are not read: a room is called with `room`.
pub const MENTIONS_MAX: usize = 256;

/// How loud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// It rings.
    Ring,
    /// It is shown, quietly.
    Notify,
}

/// Whom it is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mentions {
    /// One by one.
    pub users: Vec<OwnedUserId>,
    /// Everybody in the room.
    pub room: bool,
}

impl Mentions {
    /// Whether this user is meant.
    pub fn includes(&self, user: &UserId) -> bool {
        self.room || self.users.iter().any(|mentioned| mentioned == user)
    }
}

/// Somebody calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    pub event_id: OwnedEventId,
    pub sender: OwnedUserId,
    pub loudness: Loudness,
    pub mentions: Mentions,
    /// The caller's member event; the invite has none.
    pub member_event: Option<OwnedEventId>,
    /// Of the invite; the deployed form is for the room's own call.
    pub slot: SlotId,
    /// By the sender's clock if that can be believed, else by the server's.
    pub started_at: Timestamp,
    /// For how long it rings.
    pub lifetime: Duration,
    /// `audio`, `video`, or something else.
    pub intent: Option<String>,
}

impl Notification {
    /// When it is a missed call.
    pub fn ends_at(&self) -> Timestamp {
        self.started_at.plus(self.lifetime)
    }
}

/// Why an event is no call. To be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNotification {
    #[error("it is of another type")]
    OtherType,
    /// The invite was taken back: an empty content, or a redaction.
    #[error("it was withdrawn")]
    Withdrawn,
    #[error("`{0}` is missing or wrong")]
    BadField(&'static str),
}

/// Reads a notification of either form.
///
/// # Errors
/// If it is none, or malformed as the reference client sees it.
pub fn parse(event: &RoomEvent) -> Result<Notification, BadNotification> {
    if !TYPES.contains(&event.kind.as_str()) {
        return Err(BadNotification::OtherType);
    }
    let content = &event.content;
    if event.is_redacted || content.keys().all(|key| key == "sticky_key" || key == "msc4354_sticky_key") {
        return Err(BadNotification::Withdrawn);
    }
    let get = |key: &str| content.get(key).unwrap_or(&Value::Null);
    let millis = |key: &'static str| get(key).as_u64().ok_or(BadNotification::BadField(key));
    let (sender_ts, lifetime) = (Timestamp::from_millis(millis("sender_ts")?), millis("lifetime")?);
    let lifetime = Duration::from_millis(lifetime);
    let skew = sender_ts.since(event.sent_at).max(event.sent_at.since(sender_ts));
    let intent = ["m.call.intent", "intent"].iter().find_map(|key| get(key).as_str()).map(str::to_owned);
    let common = |loudness, member_event, slot, lifetime| Notification {
        event_id: event.event_id.clone(),
        sender: event.sender.clone(),
        loudness,
        mentions: Mentions::default(),
        member_event,
        slot,
        started_at: if skew > CLOCK_SKEW_MAX { event.sent_at } else { sender_ts },
        lifetime,
        intent,
    };
    let notification = if let Some(slot) = get("slot_id").as_str() {
        let slot = SlotId::parse(slot).map_err(|_| BadNotification::BadField("slot_id"))?;
        common(Loudness::Ring, None, slot, lifetime.min(INVITE_LIFETIME_MAX))
    } else {
        let loudness = match get("notification_type").as_str() {
            Some("ring") => Loudness::Ring,
            Some("notification") => Loudness::Notify,
            _ => return Err(BadNotification::BadField("notification_type")),
        };
        let target = reference(get("m.relates_to")).ok_or(BadNotification::BadField("m.relates_to"))?;
        common(loudness, Some(target), SlotId::default(), lifetime.min(LIFETIME_MAX))
    };
    Ok(Notification { mentions: mentions(get("m.mentions"))?, ..notification })
}

/// Reads a decline: which notification is declined. The sender is the event's.
///
/// # Errors
/// If it is none, or refers to nothing.
pub fn parse_decline(event: &RoomEvent) -> Result<OwnedEventId, BadNotification> {
    if !DECLINE_TYPES.contains(&event.kind.as_str()) {
        return Err(BadNotification::OtherType);
    }
    let relation = event.content.get("m.relates_to").unwrap_or(&Value::Null);
    reference(relation).ok_or(BadNotification::BadField("m.relates_to"))
}

/// Content of a notification of type [`TYPE`], sent once, by whoever joined first, after its member event.
pub fn content(
    member_event: &EventId,
    loudness: Loudness,
    mentions: &Mentions,
    sender_ts: Timestamp,
    lifetime: Duration,
    intent: Option<&str>,
) -> Value {
    let kind = match loudness {
        Loudness::Ring => "ring",
        Loudness::Notify => "notification",
    };
    let lifetime = u64::try_from(lifetime.min(LIFETIME_MAX).as_millis()).unwrap_or(u64::MAX);
    let mut content = json!({
        "m.mentions": mention_content(mentions),
        "notification_type": kind,
        "m.relates_to": { "rel_type": "m.reference", "event_id": member_event },
        "sender_ts": sender_ts.as_millis(),
        "lifetime": lifetime,
    });
    if let Some(intent) = intent {
        content["m.call.intent"] = json!(intent);
    }
    content
}

/// Content of the invite of September 2026: a sticky event, for as long as its lifetime.
pub fn invite_content(slot: &SlotId, mentions: &Mentions, sender_ts: Timestamp, lifetime: Duration) -> Value {
    json!({
        "slot_id": slot,
        "sender_ts": sender_ts.as_millis(),
        "lifetime": u64::try_from(lifetime.min(INVITE_LIFETIME_MAX).as_millis()).unwrap_or(u64::MAX),
        "m.mentions": mention_content(mentions),
        "sticky_key": slot,
    })
}

/// Content of a decline of type [`DECLINE_TYPE`].
pub fn decline_content(notification: &EventId) -> Value {
    json!({ "m.relates_to": { "rel_type": "m.reference", "event_id": notification } })
}

fn mention_content(mentions: &Mentions) -> Value {
    json!({ "user_ids": mentions.users, "room": mentions.room })
}

fn mentions(value: &Value) -> Result<Mentions, BadNotification> {
    const BAD: BadNotification = BadNotification::BadField("m.mentions");
    let mentions = value.as_object().ok_or(BAD)?;
    let room = match mentions.get("room") {
        None => false,
        Some(room) => room.as_bool().ok_or(BAD)?,
    };
    let users = match mentions.get("user_ids") {
        None => Vec::new(),
        Some(ids) => {
            let ids = ids.as_array().ok_or(BAD)?.iter().take(MENTIONS_MAX);
            ids.map(|id| id.as_str().and_then(|id| UserId::parse(id).ok()).ok_or(BAD)).collect::<Result<_, _>>()?
        }
    };
    Ok(Mentions { users, room })
}

fn reference(relation: &Value) -> Option<OwnedEventId> {
    let id = relation["event_id"].as_str().filter(|_| relation["rel_type"] == "m.reference")?;
    EventId::parse(id).ok()
}

#[cfg(test)]
mod tests;
