//! The machines of the media keys (`matrixrtc::keys`), and their messages: Olm-encrypted, to devices.

use std::time::Instant;

use anyhow::Result;
use matrix_sdk::encryption::identities::Device;
use matrix_sdk::ruma::RoomId;
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk_crypto::CollectStrategy;
use matrixrtc::event::encryption_key::{self, KeyMessage};
use matrixrtc::keys::{KeySend, Origin, Participant, Receiver, ReceiverConfig, RemoteKey};
use matrixrtc::session::Session;
use matrixrtc::{MemberKey, SlotId};
use serde_json::Value;

use super::account::Account;
use super::device::wall;
use super::directory::Directory;
use super::ring::Ring;
use super::sync::ToDevice;

/// Keys of the other members, on their way into the ring.
pub struct Inbox {
    receiver: Receiver,
}

impl Inbox {
    pub fn new(account: &Account, room: &RoomId) -> Self {
        let config = ReceiverConfig { room_id: room.to_owned(), slot: SlotId::default(), cross_signed_only: false };
        let me = MemberKey {
            user: account.user.clone(),
            device: account.device.clone(),
            // Only the device counts here.
            member_id: String::new(),
        };
        Self { receiver: Receiver::new(config, &me) }
    }

    pub fn handle_members(&mut self, now: Instant, members: &[Participant]) {
        self.receiver.handle_members(now, members);
    }

    /// Whether the key was taken.
    pub fn handle(&mut self, now: Instant, message: &ToDevice) -> bool {
        let origin = Origin::Olm { user: message.sender.clone(), device: message.device.clone(), cross_signed: false };
        let read = KeyMessage::read(&message.kind, &message.content);
        read.is_ok_and(|key| self.receiver.handle_key(now, &origin, key).is_ok())
    }

    /// Puts what there is into the ring.
    pub fn empty(&mut self, ring: &Ring, directory: &Directory) {
        while let Some(output) = self.receiver.poll_output() {
            match output {
                RemoteKey::Add { member, index, key } => {
                    if let Some(sender) = directory.person(&member.user) {
                        // A media key has the right length.
                        let _ = ring.learn(sender, index, key.as_bytes());
                    }
                }
                RemoteKey::RemoveAll { member } => {
                    if let Some(sender) = directory.person(&member.user) {
                        ring.forget(sender);
                    }
                }
            }
        }
    }
}

/// Everybody in the session.
pub fn participants(session: &Session) -> Vec<Participant> {
    let members = session.members().into_iter();
    members.map(|member| Participant { member: member.key.clone(), joined_at: member.created_at }).collect()
}

/// Sends a key. Those that it could not be sent to.
pub async fn send(account: &Account, room: &RoomId, me: &MemberKey, message: &KeySend) -> Vec<MemberKey> {
    let content = encryption_key::deployed(me, room, &SlotId::default(), message.index, &message.key, wall());
    match deliver(account, &message.to, encryption_key::TYPE, &content).await {
        Ok(missed) => missed,
        Err(_) => message.to.clone(),
    }
}

/// Encrypts `content` for devices. Those of members that it did not reach.
pub async fn deliver(account: &Account, targets: &[MemberKey], kind: &str, content: &Value) -> Result<Vec<MemberKey>> {
    let (mut devices, mut missed) = (Vec::new(), Vec::new());
    for target in targets {
        match device(account, target).await? {
            Some(device) => devices.push(device),
            None => missed.push(target.clone()),
        }
    }
    if devices.is_empty() {
        return Ok(missed);
    }
    let raw = Raw::new(content)?.cast_unchecked();
    let encryption = account.client.encryption();
    let known: Vec<&Device> = devices.iter().collect();
    let failed = encryption.encrypt_and_send_raw_to_device(known, kind, raw, CollectStrategy::AllDevices).await?;
    let is_missed =
        |target: &&MemberKey| failed.iter().any(|(user, device)| *user == target.user && *device == target.device);
    missed.extend(targets.iter().filter(is_missed).cloned());
    Ok(missed)
}

/// The device of a member, asked for if it is not known yet.
async fn device(account: &Account, member: &MemberKey) -> Result<Option<Device>> {
    let encryption = account.client.encryption();
    if let Some(device) = encryption.get_device(&member.user, &member.device).await? {
        return Ok(Some(device));
    }
    encryption.request_user_identity(&member.user).await?;
    Ok(encryption.get_device(&member.user, &member.device).await?)
}
