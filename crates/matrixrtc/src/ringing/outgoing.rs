//! We call.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ruma::{OwnedEventId, OwnedUserId};

use crate::event::RoomEvent;
use crate::event::notification::{self, INVITE_LIFETIME_MAX};
use crate::membership::{MemberKey, Membership};

/// Whether we are to ring: we are the first in the session, so that a call rings once. `members` are all of it, in any order.
pub fn is_first(members: &[&Membership], me: &MemberKey) -> bool {
    let first = members.iter().min_by(|one, two| one.by_age(two));
    first.is_some_and(|first| first.key == *me)
}

/// How ringing ended, for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// One of those who were called is in the session.
    Accepted,
    /// All of them declined.
    Declined,
    /// Nobody came in time.
    TimedOut,
}

/// A call of ours, from the moment its notification was sent. [`outcome`](Self::outcome) tells how it ended, once.
#[derive(Debug)]
pub struct Outgoing {
    me: OwnedUserId,
    notification: OwnedEventId,
    /// Who has not declined yet.
    callees: BTreeSet<OwnedUserId>,
    until: Instant,
    outcome: Option<Outcome>,
}

impl Outgoing {
    /// `notification` is the event that was sent, `callees` are those who are meant by it: the other one in a room of two, the room's members
    /// if the room was called. Only their declines count.
    pub fn new(
        now: Instant,
        me: OwnedUserId,
        notification: OwnedEventId,
        callees: BTreeSet<OwnedUserId>,
        lifetime: Duration,
    ) -> Self {
        let callees = callees.into_iter().filter(|callee| *callee != me).collect();
        Self { me, notification, callees, until: now + lifetime.min(INVITE_LIFETIME_MAX), outcome: None }
    }

    /// The members of the session as they are now.
    pub fn handle_members(&mut self, members: &[MemberKey]) {
        if members.iter().any(|member| member.user != self.me) {
            self.end(Outcome::Accepted);
        }
    }

    /// Any event of the room: declines are picked out.
    pub fn handle_event(&mut self, event: &RoomEvent) {
        let is_ours = notification::parse_decline(event).is_ok_and(|declined| declined == self.notification);
        if is_ours && self.callees.remove(&event.sender) && self.callees.is_empty() {
            self.end(Outcome::Declined);
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.until <= now {
            self.end(Outcome::TimedOut);
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.outcome.is_none().then_some(self.until)
    }

    /// `None` while it rings.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    fn end(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }
}
