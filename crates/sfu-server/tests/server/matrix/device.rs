//! The focus's Matrix device and its access token, which somebody revokes.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use sfu_server::config::{Config, MatrixDevice, MatrixMode};
use sfu_server::node::Node;
use tokio::sync::watch;

use super::{Folder, Homeserver, config};
use crate::harness::{get, within};

const USER: &str = "@rtc:one.example";
const DEVICE: &str = "RUSTSFU";
const PASSWORD: &str = "correct horse";

/// What the homeserver knows of the account.
#[derive(Default)]
struct Known {
    token: Option<String>,
    logins: usize,
    refused_logins: usize,
    /// Attempts to start, each of which asks whose token it has.
    starts: usize,
    device_keys: Value,
    one_time_keys: usize,
    /// Of the present token.
    syncs: usize,
}

/// A homeserver with one account, which forgets a device with its token, as Synapse does.
#[derive(Clone)]
struct Account(Arc<watch::Sender<Known>>);

impl Account {
    async fn start() -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let account = Self(Arc::new(watch::Sender::new(Known::default())));
        let router = Router::new().fallback(answer).with_state(account.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (account, url)
    }

    /// As an administrator does it, or a log-out from elsewhere.
    fn revoke(&self) {
        self.0.send_modify(|known| {
            (known.token, known.device_keys, known.one_time_keys, known.syncs) = (None, Value::Null, 0, 0);
        });
    }

    async fn until(&self, what: &str, is: impl FnMut(&Known) -> bool) {
        within(what, self.0.subscribe().wait_for(is)).await.expect("the homeserver is there");
    }

    /// Until it has its keys again, and one-time keys, and syncs; its keys.
    async fn is_up(&self) -> Value {
        self.until("the device", |known| known.syncs > 2 && known.one_time_keys > 0 && known.device_keys.is_object())
            .await;
        self.0.borrow().device_keys.clone()
    }
}

async fn answer(State(account): State<Account>, request: Request) -> Response {
    let error = |status: StatusCode, code: &str| (status, Json(json!({ "errcode": code }))).into_response();
    let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let is_known = bearer.is_some() && bearer == account.0.borrow().token.as_deref();
    let path = request.uri().path().trim_start_matches("/_matrix/client/v3/").to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("small");
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if path == "login" {
        let known = |known: &mut Known| {
            let is_good = body["password"] == PASSWORD && body["device_id"] == DEVICE;
            if is_good {
                known.logins += 1;
                known.token = Some(format!("token {}", known.logins));
            } else {
                known.refused_logins += 1;
            }
        };
        account.0.send_modify(known);
        let token = account.0.borrow().token.clone();
        return match token {
            Some(token) => Json(json!({ "access_token": token, "user_id": USER, "device_id": DEVICE })).into_response(),
            None => error(StatusCode::FORBIDDEN, "M_FORBIDDEN"),
        };
    }
    if !is_known {
        return error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
    }
    match path.as_str() {
        "account/whoami" => {
            account.0.send_modify(|known| known.starts += 1);
            Json(json!({ "user_id": USER, "device_id": DEVICE })).into_response()
        }
        "keys/upload" => {
            account.0.send_modify(|known| {
                if body["device_keys"].is_object() {
                    known.device_keys = body["device_keys"].clone();
                }
                known.one_time_keys += body["one_time_keys"].as_object().map_or(0, serde_json::Map::len);
            });
            let count = account.0.borrow().one_time_keys;
            Json(json!({ "one_time_key_counts": { "signed_curve25519": count } })).into_response()
        }
        "keys/query" => {
            let keys = account.0.borrow().device_keys.clone();
            let devices = if keys.is_object() { json!({ DEVICE: keys }) } else { json!({}) };
            Json(json!({ "device_keys": { USER: devices } })).into_response()
        }
        "sync" => {
            account.0.send_modify(|known| known.syncs += 1);
            // The first few are answered at once, and then as soon as the token is revoked: nothing else happens here.
            let mut changes = account.0.subscribe();
            if account.0.borrow().syncs > 3 {
                let _ = changes.wait_for(|known| known.token.is_none()).await;
                return error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
            }
            let count = account.0.borrow().one_time_keys;
            let number = query.len() + account.0.borrow().syncs;
            Json(json!({ "next_batch": format!("s{number}"), "device_unused_fallback_key_types": [],
                "device_one_time_keys_count": { "signed_curve25519": count } }))
            .into_response()
        }
        _ => error(StatusCode::NOT_FOUND, "M_UNRECOGNIZED"),
    }
}

async fn settings(folder: &Folder) -> (Account, Config) {
    let one = Homeserver::start("one.example").await;
    let (account, url) = Account::start().await;
    let mut config = config(folder, MatrixMode::Appservice, &[&one]);
    config.matrix.homeservers[0].url = url;
    let password_file = folder.0.join("password");
    std::fs::write(&password_file, format!("{PASSWORD}\n")).expect("a file");
    config.matrix.device = Some(MatrixDevice {
        user_id: USER.to_owned(),
        device_id: DEVICE.to_owned(),
        access_token_file: None,
        password_file: Some(password_file),
    });
    (account, config)
}

#[tokio::test]
async fn a_device_whose_token_is_revoked_comes_back_as_the_same() {
    let folder = Folder::new("revoked");
    let (account, config) = settings(&folder).await;
    let node = Node::start(config.clone()).await.expect("started");
    let keys = account.is_up().await;
    assert_eq!(account.0.borrow().logins, 1);

    account.revoke();
    account.until("another login", |known| known.logins == 2).await;
    assert_eq!(account.is_up().await, keys, "clients refuse a device whose keys have changed");
    node.stop().await;

    // While it is not running.
    account.revoke();
    let node = Node::start(config.clone()).await.expect("started");
    account.until("a third login", |known| known.logins == 3).await;
    assert_eq!(account.is_up().await, keys);
    node.stop().await;

    // With the token that it has kept it does not log in anew.
    account.0.send_modify(|known| known.syncs = 0);
    let node = Node::start(config).await.expect("started");
    assert_eq!(account.is_up().await, keys);
    assert_eq!(account.0.borrow().logins, 3);
    node.stop().await;
}

#[tokio::test]
async fn a_device_that_may_not_log_in_is_down_and_says_so() {
    let folder = Folder::new("refused");
    let (account, config) = settings(&folder).await;
    std::fs::write(folder.0.join("password"), "wrong").expect("a file");
    let node = Node::start(config).await.expect("started");
    account.until("an attempt", |known| known.refused_logins > 0).await;
    let ready = get(node.http_addr(), "/readyz").await.json();
    assert_eq!(ready["matrix"]["device"], "down");
    assert_eq!(account.0.borrow().logins, 0);
    node.stop().await;
}

#[tokio::test]
async fn a_device_id_that_has_other_keys_is_not_taken_over() {
    let folder = Folder::new("other-keys");
    let (account, config) = settings(&folder).await;
    let other = json!({ "user_id": USER, "device_id": DEVICE, "algorithms": [], "signatures": {},
        "keys": { "curve25519:RUSTSFU": "somebody else's" } });
    account.0.send_modify(|known| known.device_keys = other.clone());
    let node = Node::start(config).await.expect("started");
    account.until("a second attempt", |known| known.starts > 1).await;
    let ready = get(node.http_addr(), "/readyz").await.json();
    assert_eq!(ready["matrix"]["device"], "down");
    assert_eq!(account.0.borrow().device_keys, other);
    node.stop().await;
}
