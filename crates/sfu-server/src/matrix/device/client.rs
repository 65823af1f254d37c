//! What the device asks its homeserver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ruma::api::IncomingResponse;
use ruma::api::client::sync::sync_events::DeviceLists;
use ruma::events::AnyToDeviceEvent;
use ruma::exports::http;
use ruma::serde::Raw;
use ruma::{OneTimeKeyAlgorithm, UInt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::account::Account;
use crate::matrix::fetch::{Answer, Fetcher, Method, Refused, segment};

/// For what a homeserver has to ask of others.
pub(super) const REMOTE: Duration = Duration::from_secs(5);

/// What the homeserver tells.
#[derive(Deserialize)]
pub(super) struct Synced {
    pub(super) next_batch: String,
    #[serde(default)]
    pub(super) to_device: ToDevice,
    #[serde(default)]
    pub(super) device_lists: DeviceLists,
    #[serde(default)]
    pub(super) device_one_time_keys_count: BTreeMap<OneTimeKeyAlgorithm, UInt>,
    #[serde(default)]
    pub(super) device_unused_fallback_key_types: Option<Vec<OneTimeKeyAlgorithm>>,
}

#[derive(Default, Deserialize)]
pub(super) struct ToDevice {
    #[serde(default)]
    pub(super) events: Vec<Raw<AnyToDeviceEvent>>,
}

/// Why there is no answer to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The access token is no more.
    Unauthorized,
    Other,
}

/// Carries a request of the device to its homeserver.
pub(super) trait Ask: Send + Sync + 'static {
    fn ask(&self, method: Method, path: String, body: Option<Value>) -> BoxFuture<'static, Result<Answer, Refused>>;

    /// Whether the operator named the server.
    fn is_ours(&self, server_name: &str) -> bool;
}

#[derive(Clone)]
pub(super) struct Client(Arc<dyn Ask>);

impl Client {
    pub(super) fn new(ask: impl Ask) -> Self {
        Self(Arc::new(ask))
    }

    /// Of the account, over HTTP.
    pub(super) fn of(fetcher: Arc<Fetcher>, account: &Account) -> Self {
        let server_name = account.user_id.server_name().to_string();
        Self::new(Http { fetcher, server_name, token: account.token.clone() })
    }

    pub(super) fn is_ours(&self, server_name: &str) -> bool {
        self.0.is_ours(server_name)
    }

    pub(super) async fn call(&self, method: Method, path: String, body: Option<Value>) -> Result<Answer, Failure> {
        match self.0.ask(method, path, body).await {
            Ok(answer) if answer.is_success() => Ok(answer),
            Ok(answer) if answer.status == 401 => Err(Failure::Unauthorized),
            _ => Err(Failure::Other),
        }
    }

    /// An answer as ruma reads it.
    pub(super) async fn post<R: IncomingResponse>(&self, path: &str, body: Value) -> Option<R> {
        let answer = self.call(Method::Post, format!("/_matrix/client/v3/{path}"), Some(body)).await.ok()?;
        let response = http::Response::builder().status(answer.status).body(answer.body.as_ref()).ok()?;
        R::try_from_http_response(response).ok()
    }

    pub(super) async fn send_to_device(&self, event_type: &str, txn: &str, messages: Value) -> Option<()> {
        let path = format!("/_matrix/client/v3/sendToDevice/{}/{}", segment(event_type), segment(txn));
        self.call(Method::Put, path, Some(json!({ "messages": messages }))).await.ok().map(drop)
    }

    /// Nothing but to-device messages and what belongs to keys.
    pub(super) async fn sync(&self, since: Option<&str>, hold: Duration) -> Result<Synced, Failure> {
        let nothing = json!({"not_types": ["*"]});
        let filter = json!({
            "room": {"rooms": [], "account_data": nothing, "ephemeral": nothing, "state": nothing, "timeline": nothing},
            "presence": nothing,
            "account_data": nothing,
        });
        let since = since.map(|since| format!("&since={}", segment(since))).unwrap_or_default();
        let filter = segment(&filter.to_string());
        let path = format!("/_matrix/client/v3/sync?timeout={}&filter={filter}{since}", hold.as_millis());
        self.call(Method::Get, path, None).await?.json().map_err(|_| Failure::Other)
    }
}

struct Http {
    fetcher: Arc<Fetcher>,
    server_name: String,
    token: String,
}

impl Ask for Http {
    fn ask(&self, method: Method, path: String, body: Option<Value>) -> BoxFuture<'static, Result<Answer, Refused>> {
        let (fetcher, server_name, token) = (self.fetcher.clone(), self.server_name.clone(), self.token.clone());
        Box::pin(
            async move { fetcher.configured().call(&server_name, method, &path, Some(&token), body.as_ref()).await },
        )
    }

    fn is_ours(&self, server_name: &str) -> bool {
        self.fetcher.configured().knows(server_name)
    }
}
