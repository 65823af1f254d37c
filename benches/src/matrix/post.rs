//! To-device messages between a member's device and the focus's: encrypted for exactly that device, and taken from no other.

use focus_signaling::todevice::{Claims, Content, EVENT_TYPE};
use matrix_sdk::ruma::RoomId;
use matrixrtc::MemberKey;
use matrixrtc::transport::MatrixAddress;
use serde_json::Value;
use tokio::sync::mpsc;

use super::account::Account;
use super::device::Device;
use super::keys;
use super::sync::ToDevice;
use crate::run::carriage::Post;

/// A join makes six each way.
const QUEUED_MAX: usize = 32;

/// A way to the focus at `address`, for one link.
pub async fn open(device: &Device, room: &RoomId, member_id: &str, address: &MatrixAddress) -> Post {
    let (outgoing, to_send) = mpsc::channel(QUEUED_MAX);
    let (tell, incoming) = mpsc::channel(QUEUED_MAX);
    let focus = MemberKey {
        user: address.user_id.clone(),
        device: address.device_id.clone(),
        // Only the device counts here.
        member_id: String::new(),
    };
    let signals = device.listen().await;
    tokio::spawn(receive(device.account.clone(), focus.clone(), signals, tell));
    tokio::spawn(send(device.account.clone(), focus, to_send));
    let claims =
        Claims { room_id: room.to_string(), slot_id: "m.call#ROOM".to_owned(), member_id: member_id.to_owned() };
    Post { claims, outgoing, incoming }
}

async fn send(account: Account, focus: MemberKey, mut contents: mpsc::Receiver<Content>) {
    while let Some(content) = contents.recv().await {
        let content: Value = serde_json::from_str(&content.to_json()).unwrap_or_default();
        // What does not arrive is sent again.
        let _ = keys::deliver(&account, std::slice::from_ref(&focus), EVENT_TYPE, &content).await;
    }
}

async fn receive(
    account: Account,
    focus: MemberKey,
    mut signals: mpsc::Receiver<ToDevice>,
    tell: mpsc::Sender<Content>,
) {
    while let Some(signal) = signals.recv().await {
        if signal.sender != focus.user || signal.device != focus.device || !is_of_device(&account, &signal).await {
            continue;
        }
        if let Ok(content) = Content::parse(&signal.content.to_string())
            && tell.send(content).await.is_err()
        {
            return;
        }
    }
}

/// The device that it names is only claimed: the key is what counts.
async fn is_of_device(account: &Account, signal: &ToDevice) -> bool {
    let device = account.client.encryption().get_device(&signal.sender, &signal.device).await;
    let key = device.ok().flatten().and_then(|device| device.curve25519_key());
    key.is_some_and(|key| key.to_base64() == signal.key)
}
