//! A homeserver that knows devices, their keys, and what is on its way to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use focus_signaling::todevice::Address;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::super::super::client::Ask;
use crate::matrix::fetch::{Answer, Method, Refused};

#[derive(Clone, Default)]
pub(super) struct Homeserver(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By user and device.
    device_keys: BTreeMap<(String, String), Value>,
    one_time_keys: BTreeMap<(String, String), Vec<(String, Value)>>,
    fallback_keys: BTreeMap<(String, String), Value>,
    inboxes: BTreeMap<Address, Vec<Value>>,
    claimed: usize,
    /// Servers that are asked and never answer.
    hanging: BTreeSet<String>,
}

pub(super) struct Device {
    homeserver: Homeserver,
    user: String,
    device: String,
}

impl Homeserver {
    pub(super) fn device(&self, user: &str, device: &str) -> Device {
        Device { homeserver: self.clone(), user: user.to_owned(), device: device.to_owned() }
    }

    pub(super) fn take(&self, of: &Address) -> Vec<Value> {
        self.state().inboxes.remove(of).unwrap_or_default()
    }

    pub(super) fn unlist(&self, device: &Address) {
        self.state().device_keys.remove(&(device.user_id.clone(), device.device_id.clone()));
    }

    pub(super) fn hangs(&self, server_name: &str) {
        self.state().hanging.insert(server_name.to_owned());
    }

    /// Its identity key, and its fallback key.
    pub(super) fn keys_of(&self, device: &Address) -> (String, String) {
        let (state, own) = (self.state(), (device.user_id.clone(), device.device_id.clone()));
        let identity = &state.device_keys[&own]["keys"][format!("curve25519:{}", device.device_id)];
        let text = |key: &Value| key.as_str().expect("a key").to_owned();
        (text(identity), text(&state.fallback_keys[&own]["key"]))
    }

    /// One-time keys that were given out.
    pub(super) fn claimed(&self) -> usize {
        self.state().claimed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn answer(&mut self, (user, device): (&str, &str), path: &str, body: &Value) -> Value {
        let own = (user.to_owned(), device.to_owned());
        let users = |field: &str| body[field].as_object().cloned().unwrap_or_default();
        match path.trim_start_matches("/_matrix/client/v3/") {
            "keys/upload" => {
                if !body["device_keys"].is_null() {
                    self.device_keys.insert(own.clone(), body["device_keys"].clone());
                }
                if let Some((_, key)) = users("fallback_keys").into_iter().next() {
                    self.fallback_keys.insert(own.clone(), key);
                }
                self.one_time_keys.entry(own).or_default().extend(users("one_time_keys"));
                json!({"one_time_key_counts": {"signed_curve25519": 50}})
            }
            "keys/query" => {
                let asked = users("device_keys");
                let mut found: BTreeMap<&str, BTreeMap<&str, &Value>> = BTreeMap::new();
                for ((user, device), keys) in self.device_keys.iter().filter(|((user, _), _)| asked.contains_key(user))
                {
                    found.entry(user).or_default().insert(device, keys);
                }
                json!({"device_keys": found})
            }
            "keys/claim" => {
                let mut given: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
                for (user, devices) in users("one_time_keys") {
                    for device in devices.as_object().into_iter().flat_map(|devices| devices.keys()) {
                        let keys = self.one_time_keys.get_mut(&(user.clone(), device.clone()));
                        let Some((id, key)) = keys.and_then(Vec::pop) else { continue };
                        self.claimed += 1;
                        given.entry(user.clone()).or_default().insert(device.clone(), json!({ id: key }));
                    }
                }
                json!({"one_time_keys": given})
            }
            path => {
                let kind = path.trim_start_matches("sendToDevice/").split('/').next().unwrap_or_default();
                for (to, devices) in users("messages") {
                    for (device, content) in devices.as_object().into_iter().flatten() {
                        let address = Address { user_id: to.clone(), device_id: device.clone() };
                        let event = json!({"type": kind, "sender": user, "content": content});
                        self.inboxes.entry(address).or_default().push(event);
                    }
                }
                json!({})
            }
        }
    }

    fn hangs(&self, body: &Value) -> bool {
        let users = body["device_keys"].as_object().into_iter().flat_map(|users| users.keys());
        users.filter_map(|user| user.split_once(':')).any(|(_, server)| self.hanging.contains(server))
    }
}

impl Ask for Device {
    fn ask(&self, _: Method, path: String, body: Option<Value>) -> BoxFuture<'static, Result<Answer, Refused>> {
        let body = body.unwrap_or_default();
        let mut state = self.homeserver.state();
        if path.ends_with("/keys/query") && state.hangs(&body) {
            return Box::pin(std::future::pending());
        }
        let answer = state.answer((&self.user, &self.device), &path, &body);
        Box::pin(async move { Ok(Answer { status: 200, body: Bytes::from(answer.to_string()), retry_after: None }) })
    }

    fn is_ours(&self, server_name: &str) -> bool {
        server_name == "one"
    }
}
