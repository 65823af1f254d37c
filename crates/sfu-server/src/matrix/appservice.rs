//! What a homeserver asks of an application service: <https://spec.matrix.org/v1.16/application-service-api/>.
//! We keep nothing of what it tells; a change of somebody's membership only makes us look at once.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request as HttpRequest, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post, put};
use axum::{Json, Router};
use focus_matrix::request::user_id;
use ruma::RoomId;
use serde::Deserialize;

use super::token::{body, homeserver, unauthorized};
use super::watching::Hint;
use crate::net::error::ApiError;
use crate::state::NodeState;

/// A transaction: at most 100 events of 64 KiB.
const TRANSACTION_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(crate) fn routes() -> Router<Arc<NodeState>> {
    Router::new()
        .route("/_matrix/app/v1/transactions/{txn}", put(transaction))
        .layer(DefaultBodyLimit::max(TRANSACTION_BYTES_MAX))
        .route("/_matrix/app/v1/ping", post(ping))
        // No user and no room of anybody's is made on demand.
        .route("/_matrix/app/v1/users/{user}", any(async || ApiError::not_found()))
        .route("/_matrix/app/v1/rooms/{alias}", any(async || ApiError::not_found()))
}

#[derive(Deserialize)]
struct Transaction {
    #[serde(default)]
    events: Vec<Event>,
}

/// What is read of an event; of most, nothing.
#[derive(Deserialize)]
struct Event {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    room_id: String,
    #[serde(default)]
    state_key: Option<String>,
}

async fn transaction(State(state): State<Arc<NodeState>>, request: HttpRequest) -> Response {
    if state.gate.as_deref().and_then(|gate| homeserver(gate, request.headers())).is_none() {
        return unauthorized("not a homeserver that is configured here");
    }
    let transaction: Transaction = match body(request).await {
        Ok(transaction) => transaction,
        Err(refusal) => return refusal,
    };
    for event in transaction.events.iter().filter(|event| event.kind == "m.room.member") {
        let user = event.state_key.as_deref().and_then(user_id);
        if let (Some(user), Ok(room)) = (user, RoomId::parse(&event.room_id)) {
            // What is lost here the next sweep finds.
            let _ = state.hints.try_send(Hint { user, room });
        }
    }
    Json(serde_json::json!({})).into_response()
}

async fn ping(State(state): State<Arc<NodeState>>, request: HttpRequest) -> Response {
    match state.gate.as_deref().and_then(|gate| homeserver(gate, request.headers())) {
        Some(_) => Json(serde_json::json!({})).into_response(),
        None => unauthorized("not a homeserver that is configured here"),
    }
}
