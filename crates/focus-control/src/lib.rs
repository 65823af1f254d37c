//! The control plane of the `rust_sfu` focus: who is let in, which session is whose, who is told what, and which worker
//! carries which peer and track.
//!
//! Sans-IO: time, messages, replies and events are arguments, effects are values; randomness comes from one seed. It
//! never touches media, never parses SDP, and knows identities and conferences only as opaque words that it compares.
//! What a socket may send, and how often, is decided before ([`focus_signaling`]); how media is forwarded, after
//! ([`sfu_core`]).
//!
//! Start with [`Control`]; what comes out of it is in [`Output`].

mod bounds;
mod channel;
mod conference;
mod control;
mod counters;
mod denied;
mod id;
mod io;
mod origin;
mod participant;
mod pending;
mod placement;
mod quality;
mod secret;
mod session;
mod speakers;
mod tally;
mod throttle;
mod timers;
pub mod token;
mod track;
mod used_tokens;

pub use bounds::ControlBounds;
pub use control::Control;
pub use counters::{Counters, Gauges};
pub use id::{ConnectionId, Private, RequestId, WorkerId};
pub use io::{Confirmation, ControlConfig, DelegationAsker, DelegationRequest, Output, Reason, Sign, WallClock};
pub use origin::{Origin, Presence};
