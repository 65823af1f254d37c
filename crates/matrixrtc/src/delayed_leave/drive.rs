//! What to ask next: a function of the state and the time, called after every change.
//!
//! There are three lanes with at most one request each: about scheduled leaves, about the member event, and to the focus. Whatever
//! can make `drive` act later has its time in `deadline`.

use std::time::{Duration, Instant};

use super::config::*;
use super::{Action, Ask, DelayedLeave, Event, Loan, Member, Output, Pending, Purpose, Reason, Want, Will};

/// Requests of one lane are never outstanding together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    Will,
    Member,
    Focus,
}

fn lane(ask: &Ask) -> Lane {
    match ask {
        Ask::Schedule { .. } | Ask::Restart { .. } | Ask::Cancel { .. } => Lane::Will,
        Ask::SendJoin { .. } | Ask::SendLeave { .. } => Lane::Member,
        Ask::Delegate { .. } | Ask::TakeBack { .. } => Lane::Focus,
    }
}

impl DelayedLeave {
    pub(super) fn drive(&mut self, now: Instant) {
        self.give_up(now);
        self.notice_expiry(now);
        self.retire_will(now);
        if self.is_free(Lane::Will)
            && let Some((at, purpose, ask)) = self.will_lane()
            && at <= now
        {
            self.ask(now, purpose, ask);
        }
        if self.is_free(Lane::Member)
            && let Some((at, ask)) = self.member_lane()
            && at <= now
        {
            self.announced |= matches!(ask, Ask::SendJoin { .. });
            self.ask(now, Purpose::Own, ask);
        }
        if self.is_free(Lane::Focus)
            && let Loan::Offered { delay_id, delay, .. } = &self.loan
        {
            let ask = Ask::Delegate { delay_id: delay_id.clone(), delay: *delay };
            self.ask(now, Purpose::Loan, ask);
        }
        self.finish();
        debug_assert!(self.pending.len() <= OUTSTANDING_MAX);
    }

    pub(super) fn deadline(&self) -> (Option<Instant>, Reason) {
        let mut first: (Option<Instant>, Reason) = (None, Reason::Idle);
        let mut at = |time: Instant, reason: Reason| {
            if first.0.is_none_or(|first| time < first) {
                first = (Some(time), reason);
            }
        };
        for pending in self.pending.values() {
            at(pending.deadline, Reason::Answer);
        }
        if let Some(time) = self.expiry() {
            at(time, Reason::Expiry);
        }
        if self.is_free(Lane::Will)
            && let Some((time, _, ask)) = self.will_lane()
        {
            at(time, if matches!(ask, Ask::Restart { .. }) { Reason::Restart } else { Reason::Retry });
        }
        if self.is_free(Lane::Member)
            && let Some((time, _)) = self.member_lane()
        {
            at(time, Reason::Member);
        }
        first
    }

    fn is_free(&self, wanted: Lane) -> bool {
        !self.pending.values().any(|pending| lane(&pending.ask) == wanted)
    }

    fn ask(&mut self, now: Instant, purpose: Purpose, ask: Ask) {
        let timeout = match (&ask, &self.will) {
            // When our leave is about to be sent, it is time to know.
            (Ask::Restart { .. }, Will::Armed { expires_at, .. }) if *expires_at > now && !self.probably_left => {
                RESTART_TIMEOUT.min(*expires_at - now)
            }
            (Ask::Restart { .. }, _) => RESTART_TIMEOUT,
            (Ask::Schedule { .. } | Ask::Cancel { .. }, _) => MANAGE_TIMEOUT,
            (Ask::SendJoin { .. } | Ask::SendLeave { .. }, _) => SEND_TIMEOUT,
            (Ask::Delegate { .. } | Ask::TakeBack { .. }, _) => DELEGATE_TIMEOUT,
        };
        let request_id = self.next_request();
        let pending = Pending { ask: ask.clone(), purpose, sent_at: now, deadline: now + timeout };
        self.pending.insert(request_id, pending);
        self.outputs.push_back(Output::Ask(Action { request_id, ask }));
    }

    /// No answer is an answer; but the real one may still come.
    fn give_up(&mut self, now: Instant) {
        let overdue: Vec<_> = self.pending.iter().filter(|(_, it)| it.deadline <= now).map(|(id, _)| *id).collect();
        for id in overdue {
            let Some(pending) = self.pending.remove(&id) else { continue };
            if self.late.len() == LATE_MAX {
                self.late.pop_front();
            }
            self.late.push_back((id, pending.clone()));
            self.join_unanswered |= matches!(pending.ask, Ask::SendJoin { .. });
            self.on_answer(now, pending, super::Answer::Failed);
        }
    }

    /// When the homeserver sends our leave, if it will.
    fn expiry(&self) -> Option<Instant> {
        match (self.want, self.member, &self.will) {
            (Want::In, Member::Present { .. }, Will::Armed { expires_at, .. }) if !self.probably_left => {
                Some(*expires_at)
            }
            _ => None,
        }
    }

