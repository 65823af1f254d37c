//! The dialect over Matrix to-device messages: a focus without a public address for HTTPS is reached so.
//!
//! To-device messages come late, twice, in another order, or not at all, homeservers refuse large ones, and each costs a
//! round through two of them. So only what it takes to open a data channel goes this way; the rest of the dialect follows over
//! the channel ([`crate::channel`]). This module owns the content of the events ([`content`]), the [`Link`] that makes of them
//! an ordered stream, and both ends of it: [`Server`] for a focus with many devices, [`Client`] for one member.
//!
//! It never encrypts: whoever drives it hands in only what came Olm-encrypted from a device that it names, and encrypts what
//! comes out for exactly that device.

pub mod client;
pub mod content;
pub mod link;
pub mod server;

pub use client::Client;
pub use content::{Address, Claims, Content, ContentError, EVENT_TYPE};
pub use link::Link;
pub use server::{LinkId, Server};

use std::time::Duration;

/// Largest content of one event, in bytes of JSON. Encrypted it has about 32 KiB, half of the 64 KiB from which homeservers
/// refuse. (Calculated, not measured: base64 makes four thirds of it and of the 1 KiB that Olm and its envelope add.)
pub const CONTENT_BYTES_MAX: usize = 22 * 1024;
/// Largest message of a client. An offer of a data channel has 1 KiB; one that restarts ICE names all m-lines again.
pub const MESSAGE_BYTES_MAX: usize = 20 * 1024;
/// A room, slot or member id: Matrix bounds ids to so many bytes.
pub const WORD_BYTES_MAX: usize = 255;
/// A session id: a random one of 128 bits has 22 characters.
pub const SESSION_BYTES_MAX: usize = 32;
/// Messages that were not acknowledged, and messages that came before an earlier one. A join makes four.
pub const WINDOW: usize = 16;
/// A message is sent again after these times since it was sent last.
pub const RETRANSMIT: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(4)];
/// A message that was not acknowledged for so long is given up, and the link with it.
pub const GIVE_UP: Duration = Duration::from_secs(15);
/// An acknowledgement waits so long for a message that can carry it.
pub const ACK_DELAY: Duration = Duration::from_millis(250);
/// Events a second that one device may send for ever, in bursts of two seconds' worth. A join makes six.
pub const EVENTS_PER_SECOND: u32 = 10;
/// Links of one device at a time: one, and one that begins while the other still ends.
pub const LINKS_PER_DEVICE_MAX: usize = 4;
/// Ended links that a device's late and repeated messages are known by.
pub const ENDED_PER_DEVICE_MAX: usize = 32;
/// Devices that are remembered. One without a link gives way.
pub const DEVICES_MAX: usize = 4096;

/// Close code of a link that the other side does not know: the focus, or the client, began anew (RFC 6455 §7.4.1).
pub const GOING_AWAY: u16 = 1001;

#[cfg(test)]
mod test_time;
