//! When there is a new key: the two policies of the field as values, and what they cost.

use std::time::Duration;

use rand::Rng;

pub use super::media_key::KeyBytes;

/// What a join, a leave and time do to our key. In both, all changes that come within one rotation make one new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// A join makes a new key, unless the present one is younger than `grace`: then the newcomer is told that one. A leave makes a
    /// new key, always. What a newcomer can open of the time before its join is `grace` at most; every join and leave costs each
    /// member a message to each other one.
    FixedGrace { grace: Duration },
    /// A newcomer is told the present key at once, and a new one comes when the call can afford it: after a window that grows
    /// with the square of the call, [`window`](Self::window). What a newcomer can open of the time before its join is bounded by
    /// the window and [`SenderConfig::ttl`].
    Scaled {
        /// To-device messages that the whole call may cause in a minute by rotating. 6000 in the field.
        per_minute: u32,
        leaves: Leaves,
    },
}

/// What [`Policy::Scaled`] does when a member leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// A new key at once: it is never in use later than the use delay after the leave.
    AtOnce,
    /// A new key when the window allows, as deployed clients do. One who left can go on listening for up to twice the window and
    /// the use delay: 50 s in a call of 50, more than three minutes in one of 100 (`docs/key-schemes.md`).
    Window,
}

impl Policy {
    /// Ten seconds of grace: the reference client's until July 2026.
    pub const FIXED: Self = Self::FixedGrace { grace: Duration::from_secs(10) };
    /// The reference client's since August 2026, but that leaves do not wait.
    pub const SCALED: Self = Self::Scaled { per_minute: 6000, leaves: Leaves::AtOnce };

    /// How far apart rotations are for the call's size: *n* members send *n* − 1 messages each.
    pub fn window(&self, members: usize) -> Duration {
        match *self {
            Self::FixedGrace { .. } => Duration::ZERO,
            Self::Scaled { per_minute, .. } => {
                let messages = (members as u64).saturating_mul(members.saturating_sub(1) as u64);
                Duration::from_millis(messages.saturating_mul(60_000) / u64::from(per_minute.max(1)))
            }
        }
    }

    /// Members must not rotate all at the same moment: between nothing and twice the window.
    pub(super) fn jittered(&self, members: usize, rng: &mut impl Rng) -> Duration {
        self.window(members).mul_f64(rng.random::<f64>() * 2.0)
    }

    pub(super) fn leaves_wait(&self) -> bool {
        matches!(self, Self::Scaled { leaves: Leaves::Window, .. })
    }
}

/// How we keep our keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderConfig {
    pub policy: Policy,
    /// Between the sending of a key and its use, so that it has arrived by then. One who left can listen for so long. One second
    /// in deployed clients, five in MSC4143.
    pub use_delay: Duration,
    pub key_bytes: KeyBytes,
    /// No key is used much longer than this. `None`: as long as nobody joins or leaves.
    pub ttl: Option<Duration>,
    /// On a join, ratchet our key and tell the newcomer alone, instead of making a new one. All receivers must be able to
    /// follow: those that do not find a frame's key try the next steps, up to [`RATCHETS_MAX`](super::sender::RATCHETS_MAX).
    pub ratchet: bool,
}

impl SenderConfig {
    pub fn new(policy: Policy) -> Self {
        let ttl = matches!(policy, Policy::Scaled { .. }).then_some(Duration::from_secs(15 * 60));
        Self { policy, use_delay: Duration::from_secs(1), key_bytes: KeyBytes::Interop, ttl, ratchet: false }
    }
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self::new(Policy::FIXED)
    }
}
