//! The Olm machine and its homeserver: what must be asked of it, decryption, encryption.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use focus_signaling::todevice::{Address, Content, EVENT_TYPE};
use matrix_sdk_common::deserialized_responses::{AlgorithmInfo, EncryptionInfo, ProcessedToDeviceEvent};
use matrix_sdk_crypto::store::CryptoStore as _;
use matrix_sdk_crypto::types::requests::AnyOutgoingRequest;
use matrix_sdk_crypto::{CollectStrategy, DecryptionSettings, EncryptionSyncChanges, OlmMachine, TrustRequirement};
use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::api::IncomingResponse;
use ruma::api::client::keys::{claim_keys, get_keys, upload_keys};
use ruma::api::client::sync::sync_events::DeviceLists;
use ruma::api::client::to_device::send_event_to_device;
use ruma::events::AnyToDeviceEvent;
use ruma::exports::http;
use ruma::serde::Raw;
use ruma::{DeviceId, OneTimeKeyAlgorithm, TransactionId, UInt, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::account::Account;
use super::{Counters, DeviceError, count};
use crate::matrix::fetch::{Answer, Fetcher, Method, segment};

/// Rounds of requests that the machine may want one after the other.
const ROUNDS_MAX: usize = 8;

/// What the homeserver tells.
#[derive(Deserialize)]
pub(super) struct Sync {
    pub(super) next_batch: String,
    #[serde(default)]
    to_device: ToDevice,
    #[serde(default)]
    device_lists: DeviceLists,
    #[serde(default)]
    device_one_time_keys_count: BTreeMap<OneTimeKeyAlgorithm, UInt>,
    #[serde(default)]
    device_unused_fallback_key_types: Option<Vec<OneTimeKeyAlgorithm>>,
}

#[derive(Default, Deserialize)]
struct ToDevice {
    #[serde(default)]
    events: Vec<Raw<AnyToDeviceEvent>>,
}

/// The part that a task of its own may use.
#[derive(Clone)]
pub(super) struct Client {
    fetcher: Arc<Fetcher>,
    server_name: String,
    token: String,
    pub(super) since: Option<String>,
}

impl Client {
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Option<Answer> {
        let answer = self.fetcher.configured().call(&self.server_name, method, path, Some(&self.token), body).await;
        answer.ok().filter(Answer::is_success)
    }

    /// Nothing but to-device messages and what belongs to keys.
    pub(super) async fn sync(&self, since: Option<&str>, hold: Duration) -> Option<Sync> {
        let nothing = json!({"not_types": ["*"]});
        let filter = json!({
            "room": {"rooms": [], "account_data": nothing, "ephemeral": nothing, "state": nothing, "timeline": nothing},
            "presence": nothing,
            "account_data": nothing,
        });
        let since = since.map(|since| format!("&since={}", segment(since))).unwrap_or_default();
        let filter = segment(&filter.to_string());
        let path = format!("/_matrix/client/v3/sync?timeout={}&filter={filter}{since}", hold.as_millis());
        self.call(Method::Get, &path, None).await?.json().ok()
    }
}

pub(super) struct Olm {
    machine: OlmMachine,
    client: Client,
    counters: Arc<Counters>,
}

impl Olm {
    pub(super) async fn open(
        fetcher: Arc<Fetcher>,
        account: Account,
        dir: Option<PathBuf>,
        counters: Arc<Counters>,
    ) -> Result<Self, DeviceError> {
        let failed = |error: &dyn std::fmt::Display| DeviceError::Store(error.to_string());
        let Account { user_id, device_id, token } = account;
        let server_name = user_id.server_name().to_string();
        let (machine, since) = match dir {
            Some(dir) => {
                let store = SqliteCryptoStore::open(dir, None).await.map_err(|error| failed(&error))?;
                let since = store.next_batch_token().await.map_err(|error| failed(&error))?;
                let machine = OlmMachine::with_store(&user_id, &device_id, store, None).await;
                (machine.map_err(|error| failed(&error))?, since)
            }
            None => (OlmMachine::new(&user_id, &device_id).await, None),
        };
        let mut olm = Self { machine, client: Client { fetcher, server_name, token, since }, counters };
        match olm.settle().await {
            Some(()) => Ok(olm),
            None => Err(DeviceError::Keys),
        }
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Decrypts what a sync brought; answers what came from devices that are what they say.
    pub(super) async fn receive(&mut self, sync: Sync) -> Vec<(Address, Content, usize)> {
        let changes = EncryptionSyncChanges {
            to_device_events: sync.to_device.events,
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
        for event in events {
            match event {
                ProcessedToDeviceEvent::Decrypted { raw, encryption_info } => {
                    received.extend(self.take(&raw, &encryption_info).await);
                }
                ProcessedToDeviceEvent::UnableToDecrypt { .. } => count(&self.counters.undecryptable),
                ProcessedToDeviceEvent::PlainText(raw) if is_ours(&raw) => count(&self.counters.clear_text),
                ProcessedToDeviceEvent::PlainText(_) | ProcessedToDeviceEvent::Invalid(_) => {}
            }
        }
        let _ = self.settle().await;
        received
    }

    async fn take(&mut self, raw: &Raw<AnyToDeviceEvent>, info: &EncryptionInfo) -> Option<(Address, Content, usize)> {
        if !is_ours(raw) {
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
        let Some(device_id) = self.device_with(&info.sender, info.sender_device.as_deref(), key).await else {
            count(&self.counters.unknown_device);
            return None;
        };
        Some((Address { user_id: info.sender.to_string(), device_id }, content, bytes))
    }

    /// Which of the user's devices, as its homeserver lists them, has this key.
    async fn device_with(&mut self, user: &UserId, claimed: Option<&DeviceId>, key: &str) -> Option<String> {
        for again in [false, true] {
            if again {
                // Devices of users that share no room with us are not told about; so they are asked for.
                let (id, request) = self.machine.query_keys_for_users([user]);
                self.query(&id, json!({ "device_keys": request.device_keys })).await?;
            }
            let devices = self.machine.get_user_devices(user, None).await.ok()?;
            let mut found = devices.devices().filter(|device| {
                device.curve25519_key().is_some_and(|own| own.to_base64() == key)
                    && claimed.is_none_or(|claimed| claimed == device.device_id())
            });
            if let Some(device) = found.next() {
                return Some(device.device_id().to_string());
            }
        }
        None
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
        if let Some((id, request)) = self.machine.get_missing_sessions([user.as_ref()].into_iter()).await.ok()? {
            let body = json!({ "one_time_keys": request.one_time_keys, "timeout": 5000 });
            let answer = self.client.call(Method::Post, "/_matrix/client/v3/keys/claim", Some(&body)).await?;
            let response: claim_keys::v3::Response = parse(&answer)?;
            self.machine.mark_request_as_sent(&id, &response).await.ok()?;
        }
        let content: Value = serde_json::from_str(&content.to_json()).ok()?;
        let encrypted = device.encrypt_event_raw(EVENT_TYPE, &content, CollectStrategy::AllDevices).await.ok()?;
        let body = json!({ "messages": { to.user_id.as_str(): { to.device_id.as_str(): encrypted } } });
        let path = format!("/_matrix/client/v3/sendToDevice/m.room.encrypted/{}", TransactionId::new());
        // In the order of encryption: a receiver keeps keys of skipped messages only so far.
        self.client.call(Method::Put, &path, Some(&body)).await.map(drop)
    }

    async fn query(&mut self, id: &TransactionId, body: Value) -> Option<()> {
        let answer = self.client.call(Method::Post, "/_matrix/client/v3/keys/query", Some(&body)).await?;
        let response: get_keys::v3::Response = parse(&answer)?;
        self.machine.mark_request_as_sent(id, &response).await.ok()
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
                        let path = "/_matrix/client/v3/keys/upload";
                        let answer = self.client.call(Method::Post, path, Some(&body)).await?;
                        let response: upload_keys::v3::Response = parse(&answer)?;
                        self.machine.mark_request_as_sent(id, &response).await.ok()?;
                    }
                    AnyOutgoingRequest::KeysQuery(request) => {
                        let body = json!({ "device_keys": request.device_keys });
                        self.query(id, body).await?;
                    }
                    AnyOutgoingRequest::ToDeviceRequest(request) => {
                        let body = json!({ "messages": request.messages });
                        let (event_type, txn) =
                            (segment(&request.event_type.to_string()), segment(request.txn_id.as_str()));
                        let path = format!("/_matrix/client/v3/sendToDevice/{event_type}/{txn}");
                        self.client.call(Method::Put, &path, Some(&body)).await?;
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

fn parse<R: IncomingResponse>(answer: &Answer) -> Option<R> {
    let response = http::Response::builder().status(answer.status).body(answer.body.as_ref()).ok()?;
    R::try_from_http_response(response).ok()
}

fn is_ours(raw: &Raw<AnyToDeviceEvent>) -> bool {
    raw.get_field::<String>("type").is_ok_and(|found| found.as_deref() == Some(EVENT_TYPE))
}
