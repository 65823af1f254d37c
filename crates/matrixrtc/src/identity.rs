//! Names that everybody in a session derives alike: of a participant at a focus, and of the conference there (MSC4195).
//!
//! Both are the unpadded base64 of SHA-256 over Matrix canonical JSON. Canonical JSON escapes neither `<`, `>` nor `&`, which some
//! JSON libraries do.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ruma::canonical_json::CanonicalJsonValue;
use ruma::{DeviceId, RoomId, UserId};

/// What a focus calls a member: `hash([user, member id])`. Member ids of others lead to other identities, so that nobody can squat one.
pub fn participant(user: &UserId, member_id: &str) -> String {
    hash(&[user.as_str(), member_id])
}

/// The identity of earlier drafts of MSC4195, which holds the device as well.
pub fn participant_with_device(user: &UserId, device: &DeviceId, member_id: &str) -> String {
    hash(&[user.as_str(), device.as_str(), member_id])
}

/// What a focus calls the conference of a slot: `hash([room, slot])`. A `salt` that only the focus knows keeps those who know the
/// room's id from telling that there is a call.
pub fn conference(room: &RoomId, slot_id: &str, salt: Option<&str>) -> String {
    match salt {
        Some(salt) => hash(&[room.as_str(), slot_id, salt]),
        None => hash(&[room.as_str(), slot_id]),
    }
}

fn hash(words: &[&str]) -> String {
    let json =
        CanonicalJsonValue::Array(words.iter().map(|word| CanonicalJsonValue::String((*word).to_owned())).collect());
    STANDARD_NO_PAD.encode(digest::digest(&digest::SHA256, json.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, room_id, user_id};

    use super::*;

    /// Published with MSC4195 and its implementations.
    #[test]
    fn vectors() {
        assert_eq!(hash(&["!roomid:example.com", "slot1234"]), "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc");
        assert_eq!(
            conference(room_id!("!roomid:example.com"), "slot123", Some("random123")),
            "IMeDd+K3MIqJTI20EXBIrepKkhhORvf3q8fx3rlrhTk"
        );
        assert_eq!(
            conference(room_id!("!room:example.com"), "m.call#ROOM", None),
            "krj2dgxw2K6EOm9he4GfQJ6JsSVWfJ8a7BkyjZcSmxs"
        );
        assert_eq!(
            conference(room_id!("!room:example.com"), "m.call#room", None),
            "GyoBXa421dA3CbVXWxnIoT5YDtIg1/3Bm4FwdqZ91HE"
        );
        let alice = user_id!("@alice:example.com");
        assert_eq!(
            participant_with_device(alice, device_id!("DEVICE123"), "memberABC"),
            "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"
        );
        assert_eq!(participant(alice, "memberABC"), "M3VnsLXrkbxIDINXO64u8PZzFyD9ZYFiQULR2dshWYs");
        assert_eq!(
            participant_with_device(user_id!("@alice:example.org"), device_id!("AAAAAAA"), "xyzHASHxyz"),
            "jUZ0Q1yF5nV3LlAI5xfD1I7BPnAytJaPEAR57EXjJ6s"
        );
    }

    /// Go's `json.Marshal` writes `\u003c` here; Matrix does not.
    #[test]
    fn angle_brackets_stay_as_they_are() {
        let json = CanonicalJsonValue::String("<>&".to_owned()).to_string();
        assert_eq!(json, "\"<>&\"");
    }
}
