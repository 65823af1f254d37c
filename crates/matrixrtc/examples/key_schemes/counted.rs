//! Schemes that are counted and not run.

use std::time::Duration;

use super::per_sender::DELIVERY;
use crate::{Cost, Event};

/// An Olm message that holds one key: see `per_sender`.
const OLM_BYTES: u64 = 1_000;
/// `update` with the keys in use, and the same once more when the new one is used.
const ANNOUNCEMENT_BYTES: u64 = 160;
/// Between the announcement of a key and its use, in the page.
const USE_DELAY: Duration = Duration::from_secs(1);

/// One member tells the newcomer; a leave changes nothing.
pub fn one_key_kept(event: Event, _size: usize) -> Cost {
    let messages = u64::from(event == Event::Join);
    Cost { messages, bytes: messages * OLM_BYTES, sealed: messages, busiest: messages, open: DELIVERY, leaver: None }
}

/// One member, chosen alike by all, makes a new key for all at each change.
pub fn one_key_renewed(event: Event, size: usize) -> Cost {
    let messages = match event {
        Event::Join => size as u64 - 1,
        Event::Leave => size as u64 - 2,
    };
    Cost {
        messages,
        bytes: messages * OLM_BYTES,
        sealed: messages,
        busiest: messages,
        open: USE_DELAY,
        leaver: Some(USE_DELAY),
    }
}

/// A secret that all know from the link, and a salt per sender that is announced through the focus. On a leave each draws a new salt,
/// which is no obstacle to one who has the secret and hears the salts.
pub fn salts(event: Event, size: usize) -> Cost {
    let messages = match event {
        Event::Join => 1,
        Event::Leave => 2 * (size as u64 - 1),
    };
    Cost {
        messages,
        bytes: messages * ANNOUNCEMENT_BYTES,
        sealed: 0,
        busiest: messages,
        // Over the signalling connections, not over homeservers.
        open: Duration::from_millis(100),
        leaver: None,
    }
}

/// TreeKEM (RFC 9420) at its best: a full tree, no blank nodes, one committer, no conflict. Suite 1: X25519, AES-128-GCM, Ed25519.
pub fn mls(event: Event, size: usize) -> Cost {
    let members = match event {
        Event::Join => size,
        Event::Leave => size - 1,
    };
    // Nodes on the way from the committer to the root, each sealed to one node beside it.
    let path = u64::from(members.next_power_of_two().trailing_zeros());
    let node = 33 + 2 + (32 + 1 + 48 + 2);
    let leaf = 230;
    let frame = 200;
    let commit = frame + leaf + path * node;
    // A joiner gets the group's secrets, sealed to it, and the public tree: all leaves and all nodes between.
    let tree = members as u64 * leaf + (members as u64 - 1) * 70;
    let (messages, bytes, sealed) = match event {
        Event::Join => (2, commit + 340 + 450 + tree, path + 1),
        Event::Leave if members > 1 => (1, commit + 6, path),
        Event::Leave => (0, 0, 0),
    };
    // As with the others: a new key is used a moment after it was sent.
    Cost { messages, bytes, sealed, busiest: messages, open: USE_DELAY, leaver: Some(USE_DELAY) }
}
