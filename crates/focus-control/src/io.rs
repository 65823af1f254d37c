//! Everything that comes out of a [`Control`](crate::Control), and the configuration that goes in.

use std::time::{Duration, Instant};

use focus_signaling::CloseCode;
use focus_signaling::wire::{DelegateLeave, LeaveReason, ServerMessage};
use sfu_core::ParticipantId;

use crate::bounds::ControlBounds;
use crate::id::{ConnectionId, RequestId, WorkerId};
use crate::origin::{Origin, Presence};
use crate::pending::Asker;
use crate::token;

/// Configuration of one control plane.
pub struct ControlConfig {
    /// Identity of the focus; issuer and audience of its tokens.
    pub focus: String,
    /// Number of media workers. 0 counts as 1.
    pub workers: usize,
    /// Participants of a conference on its home worker before it spreads over the others.
    pub spread_at: usize,
    /// Where session, participant and track ids and the secrets come from.
    pub seed: [u8; 32],
    /// `None`: nobody is let in.
    pub verifier: Option<token::Verifier>,
    pub clock: WallClock,
    pub bounds: ControlBounds,
}

/// What the time of day was at some instant; tokens are dated in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    pub instant: Instant,
    /// Since 1970-01-01T00:00:00Z.
    pub unix: Duration,
}

impl WallClock {
    pub(crate) fn at(&self, now: Instant) -> Duration {
        match now.checked_duration_since(self.instant) {
            Some(later) => self.unix + later,
            None => self.unix.saturating_sub(self.instant - now),
        }
    }
}

/// One effect.
#[derive(Debug)]
pub enum Output {
    /// `re`: the client's request that this answers.
    Send {
        connection: ConnectionId,
        re: Option<u64>,
        message: ServerMessage,
    },
    /// Comes after the last `Send` for the connection.
    Close {
        connection: ConnectionId,
        code: CloseCode,
    },
    /// Commands for one worker are in order and must stay so. Each is answered by one `handle_reply`.
    Command {
        worker: WorkerId,
        request: RequestId,
        command: sfu_core::Command,
    },
    /// For whoever looks after last wills: a request of a participant that may publish. Answered by
    /// [`Control::delegated`](crate::Control::delegated).
    Delegate {
        asker: DelegationAsker,
        request: DelegationRequest,
    },
    /// For the same: a sign of life, or of its end. Only after [`Control::report_presence`](crate::Control::report_presence).
    Presence {
        participant: ParticipantId,
        sign: Sign,
    },
    /// One whose token told its origin was let in. Followed by one `Departed`, whatever ends its stay.
    Arrived(Presence),
    Departed(Presence),
    /// One whose token is not quite new wants to join: does what it told of its holder still hold? For whoever authorises, who
    /// answers by one [`Control::handle_confirmed`](crate::Control::handle_confirmed), the sooner the better: no media before.
    /// Only after [`Control::confirm_joins`](crate::Control::confirm_joins).
    Confirm {
        connection: ConnectionId,
        origin: Origin,
    },
    /// No session is left, or the drain's deadline has passed. Once.
    Drained,
    /// Nothing more to do before this time, unless something comes in. `None`: nothing at all.
    Timeout(Option<Instant>, Reason),
}

/// Whom to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelegationAsker {
    pub participant: ParticipantId,
    pub(crate) asker: Asker,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DelegationRequest {
    Delegate(DelegateLeave),
    TakeBack,
}

/// What became of a question about the holder of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// The user is in the room now.
    Holds,
    /// It is not, or nobody sees the room any more.
    Fails,
    /// Nobody answers who could tell.
    Unknown,
}

/// What is seen of a participant.
#[derive(Clone, PartialEq, Eq)]
pub enum Sign {
    /// It is there. Both words are the outside's.
    Joined { conference: String, identity: String },
    /// It said something.
    Heard,
    /// So long ago the last datagram came on its media connection, which is up.
    Media { quiet: Duration },
    /// Its session is over. `None`: the focus drains, which says nothing about the participant.
    Ended(Option<LeaveReason>),
}

/// The words of `Joined` stay out of logs.
impl std::fmt::Debug for Sign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Joined { .. } => f.write_str("Joined"),
            Self::Heard => f.write_str("Heard"),
            Self::Media { quiet } => f.debug_struct("Media").field("quiet", quiet).finish(),
            Self::Ended(reason) => f.debug_tuple("Ended").field(reason).finish(),
        }
    }
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No deadline.
    Idle,
    /// A session without a socket ends.
    Resume,
    /// A join is waiting for a word about it.
    Confirm,
    /// A connection over a data channel is waited for.
    Channel,
    /// A speakers message was held back.
    Speakers,
    /// A quality message was held back.
    Quality,
    /// The drain's deadline.
    Drain,
    /// A used token's id can be forgotten.
    Tokens,
}
