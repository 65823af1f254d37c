//! Media keys in to-device messages: `io.element.call.encryption_keys` of deployed clients, and `m.rtc.encryption_key` of
//! MSC4143.
//!
//! Who really sent one is not in here: see [`Receiver`](crate::keys::Receiver).

use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD_NO_PAD};
use base64::engine::{DecodePaddingMode, Engine as _};
use ruma::{OwnedDeviceId, OwnedRoomId, RoomId};
use serde_json::{Value, json};

use crate::keys::MediaKey;
use crate::membership::MemberKey;
use crate::slot::SlotId;
use crate::time::Timestamp;

/// What deployed clients send.
pub const TYPE: &str = "io.element.call.encryption_keys";
/// MSC4143, and its unstable name.
pub const SPEC_TYPES: [&str; 2] = ["m.rtc.encryption_key", "org.matrix.msc4143.rtc.encryption_key"];

/// Padding is optional: clients differ.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What one message says, of whatever type. All of it is a claim.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMessage {
    /// The room of the call.
    pub room_id: OwnedRoomId,
    /// Whose key it says it is.
    pub member_id: Option<String>,
    /// The device that it says it is from; only deployed messages do.
    pub device: Option<OwnedDeviceId>,
    /// Deployed messages name the session, MSC4143's do not.
    pub slot: Option<SlotId>,
    /// The key index that frames name.
    pub index: u8,
    /// The key.
    pub key: MediaKey,
    /// By the sender's clock; only comparable with its own.
    pub sent_at: Option<Timestamp>,
}

/// Why a message holds no key. To be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyMessage {
    #[error("no message that holds a media key")]
    OtherType,
    #[error("`{0}` is missing or wrong")]
    BadField(&'static str),
}

impl KeyMessage {
    /// Reads the decrypted content of a to-device message of type `kind`.
    ///
    /// # Errors
    /// If it is of another type, or malformed. A key has 16 or 32 bytes.
    pub fn read(kind: &str, content: &Value) -> Result<Self, BadKeyMessage> {
        if kind == TYPE {
            Self::read_deployed(content)
        } else if SPEC_TYPES.contains(&kind) {
            Self::read_spec(content)
        } else {
            Err(BadKeyMessage::OtherType)
        }
    }

    fn read_deployed(content: &Value) -> Result<Self, BadKeyMessage> {
        let member = &content["member"];
        let device = member["claimed_device_id"].as_str().filter(|device| !device.is_empty());
        let device = device.ok_or(BadKeyMessage::BadField("claimed_device_id"))?;
        let session = &content["session"];
        let call_id = session["call_id"].as_str().ok_or(BadKeyMessage::BadField("session"))?;
        let application = session["application"].as_str().unwrap_or("m.call");
        Ok(Self {
            room_id: room_id(content)?,
            member_id: member["id"].as_str().map(str::to_owned),
            device: Some(device.into()),
            slot: Some(SlotId::from_call_id(application, call_id).map_err(|_| BadKeyMessage::BadField("session"))?),
            index: index(&content["keys"])?,
            key: key(&content["keys"])?,
            sent_at: content["sent_ts"].as_u64().map(Timestamp::from_millis),
        })
    }

    fn read_spec(content: &Value) -> Result<Self, BadKeyMessage> {
        let member_id = content["member_id"].as_str().filter(|id| !id.is_empty());
        Ok(Self {
            room_id: room_id(content)?,
            member_id: Some(member_id.ok_or(BadKeyMessage::BadField("member_id"))?.to_owned()),
            device: None,
            slot: None,
            index: index(&content["media_key"])?,
            key: key(&content["media_key"])?,
            sent_at: None,
        })
    }
}

/// Content of a message of type [`TYPE`]: our key number `index`, for everybody who is told.
pub fn deployed(me: &MemberKey, room: &RoomId, slot: &SlotId, index: u8, key: &MediaKey, sent_at: Timestamp) -> Value {
    json!({
        "keys": { "index": index, "key": STANDARD_NO_PAD.encode(key.as_bytes()) },
        "member": { "id": me.member_id, "claimed_device_id": me.device },
        "room_id": room,
        "session": { "application": slot.application(), "call_id": slot.call_id(), "scope": "m.room" },
        "sent_ts": sent_at.as_millis(),
    })
}

/// Content of a message of one of [`SPEC_TYPES`].
pub fn spec(me: &MemberKey, room: &RoomId, index: u8, key: &MediaKey) -> Value {
    json!({
        "room_id": room,
        "member_id": me.member_id,
        "media_key": { "index": index, "key": STANDARD_NO_PAD.encode(key.as_bytes()) },
    })
}

fn room_id(content: &Value) -> Result<OwnedRoomId, BadKeyMessage> {
    let id = content["room_id"].as_str().and_then(|id| RoomId::parse(id).ok());
    id.ok_or(BadKeyMessage::BadField("room_id"))
}

fn index(keys: &Value) -> Result<u8, BadKeyMessage> {
    keys["index"].as_u64().and_then(|index| u8::try_from(index).ok()).ok_or(BadKeyMessage::BadField("index"))
}

fn key(keys: &Value) -> Result<MediaKey, BadKeyMessage> {
    let bytes = keys["key"].as_str().and_then(|text| LENIENT.decode(text).ok());
    bytes.and_then(|bytes| MediaKey::new(&bytes)).ok_or(BadKeyMessage::BadField("key"))
}

#[cfg(test)]
mod tests;
