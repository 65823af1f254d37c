//! The requests of the last will as HTTP, in every dialect of MSC4140 that is deployed, and what their answers mean.
//!
//! Pure translation. It sends nothing, and decides nothing about what to do next.

use std::fmt::Write as _;
use std::time::Duration;

use ruma::OwnedRoomId;
use serde_json::{Value, json};

use super::{Ask, DelayId, Manage, Schedule};
use crate::event::Outgoing;

/// Where the member event lives, and what its leave looks like. The same for all requests of one membership.
#[derive(Clone, PartialEq)]
pub struct Address {
    /// Of the call.
    pub room_id: OwnedRoomId,
    /// For example `org.matrix.msc3401.call.member`.
    pub event_type: String,
    /// `None` for a sticky event (MSC4354), which is no state.
    pub state_key: Option<String>,
    /// Of a sticky event: for how long it stays, one hour at most.
    pub sticky: Option<Duration>,
    /// Content of the leave event.
    pub leave: Value,
}

/// Of an HTTP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Put,
    Post,
}

impl Address {
    /// Of a membership that ends with `leave`: see [`own::leave`](crate::event::own::leave).
    pub fn of(room_id: OwnedRoomId, leave: Outgoing) -> Self {
        let Outgoing { kind, state_key, content, sticky } = leave;
        Self { room_id, event_type: kind.to_owned(), state_key, sticky, leave: Value::Object(content) }
    }

    /// For the join in an encrypted room: `content` of [`Ask::to_http`] is then what the crypto layer made of it. Leaves go out in clear.
    pub fn encrypted(&self) -> Self {
        Self { event_type: "m.room.encrypted".to_owned(), ..self.clone() }
    }
}

/// One request to the homeserver's client API, sent with the user's access token. Deployed servers that ask for none
/// still accept it, and then limit the rate per user and not per address.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// `PUT` or `POST`.
    pub method: Method,
    /// Begins with `/_matrix`; already percent-encoded.
    pub path: String,
    /// Names and values, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Value,
}

/// What an answer means for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Scheduled under this id.
    Scheduled { delay_id: DelayId },
    /// A success without `delay_id`: the leave was sent at once.
    SentAtOnce,
    /// Success of any other request.
    Done,
    /// 429. The wait that the server asked for, if it did.
    RateLimited { retry_after: Option<Duration> },
    /// The delayed event is not known: sent, cancelled, or lost.
    Lost,
    /// It was already decided otherwise (409).
    Conflict,
    /// The server has no such endpoint, or does not do delayed events.
    Unrecognised,
    /// The delay is longer than the server takes. Its bound, if it told.
    TooLong { max: Option<Duration> },
    /// 401 or 403: this user may not.
    Forbidden,
    /// No answer in time, a broken one, or an error of the server: try again.
    Failed,
}

impl Ask {
    /// As an HTTP request. `content` is that of the member event, for [`Ask::SendJoin`] alone. `None` for what goes to the
    /// focus ([`Ask::Delegate`], [`Ask::TakeBack`]).
    pub fn to_http(&self, address: &Address, content: &Value) -> Option<Request> {
        Some(match self {
            Self::Schedule { dialect, delay, transaction } => schedule(address, *dialect, *delay, transaction),
            Self::Restart { dialect, delay_id } => manage(*dialect, delay_id.as_str(), "restart"),
            Self::Cancel { dialect, delay_id } => manage(*dialect, delay_id.as_str(), "cancel"),
            Self::SendJoin { transaction, .. } => send(address, transaction, content.clone()),
            Self::SendLeave { transaction } => send(address, transaction, address.leave.clone()),
            Self::Delegate { .. } | Self::TakeBack { .. } => return None,
        })
    }
}

