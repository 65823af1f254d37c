//! No focus at all: members connect to each other. Meant for two; see [`crate::mesh`] for when it is used.

use serde_json::{Map, Value};

/// `full_mesh`: this member can be called directly, by to-device messages to the device of its membership.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FullMesh {
    /// Keys that are not known here.
    pub extra: Map<String, Value>,
}

impl FullMesh {
    pub const TYPE: &str = "full_mesh";
    /// As MSC4143 wants names of types that no MSC has defined.
    pub const TYPE_UNSTABLE: &str = "org.rust_sfu.full_mesh";

    pub(super) fn read(object: &Map<String, Value>) -> Self {
        let mut extra = object.clone();
        extra.remove("type");
        Self { extra }
    }

    pub(super) fn write(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("type".to_owned(), Self::TYPE.into());
        object.extend(self.extra.clone());
        object
    }
}
