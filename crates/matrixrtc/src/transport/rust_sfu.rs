//! `rust_sfu`: a focus of this project, as `docs/rust_sfu.md` defines it.

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde_json::{Map, Value};

use super::take_string;

/// How to reach a focus, by a WebSocket, by to-device messages, or either.
#[derive(Debug, Clone, PartialEq)]
pub struct RustSfu {
    /// Of this object. A reader of version 1 understands every later one that has the same `type`.
    pub version: u64,
    /// Signalling: `wss://…/rtc/v1`. Absent for a focus without public HTTPS, which then has `matrix`.
    pub url: Option<String>,
    /// Tokens and delegation: `https://…`.
    pub service_url: Option<String>,
    /// Unpadded base64url of the Ed25519 key that signs its tokens: names the focus whatever its address is.
    pub sfu_id: Option<String>,
    /// Its device, which takes signalling by Olm-encrypted to-device messages.
    pub matrix: Option<MatrixAddress>,
    /// The homeserver that it belongs to.
    pub server_name: Option<String>,
    /// Frame formats that a publisher who announces this may use.
    pub e2ee: Vec<String>,
    /// Keys that are not known here.
    pub extra: Map<String, Value>,
}

/// A device, as the target of to-device messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MatrixAddress {
    pub user_id: OwnedUserId,
    pub device_id: OwnedDeviceId,
}

impl RustSfu {
    pub const TYPE: &str = "rust_sfu";
    /// As MSC4143 wants names of types that no MSC has defined. Read, never written.
    pub const TYPE_UNSTABLE: &str = "org.rust_sfu.rust_sfu";
    pub const VERSION: u64 = 1;

    /// With signalling over a WebSocket at `url`.
    pub fn at_url(url: impl Into<String>) -> Self {
        Self { url: Some(url.into()), ..Self::empty() }
    }

    /// With signalling by to-device messages only.
    pub fn at_device(user_id: OwnedUserId, device_id: OwnedDeviceId) -> Self {
        Self { matrix: Some(MatrixAddress { user_id, device_id }), ..Self::empty() }
    }

    fn empty() -> Self {
        Self {
            version: Self::VERSION,
            url: None,
            service_url: None,
            sfu_id: None,
            matrix: None,
            server_name: None,
            e2ee: Vec::new(),
            extra: Map::new(),
        }
    }

    /// `None` if it has no address, or one that is not what it should be.
    pub(super) fn read(object: &Map<String, Value>) -> Option<Self> {
        let mut extra = object.clone();
        extra.remove("type");
        let version = match extra.remove("version") {
            None => Self::VERSION,
            Some(version) => version.as_u64()?,
        };
        let url = take_string(&mut extra, "url");
        if url.as_deref().is_some_and(|url| !url.starts_with("wss://") && !url.starts_with("ws://")) {
            return None;
        }
        let service_url = take_string(&mut extra, "service_url");
        if service_url.as_deref().is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
            return None;
        }
        let matrix = extra.remove("matrix").map(|matrix| read_address(&matrix));
        if matrix == Some(None) || (url.is_none() && matrix.is_none()) {
            return None;
        }
        let e2ee = match extra.remove("e2ee") {
            Some(Value::Array(formats)) => formats.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        Some(Self {
            version,
            url,
            service_url,
            sfu_id: take_string(&mut extra, "sfu_id"),
            matrix: matrix.flatten(),
            server_name: take_string(&mut extra, "server_name"),
            e2ee,
            extra,
        })
    }

    pub(super) fn write(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("type".to_owned(), Self::TYPE.into());
        object.insert("version".to_owned(), self.version.into());
        let strings = [
            ("url", &self.url),
            ("service_url", &self.service_url),
            ("sfu_id", &self.sfu_id),
            ("server_name", &self.server_name),
        ];
        for (key, text) in strings {
            if let Some(text) = text {
                object.insert(key.to_owned(), text.as_str().into());
            }
        }
        if let Some(matrix) = &self.matrix {
            let mut address = Map::new();
            address.insert("user_id".to_owned(), matrix.user_id.as_str().into());
            address.insert("device_id".to_owned(), matrix.device_id.as_str().into());
            object.insert("matrix".to_owned(), Value::Object(address));
        }
        if !self.e2ee.is_empty() {
            object.insert("e2ee".to_owned(), self.e2ee.clone().into());
        }
        object.extend(self.extra.clone());
        object
    }

    /// The first of these that both have decides: `sfu_id`, `url`, `matrix`.
    pub fn is_same_focus(&self, other: &Self) -> bool {
        if let (Some(one), Some(two)) = (&self.sfu_id, &other.sfu_id) {
            return one == two;
        }
        if let (Some(one), Some(two)) = (&self.url, &other.url) {
            return one == two;
        }
        self.matrix.is_some() && self.matrix == other.matrix
    }
}

fn read_address(value: &Value) -> Option<MatrixAddress> {
    let user_id = UserId::parse(value.get("user_id")?.as_str()?).ok()?;
    let device_id = value.get("device_id")?.as_str().filter(|device| !device.is_empty())?;
    Some(MatrixAddress { user_id, device_id: <&DeviceId>::from(device_id).to_owned() })
}
