//! What somebody asks for, in types that cannot be wrong.

use ruma::{DeviceId, OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId};

/// Bytes of each id: as many as Matrix allows.
const ID_BYTES_MAX: usize = 255;

/// To take part in a slot of a room as one member. Nothing of it is proved yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub room: OwnedRoomId,
    /// Of MSC4143, such as `m.call#ROOM`.
    pub slot_id: String,
    /// The `member.id` of the caller's member event; other members' ids lead to other identities.
    pub member_id: String,
    pub user: OwnedUserId,
    /// As claimed: no homeserver vouches for a device.
    pub device: Option<OwnedDeviceId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("room_id is not a room id")]
    Room,
    #[error("slot_id must have 1 to {ID_BYTES_MAX} bytes and a #")]
    Slot,
    #[error("the member's id must have 1 to {ID_BYTES_MAX} bytes")]
    Member,
    #[error("the user id is not a user id")]
    User,
    #[error("the device id must have 1 to {ID_BYTES_MAX} bytes")]
    Device,
}

impl Request {
    pub fn parse(
        room: &str,
        slot_id: &str,
        member_id: &str,
        user: &str,
        device: Option<&str>,
    ) -> Result<Self, RequestError> {
        let fits = |text: &str| !text.is_empty() && text.len() <= ID_BYTES_MAX && !text.chars().any(char::is_control);
        let room = RoomId::parse(room).ok().filter(|room| fits(room.as_str())).ok_or(RequestError::Room)?;
        if !fits(slot_id) || !slot_id.contains('#') {
            return Err(RequestError::Slot);
        }
        if !fits(member_id) {
            return Err(RequestError::Member);
        }
        if device.is_some_and(|device| !fits(device)) {
            return Err(RequestError::Device);
        }
        Ok(Self {
            room: room.to_owned(),
            slot_id: slot_id.to_owned(),
            member_id: member_id.to_owned(),
            user: user_id(user).ok_or(RequestError::User)?,
            device: device.map(|device| <&DeviceId>::from(device).to_owned()),
        })
    }
}

/// A user id as homeservers give them out. Old servers gave out odder ones; ids with control characters are none.
pub fn user_id(text: &str) -> Option<OwnedUserId> {
    let fits = text.len() <= ID_BYTES_MAX && !text.chars().any(char::is_control);
    UserId::parse(text).ok().filter(|user| fits && !user.localpart().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_pass() {
        let parse = |room: &str, slot: &str, member: &str, user: &str| {
            Request::parse(room, slot, member, user, Some("DEV")).err()
        };
        let [room, slot, user] = ["!r:example.org", "m.call#ROOM", "@ada:example.org"];
        assert_eq!(parse(room, slot, "m1", user), None);
        assert_eq!(parse("!H3g4wGx", slot, "m1", user), None, "room version 12 has no server in the id");
        for wrong in ["", "r:example.org", "#a:example.org", &format!("!{}:a", "r".repeat(255)), "!a\n:b"] {
            assert_eq!(parse(wrong, slot, "m1", user), Some(RequestError::Room), "{wrong:?}");
        }
        for wrong in ["", "m.call", &format!("m.call#{}", "r".repeat(255)), "m.call#\0"] {
            assert_eq!(parse(room, wrong, "m1", user), Some(RequestError::Slot), "{wrong:?}");
        }
        for wrong in ["", "ada:example.org", "@ada", "@:example.org", "@ada:", "@ada:exa mple", "@a\nb:example.org"] {
            assert_eq!(parse(room, slot, "m1", wrong), Some(RequestError::User), "{wrong:?}");
        }
        assert_eq!(parse(room, slot, "", user), Some(RequestError::Member));
        assert_eq!(Request::parse(room, slot, "m1", user, Some("")).err(), Some(RequestError::Device));
    }
}
