//! The advertised description of a focus, the same object in member events, in `/rtc/transports` and in `.well-known`.
//!
//! It is what somebody claims: nothing here says that a focus exists or is who it says it is.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

mod full_mesh;
mod livekit;
mod rust_sfu;

pub use full_mesh::FullMesh;
pub use livekit::Livekit;
pub use rust_sfu::{MatrixAddress, RustSfu};

/// Of one transport, as JSON. Whole events are at most 65,536 bytes, and many transports fit one.
pub const TRANSPORT_BYTES_MAX: usize = 8_192;
/// Advertised by one member or one server; what follows is not looked at.
pub const TRANSPORTS_MAX: usize = 16;

/// One way to reach a member's media.
#[derive(Debug, Clone, PartialEq)]
pub enum Transport {
    RustSfu(RustSfu),
    Livekit(Livekit),
    FullMesh(FullMesh),
    /// Of a type that is not known here, or of a known one with something wrong about it. Kept word for word: its member is shown, as
    /// unreachable, and what was read can be written again.
    Unknown(Map<String, Value>),
}

/// What makes an object no transport at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    #[error("a transport is an object with a string `type`")]
    NoType,
    #[error("a transport has at most {TRANSPORT_BYTES_MAX} bytes")]
    TooLarge,
}

impl Transport {
    /// `rust_sfu`, and every other type by its own name.
    ///
    /// # Errors
    /// If it is no object with a string `type`, or too large. One that lacks what its type needs is [`Transport::Unknown`].
    pub fn parse(value: &Value) -> Result<Self, TransportError> {
        let Value::Object(object) = value else { return Err(TransportError::NoType) };
        let Some(Value::String(kind)) = object.get("type") else { return Err(TransportError::NoType) };
        if !fits(object) {
            return Err(TransportError::TooLarge);
        }
        let known = match kind.as_str() {
            RustSfu::TYPE | RustSfu::TYPE_UNSTABLE => RustSfu::read(object).map(Self::RustSfu),
            Livekit::TYPE | Livekit::TYPE_STABLE => Livekit::read(object).map(Self::Livekit),
            FullMesh::TYPE | FullMesh::TYPE_UNSTABLE => Some(Self::FullMesh(FullMesh::read(object))),
            _ => None,
        };
        Ok(known.unwrap_or_else(|| Self::Unknown(object.clone())))
    }

    pub fn to_json(&self) -> Value {
        Value::Object(match self {
            Self::RustSfu(transport) => transport.write(),
            Self::Livekit(transport) => transport.write(),
            Self::FullMesh(transport) => transport.write(),
            Self::Unknown(object) => object.clone(),
        })
    }

    /// Its type under the name that this crate uses: what `can_subscribe` holds.
    pub fn kind(&self) -> &str {
        match self {
            Self::RustSfu(_) => RustSfu::TYPE,
            Self::Livekit(_) => Livekit::TYPE,
            Self::FullMesh(_) => FullMesh::TYPE,
            Self::Unknown(object) => object.get("type").and_then(Value::as_str).unwrap_or_default(),
        }
    }

    /// Whether both describe the same focus, so that who is connected to one has reached the other. Two full meshes are the same,
    /// and so are two unknown objects with the same content.
    pub fn is_same_focus(&self, other: &Transport) -> bool {
        match (self, other) {
            (Self::RustSfu(one), Self::RustSfu(two)) => one.is_same_focus(two),
            (Self::Livekit(one), Self::Livekit(two)) => one.is_same_focus(two),
            (Self::FullMesh(_), Self::FullMesh(_)) => true,
            (Self::Unknown(one), Self::Unknown(two)) => one == two,
            _ => false,
        }
    }

    pub fn as_rust_sfu(&self) -> Option<&RustSfu> {
        match self {
            Self::RustSfu(transport) => Some(transport),
            _ => None,
        }
    }
}

/// The name of a transport's type as this crate spells it; unknown names stay.
pub fn canonical_kind(name: &str) -> &str {
    match name {
        RustSfu::TYPE_UNSTABLE => RustSfu::TYPE,
        Livekit::TYPE_STABLE => Livekit::TYPE,
        FullMesh::TYPE_UNSTABLE => FullMesh::TYPE,
        name => name,
    }
}

/// Reads a list of transports as the reference client does.
///
/// # Errors
/// If one of them is none: a list with such an entry makes the whole event invalid.
pub fn parse_list(list: &[Value]) -> Result<Vec<Transport>, TransportError> {
    list.iter().take(TRANSPORTS_MAX).map(Transport::parse).collect()
}

pub fn list_to_json(transports: &[Transport]) -> Value {
    Value::Array(transports.iter().map(Transport::to_json).collect())
}

impl Serialize for Transport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Transport {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn fits(object: &Map<String, Value>) -> bool {
    serde_json::to_vec(object).is_ok_and(|bytes| bytes.len() <= TRANSPORT_BYTES_MAX)
}

/// Takes a string out; `None` if it is absent or something else.
fn take_string(object: &mut Map<String, Value>, key: &str) -> Option<String> {
    match object.get(key) {
        Some(Value::String(_)) => match object.remove(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
