//! The place in a room where a session happens (MSC4143): `{application}#{id}`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A state key may be 255 bytes long, and a slot id is one.
pub const SLOT_ID_BYTES_MAX: usize = 255;

/// What legacy events, which have no slots, call the room's own call: an empty `call_id`.
const ROOM: &str = "ROOM";

/// Compared byte by byte: `m.call#room` is another slot than `m.call#ROOM`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SlotId(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a slot id is `application#id`, of at most {SLOT_ID_BYTES_MAX} bytes")]
pub struct BadSlotId;

impl SlotId {
    /// # Errors
    /// Unless it has exactly one `#`, with something before it, and at most [`SLOT_ID_BYTES_MAX`] bytes.
    pub fn parse(text: &str) -> Result<Self, BadSlotId> {
        let (application, id) = text.split_once('#').ok_or(BadSlotId)?;
        if application.is_empty() || id.contains('#') || text.len() > SLOT_ID_BYTES_MAX {
            return Err(BadSlotId);
        }
        Ok(Self(text.to_owned()))
    }

    /// Of a legacy event, by its `application` and `call_id`.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_call_id(application: &str, call_id: &str) -> Result<Self, BadSlotId> {
        let id = if call_id.is_empty() { ROOM } else { call_id };
        Self::parse(&format!("{application}#{id}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn application(&self) -> &str {
        self.0.split_once('#').map_or("", |(application, _)| application)
    }

    pub fn id(&self) -> &str {
        self.0.split_once('#').map_or("", |(_, id)| id)
    }

    /// What legacy events write for it.
    pub fn call_id(&self) -> &str {
        if self.id() == ROOM { "" } else { self.id() }
    }
}

/// The room's own call, `m.call#ROOM`, as all deployed clients spell it.
impl Default for SlotId {
    fn default() -> Self {
        Self(format!("m.call#{ROOM}"))
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SlotId {
    type Error = BadSlotId;

    fn try_from(text: String) -> Result<Self, BadSlotId> {
        Self::parse(&text)
    }
}

impl From<SlotId> for String {
    fn from(slot: SlotId) -> Self {
        slot.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let slot = SlotId::parse("m.call#stage").expect("a slot");
        assert_eq!((slot.application(), slot.id(), slot.call_id()), ("m.call", "stage", "stage"));
        assert_eq!(SlotId::from_call_id("m.call", ""), Ok(SlotId::default()));
        assert_eq!(SlotId::default().call_id(), "");
        assert_ne!(SlotId::parse("m.call#room"), Ok(SlotId::default()));
    }

    #[test]
    fn refused() {
        for text in ["", "m.call", "#ROOM", "m.call#a#b", &format!("m.call#{}", "x".repeat(249))] {
            assert_eq!(SlotId::parse(text), Err(BadSlotId), "{text}");
        }
        assert!(SlotId::parse(&format!("m.call#{}", "x".repeat(248))).is_ok());
    }
}
