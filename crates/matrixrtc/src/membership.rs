//! One device's claim to be in a session, whatever event made it.

use ruma::{OwnedDeviceId, OwnedUserId};

/// Whose membership: nobody can have somebody else's, for the sender is part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey {
    pub user: OwnedUserId,
    pub device: OwnedDeviceId,
    /// Unique for each join in new events; `user:device` in legacy ones.
    pub member_id: String,
}

/// Normalised from one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Membership {
    pub key: MemberKey,
}
