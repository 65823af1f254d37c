//! The Olm machine: decryption, encryption, and what it wants of the homeserver.
//!
//! What may have to wait for somebody else's homeserver is done beside ([`Done`]): nobody else's messages wait for that.

mod keys;
mod requests;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use focus_matrix::inflow::Inflow;
use focus_signaling::todevice::{Address, Content, EVENT_TYPE};
use matrix_sdk_common::deserialized_responses::{AlgorithmInfo, EncryptionInfo, ProcessedToDeviceEvent};
use matrix_sdk_crypto::store::CryptoStore as _;
use matrix_sdk_crypto::{
    CollectStrategy, DecryptionSettings, EncryptionSyncChanges, OlmError, OlmMachine, TrustRequirement,
};
use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::api::client::keys::get_keys;
use ruma::events::AnyToDeviceEvent;
use ruma::serde::Raw;
use ruma::{DeviceId, OwnedTransactionId, OwnedUserId, TransactionId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::DeviceError;
use super::account::Account;
use super::client::{Client, Synced};
use super::counters::{Counters, count};
use super::lookups::{Lookups, Place, Waiting};

/// What was done beside and has not been looked at: as many lookups as there may be, and one claim.
const DONE_MAX: usize = 65;
const ENCRYPTED: &str = "m.room.encrypted";
/// Says nothing, and makes a new session known.
const DUMMY: &str = "m.dummy";
/// Encrypted events that one machine sees. It remembers the sessions of all their senders, and whatever else they tell it, as
/// long as it lives, and tries all sessions of a sender on each of its messages: a new one knows what the database kept.
const EVENTS_PER_MACHINE: usize = 64;

/// A content, the device that it came from for certain, and its size.
pub(super) type Received = (Address, Content, usize);

/// What is read of an event that cannot be decrypted.
#[derive(Deserialize)]
struct SentBy {
    sender_key: String,
}

/// What was done beside.
pub(super) enum Done {
    /// The user's homeserver said which devices there are, or did not.
    LookedUp { user: OwnedUserId, answer: Option<(OwnedTransactionId, Box<get_keys::v3::Response>)> },
    /// Keys for new sessions came, or did not.
    Claimed,
}

pub(super) struct Olm {
    machine: OlmMachine,
    store: SqliteCryptoStore,
    /// Encrypted events that the machine has seen.
    seen: usize,
    client: Client,
    inflow: Inflow,
    lookups: Lookups,
    claiming: bool,
    /// A device that uses a session which gave way to others, and for which a new one is being made.
    forgotten: Option<(OwnedUserId, String)>,
    tell: mpsc::Sender<Done>,
    done: mpsc::Receiver<Done>,
    counters: Arc<Counters>,
}

impl Olm {
    /// With keys in `dir`, and where its sync goes on.
    pub(super) async fn open(
        client: Client,
        account: &Account,
        dir: &Path,
        counters: Arc<Counters>,
    ) -> Result<(Self, Option<String>), DeviceError> {
        let failed = |error: &dyn std::fmt::Display| DeviceError::Store(error.to_string());
        let (user_id, device_id) = (&account.user_id, &account.device_id);
        let store = keys::open(dir, user_id).await.map_err(|error| failed(&error))?;
        let since = store.next_batch_token().await.map_err(|error| failed(&error))?;
        let machine = OlmMachine::with_store(user_id, device_id, store.clone(), None).await;
        let machine = machine.map_err(|error| failed(&error))?;
        let (tell, done) = mpsc::channel(DONE_MAX);
        let mut olm = Self {
            machine,
            store,
            seen: 0,
            client,
            inflow: Inflow::default(),
            lookups: Lookups::default(),
            claiming: false,
            forgotten: None,
            tell,
            done,
            counters,
        };
        olm.publish().await?;
        olm.settle().await.ok_or(DeviceError::Keys)?;
        Ok((olm, since))
    }

    /// In the place of a machine that has seen enough. Not while it waits for an answer that only it can use.
    async fn renew(&mut self) {
        if self.seen < EVENTS_PER_MACHINE || self.claiming {
            return;
        }
        let (user_id, device_id) = (self.machine.user_id(), self.machine.device_id());
        match OlmMachine::with_store(user_id, device_id, self.store.clone(), None).await {
            Ok(machine) => (self.machine, self.seen) = (machine, 0),
            Err(error) => tracing::warn!(%error, "cannot read the keys of the Matrix device"),
        }
    }

    /// Decrypts what a sync brought; answers what came from devices that are what they say.
    pub(super) async fn receive(&mut self, now: Instant, sync: Synced) -> Vec<Received> {
        // Clear text is for nothing but to be counted; and the machine would begin to verify, or to look for keys.
        let (mut encrypted, clear): (Vec<_>, Vec<_>) =
            sync.to_device.events.into_iter().partition(|event| is_of_type(event, ENCRYPTED));
        clear.iter().filter(|event| is_of_type(event, EVENT_TYPE)).for_each(|_| count(&self.counters.clear_text));
        encrypted.retain(|event| self.opens(now, event));
        self.renew().await;
        self.seen += encrypted.len();
        let changes = EncryptionSyncChanges {
            to_device_events: encrypted,
            changed_devices: &sync.device_lists,
            one_time_keys_counts: &sync.device_one_time_keys_count,
            unused_fallback_keys: sync.device_unused_fallback_key_types.as_deref(),
            next_batch_token: Some(sync.next_batch),
        };
        // Whether the user's other devices vouch for this one is for people to care about; the focus needs the sender.
        let settings = DecryptionSettings { sender_device_trust_requirement: TrustRequirement::Untrusted };
        let events = match self.machine.receive_sync_changes(changes, &settings).await {
            Ok((events, _)) => events,
            Err(error) => {
                tracing::warn!(%error, "cannot keep the keys of the Matrix device");
                return Vec::new();
            }
        };
        let mut received = Vec::new();
        let mut undecryptable = false;
        for event in events {
            match event {
                ProcessedToDeviceEvent::Decrypted { raw, encryption_info } => {
                    received.extend(self.take(&raw, &encryption_info).await);
                }
                ProcessedToDeviceEvent::UnableToDecrypt { encrypted_event, .. } => {
                    undecryptable = true;
                    count(&self.counters.undecryptable);
                    self.handle_undecryptable(&encrypted_event).await;
                }
                ProcessedToDeviceEvent::PlainText(_) | ProcessedToDeviceEvent::Invalid(_) => {}
            }
        }
        if undecryptable {
            // Once an hour and device, the machine wants a new session with whoever sent it.
            self.claim(None).await;
        }
        let _ = self.settle().await;
        received
    }

    fn opens(&mut self, now: Instant, event: &Raw<AnyToDeviceEvent>) -> bool {
        let sender = event.get_field::<OwnedUserId>("sender").ok().flatten();
        let opens =
            sender.is_some_and(|user| self.inflow.takes(now, &user, self.client.is_ours(user.server_name().as_str())));
        if !opens {
            count(&self.counters.unopened);
        }
        opens
    }

    /// The next thing that was done beside.
    pub(super) async fn done(&mut self) -> Option<Done> {
        self.done.recv().await
    }

    /// What could not be answered before it was done.
    pub(super) async fn handle_done(&mut self, done: Done) -> Vec<Received> {
        let mut received = Vec::new();
        match done {
            Done::LookedUp { user, answer } => {
                let waiting = self.lookups.take(&user);
                if let Some((id, answer)) = answer {
                    let keys = waiting.iter().map(|waiting| waiting.key.as_str()).collect();
                    self.learn(&user, &keys, &id, *answer).await;
                }
                for Waiting { key, claimed, content } in waiting {
                    match (self.device_with(&user, claimed.as_deref(), &key).await, content) {
                        (Some(device_id), Some((content, bytes))) => {
                            received.push((Address { user_id: user.to_string(), device_id }, content, bytes));
                        }
                        (Some(device_id), None) => self.begin_again(&user, device_id).await,
                        (None, Some(_)) => count(&self.counters.unknown_device),
                        (None, None) => {}
                    }
                }
            }
            Done::Claimed => {
                self.claiming = false;
                self.renew().await;
                if let Some((user, device_id)) = self.forgotten.take() {
                    let _ = self.encrypt_and_send(&user, &device_id, DUMMY, &json!({})).await;
                }
                let _ = self.settle().await;
            }
        }
        received
    }

    async fn take(&mut self, raw: &Raw<AnyToDeviceEvent>, info: &EncryptionInfo) -> Option<Received> {
        if !is_of_type(raw, EVENT_TYPE) {
            return None;
        }
        let content: Box<serde_json::value::RawValue> = raw.get_field("content").ok()??;
        let bytes = content.get().len();
        let Ok(content) = Content::parse(content.get()) else {
            count(&self.counters.malformed);
            return None;
        };
        let AlgorithmInfo::OlmV1Curve25519AesSha2 { curve25519_public_key_base64: key } = &info.algorithm_info else {
            return None;
        };
        let (user, claimed) = (&info.sender, info.sender_device.clone());
        if let Some(device_id) = self.device_with(user, claimed.as_deref(), key).await {
            return Some((Address { user_id: user.to_string(), device_id }, content, bytes));
        }
        match self.lookups.add(user, Waiting { key: key.clone(), claimed, content: Some((content, bytes)) }) {
            Place::Ask => self.look_up(user),
            Place::Waits => {}
            Place::None => count(&self.counters.unknown_device),
        }
        None
    }

    /// It may be of a session that gave way to others, of which its sender knows nothing.
    async fn handle_undecryptable(&mut self, raw: &Raw<AnyToDeviceEvent>) {
        let sender = raw.get_field::<OwnedUserId>("sender").ok().flatten();
        let content = raw.get_field::<SentBy>("content").ok().flatten();
        let (Some(user), Some(SentBy { sender_key: key })) = (sender, content) else { return };
        if let Some(device_id) = self.device_with(&user, None, &key).await {
            self.begin_again(&user, device_id).await;
        } else if self.lookups.add(&user, Waiting { key, claimed: None, content: None }) == Place::Ask {
            self.look_up(&user);
        }
    }

    /// Makes a session if there is none, and sends something by it, so that the other end uses it as well.
    async fn begin_again(&mut self, user: &OwnedUserId, device_id: String) {
        if self.claim(Some(&**user)).await {
            self.forgotten = Some((user.clone(), device_id));
        }
    }

    /// Which of the user's devices, as its homeserver has listed them, has this key.
    async fn device_with(&self, user: &UserId, claimed: Option<&DeviceId>, key: &str) -> Option<String> {
        let devices = self.machine.get_user_devices(user, None).await.ok()?;
        let mut found = devices.devices().filter(|device| {
            device.curve25519_key().is_some_and(|own| own.to_base64() == key)
                && claimed.is_none_or(|claimed| claimed == device.device_id())
        });
        Some(found.next()?.device_id().to_string())
    }

    /// Encrypts for exactly that device, and sends.
    pub(super) async fn send(&mut self, to: &Address, content: &Content) {
        match self.try_send(to, content).await {
            Some(()) => count(&self.counters.sent),
            None => count(&self.counters.unsent),
        }
    }

    async fn try_send(&mut self, to: &Address, content: &Content) -> Option<()> {
        let user = UserId::parse(&to.user_id).ok()?;
        let content: Value = serde_json::from_str(&content.to_json()).ok()?;
        self.encrypt_and_send(&user, &to.device_id, EVENT_TYPE, &content).await
    }

    async fn encrypt_and_send(&mut self, user: &UserId, device_id: &str, kind: &str, content: &Value) -> Option<()> {
        let device = self.machine.get_device(user, device_id.into(), None).await.ok()??;
        let encrypted = match device.encrypt_event_raw(kind, content, CollectStrategy::AllDevices).await {
            Ok(encrypted) => encrypted,
            Err(error) => {
                // Whoever wrote to us made a session, unless that was lost. The message is sent again.
                if matches!(error, OlmError::MissingSession) {
                    self.claim(Some(user)).await;
                }
                return None;
            }
        };
        let messages = json!({ user.as_str(): { device_id: encrypted } });
        // In the order of encryption: a receiver keeps keys of skipped messages only so far.
        self.client.send_to_device(ENCRYPTED, TransactionId::new().as_str(), messages).await
    }
}

fn is_of_type(raw: &Raw<AnyToDeviceEvent>, wanted: &str) -> bool {
    raw.get_field::<String>("type").is_ok_and(|found| found.as_deref() == Some(wanted))
}

#[cfg(test)]
mod tests;
