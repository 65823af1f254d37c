//! Which focus a homeserver announces, and a token for it: from the homeserver itself if the focus is an application service there,
//! else against an OpenID token.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use matrix_sdk::reqwest;
use matrix_sdk::ruma::{DeviceId, RoomId, UserId};
use matrixrtc::transport::{RustSfu, Transport};
use serde_json::{Value, json};

use super::account::Account;
use super::http::{Api, Refused, text};

/// The homeserver passes requests below this on to the focus (MSC4512).
const PROXIED: &str = "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/rust_sfu/get_token";
const TRANSPORTS: &str = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports";
const WELL_KNOWN: &str = "/.well-known/matrix/client";

/// After too many requests.
const RETRY: Duration = Duration::from_millis(500);
const TRIES: usize = 20;

/// What a focus gave.
#[derive(Debug, Clone)]
pub struct Token {
    /// Of the WebSocket.
    pub url: String,
    pub token: String,
    pub way: Way,
}

/// How it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    ApplicationService,
    OpenId,
    /// Not at all: the member's device is its own proof.
    ToDevice,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::ApplicationService => "application_service",
            Self::OpenId => "openid",
            Self::ToDevice => "to_device",
        }
    }
}

/// The `rust_sfu` transport that the account's homeserver announces, else `configured`.
pub async fn discover(account: &Account, configured: Option<&RustSfu>) -> Result<RustSfu> {
    let lists = [
        (account.api.get(TRANSPORTS).await, ["rtc_transports", "transports"]),
        (account.api.get(WELL_KNOWN).await, ["org.matrix.msc4143.rtc_foci", "rtc_foci"]),
    ];
    for (answer, keys) in lists {
        let body = match answer {
            Ok(body) => body,
            Err(error) if error.is_unknown() => continue,
            Err(error) => return Err(error).context("cannot ask the homeserver for its transports"),
        };
        // An empty list, and a server that knows the path but has none, mean the same.
        let entries = keys.into_iter().filter_map(|key| body[key].as_array()).flatten();
        let mut known = entries.filter_map(|entry| Transport::parse(entry).ok());
        if let Some(Transport::RustSfu(found)) = known.find(|transport| transport.as_rust_sfu().is_some()) {
            return Ok(found);
        }
    }
    configured
        .cloned()
        .with_context(|| format!("{} announces no rust_sfu focus, and --server names none", account.api.base))
}

/// Who asks for a token, for which call.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub room: &'a RoomId,
    pub slot_id: &'a str,
    pub member_id: &'a str,
}

/// A token for `ask` at `focus`. A refusal is final, but for too many requests, which are made again.
pub async fn token(account: &Account, http: &reqwest::Client, focus: &RustSfu, ask: Ask<'_>) -> Result<Token> {
    let mut answer = proxied(account, focus, ask).await;
    for _ in 0..TRIES {
        if !answer.as_ref().is_err_and(|error| error.status() == Some(429)) {
            break;
        }
        tokio::time::sleep(RETRY).await;
        answer = proxied(account, focus, ask).await;
    }
    match answer {
        Ok(answer) => read(&answer, focus, Way::ApplicationService),
        Err(error) if error.is_unknown() => {
            ensure!(focus.service_url.is_some(), "the focus has no service_url for tokens");
            let (token, who) = (account.openid().await?, (&*account.user, &*account.device));
            let answer = openid(http, focus, ask, &token, who).await.context("the focus gives no token")?;
            read(&answer, focus, Way::OpenId)
        }
        Err(error) => Err(error).context("the focus gives no token"),
    }
}

/// Through the homeserver.
pub async fn proxied(account: &Account, focus: &RustSfu, ask: Ask<'_>) -> Result<Value, Refused> {
    let body = json!({
        "room_id": ask.room, "slot_id": ask.slot_id, "member_id": ask.member_id, "device_id": account.device,
        "url": focus.url,
    });
    account.api.post(PROXIED, body).await
}

/// At the focus itself: as `claimed`, with an OpenID token that should be of that user.
pub async fn openid(
    http: &reqwest::Client,
    focus: &RustSfu,
    ask: Ask<'_>,
    token: &Value,
    (user, device): (&UserId, &DeviceId),
) -> Result<Value, Refused> {
    let body = json!({
        "room_id": ask.room, "slot_id": ask.slot_id, "openid_token": token,
        "member": {"id": ask.member_id, "claimed_user_id": user, "claimed_device_id": device},
    });
    let service = focus.service_url.as_deref().unwrap_or_default();
    Api::new(http, service).post("/_rust_sfu/v1/get_token", body).await
}

fn read(answer: &Value, focus: &RustSfu, way: Way) -> Result<Token> {
    let url = answer["url"].as_str().or(focus.url.as_deref()).context("the focus has no url")?.to_owned();
    Ok(Token { url, token: text(answer, "token")?.to_owned(), way })
}
