//! One message in one text frame: `{"t": type, "id": number?, "re": number?, "b": {…}}`.
//!
//! Reading has two stages, so that a broken body does not hide the number of the request that it belongs to:
//! first the envelope, with everything in it still raw, then the body by its type.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{check, errcode::Errcode, limits::INTEGER_MAX, path, wire::*};

/// A message with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Envelope<M> {
    /// Numbers a request; whatever answers it repeats the number in `re`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The request that this answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub re: Option<u64>,
    #[serde(flatten)]
    pub message: M,
}

/// A text that is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct ParseError {
    /// `id` of the message, where it could be read: the `re` of the error that answers it.
    pub re: Option<u64>,
    pub code: Errcode,
    /// For a developer; names the field.
    pub detail: String,
}

impl Envelope<ClientMessage> {
    /// What the focus reads. `None`: a message of a type that is not known and not critical, to be ignored.
    pub fn parse(text: &str, limits: &Limits) -> Result<Option<Self>, ParseError> {
        let Some(envelope) = parse_typed(text, client_body)? else { return Ok(None) };
        match check::check(&envelope.message, limits) {
            Ok(()) => Ok(Some(envelope)),
            Err(check::FieldError { code, field, problem }) => {
                Err(ParseError { re: envelope.id, code, detail: format!("b.{field}: {problem}") })
            }
        }
    }
}

impl Envelope<ServerMessage> {
    /// What a client written in Rust reads, such as a test or a load generator. It trusts its focus: no bounds.
    pub fn parse(text: &str) -> Result<Option<Self>, ParseError> {
        parse_typed(text, server_body)
    }
}

impl<M: Serialize> Envelope<M> {
    /// The text frame.
    pub fn to_text(&self) -> String {
        // Only a map with keys that are no strings, or a failing `Serialize`, can fail here, and the wire has neither.
        serde_json::to_string(self).unwrap_or_else(|error| {
            debug_assert!(false, "a message must serialise: {error}");
            r#"{"t":"error","b":{"errcode":"M_UNKNOWN","error":"a message could not be written"}}"#.to_owned()
        })
    }
}

/// The `id` of a message that is not read any further.
pub(crate) fn read_id(text: &str) -> Option<u64> {
    let raw: RawEnvelope<'_> = serde_json::from_str(text).ok()?;
    parse_number(raw.id, "id", None).ok().flatten()
}

#[derive(Deserialize)]
struct RawEnvelope<'a> {
    #[serde(borrow, default)]
    t: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    re: Option<&'a RawValue>,
    #[serde(borrow, default)]
    b: Option<&'a RawValue>,
}

type BodyParser<M> = fn(&str, &str) -> Option<serde_json::Result<M>>;

fn parse_typed<M>(text: &str, parse_body: BodyParser<M>) -> Result<Option<Envelope<M>>, ParseError> {
    let raw = parse_raw(text)?;
    let id = parse_number(raw.id, "id", None)?;
    let re = parse_number(raw.re, "re", id)?;
    let bad = |detail: String| ParseError { re: id, code: Errcode::BadJson, detail };
    let t = raw.t.ok_or_else(|| bad("t: missing".into()))?;
    let t: String = serde_json::from_str(t.get()).map_err(|error| body_error(id, "t", t.get(), &error))?;
    let body = raw.b.map_or("null", RawValue::get);
    match parse_body(&t, body) {
        Some(_) if !is_object(body) => Err(bad("b: missing, or not an object".into())),
        Some(Ok(message)) => Ok(Some(Envelope { id, re, message })),
        Some(Err(error)) => Err(body_error(id, "b", body, &error)),
        None if is_critical(body) => {
            Err(ParseError { re: id, code: Errcode::Unrecognized, detail: format!("t: unknown type {t:?}") })
        }
        None => Ok(None),
    }
}

