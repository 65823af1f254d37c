//! The native signalling dialect `rust-sfu.v1`: what one client and this focus say to each other.
//!
//! This crate owns the messages ([`wire`]), how they stand in a text frame ([`envelope`]), what is refused and with
//! which words ([`limits`], [`errcode`], [`close_code`]), and the machine for one socket ([`connection`]).
//! It never opens a socket, reads a clock, verifies a token or looks into an SDP further than counting its m-lines:
//! what a message means is decided by whoever drives [`Connection`]. `docs/signalling.md` describes the dialect.

pub mod channel;
pub mod close_code;
pub mod connection;
pub mod envelope;
pub mod errcode;
pub mod limits;
pub mod todevice;
pub mod wire;

mod check;
mod path;
mod redact;

pub use close_code::CloseCode;
pub use connection::{Connection, Output, Queued, Reason};
pub use envelope::{Envelope, ParseError};
pub use errcode::Errcode;

#[cfg(test)]
mod golden_tests;
