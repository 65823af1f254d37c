//! What a member of the room can do who means harm: it has an account, a device, and knows what everybody in the room knows.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matrix_sdk::config::SyncSettings;
use matrix_sdk::reqwest;
use matrix_sdk::ruma::{OwnedRoomId, RoomVersionId, UserId};
use matrixrtc::event::{encryption_key, legacy_member};
use matrixrtc::keys::MediaKey;
use matrixrtc::transport::RustSfu;
use matrixrtc::{Join, MemberKey, Profile, SlotId, Transport};
use serde_json::{Value, json};

use super::account::Account;
use super::device::wall;
use super::door::Door;
use super::focus::{self, Ask};
use super::http::segment;
use super::{keys, room};
use crate::run::door::Entry;
use crate::run::participant;

/// An event may have 65,536 bytes.
const GIANT: usize = 60_000;
/// Sessions of the attacker.
const STAY: Duration = Duration::from_millis(100);

/// A kind of attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Writes another member's event: as having left, or as being elsewhere.
    ForgedEvent,
    /// A member event of its own with another member's device.
    ForeignDevice,
    /// Another member's event, word for word, as its own.
    ReplayedEvent,
    /// Keys in another member's name, Olm-encrypted.
    ForgedKey,
    /// Keys in clear.
    ClearKey,
    GiantEvent,
    /// Joins and leaves, so that all others make new keys.
    Flapping,
    /// A token for another member's id, and a socket with it.
    ForgedToken,
    /// One token for two sockets.
    ReplayedToken,
    /// A token for a room that it is not in.
    ForeignRoom,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken; what the others make of it is to be seen.
    Done,
    Refused,
    /// It got what it must not get.
    Succeeded,
}

impl Attack {
    pub const ALL: [Self; 10] = [
        Self::ForgedEvent,
        Self::ForeignDevice,
        Self::ReplayedEvent,
        Self::ForgedKey,
        Self::ClearKey,
        Self::GiantEvent,
        Self::Flapping,
        Self::ForgedToken,
        Self::ReplayedToken,
        Self::ForeignRoom,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ForgedEvent => "forged_event",
            Self::ForeignDevice => "foreign_device",
            Self::ReplayedEvent => "replayed_event",
            Self::ForgedKey => "forged_key",
            Self::ClearKey => "clear_key",
            Self::GiantEvent => "giant_event",
            Self::Flapping => "flapping",
            Self::ForgedToken => "forged_token",
            Self::ReplayedToken => "replayed_token",
            Self::ForeignRoom => "foreign_room",
        }
    }
}

/// See the module.
pub struct Attacker {
    account: Account,
    room: OwnedRoomId,
    /// A room of others.
    foreign: OwnedRoomId,
    focus: RustSfu,
    http: reqwest::Client,
    door: Arc<Door>,
}

impl Attacker {
    /// `number`: of an account that nobody of the run has.
    pub async fn enter(door: &Arc<Door>, number: usize) -> Result<Self> {
        let owner = door.seats.first().context("nobody")?;
        let account = door.setup.account(number).await?;
        let room = owner.room.clone();
        room::moderate(&owner.device.account, &room, "invite", &account.user).await?;
        room::join(&account, &room, &[owner.device.account.user.server_name().as_str()]).await?;
        let foreign = room::create(&owner.device.account, &[]).await?;
        let focus = door.setup.focus(&account).await?;
        // Once is enough to have keys of its own.
        account.client.sync_once(SyncSettings::new()).await?;
        Ok(Self { account, room, foreign, focus, http: door.setup.http.clone(), door: door.clone() })
    }

