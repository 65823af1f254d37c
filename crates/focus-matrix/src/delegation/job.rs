//! One will, from the question whether it can be held to its end.

use std::time::Instant;

use super::presence::Presence;
use super::servers::Urgency;
use super::{AskId, SessionNumber, Timing, Will};

/// Where a will is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is restarted for the first time, once it is known that its homeserver lets us.
    Proving { session: SessionNumber, request: u64 },
    /// Ours.
    Held { restart_at: Instant, tries: u32 },
    /// The member is lost, or has left: the leave is sent, again and again.
    Sending { cause: Cause, next_at: Instant, tries: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Silent for too long. It may still come back, as long as the leave was not sent.
    Lost,
    Left,
}

pub(super) struct Job {
    pub(super) will: Will,
    pub(super) phase: Phase,
    pub(super) presence: Presence,
    /// A question waits for its homeserver.
    pub(super) queued: bool,
    /// The question that is on its way.
    pub(super) asked: Option<AskId>,
    /// Its entry in the machine's timers.
    pub(super) timer: Option<Instant>,
}

impl Job {
    pub(super) fn new(will: Will, now: Instant) -> Self {
        let phase = Phase::Held { restart_at: now, tries: 0 };
        Self { will, phase, presence: Presence::default(), queued: false, asked: None, timer: None }
    }

    /// Finds out whether the member is lost, or there again.
    pub(super) fn look(&mut self, now: Instant, timing: &Timing) {
        let lost = self.presence.is_lost(now, timing.loss);
        match self.phase {
            Phase::Held { .. } if lost => {
                self.phase = Phase::Sending { cause: Cause::Lost, next_at: now, tries: 0 };
            }
            // It came back before the homeserver could be told. One that is on its way decides itself.
            Phase::Sending { cause: Cause::Lost, .. } if !lost && self.asked.is_none() => {
                self.phase = Phase::Held { restart_at: now, tries: 0 };
            }
            _ => {}
        }
    }

    /// What is to be asked, once it is due.
    pub(super) fn urgency(&self) -> Urgency {
        match self.phase {
            Phase::Sending { .. } => Urgency::Send,
            Phase::Proving { .. } => Urgency::Prove,
            Phase::Held { .. } => Urgency::Restart,
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Proving { .. } => true,
            Phase::Held { restart_at: at, .. } | Phase::Sending { next_at: at, .. } => at <= now,
        }
    }

    /// When something may have changed.
    pub(super) fn next_look(&self, timing: &Timing) -> Option<Instant> {
        let due = match self.phase {
            _ if self.asked.is_some() || self.queued => None,
            Phase::Proving { .. } => None,
            Phase::Held { restart_at: at, .. } | Phase::Sending { next_at: at, .. } => Some(at),
        };
        let loss = match self.phase {
            Phase::Held { .. } => self.presence.next_look(timing.loss),
            _ => None,
        };
        due.into_iter().chain(loss).min()
    }
}
