//! What happens in a session, as its members and its history see it.

use crate::event::{Leave, Refusal};
use crate::membership::Membership;
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Joined(Membership),
    /// Also when only the event is another, or its end.
    Updated {
        before: Membership,
        now: Membership,
    },
    Left {
        /// As it was last.
        membership: Membership,
        reason: LeftReason,
        /// When, by the clock of whoever made it so: the same for all who see it.
        at: Timestamp,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftReason {
    /// It said so. [`Leave::is_delayed`]: rather, it stopped to say that it was alive.
    Said(Leave),
    /// It was not renewed.
    Expired,
    /// A moderator, or its sender, redacted the event.
    Redacted,
    /// The user left the room, or was made to.
    NotInRoom,
    SlotClosed,
    /// The same device joined anew, under another member id.
    Replaced,
    /// Its newest event makes no sense.
    Spoilt(Refusal),
}
