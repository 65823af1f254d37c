//! We are called.

use std::collections::VecDeque;
use std::time::Instant;

use ruma::{EventId, OwnedEventId, OwnedUserId};

use crate::event::RoomEvent;
use crate::event::notification::{self, BadNotification, Loudness, Notification};
use crate::membership::MemberKey;
use crate::slot::SlotId;
use crate::time::Clock;

/// What to do about the telephone.
#[derive(Debug, Clone, PartialEq)]
pub enum Ring {
    /// Ring, or show quietly: see [`Notification::loudness`].
    Start(Notification),
    Stop {
        notification: OwnedEventId,
        why: RingEnd,
    },
}

/// Why a telephone stops ringing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingEnd {
    /// We joined, with this or another of our devices.
    Accepted,
    /// We declined, with this or another of our devices.
    Declined,
    /// Nobody took it in time: a missed call.
    Missed,
    /// The caller left, or took it back.
    Withdrawn,
}

/// The machine of one session of a room, for its callee. One call rings at a time.
///
/// Contract: after each `handle_*`, [`poll_output`](Self::poll_output) until `None`; call [`handle_timeout`](Self::handle_timeout) at
/// [`next_timeout`](Self::next_timeout).
#[derive(Debug)]
pub struct Incoming {
    me: OwnedUserId,
    slot: SlotId,
    clock: Clock,
    ringing: Option<Notification>,
    /// Whose calls could ring: the members, and whether we are one.
    members: Vec<OwnedUserId>,
    ignored: u64,
    outputs: VecDeque<Ring>,
}

impl Incoming {
    /// `clock` is our own wall clock.
    pub fn new(me: OwnedUserId, slot: SlotId, clock: Clock) -> Self {
        Self { me, slot, clock, ringing: None, members: Vec::new(), ignored: 0, outputs: VecDeque::new() }
    }

    /// The members of the session as they are now.
    pub fn handle_members(&mut self, members: &[MemberKey]) {
        self.members = members.iter().map(|member| member.user.clone()).collect();
        // If the caller has gone and others are there, it goes on: what rings is the call.
        if self.members.contains(&self.me) {
            self.stop(RingEnd::Accepted);
        } else if self.members.is_empty() {
            self.stop(RingEnd::Withdrawn);
        }
    }

    /// Any event of the room: notifications, declines and redactions are picked out.
    pub fn handle_event(&mut self, now: Instant, event: &RoomEvent) {
        if let Some(redacted) = &event.redacts {
            if self.ringing.as_ref().is_some_and(|ringing| ringing.event_id == *redacted) {
                self.stop(RingEnd::Withdrawn);
            }
        } else if let Ok(declined) = notification::parse_decline(event) {
            // Somebody else's no is theirs.
            let ours = self.ringing.as_ref().is_some_and(|ringing| ringing.event_id == declined);
            if ours && event.sender == self.me {
                self.stop(RingEnd::Declined);
            }
        } else {
            match notification::parse(event) {
                Ok(notification) => self.on_notification(now, notification),
                Err(BadNotification::Withdrawn)
                    if self.ringing.as_ref().is_some_and(|ringing| ringing.sender == event.sender) =>
                {
                    self.stop(RingEnd::Withdrawn);
                }
                Err(BadNotification::OtherType) => {}
                Err(_) => self.ignored += 1,
            }
        }
    }

    /// We decline what rings: which notification the decline to be sent is about
    /// ([`decline_content`](notification::decline_content)).
    pub fn decline(&mut self) -> Option<OwnedEventId> {
        let declined = self.ringing.as_ref().map(|ringing| ringing.event_id.clone());
        self.stop(RingEnd::Declined);
        declined
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let ends_at = self.ringing.as_ref().map(Notification::ends_at);
        if ends_at.is_some_and(|ends_at| ends_at <= self.clock.wall(now)) {
            self.stop(RingEnd::Missed);
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.clock.instant(self.ringing.as_ref()?.ends_at())
    }

    /// What to show next.
    pub fn poll_output(&mut self) -> Option<Ring> {
        self.outputs.pop_front()
    }

    /// What rings now.
    pub fn ringing(&self) -> Option<&EventId> {
        self.ringing.as_ref().map(|ringing| &*ringing.event_id)
    }

    /// Notifications that were malformed, late, or came while another rang.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    fn on_notification(&mut self, now: Instant, notification: Notification) {
        if notification.sender == self.me || !notification.mentions.includes(&self.me) || notification.slot != self.slot
        {
            return;
        }
        let is_late = notification.ends_at() <= self.clock.wall(now);
        let is_in = self.members.contains(&self.me);
        // An invite that is sent again replaces the one before; nobody else's may.
        let is_busy = self
            .ringing
            .as_ref()
            .is_some_and(|ringing| ringing.sender != notification.sender || ringing.event_id == notification.event_id);
        if is_late || is_in || is_busy {
            self.ignored += 1;
            return;
        }
        if self.ringing.is_some() {
            self.stop(RingEnd::Withdrawn);
        }
        if notification.loudness == Loudness::Ring {
            self.ringing = Some(notification.clone());
        }
        self.outputs.push_back(Ring::Start(notification));
    }

    fn stop(&mut self, why: RingEnd) {
        if let Some(ringing) = self.ringing.take() {
            self.outputs.push_back(Ring::Stop { notification: ringing.event_id, why });
        }
    }
}
