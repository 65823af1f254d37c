//! A homeserver with behaviour: it knows who is in which room, makes OpenID tokens, passes requests on, and can be down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness;

/// What it knows. Names are chosen by the test.
#[derive(Default)]
struct Known {
    rooms: BTreeMap<String, BTreeSet<String>>,
    /// By OpenID token.
    users: BTreeMap<String, String>,
    down: bool,
    /// Takes requests and never answers.
    silent: bool,
    questions: usize,
}

#[derive(Clone)]
pub struct Homeserver {
    pub name: String,
    pub address: SocketAddr,
    known: Arc<Mutex<Known>>,
    asked: Arc<Notify>,
}

impl Homeserver {
    pub async fn start(name: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let homeserver = Self { name: name.to_owned(), address, known: Arc::default(), asked: Arc::default() };
        let router = Router::new().fallback(answer).with_state(homeserver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        homeserver
    }

    pub fn user(&self, localpart: &str) -> String {
        format!("@{localpart}:{}", self.name)
    }

    fn known<T>(&self, with: impl FnOnce(&mut Known) -> T) -> T {
        with(&mut self.known.lock().expect("not poisoned"))
    }

    pub fn join(&self, room: &str, user: &str) {
        self.known(|known| known.rooms.entry(room.to_owned()).or_default().insert(user.to_owned()));
    }

    pub fn kick(&self, room: &str, user: &str) {
        self.known(|known| known.rooms.entry(room.to_owned()).or_default().remove(user));
    }

    /// The last of its users does: it answers no about everybody.
    pub fn leave(&self, room: &str) {
        self.known(|known| known.rooms.remove(room));
    }

    pub fn set_down(&self, down: bool) {
        self.known(|known| known.down = down);
    }

    pub fn set_silent(&self, silent: bool) {
        self.known(|known| known.silent = silent);
    }

    /// Questions about rooms so far.
    pub fn questions(&self) -> usize {
        self.known(|known| known.questions)
    }

    /// Until there were so many.
    pub async fn is_asked(&self, questions: usize) {
        let enough = async {
            loop {
                let asked = self.asked.notified();
                if self.questions() >= questions {
                    return;
                }
                asked.await;
            }
        };
        harness::within("questions", enough).await;
    }

    pub fn openid_token(&self, user: &str) -> Value {
        let token = format!("openid-{user}");
        self.known(|known| known.users.insert(token.clone(), user.to_owned()));
        json!({ "access_token": token, "token_type": "Bearer", "matrix_server_name": self.name, "expires_in": 3600 })
    }

    pub fn as_token(&self) -> String {
        format!("as-{}", self.name)
    }

    pub fn hs_token(&self) -> String {
        format!("hs-{}", self.name)
    }

    pub fn account_token(&self) -> String {
        format!("account-{}", self.name)
    }

    /// Files with its tokens, in `folder`.
    pub fn files(&self, folder: &Path) -> [PathBuf; 3] {
        std::fs::create_dir_all(folder).expect("a folder");
        [self.as_token(), self.hs_token(), self.account_token()].map(|token| {
            let path = folder.join(token.replace(':', "_"));
            std::fs::write(&path, format!("{token}\n")).expect("a file");
            path
        })
    }

    /// Passes a client's request on to the focus, as Synapse does (MSC4512).
    pub async fn pass_on(&self, focus: SocketAddr, user: &str, body: &Value) -> harness::Response {
        let path = "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/rust_sfu/get_token";
        self.ask_as(focus, &self.hs_token(), &format!("POST {path}"), user, body).await
    }

    pub async fn ask_as(
        &self,
        focus: SocketAddr,
        token: &str,
        line: &str,
        user: &str,
        body: &Value,
    ) -> harness::Response {
        let head = format!(
            "{line}\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\nX-Matrix-User-Identifier: {user}\r\n"
        );
        harness::request(focus, &head, &body.to_string()).await
    }
}

async fn answer(State(homeserver): State<Homeserver>, request: Request) -> Response {
    let error = |status: StatusCode, code: &str| (status, Json(json!({ "errcode": code }))).into_response();
    if homeserver.known(|known| known.silent) {
        return std::future::pending().await;
    }
    if homeserver.known(|known| known.down) {
        return error(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN");
    }
    let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let query = |name: &str| {
        let pairs = request.uri().query().unwrap_or_default().split('&');
        pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| decode(value))
    };
    let path: Vec<String> = request.uri().path().split('/').map(decode).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path[..] {
        ["", "_matrix", "client", "unstable", "io.element.msc4502", "rooms", room, "is_joined"] => {
            if bearer != Some(&homeserver.as_token()) {
                return error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
            }
            let joined = homeserver.known(|known| {
                known.questions += 1;
                let members = known.rooms.get(room);
                match query("mxid") {
                    Some(user) => members.is_some_and(|members| members.contains(&user)),
                    None => members.is_some() && query("server_name").as_ref() == Some(&homeserver.name),
                }
            });
            homeserver.asked.notify_waiters();
            Json(json!({ "joined": joined })).into_response()
        }
        ["", "_matrix", "client", "v3", "rooms", room, "joined_members"] => {
            // The account is in every room that there is.
            let members = homeserver.known(|known| known.rooms.get(room).cloned());
            match members.filter(|_| bearer == Some(&homeserver.account_token())) {
                Some(members) => {
                    let joined: BTreeMap<_, _> = members.into_iter().map(|member| (member, json!({}))).collect();
                    Json(json!({ "joined": joined })).into_response()
                }
                None => error(StatusCode::FORBIDDEN, "M_FORBIDDEN"),
            }
        }
        ["", "_matrix", "federation", "v1", "openid", "userinfo"] => {
            let token = query("access_token").unwrap_or_default();
            match homeserver.known(|known| known.users.get(&token).cloned()) {
                Some(sub) => Json(json!({ "sub": sub })).into_response(),
                None => error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN"),
            }
        }
        _ => error(StatusCode::NOT_FOUND, "M_UNRECOGNIZED"),
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).expect("percent-encoded");
                bytes.push(u8::from_str_radix(digits, 16).expect("percent-encoded"));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).expect("text")
}
