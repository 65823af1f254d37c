//! `org.matrix.msc3401.call.member`: room state, one event per device. What every deployed client reads and writes.

use ruma::{DeviceId, RoomVersionId, UserId};
use serde_json::{Map, Value, json};

use super::join::{EXPIRES, Join, Outgoing, Profile};
use super::{Claim, Leave, Refusal, RoomEvent, fields};
use crate::focus_selection::FocusSelection;
use crate::membership::{DeviceFrom, Form, MemberKey, Membership};
use crate::slot::SlotId;
use crate::time::Timestamp;
use crate::transport::{self, Livekit, RustSfu, Transport};

pub const TYPE: &str = "org.matrix.msc3401.call.member";

/// Transports that clients with a closed list of types must not see: such a client takes an event that has one in
/// `foci_preferred` or `focus_active` for a leave.
pub const TRANSPORTS_KEY: &str = "org.rust_sfu.transports";
/// Beside it: over what the member can receive. Absent, it is over what it publishes to.
pub const CAN_SUBSCRIBE_KEY: &str = "org.rust_sfu.can_subscribe";

/// Keys that an event may have and still say nothing but that its sender left.
const KEYS_OF_LEAVE: [&str; 3] = ["leave_reason", "slot_id", "msc4354_sticky_key"];

pub fn is_legacy_member(event: &RoomEvent) -> bool {
    event.kind == TYPE && event.state_key.is_some()
}

/// # Errors
/// As the reference client refuses, and if the state key belongs to another user than the sender: room state lets anybody
/// with the power level write anybody's key.
pub fn parse(event: &RoomEvent) -> Result<Claim, Refusal> {
    let state_key = event.state_key.as_deref().ok_or(Refusal::NotMember)?;
    if !owns(&event.sender, state_key) {
        return Err(Refusal::ForeignStateKey);
    }
    let content = &event.content;
    if event.is_redacted || content.keys().all(|key| KEYS_OF_LEAVE.contains(&key.as_str())) {
        return Ok(Claim::Left(fields::leave(content)));
    }
    if content.contains_key("memberships") {
        return Err(Refusal::OldList);
    }
    parse_join(event).map(Claim::Joined)
}

fn parse_join(event: &RoomEvent) -> Result<Membership, Refusal> {
    let content = &event.content;
    let device = fields::text(content, "device_id")?;
    if device.is_empty() {
        return Err(Refusal::BadField("device_id"));
    }
    let call_id = fields::text(content, "call_id")?;
    let application = fields::text(content, "application")?;
    let focus_active = fields::object(content, "focus_active")?;
    let active_type = fields::text(focus_active, "type").map_err(|_| Refusal::BadField("focus_active"))?;
    fields::optional_text(content, "scope")?;
    let member_id = match fields::optional_text(content, "membershipID")? {
        Some(member_id) if !member_id.is_empty() => member_id.to_owned(),
        _ => format!("{}:{device}", event.sender),
    };
    let created_at = match fields::optional_millis(content, "created_ts")? {
        // One who claims to have joined later than it said so would stay longer, too.
        Some(created) => Timestamp::from_millis(created).min(event.sent_at),
        None => event.sent_at,
    };
    let expires = fields::optional_millis(content, "expires")?.map_or(EXPIRES, std::time::Duration::from_millis);
    let transports = read_transports(content)?;
    let is_ours = active_type == RustSfu::TYPE || content.contains_key(TRANSPORTS_KEY);
    let can_subscribe = match fields::optional_texts(content, CAN_SUBSCRIBE_KEY)? {
        Some(kinds) => kinds.iter().map(|kind| transport::canonical_kind(kind).to_owned()).collect(),
        None => {
            let mut kinds: Vec<String> = transports.iter().map(|transport| transport.kind().to_owned()).collect();
            // Today's clients all receive over LiveKit, whether or not they announce one of their own.
            kinds.extend((!is_ours).then(|| Livekit::TYPE.to_owned()));
            kinds.sort();
            kinds.dedup();
            kinds
        }
    };
    Ok(Membership {
        key: MemberKey { user: event.sender.clone(), device: <&DeviceId>::from(device).to_owned(), member_id },
        device_from: DeviceFrom::Content,
        slot: SlotId::from_call_id(application, call_id).map_err(|_| Refusal::BadSlot)?,
        application: application.to_owned(),
        intent: fields::optional_text(content, "m.call.intent")?.map(str::to_owned),
        capabilities: fields::optional_texts(content, "capabilities")?.unwrap_or_default(),
        created_at,
        expires_at: created_at.plus(expires),
        transports,
        can_subscribe,
        selection: match focus_active.get("focus_selection") {
            Some(Value::String(selection)) => FocusSelection::from(selection.clone()),
            _ => FocusSelection::Unknown(String::new()),
        },
        event_id: event.event_id.clone(),
        sent_at: event.sent_at,
        form: Form::Legacy,
    })
}

