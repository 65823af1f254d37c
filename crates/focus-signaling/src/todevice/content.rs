//! The content of one event, `org.rust_sfu.signal`, and its bounds. What it claims of its sender is not looked at here:
//! the sender is whom the Olm session belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{CONTENT_BYTES_MAX, SESSION_BYTES_MAX, WORD_BYTES_MAX};
use crate::limits::INTEGER_MAX;

/// Type of the event, inside the encryption.
pub const EVENT_TYPE: &str = "org.rust_sfu.signal";

/// A device: where an event comes from or goes to. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub user_id: String,
    pub device_id: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[device]")
    }
}

/// What a link is about: a member of a session in a room's slot. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    pub room_id: String,
    pub slot_id: String,
    pub member_id: String,
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[claims]")
    }
}

/// One event.
///
/// With `seq` it carries a message `m`, or the `close` of the link; without it, only an acknowledgement, or a `close` that
/// answers what belongs to no link.
#[derive(Clone, Serialize, Deserialize)]
pub struct Content {
    pub room_id: String,
    pub slot_id: String,
    pub member_id: String,
    /// Sender's id of the link. Random, never used twice.
    pub session: String,
    /// Receiver's id of the link, once the sender has heard it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dest_session: Option<String>,
    /// 1, 2, 3 … in each direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// All messages up to this one have come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<u64>,
    /// An envelope of the dialect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m: Option<Box<RawValue>>,
    /// The link ends: a close code of the dialect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close: Option<u16>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, ack, close, .. } = self;
        write!(f, "Content {{ seq: {seq:?}, ack: {ack:?}, close: {close:?} }}")
    }
}

/// What is no content of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    #[error("more than {CONTENT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("not the JSON of such an event")]
    Json,
    #[error("a field is empty or too long")]
    Field,
    #[error("a number without a message, or a message without a number")]
    Shape,
}

impl Content {
    /// Reads a content, as JSON.
    pub fn parse(json: &str) -> Result<Self, ContentError> {
        if json.len() > CONTENT_BYTES_MAX {
            return Err(ContentError::TooLarge);
        }
        let content: Self = serde_json::from_str(json).map_err(|_| ContentError::Json)?;
        let word = |word: &str, most: usize| !word.is_empty() && word.len() <= most;
        let words = [&content.room_id, &content.slot_id, &content.member_id];
        let sessions = [Some(&content.session), content.dest_session.as_ref()];
        let numbers = [content.seq, content.ack];
        if !words.into_iter().all(|w| word(w, WORD_BYTES_MAX))
            || !sessions.into_iter().flatten().all(|s| word(s, SESSION_BYTES_MAX))
            || !numbers.into_iter().flatten().all(|number| number <= INTEGER_MAX)
        {
            return Err(ContentError::Field);
        }
        let carries = usize::from(content.m.is_some()) + usize::from(content.close.is_some());
        match content.seq {
            Some(1..) if carries == 1 => Ok(content),
            None if content.m.is_none() => Ok(content),
            _ => Err(ContentError::Shape),
        }
    }

    /// As JSON, to be encrypted.
    pub fn to_json(&self) -> String {
        // Strings and numbers: there is nothing that cannot be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What it says that it is about.
    pub fn claims(&self) -> Claims {
        let Self { room_id, slot_id, member_id, .. } = self;
        Claims { room_id: room_id.clone(), slot_id: slot_id.clone(), member_id: member_id.clone() }
    }

    pub(super) fn is_about(&self, claims: &Claims) -> bool {
        self.room_id == claims.room_id && self.slot_id == claims.slot_id && self.member_id == claims.member_id
    }
}

#[cfg(test)]
mod tests;
