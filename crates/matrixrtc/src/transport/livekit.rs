//! A LiveKit server behind its token service (MSC4195), in the deployed form and the newest.

use serde_json::{Map, Value};

use super::take_string;

/// `livekit`: has a `service_url`, a `url`, or both.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Livekit {
    /// `livekit_service_url`: where tokens are given out. All deployed clients need it.
    pub service_url: Option<String>,
    /// `livekit_alias`: the room's name there. Matrix clients built on ruma show a legacy member as left whose entry lacks it.
    pub alias: Option<String>,
    /// `url` of the newest form: `wss://…`.
    pub url: Option<String>,
    /// Keys that are not known here.
    pub extra: Map<String, Value>,
}

impl Livekit {
    pub const TYPE: &str = "livekit";
    pub const TYPE_STABLE: &str = "m.livekit";

    pub(super) fn read(object: &Map<String, Value>) -> Option<Self> {
        let mut extra = object.clone();
        extra.remove("type");
        let service_url = take_string(&mut extra, "livekit_service_url");
        let alias = take_string(&mut extra, "livekit_alias");
        let url = take_string(&mut extra, "url");
        (service_url.is_some() || url.is_some()).then_some(Self { service_url, alias, url, extra })
    }

    pub(super) fn write(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("type".to_owned(), Self::TYPE.into());
        let strings = [("livekit_service_url", &self.service_url), ("livekit_alias", &self.alias), ("url", &self.url)];
        for (key, text) in strings {
            if let Some(text) = text {
                object.insert(key.to_owned(), text.as_str().into());
            }
        }
        object.extend(self.extra.clone());
        object
    }

    pub(super) fn is_same_focus(&self, other: &Self) -> bool {
        match (&self.service_url, &other.service_url) {
            (Some(one), Some(two)) => one == two,
            _ => self.url.is_some() && self.url == other.url,
        }
    }
}
