//! One's own member events, in either format and for either profile. What is written here is read by everybody: the files in
//! `golden/own` hold it, and clients in other languages write the same.

use ruma::RoomVersionId;
use serde_json::Value;

use super::join::{Join, Outgoing, Profile};
use super::{Leave, legacy_member, member};

/// How one's own member event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberFormat {
    /// Room state ([`legacy_member`]): every client of today reads it.
    #[default]
    State,
    /// A sticky event ([`member`], MSC4354), as MSC4143 has it. It has to be encrypted where the room is; the leave that the homeserver
    /// holds back cannot be, and readers take leaves in clear.
    Sticky,
}

impl MemberFormat {
    /// What can be had at a homeserver of which `GET /_matrix/client/versions` says this. One that does not announce sticky
    /// events would send them as any other event, and soon nobody would see the member.
    pub fn at(self, versions: &Value) -> Self {
        let has_sticky = versions["unstable_features"]["org.matrix.msc4354"].as_bool() == Some(true);
        if has_sticky { self } else { Self::State }
    }
}

/// The event that joins, or says again that one is there.
pub fn join(join: &Join, format: MemberFormat, profile: Profile, room_version: &RoomVersionId) -> Outgoing {
    match format {
        MemberFormat::State => legacy_member::join(join, profile, room_version),
        MemberFormat::Sticky => member::join(join, profile),
    }
}

/// The event that leaves; also the one to give to the server as a delayed event.
pub fn leave(
    join: &Join,
    format: MemberFormat,
    profile: Profile,
    room_version: &RoomVersionId,
    leave: &Leave,
) -> Outgoing {
    match format {
        MemberFormat::State => Outgoing {
            kind: legacy_member::TYPE,
            state_key: Some(legacy_member::state_key(room_version, &join.user, &join.device, &join.slot)),
            content: legacy_member::leave(leave),
            sticky: None,
        },
        MemberFormat::Sticky => member::leave(join, profile, leave),
    }
}

#[cfg(test)]
mod tests;
