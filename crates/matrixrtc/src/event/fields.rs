//! Reads of single fields, with the reference client's idea of what is optional.

use serde_json::{Map, Value};

use super::{Leave, Refusal};

/// Of ids and names that others choose.
pub(super) const TEXT_BYTES_MAX: usize = 255;
/// Of lists of names.
const TEXTS_MAX: usize = 32;

pub(super) fn text<'a>(content: &'a Map<String, Value>, key: &'static str) -> Result<&'a str, Refusal> {
    optional_text(content, key)?.ok_or(Refusal::BadField(key))
}

pub(super) fn optional_text<'a>(
    content: &'a Map<String, Value>,
    key: &'static str,
) -> Result<Option<&'a str>, Refusal> {
    match content.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= TEXT_BYTES_MAX => Ok(Some(text)),
        Some(_) => Err(Refusal::BadField(key)),
    }
}

pub(super) fn optional_millis(content: &Map<String, Value>, key: &'static str) -> Result<Option<u64>, Refusal> {
    match content.get(key) {
        None => Ok(None),
        // Numbers of JavaScript may come with a fraction.
        Some(number) => match number.as_u64().or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64)) {
            Some(millis) => Ok(Some(millis)),
            None => Err(Refusal::BadField(key)),
        },
    }
}

pub(super) fn object<'a>(
    content: &'a Map<String, Value>,
    key: &'static str,
) -> Result<&'a Map<String, Value>, Refusal> {
    match content.get(key) {
        Some(Value::Object(object)) => Ok(object),
        _ => Err(Refusal::BadField(key)),
    }
}

/// A list of names; `None` if it is absent.
pub(super) fn optional_texts(content: &Map<String, Value>, key: &'static str) -> Result<Option<Vec<String>>, Refusal> {
    match content.get(key) {
        None => Ok(None),
        Some(Value::Array(list)) => {
            let texts = list.iter().take(TEXTS_MAX).map(|text| match text {
                Value::String(text) if text.len() <= TEXT_BYTES_MAX => Ok(text.clone()),
                _ => Err(Refusal::BadField(key)),
            });
            texts.collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(Refusal::BadField(key)),
    }
}

/// `leave_reason`, in any of its forms. Nobody stays because this is malformed.
pub(super) fn leave(content: &Map<String, Value>) -> Leave {
    let short = |value: Option<&Value>| {
        value.and_then(Value::as_str).filter(|text| text.len() <= TEXT_BYTES_MAX).map(str::to_owned)
    };
    match content.get("leave_reason") {
        Some(Value::Object(reason)) => Leave { code: short(reason.get("code")), reason: short(reason.get("reason")) },
        code => Leave { code: short(code), reason: None },
    }
}
