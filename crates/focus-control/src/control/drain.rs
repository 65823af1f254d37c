//! Shutting down without cutting anybody off: all clients are told to move, and have until the deadline.

use std::time::{Duration, Instant};

use focus_signaling::wire::{Move, ServerMessage};
use focus_signaling::{CloseCode, Errcode};
use rand::Rng;
use sfu_core::ParticipantId;
use tracing::info;

use super::leave::End;
use super::{Control, Drain};
use crate::bounds::MOVE_SPREAD;
use crate::io::Output;
use crate::timers::Deadline;

impl Control {
    /// Lets nobody in any more and asks everybody to move; what is left after `deadline` is ended. Sessions can still be
    /// resumed: a client that loses its socket now keeps its media until it has moved. A second drain can only be sooner.
    pub fn drain(&mut self, now: Instant, deadline: Duration) {
        self.handle_timeout(now);
        let at = self.draining.as_ref().map_or(now + deadline, |drain| drain.deadline.min(now + deadline));
        let done = self.draining.as_ref().is_some_and(|drain| drain.done);
        let first = self.draining.replace(Drain { deadline: at, done }).is_none();
        self.timers.arm(Deadline::Drain, at);
        info!(sessions = self.participants.len(), "draining");
        if first {
            let everybody: Vec<ParticipantId> = self.participants.keys().copied().collect();
            let spread = MOVE_SPREAD.min(deadline);
            for (i, participant) in (0..).zip(&everybody) {
                let after = spread * i / everybody.len() as u32;
                self.tell(*participant, move_message(after, at - now));
            }
        }
        self.drain_may_be_over();
    }

    /// For one who resumes, or whose join was on its way, while the focus drains.
    pub(super) fn tell_move(&mut self, now: Instant, me: ParticipantId) {
        let Some(drain) = &self.draining else { return };
        let left = drain.deadline.saturating_duration_since(now);
        let after = self.rng.random_range(Duration::ZERO..=MOVE_SPREAD.min(left));
        self.tell(me, move_message(after, left));
    }

    pub(super) fn drain_is_over(&mut self, now: Instant) {
        let everybody: Vec<ParticipantId> = self.participants.keys().copied().collect();
        self.counters.removed += everybody.len() as u64;
        for participant in everybody {
            let farewell = Some((Errcode::ResourceLimitExceeded, "the focus shuts down"));
            self.end(now, participant, End { reason: None, farewell, code: CloseCode::Draining, peer_gone: false });
        }
        self.drain_may_be_over();
    }

    pub(super) fn drain_may_be_over(&mut self) {
        if let Some(drain) = self.draining.as_mut().filter(|drain| !drain.done && self.participants.is_empty()) {
            drain.done = true;
            self.timers.disarm(Deadline::Drain);
            self.outputs.push_back(Output::Drained);
        }
    }

    pub(super) fn await_forgetting(&mut self, now: Instant) {
        if !self.timers.is_armed(Deadline::Tokens)
            && let Some(unix) = self.used_tokens.next().into_iter().chain(self.denied.next()).min()
        {
            self.timers.arm(Deadline::Tokens, now + unix.saturating_sub(self.clock.at(now)));
        }
    }

    pub(super) fn forget_tokens(&mut self, now: Instant) {
        self.used_tokens.forget_expired(self.clock.at(now));
        self.denied.forget_expired(self.clock.at(now));
        self.await_forgetting(now);
    }
}

fn move_message(after: Duration, deadline: Duration) -> ServerMessage {
    ServerMessage::Move(Move {
        url: None,
        after_ms: after.as_millis() as u64,
        deadline_ms: deadline.as_millis() as u64,
    })
}
