//! `m.rtc.member`: a sticky event (MSC4354) per join, in the three shapes that MSC4143 has had.
//!
//! | shape | transports | `member` holds | leaves by |
//! |---|---|---|---|
//! | [`Form::RtcTransports`] | `rtc_transports` | id, user, device | empty content with the sticky key |
//! | [`Form::Transports`] | `transports.{published, can_subscribe}` | id, user, device | the same, with `leave_reason` |
//! | [`Form::Spec`] | the same | id, `membership` | `member.membership: leave` |

use ruma::{DeviceId, OwnedDeviceId};
use serde_json::{Map, Value, json};

use super::join::{Join, Outgoing, Profile};
use super::{Claim, Leave, Refusal, RoomEvent, STICKY_MAX, fields};
use crate::focus_selection::FocusSelection;
use crate::membership::{DeviceFrom, Form, MemberKey, Membership};
use crate::slot::SlotId;
use crate::time::Timestamp;
use crate::transport::{self, Transport};

pub const TYPE: &str = "m.rtc.member";
pub const TYPE_UNSTABLE: &str = "org.matrix.msc4143.rtc.member";

/// When this member joined, said again with each renewal: a sticky event that is renewed is a new event, and nobody who comes
/// later has seen the first.
pub const CREATED_KEY: &str = "org.rust_sfu.created_ts";

const KEYS_OF_LEAVE: [&str; 4] = ["leave_reason", "slot_id", "sticky_key", "msc4354_sticky_key"];

pub fn is_member(event: &RoomEvent) -> bool {
    (event.kind == TYPE || event.kind == TYPE_UNSTABLE) && event.state_key.is_none()
}

/// What names the place of an event in the room's sticky map, together with its sender and type.
///
/// # Errors
/// If it has none, or two that differ.
pub fn sticky_key(event: &RoomEvent) -> Result<&str, Refusal> {
    let key = |name| fields::optional_text(&event.content, name).map_err(|_| Refusal::BadStickyKey);
    match (key("sticky_key")?, key("msc4354_sticky_key")?) {
        (Some(one), Some(two)) if one != two => Err(Refusal::BadStickyKey),
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => Err(Refusal::BadStickyKey),
    }
}

/// `received` is the wall clock now.
///
/// # Errors
/// As the reference client refuses, and if it names another device than the one that encrypted it.
pub fn parse(event: &RoomEvent, received: Timestamp) -> Result<Claim, Refusal> {
    let content = &event.content;
    if event.is_redacted {
        return Ok(Claim::Left(Leave::default()));
    }
    sticky_key(event)?;
    let sticky = event.sticky.ok_or(Refusal::NotSticky)?;
    let member = content.get("member").and_then(Value::as_object);
    let membership = member.and_then(|member| member.get("membership"));
    if membership.is_some_and(|membership| membership == "leave")
        || content.keys().all(|key| KEYS_OF_LEAVE.contains(&key.as_str()))
    {
        return Ok(Claim::Left(fields::leave(content)));
    }
    if membership.is_some_and(|membership| membership != "join") {
        return Err(Refusal::BadField("membership"));
    }
    let member = member.ok_or(Refusal::BadField("member"))?;
    let application = fields::object(content, "application")?;
    let application_type = fields::text(application, "type").map_err(|_| Refusal::BadField("application"))?;
    let slot = SlotId::parse(fields::text(content, "slot_id")?).map_err(|_| Refusal::BadSlot)?;
    if slot.application() != application_type {
        return Err(Refusal::BadSlot);
    }
    let member_id = fields::text(member, "id")?;
    if member_id.is_empty() {
        return Err(Refusal::BadField("id"));
    }
    let named_user = either(member, "user_id", "claimed_user_id")?;
    if named_user.is_some_and(|user| user != event.sender.as_str()) {
        return Err(Refusal::ForeignUser);
    }
    let named_device = either(member, "device_id", "claimed_device_id")?;
    let (device, device_from) = device(event.encrypted_by.as_ref(), named_device, member_id)?;
    let (shape, transports, can_subscribe) = read_transports(content)?;
    let form = if membership.is_some() && named_user.is_none() { Form::Spec } else { shape };
    let created_at = fields::optional_millis(content, CREATED_KEY)?.map(Timestamp::from_millis);
    Ok(Claim::Joined(Membership {
        key: MemberKey { user: event.sender.clone(), device, member_id: member_id.to_owned() },
        device_from,
        slot,
        application: application_type.to_owned(),
        intent: either(application, "intent", "m.call.intent")?.map(str::to_owned),
        capabilities: fields::optional_texts(content, "capabilities")?.unwrap_or_default(),
        created_at: created_at.map_or(event.sent_at, |created| created.min(event.sent_at)),
        expires_at: sticky.ends(event.sent_at, received),
        transports,
        can_subscribe,
        selection: FocusSelection::MultiSfu,
        event_id: event.event_id.clone(),
        sent_at: event.sent_at,
        form,
    }))
}

