//! What the machine wants of the homeserver, and what of the answers it is told.

use std::collections::{BTreeMap, BTreeSet};

use matrix_sdk_crypto::types::requests::AnyOutgoingRequest;
use ruma::api::client::keys::{claim_keys, get_keys, upload_keys};
use ruma::api::client::to_device::send_event_to_device;
use ruma::{OwnedDeviceId, OwnedUserId, TransactionId, UserId};
use serde_json::{Value, json};

use super::super::DeviceError;
use super::super::client::{Client, REMOTE};
use super::{Done, ENCRYPTED, Olm};

/// Rounds of requests that the machine may want one after the other.
const ROUNDS_MAX: usize = 8;

impl Olm {
    /// Asks for the user's devices. Nobody tells of those of users that share no room with us.
    pub(super) fn look_up(&self, user: &OwnedUserId) {
        let (client, tell, user) = (self.client.clone(), self.tell.clone(), user.clone());
        let (id, request) = self.machine.query_keys_for_users([user.as_ref()]);
        tokio::spawn(async move {
            let answer = query(&client, json!(request.device_keys)).await.map(|answer| (id, Box::new(answer)));
            let _ = tell.send(Done::LookedUp { user, answer }).await;
        });
    }

    /// Of what the user's homeserver says, only devices that have written to us: it may list as many as it likes.
    pub(super) async fn learn(
        &self,
        user: &UserId,
        keys: &BTreeSet<&str>,
        id: &TransactionId,
        mut answer: get_keys::v3::Response,
    ) {
        let Ok(known) = self.machine.get_user_devices(user, None).await else { return };
        let known: BTreeSet<OwnedDeviceId> = known.keys().map(ToOwned::to_owned).collect();
        answer.device_keys.retain(|listed, _| *listed == user);
        for devices in answer.device_keys.values_mut() {
            devices.retain(|device_id, listed| {
                let own: BTreeMap<String, String> = listed.get_field("keys").ok().flatten().unwrap_or_default();
                let key = own.get(&format!("curve25519:{device_id}"));
                known.contains(device_id) || key.is_some_and(|key| keys.contains(key.as_str()))
            });
        }
        // Nor do we need to know which of them the user has verified.
        answer.master_keys.clear();
        answer.self_signing_keys.clear();
        answer.user_signing_keys.clear();
        let _ = self.machine.mark_request_as_sent(id, &answer).await;
    }

    /// Begins sessions with devices of the user, and with those whose session is broken. One claim at a time. `false`: there is
    /// none to begin, or not now.
    pub(super) async fn claim(&mut self, user: Option<&UserId>) -> bool {
        if self.claiming {
            return false;
        }
        let Ok(Some((id, request))) = self.machine.get_missing_sessions(user.into_iter()).await else { return false };
        self.claiming = true;
        let (machine, client, tell) = (self.machine.clone(), self.client.clone(), self.tell.clone());
        tokio::spawn(async move {
            let body = json!({ "one_time_keys": request.one_time_keys, "timeout": REMOTE.as_millis() as u64 });
            if let Some(response) = client.post::<claim_keys::v3::Response>("keys/claim", body).await {
                let _ = machine.mark_request_as_sent(&id, &response).await;
            }
            let _ = tell.send(Done::Claimed).await;
        });
        true
    }

    /// Sees to it that the homeserver lists the device with its keys: whoever revokes a token deletes its device there, and the
    /// machine remembers that it has uploaded them.
    pub(super) async fn publish(&self) -> Result<(), DeviceError> {
        let (user, device_id) = (self.machine.user_id(), self.machine.device_id());
        let own = self.machine.get_device(user, device_id, None).await.ok().flatten().ok_or(DeviceError::Keys)?;
        let own = serde_json::to_value(own.as_device_keys()).map_err(|_| DeviceError::Keys)?;
        let listed = query(&self.client, json!({ user.as_str(): [device_id] })).await.ok_or(DeviceError::Keys)?;
        let listed = listed.device_keys.get(user).and_then(|devices| devices.get(device_id));
        match listed.map(|listed| listed.get_field::<Value>("keys").ok().flatten()) {
            Some(keys) if keys.as_ref() == Some(&own["keys"]) => Ok(()),
            Some(_) => Err(DeviceError::OtherKeys),
            None => {
                let body = json!({ "device_keys": own });
                let uploaded = self.client.post::<upload_keys::v3::Response>("keys/upload", body).await;
                uploaded.map(drop).ok_or(DeviceError::Keys)
            }
        }
    }

    /// Sends what the machine wants sent. `None`: the homeserver did not take it; it is wanted again.
    pub(super) async fn settle(&mut self) -> Option<()> {
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
                        let response = query(&self.client, json!(request.device_keys)).await?;
                        self.machine.mark_request_as_sent(id, &response).await.ok()?;
                    }
                    AnyOutgoingRequest::ToDeviceRequest(request) => {
                        let (kind, txn) = (request.event_type.to_string(), request.txn_id.as_str());
                        // Whoever sends us the beginning of a verification would make us answer, in clear text.
                        if kind == ENCRYPTED {
                            self.client.send_to_device(&kind, txn, json!(request.messages)).await?;
                        }
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
pub(super) async fn query(client: &Client, device_keys: Value) -> Option<get_keys::v3::Response> {
    client.post("keys/query", json!({ "device_keys": device_keys, "timeout": REMOTE.as_millis() as u64 })).await
}
