//! What is seen of one member, and what follows from it.

use std::time::{Duration, Instant};

use super::job::{Cause, Phase};
use super::{Delegation, Member, Session, SessionNumber};

/// Signs of life, and their absence.
#[derive(Debug, Default)]
pub(super) struct Presence {
    session: Option<SessionNumber>,
    /// The last sign on signalling.
    heard: Option<Instant>,
    /// The last sign on media, as far as was reported.
    media: Option<Instant>,
    /// When media was reported on. `None`: there is no media connection.
    reported: Option<Instant>,
    /// Not lost before this, whatever else.
    not_before: Option<Instant>,
}

impl Presence {
    pub(super) fn joined(&mut self, session: SessionNumber, now: Instant) {
        (self.session, self.heard, self.reported) = (Some(session), Some(now), None);
    }

    pub(super) fn wait_until(&mut self, until: Instant) {
        self.not_before = Some(until);
    }

    pub(super) fn session(&self) -> Option<SessionNumber> {
        self.session
    }

    /// When the silence will have been too long, if nothing more is seen.
    fn lost_at(&self, loss: Duration) -> Option<Instant> {
        let last = self.heard.into_iter().chain(self.media).max();
        last.map(|last| last + loss).into_iter().chain(self.not_before).max()
    }

    /// Silence on media counts only as far as somebody has listened: a report that is missing proves nothing.
    pub(super) fn is_lost(&self, now: Instant, loss: Duration) -> bool {
        let Some(at) = self.lost_at(loss) else { return false };
        now >= at && self.reported.is_none_or(|reported| reported >= at)
    }

    /// Of a member with a media connection the next report tells.
    pub(super) fn next_look(&self, loss: Duration) -> Option<Instant> {
        self.lost_at(loss).filter(|_| self.reported.is_none())
    }
}

impl Delegation {
    /// A session has begun. A member has one at a time; the newest counts.
    pub fn handle_joined(&mut self, now: Instant, session: SessionNumber, member: Member) {
        if let Some(job) = self.jobs.get_mut(&member) {
            job.presence.joined(session, now);
        }
        self.sessions.insert(session, Session { member: member.clone(), asked: None });
        self.go_on(now, &member);
    }

    /// The member said something.
    pub fn handle_heard(&mut self, now: Instant, session: SessionNumber) {
        self.seen(now, session, |presence| presence.heard = Some(now));
    }

    /// The member's media connection is up, and the last datagram came `quiet` ago.
    pub fn handle_media(&mut self, now: Instant, session: SessionNumber, quiet: Duration) {
        self.seen(now, session, |presence| {
            let last = now.checked_sub(quiet);
            presence.media = presence.media.max(last);
            presence.reported = Some(now);
        });
    }

    fn seen(&mut self, now: Instant, session: SessionNumber, note: impl FnOnce(&mut Presence)) {
        let Some(member) = self.sessions.get(&session).map(|session| session.member.clone()) else { return };
        let Some(job) = self.jobs.get_mut(&member) else { return };
        if job.presence.session == Some(session) {
            note(&mut job.presence);
            self.go_on(now, &member);
        }
    }

    /// The session is over without the member having said so. It may join again; else it is lost in time.
    pub fn handle_ended(&mut self, now: Instant, session: SessionNumber) {
        let Some(member) = self.end(session) else { return };
        if let Some(job) = self.jobs.get_mut(&member)
            && let Phase::Proving { .. } = job.phase
        {
            // Whoever asked has not heard that we hold it, and looks after it.
            self.drop_job(&member);
        }
        self.go_on(now, &member);
    }

    /// The member said that it leaves.
    pub fn handle_left(&mut self, now: Instant, session: SessionNumber) {
        let Some(member) = self.end(session) else { return };
        match self.jobs.get_mut(&member) {
            Some(job) if job.will.on_leave && !matches!(job.phase, Phase::Proving { .. }) => {
                job.phase = Phase::Sending { cause: Cause::Left, next_at: now, tries: 0 };
                self.go_on(now, &member);
            }
            // It sends its own leave event.
            _ => drop(self.drop_job(&member)),
        }
    }

    /// The focus has put the member out. It is gone whether or not it would have others know.
    pub fn handle_removed(&mut self, now: Instant, session: SessionNumber) {
        let Some(member) = self.end(session) else { return };
        match self.jobs.get_mut(&member) {
            Some(job) if !matches!(job.phase, Phase::Proving { .. }) => {
                job.phase = Phase::Sending { cause: Cause::Left, next_at: now, tries: 0 };
                self.go_on(now, &member);
            }
            _ => drop(self.drop_job(&member)),
        }
    }

    /// The focus ends the session, or itself, for reasons of its own. Nothing follows for the member.
    pub fn handle_released(&mut self, now: Instant, session: SessionNumber) {
        let Some(member) = self.end(session) else { return };
        if let Some(job) = self.jobs.get_mut(&member) {
            job.presence.wait_until(now + self.timing.grace);
        }
        self.go_on(now, &member);
    }

    /// The member, if this was its newest session.
    fn end(&mut self, session: SessionNumber) -> Option<Member> {
        let member = self.sessions.remove(&session)?.member;
        if let Some(job) = self.jobs.get_mut(&member) {
            if job.presence.session != Some(session) {
                return None;
            }
            (job.presence.session, job.presence.reported) = (None, None);
        }
        Some(member)
    }
}
