//! Rooms for calls: encrypted, and whoever is in one may publish a member event.

use anyhow::{Context as _, Result};
use matrix_sdk::ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::{Value, json};

use super::account::Account;
use super::http::{Refused, segment, text};

/// Legacy member events.
pub const CALL_MEMBER: &str = "org.matrix.msc3401.call.member";

/// A room of `owner`, to which others are invited.
pub async fn create(owner: &Account, invited: &[&UserId]) -> Result<OwnedRoomId> {
    let encryption = json!({"algorithm": "m.megolm.v1.aes-sha2"});
    let body = json!({
        "preset": "private_chat",
        "name": "sfu-bench",
        "invite": invited,
        "initial_state": [{"type": "m.room.encryption", "state_key": "", "content": encryption}],
        "power_level_content_override": {"events": {CALL_MEMBER: 0}},
    });
    let room = owner.api.post("/_matrix/client/v3/createRoom", body).await.context("cannot create a room")?;
    Ok(OwnedRoomId::try_from(text(&room, "room_id")?)?)
}

/// `via`: homeservers that are in the room.
pub async fn join(account: &Account, room: &RoomId, via: &[&str]) -> Result<()> {
    let via: Vec<String> = via.iter().map(|via| format!("server_name={0}&via={0}", segment(via))).collect();
    let path = format!("/_matrix/client/v3/join/{}?{}", segment(room.as_str()), via.join("&"));
    account.api.post(&path, json!({})).await.context("cannot join the room")?;
    Ok(())
}

/// `action`: `invite`, `kick`, `ban`, `unban`.
pub async fn moderate(moderator: &Account, room: &RoomId, action: &str, user: &UserId) -> Result<(), Refused> {
    let path = format!("/_matrix/client/v3/rooms/{}/{action}", segment(room.as_str()));
    moderator.api.post(&path, json!({"user_id": user})).await.map(|_| ())
}

pub async fn leave(account: &Account, room: &RoomId) -> Result<(), Refused> {
    let path = format!("/_matrix/client/v3/rooms/{}/leave", segment(room.as_str()));
    account.api.post(&path, json!({})).await.map(|_| ())
}

/// Sets a piece of state.
pub async fn set_state(
    account: &Account,
    room: &RoomId,
    kind: &str,
    state_key: &str,
    content: Value,
) -> Result<Value, Refused> {
    account.api.put(&state_path(room, kind, state_key), content).await
}

/// Path of a piece of state.
pub fn state_path(room: &RoomId, kind: &str, state_key: &str) -> String {
    let [room, kind, state_key] = [room.as_str(), kind, state_key].map(segment);
    format!("/_matrix/client/v3/rooms/{room}/state/{kind}/{state_key}")
}