/// Those of the side key first: who has it publishes there, and to the others only for those who know nothing else.
fn read_transports(content: &Map<String, Value>) -> Result<Vec<Transport>, Refusal> {
    let list = |key| match content.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => transport::parse_list(list).map_err(|_| Refusal::BadTransport),
        Some(_) => Err(Refusal::BadField(key)),
    };
    let mut transports = list(TRANSPORTS_KEY)?;
    transports.extend(list("foci_preferred")?);
    transports.truncate(transport::TRANSPORTS_MAX);
    Ok(transports)
}

/// Whether a state key is one of this user's: `user`, `user_…` or `_user_…`. A server name has no underscore.
fn owns(user: &UserId, state_key: &str) -> bool {
    let key = state_key.strip_prefix('_').unwrap_or(state_key);
    key.strip_prefix(user.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// The state key of a device in a slot. Room versions that let users own state keys have no use for the leading underscore.
pub fn state_key(room_version: &RoomVersionId, user: &UserId, device: &DeviceId, slot: &SlotId) -> String {
    let version = room_version.as_str();
    let is_owned = version.starts_with("org.matrix.msc3757") || version.starts_with("org.matrix.msc3779");
    let prefix = if is_owned { "" } else { "_" };
    format!("{prefix}{user}_{device}_{}{}", slot.application(), slot.call_id())
}

/// The event that joins, or says again that one is there.
pub fn join(join: &Join, profile: Profile, room_version: &RoomVersionId) -> Outgoing {
    let mut content = Map::new();
    let mut put = |key: &str, value: Value| content.insert(key.to_owned(), value);
    put("application", join.slot.application().into());
    put("call_id", join.slot.call_id().into());
    put("scope", "m.room".into());
    put("device_id", join.device.as_str().into());
    put("membershipID", join.member_id.as_str().into());
    put("expires", (join.expires.as_millis() as u64).into());
    if let Some(created) = join.created_at {
        put("created_ts", created.as_millis().into());
    }
    if let Some(intent) = &join.intent {
        put("m.call.intent", intent.as_str().into());
    }
    if !join.capabilities.is_empty() {
        put("capabilities", join.capabilities.clone().into());
    }
    match profile {
        Profile::Interop => {
            let (foci, others): (Vec<Transport>, Vec<Transport>) =
                join.transports.iter().cloned().partition(is_understood_by_all);
            put("focus_active", json!({"type": Livekit::TYPE, "focus_selection": join.selection.as_str()}));
            put("foci_preferred", transport::list_to_json(&foci));
            put(TRANSPORTS_KEY, transport::list_to_json(&others));
        }
        Profile::Pure => {
            put("focus_active", json!({"type": RustSfu::TYPE, "focus_selection": join.selection.as_str()}));
            put("foci_preferred", transport::list_to_json(&join.transports));
        }
    }
    put(CAN_SUBSCRIBE_KEY, join.can_subscribe.clone().into());
    let state_key = state_key(room_version, &join.user, &join.device, &join.slot);
    Outgoing { kind: TYPE, state_key: Some(state_key), content, sticky: None }
}

/// The content that leaves, for the same state key. The reason is a word and never an object, which some clients cannot read.
pub fn leave(leave: &Leave) -> Map<String, Value> {
    let mut content = Map::new();
    if let Some(code) = &leave.code {
        content.insert("leave_reason".to_owned(), code.as_str().into());
    }
    content
}

/// A LiveKit transport in full is the one thing that no client stumbles over.
fn is_understood_by_all(transport: &Transport) -> bool {
    matches!(transport, Transport::Livekit(Livekit { service_url: Some(_), alias: Some(_), .. }))
}

#[cfg(test)]
mod tests;
