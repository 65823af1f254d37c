//! Where a participant comes from, in the words of whoever authorised it. They are counted and handed back, never shown.

use crate::id::Private;

/// What a token says of its holder beside who it is: three words that the control plane only compares, and a right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The person; one person may have several identities (devices).
    pub user: Private,
    /// The server that answers for the person.
    pub server: Private,
    /// The room that the conference belongs to; one room may have several conferences.
    pub room: Private,
    /// Whether the holder may begin the conference. Otherwise it must be there already.
    pub create: bool,
}

impl Origin {
    pub fn new(user: &str, server: &str, room: &str, create: bool) -> Self {
        let word = |text: &str| Private(text.to_owned());
        Self { user: word(user), server: word(server), room: word(room), create }
    }
}

/// One who is there and whose token told its origin: for those who watch whether it may stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    pub conference: Private,
    pub identity: Private,
    pub origin: Origin,
}
