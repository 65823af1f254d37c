//! Ringing: who is rung and for how long, on both sides. Events in, what to show and to send out.
//!
//! [`Incoming`] is the one who is called, [`Outgoing`] the one who calls. Neither joins or leaves a call, and neither trusts a clock
//! of others further than [`CLOCK_SKEW_MAX`](crate::event::notification::CLOCK_SKEW_MAX).

mod incoming;
mod outgoing;

pub use incoming::{Incoming, Ring, RingEnd};
pub use outgoing::{Outcome, Outgoing, is_first};

#[cfg(test)]
mod tests;

#[cfg(test)]
mod golden;