/// Who encrypted an event counts more than what it says; but it may not say another.
fn device(
    encrypted_by: Option<&OwnedDeviceId>,
    named: Option<&str>,
    member_id: &str,
) -> Result<(OwnedDeviceId, DeviceFrom), Refusal> {
    let owned = |device: &str| <&DeviceId>::from(device).to_owned();
    match (encrypted_by, named) {
        (_, Some("")) => Err(Refusal::BadField("device_id")),
        (Some(device), Some(named)) if device != named => Err(Refusal::ForeignDevice),
        (Some(device), _) => Ok((device.clone(), DeviceFrom::Encryption)),
        (None, Some(named)) => Ok((owned(named), DeviceFrom::Content)),
        (None, None) => Ok((owned(member_id), DeviceFrom::Nothing)),
    }
}

fn either<'a>(
    object: &'a Map<String, Value>,
    one: &'static str,
    two: &'static str,
) -> Result<Option<&'a str>, Refusal> {
    Ok(fields::optional_text(object, one)?.or(fields::optional_text(object, two)?))
}

fn read_transports(content: &Map<String, Value>) -> Result<(Form, Vec<Transport>, Vec<String>), Refusal> {
    let list = |value: Option<&Value>, key| match value {
        Some(Value::Array(list)) => transport::parse_list(list).map_err(|_| Refusal::BadTransport),
        _ => Err(Refusal::BadField(key)),
    };
    if content.contains_key("transports") {
        let both = fields::object(content, "transports")?;
        let transports = list(both.get("published"), "published")?;
        let kinds = fields::optional_texts(both, "can_subscribe")?.ok_or(Refusal::BadField("can_subscribe"))?;
        let kinds = kinds.iter().map(|kind| transport::canonical_kind(kind).to_owned()).collect();
        return Ok((Form::Transports, transports, kinds));
    }
    let transports = list(content.get("rtc_transports"), "rtc_transports")?;
    let mut kinds: Vec<String> = transports.iter().map(|transport| transport.kind().to_owned()).collect();
    kinds.sort();
    kinds.dedup();
    Ok((Form::RtcTransports, transports, kinds))
}

/// The event that joins, or says again that one is there. That of the interop profile has all three shapes at once, and each
/// reader finds its own; that of the pure one is as MSC4143 has it now.
pub fn join(join: &Join, profile: Profile) -> Outgoing {
    let mut member = Map::new();
    member.insert("id".to_owned(), join.member_id.as_str().into());
    member.insert("membership".to_owned(), "join".into());
    let mut application = Map::new();
    application.insert("type".to_owned(), join.slot.application().into());
    if let Some(intent) = &join.intent {
        application.insert("intent".to_owned(), intent.as_str().into());
    }
    let published = transport::list_to_json(&join.transports);
    let mut content = Map::new();
    let mut put = |key: &str, value: Value| content.insert(key.to_owned(), value);
    put("slot_id", join.slot.as_str().into());
    put("sticky_key", join.member_id.as_str().into());
    put("msc4354_sticky_key", join.member_id.as_str().into());
    if profile == Profile::Interop {
        for (key, id) in [("user_id", join.user.as_str()), ("device_id", join.device.as_str())] {
            member.insert(key.to_owned(), id.into());
            member.insert(format!("claimed_{key}"), id.into());
        }
        if let Some(intent) = &join.intent {
            application.insert("m.call.intent".to_owned(), intent.as_str().into());
        }
        put("rtc_transports", published.clone());
        put("versions", json!([]));
    }
    put("member", member.into());
    put("application", application.into());
    put("transports", json!({"published": published, "can_subscribe": join.can_subscribe}));
    if !join.capabilities.is_empty() {
        put("capabilities", join.capabilities.clone().into());
    }
    if let Some(created) = join.created_at {
        put(CREATED_KEY, created.as_millis().into());
    }
    Outgoing { kind: TYPE_UNSTABLE, state_key: None, content, sticky: Some(STICKY_MAX) }
}

/// The event that leaves; also the one to give to the server as a delayed event.
pub fn leave(join: &Join, profile: Profile, leave: &Leave) -> Outgoing {
    let mut content = Map::new();
    let mut put = |key: &str, value: Value| content.insert(key.to_owned(), value);
    put("slot_id", join.slot.as_str().into());
    put("msc4354_sticky_key", join.member_id.as_str().into());
    if profile == Profile::Pure {
        put("sticky_key", join.member_id.as_str().into());
        put("member", json!({"id": join.member_id, "membership": "leave"}));
        let mut reason = Map::new();
        let code = leave.code.as_deref().unwrap_or("leave");
        reason.insert("code".to_owned(), code.into());
        reason.extend(leave.reason.as_ref().map(|text| ("reason".to_owned(), text.as_str().into())));
        put("leave_reason", reason.into());
    }
    // The reference client before September takes any further key for a join.
    Outgoing { kind: TYPE_UNSTABLE, state_key: None, content, sticky: Some(STICKY_MAX) }
}

#[cfg(test)]
mod tests;
