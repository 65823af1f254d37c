//! The deadlines of the control plane, each with what it is for. At most one per purpose, so they are bounded by what they
//! are for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use sfu_core::{ConferenceId, ParticipantId};

use crate::id::ConnectionId;
use crate::io::Reason;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    Drain,
    Tokens,
    Confirm(ConnectionId),
    Resume(ParticipantId),
    Channel(ParticipantId),
    Speakers(ConferenceId),
    Quality(ConferenceId),
}

impl Deadline {
    fn reason(self) -> Reason {
        match self {
            Self::Drain => Reason::Drain,
            Self::Tokens => Reason::Tokens,
            Self::Confirm(_) => Reason::Confirm,
            Self::Resume(_) => Reason::Resume,
            Self::Channel(_) => Reason::Channel,
            Self::Speakers(_) => Reason::Speakers,
            Self::Quality(_) => Reason::Quality,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    at: BTreeMap<Deadline, Instant>,
    order: BTreeSet<(Instant, Deadline)>,
}

impl Timers {
    /// Sets the deadline, or moves it.
    pub(crate) fn arm(&mut self, deadline: Deadline, at: Instant) {
        self.disarm(deadline);
        self.at.insert(deadline, at);
        self.order.insert((at, deadline));
    }

    pub(crate) fn disarm(&mut self, deadline: Deadline) {
        if let Some(at) = self.at.remove(&deadline) {
            self.order.remove(&(at, deadline));
        }
    }

    pub(crate) fn is_armed(&self, deadline: Deadline) -> bool {
        self.at.contains_key(&deadline)
    }

    /// Takes one deadline that has passed.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Deadline> {
        let (at, deadline) = self.order.first().copied()?;
        if at > now {
            return None;
        }
        self.disarm(deadline);
        Some(deadline)
    }

    pub(crate) fn next(&self) -> (Option<Instant>, Reason) {
        match self.order.first() {
            Some((at, deadline)) => (Some(*at), deadline.reason()),
            None => (None, Reason::Idle),
        }
    }

    /// Whether every deadline is for something that exists.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn all_live(
        &self,
        waiting: impl Fn(ConnectionId) -> bool,
        participant: impl Fn(ParticipantId) -> bool,
        conference: impl Fn(ConferenceId) -> bool,
    ) -> bool {
        self.at.len() == self.order.len()
            && self.at.keys().all(|deadline| match deadline {
                Deadline::Drain | Deadline::Tokens => true,
                Deadline::Confirm(id) => waiting(*id),
                Deadline::Resume(id) | Deadline::Channel(id) => participant(*id),
                Deadline::Speakers(id) | Deadline::Quality(id) => conference(*id),
            })
    }
}
