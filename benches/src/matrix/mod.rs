//! Participants that are users of real homeservers: they log in, share an encrypted room, publish their member events, give each
//! other keys over Olm, get their tokens as Matrix wants it, and encrypt what they send.
//!
//! It is a client like any other: it shares `matrixrtc` with the focus, but neither its signalling nor its media code.

mod account;
mod actor;
mod asking;
mod attacks;
mod device;
mod directory;
mod door;
mod focus;
mod homeserver;
mod http;
mod keys;
mod loan;
mod own;
mod post;
mod ring;
mod room;
mod scenario;
mod seal;
mod setup;
mod sframe;
mod sticky;
mod sync;
mod weather;

pub use door::Door;
pub use scenario::run as run_scenario;
