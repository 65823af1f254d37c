//! MatrixRTC without IO: who is in which call, over which focus, with which keys, derived from Matrix events.
//!
//! Nothing in here opens a socket, reads a clock or spawns a task: events, time and randomness go in, state and requests
//! come out. It names no media type. Events of every wire version in the field are normalised into one [`Membership`].

pub mod identity;
mod membership;

pub use membership::{MemberKey, Membership};
