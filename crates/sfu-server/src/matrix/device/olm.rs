//! The Olm machine: decryption, encryption, and what it wants of the homeserver.
//!
//! What may have to wait for somebody else's homeserver is done beside ([`Done`]): nobody else's messages wait for that.

use std::path::PathBuf;
use std::sync::Arc;

use focus_signaling::todevice::{Address, Content, EVENT_TYPE};
use matrix_sdk_common::deserialized_responses::{AlgorithmInfo, EncryptionInfo, ProcessedToDeviceEvent};
use matrix_sdk_crypto::store::CryptoStore as _;
use matrix_sdk_crypto::types::requests::AnyOutgoingRequest;
use matrix_sdk_crypto::{
    CollectStrategy, DecryptionSettings, EncryptionSyncChanges, OlmError, OlmMachine, TrustRequirement,
};
use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::api::client::keys::{claim_keys, get_keys, upload_keys};
use ruma::api::client::to_device::send_event_to_device;
use ruma::events::AnyToDeviceEvent;
use ruma::serde::Raw;
use ruma::{DeviceId, OwnedUserId, TransactionId, UserId};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::DeviceError;
use super::account::Account;
use super::client::{Client, REMOTE, Synced};
use super::counters::{Counters, count};
use super::lookups::{Lookups, Place, Waiting};

/// Rounds of requests that the machine may want one after the other.
const ROUNDS_MAX: usize = 8;
/// What was done beside and has not been looked at: as many lookups as there may be, and one claim.
const DONE_MAX: usize = 65;
const ENCRYPTED: &str = "m.room.encrypted";

/// A content, the device that it came from for certain, and its size.
pub(super) type Received = (Address, Content, usize);

/// What was done beside.
pub(super) enum Done {
    /// The user's homeserver said which devices there are, or did not.
    LookedUp(OwnedUserId),
    /// Keys for new sessions came, or did not.
    Claimed,
}

pub(super) struct Olm {
    machine: OlmMachine,
    client: Client,
    lookups: Lookups,
    claiming: bool,
    tell: mpsc::Sender<Done>,
    done: mpsc::Receiver<Done>,
    counters: Arc<Counters>,
}

impl Olm {
    /// With keys in `dir`, and where its sync goes on.
    pub(super) async fn open(
        client: Client,
        account: &Account,
        dir: Option<PathBuf>,
        counters: Arc<Counters>,
    ) -> Result<(Self, Option<String>), DeviceError> {
        let failed = |error: &dyn std::fmt::Display| DeviceError::Store(error.to_string());
        let (user_id, device_id) = (&account.user_id, &account.device_id);
        let (machine, since) = match dir {
            Some(dir) => {
                let store = SqliteCryptoStore::open(dir, None).await.map_err(|error| failed(&error))?;
                let since = store.next_batch_token().await.map_err(|error| failed(&error))?;
                let machine = OlmMachine::with_store(user_id, device_id, store, None).await;
                (machine.map_err(|error| failed(&error))?, since)
            }
            None => (OlmMachine::new(user_id, device_id).await, None),
        };
        let mut olm = Self::with(machine, client, counters);
        olm.settle().await.ok_or(DeviceError::Keys)?;
        Ok((olm, since))
    }

    fn with(machine: OlmMachine, client: Client, counters: Arc<Counters>) -> Self {
        let (tell, done) = mpsc::channel(DONE_MAX);
        Self { machine, client, lookups: Lookups::default(), claiming: false, tell, done, counters }
    }

