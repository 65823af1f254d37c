//! MatrixRTC without IO: who is in which call, over which focus, with which keys, derived from Matrix events.
//!
//! Nothing in here opens a socket, reads a clock or spawns a task: events, time and randomness go in, state and requests
//! come out. It names no media type. Events of every wire version in the field are normalised into one [`Membership`].

pub mod delayed_leave;
pub mod discovery;
pub mod event;
pub mod focus_selection;
pub mod history;
pub mod identity;
pub mod keys;
mod membership;
pub mod mesh;
pub mod reachability;
pub mod reactions;
pub mod ringing;
pub mod session;
mod slot;
mod time;
pub mod transport;

#[cfg(test)]
mod testing;

pub use discovery::Discovery;
pub use event::{Claim, Join, Leave, Outgoing, Profile, Refusal, RoomEvent};
pub use focus_selection::FocusSelection;
pub use membership::{DeviceFrom, Form, MemberKey, Membership};
pub use session::{Change, LeftReason, Session};
pub use slot::{BadSlotId, SLOT_ID_BYTES_MAX, SlotId};
pub use time::{Clock, Timestamp};
pub use transport::Transport;
