//! The question for a media key whose message was lost: a to-device message, Olm-encrypted like the key itself. No client of the field
//! knows one, so it goes only to those who publish over transports of ours: see `docs/rust_sfu.md`, keys.

use ruma::{OwnedRoomId, RoomId};
use serde_json::{Value, json};

use super::encryption_key::BadKeyMessage;
use crate::membership::Membership;
use crate::slot::SlotId;
use crate::transport::Transport;

pub const TYPE: &str = "org.rust_sfu.key_request";

/// What one message says. Who really sent it is not in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    pub room_id: OwnedRoomId,
    pub slot: SlotId,
    /// The asker.
    pub member_id: String,
    /// Whose frames do not open: one who joined again has another id.
    pub to_member_id: String,
}

impl KeyRequest {
    /// Reads the decrypted content of a to-device message of type `kind`.
    ///
    /// # Errors
    /// If it is of another type, or malformed.
    pub fn read(kind: &str, content: &Value) -> Result<Self, BadKeyMessage> {
        if kind != TYPE {
            return Err(BadKeyMessage::OtherType);
        }
        let text = |key: &'static str| content[key].as_str().ok_or(BadKeyMessage::BadField(key));
        Ok(Self {
            room_id: RoomId::parse(text("room_id")?).map_err(|_| BadKeyMessage::BadField("room_id"))?,
            slot: SlotId::parse(text("slot_id")?).map_err(|_| BadKeyMessage::BadField("slot_id"))?,
            member_id: text("member_id")?.to_owned(),
            to_member_id: text("to_member_id")?.to_owned(),
        })
    }

    pub fn content(&self) -> Value {
        json!({
            "room_id": self.room_id,
            "slot_id": self.slot,
            "member_id": self.member_id,
            "to_member_id": self.to_member_id,
        })
    }
}

/// Whether this member may know the question; others are not to be bothered with it.
pub fn is_known_to(membership: &Membership) -> bool {
    membership.transports.iter().any(|transport| matches!(transport, Transport::RustSfu(_) | Transport::FullMesh(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::member;

    #[test]
    fn what_goes_out_comes_in_and_nothing_else_does() {
        let request = KeyRequest {
            room_id: RoomId::parse("!room:x").expect("a room id"),
            slot: SlotId::default(),
            member_id: "one".to_owned(),
            to_member_id: "two".to_owned(),
        };
        let content = request.content();
        // As the web client has it.
        let wire = json!({"room_id": "!room:x", "slot_id": "m.call#ROOM", "member_id": "one", "to_member_id": "two"});
        assert_eq!(content, wire);
        assert_eq!(KeyRequest::read(TYPE, &content), Ok(request));
        assert_eq!(KeyRequest::read("m.room.message", &content), Err(BadKeyMessage::OtherType));
        for key in ["room_id", "slot_id", "member_id", "to_member_id"] {
            let mut bad = content.clone();
            bad[key] = json!(7);
            assert_eq!(KeyRequest::read(TYPE, &bad), Err(BadKeyMessage::BadField(key)));
        }
    }

    #[test]
    fn it_is_for_those_who_publish_over_transports_of_ours() {
        let asked = |transport: Value| is_known_to(&member("@a:x", &[transport]));
        assert!(asked(json!({"type": "rust_sfu", "url": "wss://a"})));
        assert!(asked(json!({"type": "full_mesh"})));
        assert!(!asked(json!({"type": "livekit", "livekit_service_url": "https://a", "livekit_alias": "b"})));
        assert!(!is_known_to(&member("@a:x", &[])));
    }
}