/// One of `restart`, `send`, `cancel`. For the machine above, and for a focus that does it on a member's behalf.
pub fn manage(dialect: Manage, delay_id: &str, action: &str) -> Request {
    const UNSTABLE: &str = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events";
    let id = encode(delay_id);
    let (path, body) = match dialect {
        Manage::Stable => (format!("/_matrix/client/v1/delayed_events/{id}/{action}"), json!({})),
        Manage::Unstable => (format!("{UNSTABLE}/{id}/{action}"), json!({})),
        Manage::Body => (format!("{UNSTABLE}/{id}"), json!({ "action": action })),
    };
    Request { method: Method::Post, path, query: Vec::new(), body }
}

fn schedule(address: &Address, dialect: Schedule, delay: Duration, transaction: &str) -> Request {
    let base = match dialect {
        Schedule::Stable => "/_matrix/client/v3",
        Schedule::Unstable => "/_matrix/client/unstable/org.matrix.msc4140",
        Schedule::Query => {
            let mut request = send(address, transaction, address.leave.clone());
            request.query.push(("org.matrix.msc4140.delay", delay.as_millis().to_string()));
            return request;
        }
    };
    let (room, kind) = (encode(address.room_id.as_str()), encode(&address.event_type));
    let mut body = json!({ "delay_ms": millis(delay), "content": address.leave });
    if let Some(state_key) = &address.state_key {
        body["state_key"] = json!(state_key);
    }
    let path = format!("{base}/rooms/{room}/delayed_event/{kind}/{}", encode(transaction));
    Request { method: Method::Put, path, query: sticky(address), body }
}

fn send(address: &Address, transaction: &str, body: Value) -> Request {
    let (room, kind) = (encode(address.room_id.as_str()), encode(&address.event_type));
    let path = match &address.state_key {
        Some(key) => format!("/_matrix/client/v3/rooms/{room}/state/{kind}/{}", encode(key)),
        None => format!("/_matrix/client/v3/rooms/{room}/send/{kind}/{}", encode(transaction)),
    };
    Request { method: Method::Put, path, query: sticky(address), body }
}

fn sticky(address: &Address) -> Vec<(&'static str, String)> {
    let sticky = address.sticky.map(|stay| ("org.matrix.msc4354.sticky_duration_ms", stay.as_millis().to_string()));
    sticky.into_iter().collect()
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// RFC 3986 §2.3: all but unreserved characters.
fn encode(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl Answer {
    /// Reads the answer to `ask`. `retry_after` is the header, in whole seconds; the older field `retry_after_ms` of the
    /// body counts too.
    pub fn read(ask: &Ask, status: u16, retry_after: Option<&str>, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let errcode = body["errcode"].as_str().unwrap_or_default();
        let schedules = matches!(ask, Ask::Schedule { .. });
        let manages = matches!(ask, Ask::Restart { .. } | Ask::Cancel { .. });
        match status {
            200..=299 if schedules => match body["delay_id"].as_str().filter(|id| !id.is_empty()) {
                Some(id) => Self::Scheduled { delay_id: id.into() },
                None => Self::SentAtOnce,
            },
            200..=299 => Self::Done,
            429 => {
                let header = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
                let field = body["retry_after_ms"].as_u64().map(Duration::from_millis);
                Self::RateLimited { retry_after: header.or(field) }
            }
            400 if schedules => match body["org.matrix.msc4140.errcode"].as_str() {
                Some("M_MAX_DELAY_EXCEEDED") => {
                    Self::TooLong { max: body["org.matrix.msc4140.max_delay"].as_u64().map(Duration::from_millis) }
                }
                Some("M_MAX_DELAY_UNSUPPORTED") => Self::Unrecognised,
                _ if errcode == "M_UNRECOGNIZED" => Self::Unrecognised,
                _ => Self::Failed,
            },
            _ if errcode == "M_UNRECOGNIZED" => Self::Unrecognised,
            404 if manages && errcode == "M_NOT_FOUND" => Self::Lost,
            404 | 405 if schedules || manages => Self::Unrecognised,
            409 => Self::Conflict,
            401 | 403 => Self::Forbidden,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests;