    fn notice_expiry(&mut self, now: Instant) {
        if self.expiry().is_some_and(|at| at <= now) {
            self.probably_left = true;
            self.outputs.push_back(Output::Event(Event::ProbablyLeft(true)));
        }
    }

    /// Our leave was accepted: nothing needs to be sent for us any more.
    fn retire_will(&mut self, now: Instant) {
        if self.want == Want::Leaving
            && !self.stands()
            && let Will::Armed { delay_id, .. } = std::mem::replace(&mut self.will, Will::Missing { not_before: now })
        {
            self.retire(now, delay_id, false);
        }
    }

    /// Something of ours may stand, or may yet arrive, that only a leave ends: what is scheduled is left to fire.
    fn stands(&self) -> bool {
        self.announced || self.join_unanswered
    }

    /// The next request about scheduled leaves, and when.
    fn will_lane(&self) -> Option<(Instant, Purpose, Ask)> {
        let manage = *self.support.manage.first()?;
        let armed = matches!(self.will, Will::Armed { .. });
        let lent = matches!(self.loan, Loan::Lent { .. });
        let mut next: Option<(Instant, Purpose, Ask)> = None;
        let mut consider = |at: Instant, purpose: Purpose, ask: Ask| {
            if next.as_ref().is_none_or(|(first, ..)| at < *first) {
                next = Some((at, purpose, ask));
            }
        };
        match (&self.will, self.want) {
            (Will::Missing { not_before }, Want::In) if !lent && self.usable() => {
                consider(*not_before, Purpose::Own, self.schedule_ask(self.delay(), &self.transaction)?);
            }
            (Will::Armed { delay_id, restart_at, .. }, Want::In) => {
                let ask = Ask::Restart { dialect: manage, delay_id: delay_id.clone() };
                consider(*restart_at, Purpose::Own, ask);
            }
            _ => {}
        }
        let keep = self.want == Want::Leaving && self.stands();
        for stale in self.stale.iter().filter(|it| !keep && (!it.after_armed || armed || self.want != Want::In)) {
            let ask = Ask::Cancel { dialect: manage, delay_id: stale.delay_id.clone() };
            consider(stale.not_before, Purpose::Own, ask);
        }
        match &self.loan {
            Loan::Wanted { not_before, tries } if *tries < LOAN_TRIES_MAX && self.is_joined() && armed => {
                if let Some(ask) = self.loan_delay().and_then(|delay| self.schedule_ask(delay, &self.loan_transaction))
                {
                    consider(*not_before, Purpose::Loan, ask);
                }
            }
            Loan::Lent { delay_id, check_at: Some(at), .. } => {
                let ask = Ask::Restart { dialect: manage, delay_id: delay_id.clone() };
                consider(*at, Purpose::Loan, ask);
            }
            _ => {}
        }
        next
    }

    fn schedule_ask(&self, delay: Duration, transaction: &Option<String>) -> Option<Ask> {
        let dialect = *self.support.schedule.first()?;
        let transaction = transaction.clone().unwrap_or_else(|| format!("{}.{}", self.prefix, self.next_id + 1));
        Some(Ask::Schedule { dialect, delay, transaction })
    }

    /// The next request about the member event, and when.
    fn member_lane(&self) -> Option<(Instant, Ask)> {
        let transaction = format!("{}.{}", self.prefix, self.next_id + 1);
        match (self.want, self.member) {
            (Want::In, Member::Absent { not_before }) => {
                let covered = match &self.will {
                    Will::Armed { verified, .. } => *verified,
                    Will::Missing { .. } => matches!(self.loan, Loan::Lent { .. }) || !self.usable(),
                };
                let at = if covered { not_before } else { not_before.max(self.join_by) };
                Some((at, Ask::SendJoin { fresh: true, periods: 1, transaction }))
            }
            (Want::In, Member::Present { periods, renew_at, changed, .. }) => {
                let periods = if changed { periods } else { periods.saturating_add(1) };
                Some((renew_at, Ask::SendJoin { fresh: false, periods, transaction }))
            }
            (Want::Leaving, Member::Absent { not_before }) if self.announced => {
                Some((not_before, Ask::SendLeave { transaction }))
            }
            _ => None,
        }
    }

    /// Leaving is over when nothing of ours stands, or only what is left to fire, and nothing is under way.
    fn finish(&mut self) {
        let cleared = self.stale.is_empty() || self.join_unanswered;
        if self.want == Want::Leaving && !self.announced && self.pending.is_empty() && cleared {
            self.stop(Event::Left);
        }
    }

    pub(super) fn stop(&mut self, event: Event) {
        self.want = Want::Out;
        self.probably_left = false;
        self.stale.clear();
        self.will = Will::Missing { not_before: self.join_by };
        self.loan = Loan::None;
        (self.transaction, self.loan_transaction) = (None, None);
        self.outputs.push_back(Output::Event(event));
    }
}
