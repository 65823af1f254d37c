//! Joins with a token that is not quite new. Its holder may have been removed since from where it was then, so whoever made
//! the token is asked once more, and nobody comes in without an answer. Who is in already, or resumes, is not asked about
//! here.

use std::time::{Duration, Instant};

use focus_signaling::{CloseCode, Errcode};

use super::Control;
use crate::bounds::{CONFIRM_RETRY, CONFIRM_TIMEOUT, FRESH};
use crate::id::ConnectionId;
use crate::io::{Confirmation, Output};
use crate::origin::Origin;
use crate::pending::Asker;
use crate::timers::Deadline;
use crate::token::Grant;

/// One that stands at the door.
pub(crate) struct Waiting {
    asker: Asker,
    grant: Grant,
}

impl Control {
    /// From now on, [`Output::Confirm`] comes before those are let in whose token told their origin some time ago. A verb
    /// for the beginning.
    pub fn confirm_joins(&mut self) {
        self.confirms_joins = true;
    }

    /// Whom to ask about, if it must be asked. The look that the token was granted after counts as long as it is fresh; a
    /// token from the future tells nothing of when that was.
    pub(super) fn must_be_confirmed(&self, unix_now: Duration, grant: &Grant) -> Option<Origin> {
        let age = unix_now.checked_sub(grant.issued);
        let is_fresh = age.is_some_and(|age| age <= FRESH);
        grant.origin.clone().filter(|_| self.confirms_joins && !is_fresh)
    }

    /// The token stays unused until then: one that could not be confirmed may be shown again.
    pub(super) fn await_confirmation(&mut self, now: Instant, asker: Asker, grant: Grant, origin: Origin) {
        if self.waiting.len() >= self.bounds.waiting {
            return self.turn_away_unconfirmed(asker);
        }
        let connection = asker.connection;
        self.waiting.insert(connection, Waiting { asker, grant });
        self.timers.arm(Deadline::Confirm(connection), now + CONFIRM_TIMEOUT);
        self.outputs.push_back(Output::Confirm { connection, origin });
    }

    /// The answer to [`Output::Confirm`]. One that comes too late, or about a socket that is gone, changes nothing.
    pub fn handle_confirmed(&mut self, now: Instant, connection: ConnectionId, confirmation: Confirmation) {
        self.handle_timeout(now);
        let Some(Waiting { asker, grant }) = self.forget_waiting(connection) else { return };
        match confirmation {
            Confirmation::Holds => self.come_in_late(now, asker, grant),
            Confirmation::Fails => self.turn_away_forbidden(asker),
            Confirmation::Unknown => self.turn_away_unconfirmed(asker),
        }
    }

    pub(super) fn unconfirmed(&mut self, connection: ConnectionId) {
        if let Some(waiting) = self.forget_waiting(connection) {
            self.turn_away_unconfirmed(waiting.asker);
        }
    }

    pub(super) fn forget_waiting(&mut self, connection: ConnectionId) -> Option<Waiting> {
        self.timers.disarm(Deadline::Confirm(connection));
        self.waiting.remove(&connection)
    }

    fn turn_away_unconfirmed(&mut self, asker: Asker) {
        self.counters.refused_unconfirmed += 1;
        let error = Errcode::ConnectionTimeout.body("nobody can tell now whether you may come in: try again");
        self.turn_away(asker, error.retry_after(CONFIRM_RETRY), CloseCode::Timeout);
    }
}
