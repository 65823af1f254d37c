//! Where clients ask for tokens: themselves with an OpenID token, or through their homeserver (MSC4512).

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use focus_matrix::authorize::{Refusal, TokenUse};
use focus_matrix::request::{Request, RequestError};
use focus_signaling::Errcode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::gate::{Gate, Proof};
use super::openid::{OpenIdError, OpenIdToken};
use crate::net::error::ApiError;
use crate::state::NodeState;

/// Until a request's body is complete.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Who the request is from, by the word of the homeserver that passes it on.
const USER_HEADER: &str = "x-matrix-user-identifier";

/// The path that Synapse passes on: any version, then the prefix of the registration.
pub(crate) const PROXIED: [&str; 2] = [
    "/_matrix/client/unstable/{namespace}/rtc/livekit/rust_sfu/get_token",
    "/_matrix/client/{version}/rtc/livekit/rust_sfu/get_token",
];
pub(crate) const OPENID_PATH: &str = "/_rust_sfu/v1/get_token";

pub(crate) fn routes() -> Router<Arc<NodeState>> {
    let proxied = PROXIED.iter().fold(Router::new(), |router, path| router.route(path, post(by_homeserver)));
    proxied.route(OPENID_PATH, post(by_openid)).layer(map_response(for_one_request))
}

/// A connection is for one such request. One that waited for the next would be closed by us at some time, and a request that
/// is on its way just then is lost: nobody repeats a POST, and Synapse, which keeps connections for two minutes, tells its
/// client 500 instead.
async fn for_one_request(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[derive(Deserialize)]
struct ByHomeserver {
    room_id: String,
    slot_id: String,
    member_id: String,
    #[serde(default)]
    device_id: Option<String>,
    /// Of the focus that the client means; there may be others behind other homeservers.
    #[serde(default)]
    url: Option<String>,
}

#[derive(Deserialize)]
struct ByOpenId {
    room_id: String,
    slot_id: String,
    openid_token: OpenIdToken,
    member: Member,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    claimed_user_id: String,
    claimed_device_id: String,
}

async fn by_homeserver(State(state): State<Arc<NodeState>>, request: HttpRequest) -> Response {
    answer(try_by_homeserver(&state, request).await)
}

async fn try_by_homeserver(state: &NodeState, request: HttpRequest) -> Result<Response, Response> {
    let Some(gate) = state.gate.as_deref() else { return Err(ApiError::not_found().into_response()) };
    // Before the body is read: it may be anybody's.
    let Some(server) = homeserver(gate, request.headers()) else {
        gate.count("unauthorized");
        return Err(unauthorized("not a homeserver that is configured here"));
    };
    let user = request.headers().get(USER_HEADER).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let body: ByHomeserver = body(request).await?;
    if body.url.as_deref().is_some_and(|url| url != gate.url()) {
        // So that the client asks the focus that it means.
        let error = ApiError::new(StatusCode::NOT_FOUND, Errcode::Unrecognized, "that is another focus");
        return Err(error.into_response());
    }
    let user = user.ok_or_else(|| unauthorized("the homeserver named no user"))?;
    let wanted = Request::parse(&body.room_id, &body.slot_id, &body.member_id, &user, body.device_id.as_deref());
    let wanted = wanted.map_err(bad_request)?;
    let proof = Proof::Homeserver { server, user: wanted.user.clone() };
    gate.grant(&wanted, proof).await.map(|granted| Json(granted).into_response()).map_err(refused)
}

async fn by_openid(State(state): State<Arc<NodeState>>, request: HttpRequest) -> Response {
    answer(try_by_openid(&state, request).await)
}

async fn try_by_openid(state: &NodeState, request: HttpRequest) -> Result<Response, Response> {
    let Some(gate) = state.gate.as_deref() else { return Err(ApiError::not_found().into_response()) };
    let body: ByOpenId = body(request).await?;
    let member = &body.member;
    let device = Some(member.claimed_device_id.as_str());
    let wanted = Request::parse(&body.room_id, &body.slot_id, &member.id, &member.claimed_user_id, device);
    let wanted = wanted.map_err(bad_request)?;
    let Ok(_place) = gate.openid_places.try_acquire() else {
        gate.count("limited");
        return Err(refused(Refusal::Limited(Duration::from_secs(1))));
    };
    let device = &member.claimed_device_id;
    let verified = state.openid.verify(&state.fetch, &body.openid_token, &member.claimed_user_id, device).await;
    let usage = match verified {
        Ok(_) => TokenUse::FirstOrSame,
        Err(OpenIdError::Reused) => TokenUse::OtherDevice,
        // Only of servers that the operator named it is told that they do not answer: of others, it would tell a
        // stranger what there is in our network.
        Err(OpenIdError::Unasked) if gate.homeservers.is_configured(wanted.user.server_name()) => {
            gate.count("unavailable");
            return Err(refused(Refusal::Unavailable));
        }
        Err(error) => {
            gate.count("unauthorized");
            return Err(unauthorized(&error.to_string()));
        }
    };
    let proof = Proof::OpenId { sub: wanted.user.clone(), usage };
    gate.grant(&wanted, proof).await.map(|granted| Json(granted).into_response()).map_err(refused)
}

/// The homeserver whose token the request carries.
pub(super) fn homeserver(gate: &Gate, headers: &HeaderMap) -> Option<ruma::OwnedServerName> {
    let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    gate.homeservers.by_hs_token(token).map(ToOwned::to_owned)
}

pub(super) async fn body<T: DeserializeOwned>(request: HttpRequest) -> Result<T, Response> {
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(bytes) => bytes.map_err(IntoResponse::into_response)?,
        Err(_) => {
            let error = ApiError::new(StatusCode::REQUEST_TIMEOUT, Errcode::ConnectionTimeout, "the body did not come");
            return Err(error.into_response());
        }
    };
    let bad = |code, error: serde_json::Error| {
        ApiError::new(StatusCode::BAD_REQUEST, code, error.to_string()).into_response()
    };
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| bad(Errcode::NotJson, error))?;
    serde_json::from_value(value).map_err(|error| bad(Errcode::BadJson, error))
}

pub(super) fn unauthorized(text: &str) -> Response {
    ApiError::new(StatusCode::UNAUTHORIZED, Errcode::Unauthorized, text).into_response()
}

fn bad_request(error: RequestError) -> Response {
    ApiError::new(StatusCode::BAD_REQUEST, Errcode::InvalidParam, error.to_string()).into_response()
}

fn refused(refusal: Refusal) -> Response {
    let text = refusal.to_string();
    match refusal {
        Refusal::Forbidden => ApiError::new(StatusCode::FORBIDDEN, Errcode::Forbidden, text).into_response(),
        Refusal::Unavailable => ApiError::new(StatusCode::BAD_GATEWAY, Errcode::Unknown, text).into_response(),
        Refusal::Limited(wait) => {
            let body = Errcode::LimitExceeded.body(text).retry_after(wait);
            let seconds = wait.as_secs_f64().ceil().to_string();
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds)], Json(body)).into_response()
        }
    }
}

fn answer(result: Result<Response, Response>) -> Response {
    result.unwrap_or_else(|refusal| refusal)
}