    /// Decrypts what a sync brought; answers what came from devices that are what they say.
    pub(super) async fn receive(&mut self, sync: Synced) -> Vec<Received> {
        // Clear text is for nothing but to be counted; and the machine would begin to verify, or to look for keys.
        let (encrypted, clear): (Vec<_>, Vec<_>) =
            sync.to_device.events.into_iter().partition(|event| is_of_type(event, ENCRYPTED));
        clear.iter().filter(|event| is_of_type(event, EVENT_TYPE)).for_each(|_| count(&self.counters.clear_text));
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
                ProcessedToDeviceEvent::UnableToDecrypt { .. } => {
                    undecryptable = true;
                    count(&self.counters.undecryptable);
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

    /// The next thing that was done beside.
    pub(super) async fn done(&mut self) -> Option<Done> {
        self.done.recv().await
    }

    /// What could not be answered before it was done.
    pub(super) async fn handle_done(&mut self, done: Done) -> Vec<Received> {
        let mut received = Vec::new();
        match done {
            Done::LookedUp(user) => {
                for Waiting { key, claimed, content, bytes } in self.lookups.take(&user) {
                    match self.device_with(&user, claimed.as_deref(), &key).await {
                        Some(device_id) => {
                            received.push((Address { user_id: user.to_string(), device_id }, content, bytes));
                        }
                        None => count(&self.counters.unknown_device),
                    }
                }
            }
            Done::Claimed => {
                self.claiming = false;
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
        match self.lookups.add(user, Waiting { key: key.clone(), claimed, content, bytes }) {
            Place::Ask => self.look_up(user),
            Place::Waits => {}
            Place::None => count(&self.counters.unknown_device),
        }
        None
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

    /// Asks for the user's devices. Nobody tells of those of users that share no room with us.
    fn look_up(&self, user: &OwnedUserId) {
        let (machine, client, tell, user) =
            (self.machine.clone(), self.client.clone(), self.tell.clone(), user.clone());
        tokio::spawn(async move {
            let (id, request) = machine.query_keys_for_users([user.as_ref()]);
            let _ = query(&machine, &client, &id, json!(request.device_keys)).await;
            let _ = tell.send(Done::LookedUp(user)).await;
        });
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
        let device_id: &DeviceId = to.device_id.as_str().into();
        let device = self.machine.get_device(&user, device_id, None).await.ok()??;
        let content: Value = serde_json::from_str(&content.to_json()).ok()?;
        let encrypted = match device.encrypt_event_raw(EVENT_TYPE, &content, CollectStrategy::AllDevices).await {
            Ok(encrypted) => encrypted,
            Err(error) => {
                // Whoever wrote to us made a session, unless that was lost. The message is sent again.
                if matches!(error, OlmError::MissingSession) {
                    self.claim(Some(&user)).await;
                }
                return None;
            }
        };
        let messages = json!({ to.user_id.as_str(): { to.device_id.as_str(): encrypted } });
        // In the order of encryption: a receiver keeps keys of skipped messages only so far.
        self.client.send_to_device(ENCRYPTED, TransactionId::new().as_str(), messages).await
    }

    /// Begins sessions with devices of the user, and with those whose session is broken. One claim at a time.
    async fn claim(&mut self, user: Option<&UserId>) {
        if self.claiming {
            return;
        }
        let Ok(Some((id, request))) = self.machine.get_missing_sessions(user.into_iter()).await else { return };
        self.claiming = true;
        let (machine, client, tell) = (self.machine.clone(), self.client.clone(), self.tell.clone());
        tokio::spawn(async move {
            let body = json!({ "one_time_keys": request.one_time_keys, "timeout": REMOTE.as_millis() as u64 });
            if let Some(response) = client.post::<claim_keys::v3::Response>("keys/claim", body).await {
                let _ = machine.mark_request_as_sent(&id, &response).await;
            }
            let _ = tell.send(Done::Claimed).await;
        });
    }

    /// Sends what the machine wants sent. `None`: the homeserver did not take it; it is wanted again.
    async fn settle(&mut self) -> Option<()> {
        for _ in 0..ROUNDS_MAX {
            let requests = self.machine.outgoing_requests().await.ok()?;
            if requests.is_empty() {
                break;
            }
            for outgoing in requests {
                let id = outgoing.request_id();
                match outgoing.request() {
                    AnyOutgoingRequest::KeysUpload(request) => {
                        let mut body = json!({
                            "one_time_keys": request.one_time_keys,
                            "fallback_keys": request.fallback_keys,
                        });
                        if let Some(keys) = &request.device_keys {
                            body["device_keys"] = serde_json::to_value(keys).ok()?;
                        }
                        let response: upload_keys::v3::Response = self.client.post("keys/upload", body).await?;
                        self.machine.mark_request_as_sent(id, &response).await.ok()?;
                    }
                    // Of its own user, whose homeserver it is: it tracks nobody else.
                    AnyOutgoingRequest::KeysQuery(request) => {
                        query(&self.machine, &self.client, id, json!(request.device_keys)).await?;
                    }
                    AnyOutgoingRequest::ToDeviceRequest(request) => {
                        let (kind, txn) = (request.event_type.to_string(), request.txn_id.as_str());
                        self.client.send_to_device(&kind, txn, json!(request.messages)).await?;
                        let response = send_event_to_device::v3::Response::new();
                        self.machine.mark_request_as_sent(id, &response).await.ok()?;
                    }
                    // Signatures, verification in rooms, claims: nothing here begins any of them.
                    _ => {}
                }
            }
        }
        Some(())
    }
}

/// Which devices there are of users.
async fn query(machine: &OlmMachine, client: &Client, id: &TransactionId, device_keys: Value) -> Option<()> {
    let body = json!({ "device_keys": device_keys, "timeout": REMOTE.as_millis() as u64 });
    let response: get_keys::v3::Response = client.post("keys/query", body).await?;
    machine.mark_request_as_sent(id, &response).await.ok()
}

fn is_of_type(raw: &Raw<AnyToDeviceEvent>, wanted: &str) -> bool {
    raw.get_field::<String>("type").is_ok_and(|found| found.as_deref() == Some(wanted))
}

#[cfg(test)]
mod tests;
