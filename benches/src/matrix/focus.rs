//! Which focus a homeserver announces, and a token for it: from the homeserver itself if the focus is an application service there,
//! else against an OpenID token.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use matrix_sdk::reqwest::{self, Method};
use matrix_sdk::ruma::{DeviceId, RoomId, UserId};
use matrixrtc::discovery::{Discovery, Output, Source};
use matrixrtc::transport::{RustSfu, Transport};
use serde_json::{Value, json};

use super::account::Account;
use super::http::{Api, Refused, text};

/// The homeserver passes requests below this on to the focus (MSC4512).
const PROXIED: &str = "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/rust_sfu/get_token";

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
    let configured = configured.cloned().map(Transport::RustSfu).into_iter().collect();
    let mut discovery = Discovery::new(vec![RustSfu::TYPE.to_owned()], configured);
    loop {
        match discovery.poll_output(Instant::now()) {
            // The answer is awaited no longer than the machine waits for it.
            Output::Request(source) => {
                let Output::Timeout(until) = discovery.poll_output(Instant::now()) else { continue };
                match tokio::time::timeout_at(until.into(), request(account, source)).await {
                    Ok(Some((status, retry_after, body))) => {
                        discovery.handle_response(Instant::now(), status, body.as_ref(), retry_after);
                    }
                    Ok(None) => discovery.handle_failure(Instant::now()),
                    Err(_) => discovery.handle_timeout(Instant::now()),
                }
            }
            Output::Timeout(at) => {
                tokio::time::sleep_until(at.into()).await;
                discovery.handle_timeout(Instant::now());
            }
            Output::Done { transports, .. } => {
                let found = transports.iter().find_map(Transport::as_rust_sfu).cloned();
                return found.with_context(|| {
                    let (server, failures) = (&account.api.base, discovery.failures());
                    format!("{server} announces no rust_sfu focus, and --server names none: {failures:?}")
                });
            }
        }
    }
}

/// Status, pause that was asked for, and JSON if it is some. `.well-known` is looked for where the homeserver is.
async fn request(account: &Account, source: Source) -> Option<(u16, Option<Duration>, Option<Value>)> {
    let path = match source {
        Source::Homeserver => Source::HOMESERVER_PATH,
        Source::WellKnown | Source::Configuration => Source::WELL_KNOWN_PATH,
    };
    let (status, retry_after, body) = account.api.raw(Method::GET, path, &[], None).await.ok()?;
    let seconds = retry_after.and_then(|text| text.trim().parse().ok());
    Some((status, seconds.map(Duration::from_secs), serde_json::from_slice(&body).ok()))
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
