//! `m.rtc.slot`: room state that opens and closes a place for sessions (MSC4143). No client in the field sends it yet.

use serde_json::{Map, Value, json};

use super::{Refusal, RoomEvent, fields};
use crate::slot::SlotId;

pub const TYPE: &str = "m.rtc.slot";
pub const TYPE_UNSTABLE: &str = "org.matrix.msc4143.rtc.slot";

/// What a slot's event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub id: SlotId,
    pub is_open: bool,
    /// How media keys are exchanged: `m.per_member`. `None`: media are not encrypted end to end.
    pub encryption: Option<String>,
}

pub fn is_slot(event: &RoomEvent) -> bool {
    (event.kind == TYPE || event.kind == TYPE_UNSTABLE) && event.state_key.is_some()
}

/// # Errors
/// If the state key is no slot id. Everything else about it that is wrong makes it a closed slot.
pub fn parse(event: &RoomEvent) -> Result<Slot, Refusal> {
    let state_key = event.state_key.as_deref().ok_or(Refusal::BadSlot)?;
    let id = SlotId::parse(state_key).map_err(|_| Refusal::BadSlot)?;
    let content = &event.content;
    let named = |key| content.get(key).and_then(Value::as_object).and_then(|object| fields::text(object, "type").ok());
    let is_of_application = named("application") == Some(id.application());
    let is_open = content.get("status").is_some_and(|status| status == "open") && is_of_application;
    Ok(Slot { is_open, encryption: named("encryption").map(str::to_owned), id })
}

/// The content that opens a slot; `is_encrypted` as the room is.
pub fn open(id: &SlotId, is_encrypted: bool) -> Map<String, Value> {
    let mut content = Map::new();
    content.insert("status".to_owned(), "open".into());
    content.insert("application".to_owned(), json!({"type": id.application()}));
    if is_encrypted {
        content.insert("encryption".to_owned(), json!({"type": "m.per_member"}));
    }
    content
}

pub fn close() -> Map<String, Value> {
    let mut content = Map::new();
    content.insert("status".to_owned(), "closed".into());
    content
}