fn parse_raw(text: &str) -> Result<RawEnvelope<'_>, ParseError> {
    // Derived readers take a list for an object, field by field, which the dialect does not.
    if is_object(text)
        && let Ok(raw) = serde_json::from_str(text)
    {
        return Ok(raw);
    }
    // Only a second look tells JSON of the wrong shape, such as `[1]`, from what is no JSON, such as `[1`.
    let (code, detail) = match serde_json::from_str::<&RawValue>(text) {
        Err(error) => (Errcode::NotJson, error.to_string()),
        Ok(_) if !is_object(text) => (Errcode::BadJson, "a message is an object".to_owned()),
        Ok(_) => (Errcode::BadJson, "a field of the envelope is there twice".to_owned()),
    };
    Err(ParseError { re: None, code, detail })
}

fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

fn parse_number(raw: Option<&RawValue>, field: &str, re: Option<u64>) -> Result<Option<u64>, ParseError> {
    let Some(raw) = raw else { return Ok(None) };
    match serde_json::from_str::<u64>(raw.get()) {
        Ok(number) if number <= INTEGER_MAX => Ok(Some(number)),
        _ => Err(ParseError {
            re,
            code: Errcode::BadJson,
            detail: format!("{field}: must be an integer from 0 to 2^53 - 1"),
        }),
    }
}

/// All that is looked for in a body whose type is not known.
fn is_critical(body: &str) -> bool {
    #[derive(Deserialize)]
    struct UnknownBody {
        #[serde(default)]
        critical: bool,
    }
    is_object(body) && serde_json::from_str(body).is_ok_and(|unknown: UnknownBody| unknown.critical)
}

/// An error of the typed stage. The text was JSON as far as the first stage looks, which is not into escapes.
fn body_error(re: Option<u64>, root: &str, json: &str, error: &serde_json::Error) -> ParseError {
    let code = if error.is_data() { Errcode::BadJson } else { Errcode::NotJson };
    let path = path::at(json, error.line(), error.column());
    let dot = if path.is_empty() { "" } else { "." };
    ParseError { re, code, detail: format!("{root}{dot}{path}: {}", without_position(error)) }
}

/// The position counts from the beginning of the body, which the reader of the error does not know.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

fn client_body(t: &str, b: &str) -> Option<serde_json::Result<ClientMessage>> {
    Some(match t {
        "hello" => typed(b, ClientMessage::Hello),
        "offer" => typed(b, ClientMessage::Offer),
        "candidate" => typed(b, ClientMessage::Candidate),
        "subscribe" => typed(b, ClientMessage::Subscribe),
        "mute" => typed(b, ClientMessage::Mute),
        "announce" => typed(b, ClientMessage::Announce),
        "keyframe" => typed(b, ClientMessage::Keyframe),
        "delegate_leave" => typed(b, ClientMessage::DelegateLeave),
        "take_back_leave" => typed(b, ClientMessage::TakeBackLeave),
        "ping" => typed(b, ClientMessage::Ping),
        "leave" => typed(b, ClientMessage::Leave),
        _ => return None,
    })
}

fn server_body(t: &str, b: &str) -> Option<serde_json::Result<ServerMessage>> {
    Some(match t {
        "welcome" => typed(b, ServerMessage::Welcome),
        "answer" => typed(b, ServerMessage::Answer),
        "candidate" => typed(b, ServerMessage::Candidate),
        "participant" => typed(b, ServerMessage::Participant),
        "subscribed" => typed(b, ServerMessage::Subscribed),
        "mute" => typed(b, ServerMessage::Mute),
        "speakers" => typed(b, ServerMessage::Speakers),
        "quality" => typed(b, ServerMessage::Quality),
        "delegated" => typed(b, ServerMessage::Delegated),
        "pong" => typed(b, ServerMessage::Pong),
        "move" => typed(b, ServerMessage::Move),
        "leave" => typed(b, ServerMessage::Leave),
        "error" => typed(b, ServerMessage::Error),
        _ => return None,
    })
}

fn typed<B: DeserializeOwned, M>(b: &str, message: fn(B) -> M) -> serde_json::Result<M> {
    serde_json::from_str(b).map(message)
}

#[cfg(test)]
mod tests;
