//! What the HTTP listener serves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use focus_control::token::Minter;
use focus_signaling::Errcode;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::{origin, ws};
use crate::state::NodeState;
use crate::{auth, matrix, web};

/// Where signalling is.
pub(crate) const SIGNALLING_PATH: &str = "/rtc/v1";
/// Body of a request. The largest has a conference and a name.
const BODY_BYTES_MAX: usize = 8 * 1024;
/// Until a request's body is complete. It usually comes with the head.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that `http.listen` serves.
pub(crate) fn router(state: Arc<NodeState>) -> Router {
    let api = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz));
    // Without --dev there is no such thing, and no body is read to find that out.
    let api = match state.dev_minter {
        Some(_) => api.route("/dev/token", post(dev_token)),
        None => api,
    };
    let api = match state.gate {
        Some(_) => api.merge(matrix::token::routes()).merge(matrix::appservice::routes()),
        None => api,
    };
    let api = api.layer(middleware::map_response(allow_any_page));
    let pages = Router::new()
        .route("/", get(async || web::index()))
        .route("/call/{room}", get(async || web::index()))
        .route("/matrix", get(async || web::matrix()))
        .route(SIGNALLING_PATH, any(ws::upgrade));
    let pages = match state.metrics_on_http {
        true => pages.route("/metrics", get(metrics)),
        false => pages,
    };
    api.merge(pages)
        .fallback(asset)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(state.clone(), refuse_rebinding))
        .with_state(state)
}

/// `/metrics` on a listener of its own.
pub(crate) fn metrics_router(state: Arc<NodeState>) -> Router {
    Router::new().route("/metrics", get(metrics)).fallback(async || ApiError::not_found()).with_state(state)
}

async fn asset(request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    match request.method() {
        &Method::GET | &Method::HEAD => {
            web::asset(path).unwrap_or_else(|| allow(ApiError::not_found().into_response()))
        }
        _ => allow(ApiError::not_found().into_response()),
    }
}

/// A wrong method is told so with CORS as well, or a browser shows its page nothing but a network error. This also
/// answers the browser's own question before a request (`OPTIONS`).
async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return allow(StatusCode::NO_CONTENT.into_response());
    }
    let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, Errcode::Unrecognized, format!("no {method} here"));
    allow(error.into_response())
}

async fn allow_any_page(response: Response) -> Response {
    allow(response)
}

/// The API hands out nothing by cookie or address, so any page may call it, as with Matrix itself.
fn allow(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type, Authorization"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// With `--dev` on loopback, only this machine's own browser is meant. A page of an attacker's host whose name suddenly
/// resolves to 127.0.0.1 would pass for the same host; its `Host` header gives it away.
async fn refuse_rebinding(State(state): State<Arc<NodeState>>, request: Request, next: Next) -> Response {
    let host = host(request.headers());
    let listed = || {
        let hosts = state.allowed_origins.iter().filter_map(|o| o.split_once("://"));
        hosts.into_iter().any(|(_, listed)| host.is_some_and(|h| h.eq_ignore_ascii_case(listed)))
    };
    if state.only_loopback && !origin::is_loopback(host) && !listed() {
        let text = "with --dev on a loopback address this host name is not served; list it in http.allowed_origins";
        return ApiError::new(StatusCode::MISDIRECTED_REQUEST, Errcode::Forbidden, text).into_response();
    }
    next.run(request).await
}

pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// Alive: the process answers. Whether it should get clients is another question.
async fn healthz() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok" }))
}

/// Who lets Matrix users in, and which homeservers answer. A homeserver that does not keeps its users out, but nobody who
/// is in a call, so that it is no reason to send clients elsewhere.
#[derive(Serialize)]
struct MatrixReadiness {
    /// `appservice`, `openid`, or `open`: nobody checks who is in a room.
    step: &'static str,
    homeservers: BTreeMap<String, &'static str>,
    /// Of the Matrix device, if there is one: `up`, or `down`.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'static str>,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<&'static str>,
    /// What does not work as it should. Clients can come nevertheless.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    degraded: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matrix: Option<MatrixReadiness>,
}

async fn readyz(State(state): State<Arc<NodeState>>) -> Response {
    let reasons = state.unready();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let matrix = state.gate.as_ref().map(|gate| MatrixReadiness {
        step: gate.step(),
        homeservers: gate.reach().into_iter().map(|(name, reach)| (name, reach.word())).collect(),
        device: state.has_device.then(|| if state.device.stats().ready { "up" } else { "down" }),
    });
    (status, Json(Readiness { ready: reasons.is_empty(), reasons, degraded: state.degraded(), matrix })).into_response()
}

async fn metrics(State(state): State<Arc<NodeState>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.render_metrics()).into_response()
}

#[derive(Deserialize)]
struct TokenRequest {
    conference: String,
    #[serde(default)]
    name: String,
}

#[derive(Serialize)]
struct TokenResponse {
    token: String,
    url: &'static str,
}

/// A token for anybody, with `--dev` only.
async fn dev_token(State(state): State<Arc<NodeState>>, request: Request) -> Response {
    let Some(minter) = &state.dev_minter else { return ApiError::not_found().into_response() };
    match body(request).await {
        Ok(body) => mint(minter, &body).into_response(),
        Err(refusal) => refusal,
    }
}

async fn body(request: Request) -> Result<Bytes, Response> {
    match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(body) => body.map_err(IntoResponse::into_response),
        Err(_) => {
            let text = format!("the body did not come within {} s", BODY_TIMEOUT.as_secs());
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, Errcode::ConnectionTimeout, text).into_response())
        }
    }
}

fn mint(minter: &Minter, body: &[u8]) -> Result<Json<TokenResponse>, ApiError> {
    let bad = |errcode, error: String| ApiError::new(StatusCode::BAD_REQUEST, errcode, error);
    let value: serde_json::Value =
        serde_json::from_slice(body).map_err(|e| bad(Errcode::NotJson, format!("body is not JSON: {e}")))?;
    let request = TokenRequest::deserialize(value).map_err(|e| bad(Errcode::BadJson, e.to_string()))?;
    match auth::dev_token(minter, &request.conference, &request.name) {
        Ok(token) => Ok(Json(TokenResponse { token, url: SIGNALLING_PATH })),
        Err(auth::AuthError::Mint(error)) => Err(bad(Errcode::InvalidParam, error.to_string())),
        Err(error) => {
            tracing::error!(%error, "cannot mint a token");
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, Errcode::Unknown, "cannot mint a token"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_not_waited_for() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let request = Request::new(axum::body::Body::from_stream(never));
        let answer = tokio::time::timeout(2 * BODY_TIMEOUT, body(request)).await.expect("an answer");
        assert_eq!(answer.expect_err("refused").status(), StatusCode::REQUEST_TIMEOUT);
        let request = Request::new("all of it".into());
        assert_eq!(body(request).await.expect("a body"), "all of it");
    }
}