    pub async fn attack(&self, attack: Attack, number: u64) -> Outcome {
        let members: Vec<MemberKey> = self.door.seats[0].device.members.borrow().values().cloned().collect();
        let honest = |key: &&MemberKey| key.user != self.account.user;
        let victims: Vec<&MemberKey> = members.iter().filter(honest).collect();
        let Some(victim) = victims.get(number as usize % victims.len().max(1)) else { return Outcome::Refused };
        match attack {
            Attack::ForgedEvent => {
                let content = if number.is_multiple_of(2) { json!({}) } else { self.content(&victim.member_id) };
                self.put(&key_of(&victim.user, victim.device.as_str()), content).await
            }
            Attack::ForeignDevice => {
                let mut content = self.content("0123");
                content["device_id"] = json!(victim.device);
                self.put(&key_of(&self.account.user, victim.device.as_str()), content).await
            }
            Attack::ReplayedEvent => {
                let path =
                    room::state_path(&self.room, legacy_member::TYPE, &key_of(&victim.user, victim.device.as_str()));
                match self.account.api.get(&path).await {
                    Ok(content) => self.put(&key_of(&self.account.user, "REPLAY"), content).await,
                    Err(_) => Outcome::Refused,
                }
            }
            Attack::ForgedKey => self.forged_key(&victims, victim).await,
            Attack::ClearKey => self.clear_key(&victims, victim, number).await,
            Attack::GiantEvent => {
                let mut content = self.content("giant");
                content["org.example.giant"] = json!("x".repeat(GIANT));
                self.put(&key_of(&self.account.user, "GIANT"), content).await
            }
            Attack::Flapping => {
                let content = if number.is_multiple_of(2) { self.content(&format!("flap{number}")) } else { json!({}) };
                self.put(&key_of(&self.account.user, self.account.device.as_str()), content).await
            }
            Attack::ForgedToken => self.forged_token(victim).await,
            Attack::ReplayedToken => self.replayed_token(number).await,
            Attack::ForeignRoom => match self.token(&self.foreign, "foreign").await {
                Ok(_) => Outcome::Succeeded,
                Err(_) => Outcome::Refused,
            },
        }
    }

    /// A member event of its own.
    fn content(&self, member_id: &str) -> Value {
        let Account { user, device, .. } = &self.account;
        let transport = Transport::RustSfu(self.focus.clone());
        let join = Join::new(user.clone(), device.clone(), member_id, vec![transport]);
        Value::Object(legacy_member::join(&join, Profile::Interop, &RoomVersionId::V12).content)
    }

    async fn put(&self, state_key: &str, content: Value) -> Outcome {
        match room::set_state(&self.account, &self.room, legacy_member::TYPE, state_key, content).await {
            Ok(_) => Outcome::Done,
            Err(_) => Outcome::Refused,
        }
    }

    fn key_message(&self, victim: &MemberKey) -> Option<Value> {
        let key = MediaKey::new(&rand::random::<[u8; 16]>())?;
        Some(encryption_key::deployed(victim, &self.room, &SlotId::default(), 0, &key, wall()))
    }

    async fn forged_key(&self, victims: &[&MemberKey], victim: &MemberKey) -> Outcome {
        let Some(content) = self.key_message(victim) else { return Outcome::Refused };
        let others: Vec<MemberKey> =
            victims.iter().filter(|other| **other != victim).map(|key| (*key).clone()).collect();
        match keys::deliver(&self.account, &others, encryption_key::TYPE, &content).await {
            Ok(_) => Outcome::Done,
            Err(_) => Outcome::Refused,
        }
    }

    async fn clear_key(&self, victims: &[&MemberKey], victim: &MemberKey, number: u64) -> Outcome {
        let Some(content) = self.key_message(victim) else { return Outcome::Refused };
        let mut messages = json!({});
        for other in victims {
            messages[other.user.as_str()] = json!({ other.device.as_str(): content });
        }
        let kind = segment(encryption_key::TYPE);
        let path = format!("/_matrix/client/v3/sendToDevice/{kind}/clear{number}");
        match self.account.api.put(&path, json!({"messages": messages})).await {
            Ok(_) => Outcome::Done,
            Err(_) => Outcome::Refused,
        }
    }

    async fn token(&self, room: &OwnedRoomId, member_id: &str) -> Result<focus::Token> {
        let ask = Ask { room, slot_id: "m.call#ROOM", member_id };
        focus::token(&self.account, &self.http, &self.focus, ask).await
    }

    async fn entry(&self, token: focus::Token) -> Result<Entry> {
        self.door.connect(token).await
    }

    /// With another member's id it must become nobody but itself: were it the victim, the victim's session would end.
    async fn forged_token(&self, victim: &MemberKey) -> Outcome {
        let Ok(token) = self.token(&self.room, &victim.member_id).await else { return Outcome::Refused };
        let Ok(entry) = self.entry(token).await else { return Outcome::Refused };
        match participant::stay(entry, STAY).await {
            Some(_) => Outcome::Done,
            None => Outcome::Refused,
        }
    }

    async fn replayed_token(&self, number: u64) -> Outcome {
        let Ok(token) = self.token(&self.room, &format!("replay{number}")).await else { return Outcome::Refused };
        let (Ok(first), Ok(second)) = (self.entry(token.clone()).await, self.entry(token).await) else {
            return Outcome::Refused;
        };
        match (participant::stay(first, STAY).await, participant::stay(second, STAY).await) {
            (_, Some(_)) => Outcome::Succeeded,
            _ => Outcome::Refused,
        }
    }
}

/// The state key of a device's member event.
fn key_of(user: &UserId, device: &str) -> String {
    format!("_{user}_{device}_m.call")
}
