//! MatrixRTC without IO: who is in which call, over which focus, with which keys, derived from Matrix events.
//!
//! Nothing in here opens a socket, reads a clock or spawns a task: events, time and randomness go in, state and requests
//! come out. It names no media type. Events of every wire version in the field are normalised into one [`Membership`].
//!
//! # For the author of a client
//!
//! 1. [`Discovery`] asks the homeserver, then `.well-known`, then configuration where to publish to.
//! 2. [`delayed_leave`] leaves a last will at the homeserver, so that one who dies does not stay as a ghost.
//! 3. [`Join`] says what one is; [`event::own`] makes events of it, as room state or as sticky events ([`MemberFormat`]), for
//!    all clients or for those that know `rust_sfu` ([`Profile`]).
//! 4. [`Session`] takes every event of the room and says who joins and leaves. The call *is* its members.
//! 5. [`mesh::decide`] says whether two connect to each other, [`reachability::paths`] where each member's media are, or
//!    why they cannot be reached. [`MemberKey::identity`] is what a focus calls them.
//! 6. [`keys`] says which media key to use and to send to whom; [`ringing`], [`reactions`] and [`history`] are the rest of what
//!    people expect of a call.
//!
//! Machines have one grammar: `handle_*` takes what happened outside, plain verbs are one's own orders, `poll_output` gives what is
//! to be done until it returns a deadline, at which `handle_timeout` is called. `now` is an argument everywhere.
//!
//! ```
//! use std::time::Instant;
//!
//! use matrixrtc::session::{Options, Output};
//! use matrixrtc::{Change, RoomEvent, Session, Timestamp};
//!
//! # let (now, wall) = (Instant::now(), Timestamp::from_millis(1_750_000_000_000));
//! let mut session = Session::new(Options::default(), now, wall);
//! let in_room = serde_json::json!({
//!     "type": "m.room.member", "event_id": "$1", "sender": "@alice:example.org", "state_key": "@alice:example.org",
//!     "origin_server_ts": 1_750_000_000_000_u64, "content": {"membership": "join"},
//! });
//! let in_call = serde_json::json!({
//!     "type": "org.matrix.msc3401.call.member", "event_id": "$2", "sender": "@alice:example.org",
//!     "state_key": "_@alice:example.org_PHONE_m.call", "origin_server_ts": 1_750_000_000_000_u64,
//!     "content": {
//!         "application": "m.call", "call_id": "", "scope": "m.room", "device_id": "PHONE", "expires": 14_400_000,
//!         "focus_active": {"type": "livekit", "focus_selection": "multi_sfu"}, "foci_preferred": [],
//!     },
//! });
//! for event in [in_room, in_call] {
//!     session.handle_event(now, &RoomEvent::from_json(&event)?);
//! }
//! assert!(matches!(session.poll_output(), Output::Changed(Change::Joined(alice)) if alice.key.device == "PHONE"));
//! assert!(matches!(session.poll_output(), Output::Timeout(Some(_))), "when her membership expires");
//! # Ok::<(), matrixrtc::event::NotAnEvent>(())
//! ```
//!
//! # What it holds on to
//!
//! * Nobody can change what is said about anybody else: not by a state key, not by a name in the content, not by a device id.
//! * Everybody who has the same events derives the same session, the same order and the same foci, whatever came first.
//! * Nobody is hidden: who cannot be reached is a member with a reason ([`reachability::Why`]).
//! * What strangers send is bounded, counted by reason ([`Refusal`]) and never a panic.
//!
//! `golden/` has one file per kind of event with what it means, and `golden/session/` short histories with what a session makes of
//! them: implementations in other languages run the same files.

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

pub use ruma;

pub use discovery::Discovery;
pub use event::{Claim, Join, Leave, MemberFormat, Outgoing, Profile, Refusal, RoomEvent};
pub use focus_selection::FocusSelection;
pub use membership::{DeviceFrom, Form, MemberKey, Membership};
pub use session::{Change, LeftReason, Session};
pub use slot::{BadSlotId, SLOT_ID_BYTES_MAX, SlotId};
pub use time::{Clock, Timestamp};
pub use transport::Transport;
