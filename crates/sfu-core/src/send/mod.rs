//! The subscriber's side of a peer: what leaves for it, under which numbers, and what of it can be sent again.
//!
//! One [`Sender`] per m-line that the client receives on. A packet costs 28 bytes of [`history`]; its payload stays in
//! the ring of its publisher's layer. Everything is sealed straight into the batch that the kernel gets.

pub mod history;
pub mod sender;

pub use sender::{Outgoing, Sender, SenderLine};
