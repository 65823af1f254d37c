//! Encrypts an event for everybody in a room (Megolm), for `matrix-sdk` encrypts only what it also sends, and sticky events it cannot send.

use anyhow::{Context as _, Result};
use matrix_sdk::RoomMemberships;
use matrix_sdk::ruma::RoomId;
use matrix_sdk::ruma::api::client::to_device::send_event_to_device;
use matrix_sdk::ruma::serde::Raw;
use serde_json::Value;

use super::account::Account;

/// The content of the `m.room.encrypted` event.
pub async fn seal(account: &Account, room_id: &RoomId, kind: &str, content: &Value) -> Result<Value> {
    let room = account.client.get_room(room_id).context("the room is not known yet")?;
    let users: Vec<_> = room.members(RoomMemberships::JOIN).await?.iter().map(|it| it.user_id().to_owned()).collect();
    for user in &users {
        // Devices that came after the last sync, too.
        account.client.encryption().request_user_identity(user).await?;
    }
    let machine = account.base.olm_machine().await;
    let machine = machine.as_ref().context("nothing to encrypt with")?;
    if let Some((id, request)) = machine.get_missing_sessions(users.iter().map(AsRef::as_ref)).await? {
        let answer = account.client.send(request).await?;
        machine.mark_request_as_sent(&id, &answer).await?;
    }
    for request in account.base.share_room_key(room_id).await? {
        let (kind, id, messages) = (request.event_type.clone(), request.txn_id.clone(), request.messages.clone());
        let answer = account.client.send(send_event_to_device::v3::Request::new_raw(kind, id, messages)).await?;
        machine.mark_request_as_sent(&request.txn_id, &answer).await?;
    }
    let content = Raw::new(content)?.cast_unchecked();
    let sealed = machine.encrypt_room_event_raw(room_id, kind, &content).await?;
    Ok(serde_json::from_str(sealed.content.json().get())?)
}
