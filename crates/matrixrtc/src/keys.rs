//! Media keys of a session: each member has its own, and sends it to all others in Olm-encrypted to-device messages.
//!
//! [`Sender`] owns our keys: when there is a new one, who is told, and from when it is used. [`Receiver`] owns the keys of the
//! others: whose they are, and which are refused. [`Asker`] says when to ask for one that was lost. None encrypts anything, media or
//! messages.
//!
//! What holds, whatever order joins and leaves come in: a member that left never holds a key that is used later than the use delay
//! after its leave was seen. A member that joins can open what was sent before by no more than the policy says: see [`Policy`].

pub mod asker;
mod media_key;
mod policy;
pub mod receiver;
pub mod sender;

use ruma::OwnedDeviceId;

pub use self::asker::Asker;
pub use self::media_key::MediaKey;
pub use self::policy::{KeyBytes, Leaves, Policy, SenderConfig};
pub use self::receiver::{KeyRefusal, Origin, Receiver, ReceiverConfig, RemoteKey};
pub use self::sender::{KeySend, Output, Sender, SenderCounters, UseKey};

use crate::membership::MemberKey;
use crate::time::Timestamp;

/// Members of a session that keys are kept for, ours not counted. What is beyond gets no keys: it would be a call that no
/// client can show, and every one of them costs a message per rotation.
pub const MEMBERS_MAX: usize = 1024;

/// A member, and the join that it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    pub member: MemberKey,
    /// The membership's own time ([`Membership::created_at`](crate::Membership)). If it changes, the member has joined anew, and has
    /// lost its keys.
    pub joined_at: Timestamp,
}

/// A device's messages come under its verified name; a member is that device's if its event says so.
type DeviceKey = (ruma::OwnedUserId, OwnedDeviceId);

fn device_of(member: &MemberKey) -> DeviceKey {
    (member.user.clone(), member.device.clone())
}

#[cfg(test)]
mod golden;
