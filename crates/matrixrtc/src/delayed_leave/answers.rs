//! What answers change.

use std::time::{Duration, Instant};

use super::config::*;
use super::{
    Answer, Ask, DelayId, DelayedLeave, Event, Loan, Member, Output, Pending, Purpose, Schedule, Want, Will, backoff,
};

impl DelayedLeave {
    pub(super) fn on_answer(&mut self, now: Instant, pending: Pending, answer: Answer) {
        match &answer {
            Answer::RateLimited { .. } => self.counters.rate_limited += 1,
            Answer::Failed => self.counters.failed += 1,
            _ => {}
        }
        match (&pending.ask, &pending.purpose) {
            (Ask::Schedule { .. }, Purpose::Own) => self.on_scheduled(now, &pending, answer),
            (Ask::Schedule { .. }, Purpose::Loan) => self.on_loan_scheduled(now, &pending, answer),
            (Ask::Restart { .. }, Purpose::Own) => self.on_restarted(now, &pending, answer),
            (Ask::Restart { .. }, Purpose::Loan) => self.on_loan_checked(now, &pending, answer),
            (Ask::Cancel { .. }, _) => self.on_cancelled(now, &pending, answer),
            (Ask::SendJoin { fresh, periods, .. }, _) => self.on_join_sent(now, *fresh, *periods, answer),
            (Ask::SendLeave { .. }, _) => self.on_leave_sent(now, answer),
            (Ask::Delegate { delay_id, .. }, _) => self.on_delegated(now, delay_id, answer),
            (Ask::TakeBack { .. }, _) => {}
        }
    }

    /// The answer to a request that we had given up. What it tells of the homeserver is still true.
    pub(super) fn on_late_answer(&mut self, now: Instant, pending: Pending, answer: Answer) {
        match (&pending.ask, &pending.purpose, answer) {
            (Ask::Schedule { delay, .. }, purpose, Answer::Scheduled { delay_id }) => {
                let known = matches!(&self.will, Will::Armed { delay_id: armed, .. } if *armed == delay_id)
                    || self.stale.iter().any(|stale| stale.delay_id == delay_id);
                let wanted =
                    *purpose == Purpose::Own && self.want == Want::In && !matches!(self.loan, Loan::Lent { .. });
                if known {
                } else if wanted && matches!(self.will, Will::Missing { .. }) {
                    self.arm(now, delay_id, *delay, pending.sent_at, false);
                } else if self.want != Want::Out {
                    self.retire(now, delay_id, false);
                }
            }
            (Ask::Schedule { dialect, .. }, _, Answer::SentAtOnce) => self.on_accident(now, *dialect),
            (Ask::Restart { .. }, Purpose::Own, Answer::Done) => self.on_restarted(now, &pending, Answer::Done),
            (Ask::SendJoin { .. }, _, Answer::Done) => {
                self.join_unanswered = false;
                // Nobody knows whether it or our leave came last.
                if self.want == Want::Leaving {
                    self.announced = true;
                    self.undo = self.is_outstanding(|ask| matches!(ask, Ask::SendLeave { .. }));
                }
            }
            _ => {}
        }
    }

    fn on_scheduled(&mut self, now: Instant, pending: &Pending, answer: Answer) {
        let Ask::Schedule { dialect, delay, transaction } = &pending.ask else { return };
        let repeated = self.transaction.take().is_some();
        let mut wait = Duration::ZERO;
        match answer {
            Answer::Scheduled { delay_id } if self.want == Want::In && !matches!(self.loan, Loan::Lent { .. }) => {
                self.schedule_tries = 0;
                // Had the first of several tries succeeded, this id has been running since then.
                return self.arm(now, delay_id, *delay, pending.sent_at, !repeated);
            }
            Answer::Scheduled { delay_id } => return self.retire(now, delay_id, false),
            Answer::SentAtOnce => self.on_accident(now, *dialect),
            Answer::Unrecognised => self.lose_dialect(*dialect),
            Answer::TooLong { max: Some(max) } if max < *delay => self.learn_max_delay(max),
            Answer::TooLong { .. } | Answer::Forbidden => self.lose_support(),
            Answer::RateLimited { retry_after } => wait = rate_limit(retry_after),
            Answer::Failed | Answer::Done | Answer::Lost | Answer::Conflict => {
                self.schedule_tries += 1;
                wait = backoff(self.schedule_tries).min(RETRY_MAX);
                self.transaction = Some(transaction.clone());
            }
        }
        if matches!(self.will, Will::Missing { .. }) {
            self.will = Will::Missing { not_before: now + wait };
        }
    }

    fn arm(&mut self, now: Instant, delay_id: DelayId, delay: Duration, since: Instant, verified: bool) {
        let restart_at = if verified { since + self.restart_every(delay) } else { now };
        self.will = Will::Armed { delay_id, delay, expires_at: since + delay, restart_at, verified };
    }

    fn restart_every(&self, delay: Duration) -> Duration {
        self.config.restart_every.min(delay / 2).max(RETRY)
    }

    /// The leave was sent and not scheduled. If we were in, or are about to be, we are out now.
    fn on_accident(&mut self, now: Instant, dialect: Schedule) {
        self.counters.accidents += 1;
        self.outputs.push_back(Output::Event(Event::Accident(dialect)));
        self.lose_dialect(dialect);
        if self.want != Want::In {
            return;
        }
        self.undo = self.is_outstanding(|ask| matches!(ask, Ask::SendJoin { .. }));
        if matches!(self.member, Member::Present { .. }) {
            self.member = Member::Absent { not_before: now };
            self.join_by = now + JOIN_WAIT_MAX;
        }
    }

    fn is_outstanding(&self, which: impl Fn(&Ask) -> bool) -> bool {
        self.pending.values().any(|pending| which(&pending.ask))
    }

    fn lose_dialect(&mut self, dialect: Schedule) {
        let before = self.usable();
        self.support.drop_schedule(dialect);
        self.tell_if_lost(before);
    }

    fn lose_support(&mut self) {
        let before = self.usable();
        self.support = super::Support::none();
        self.tell_if_lost(before);
    }

    fn learn_max_delay(&mut self, max: Duration) {
        let before = self.usable();
        self.support.max_delay = Some(max);
        self.tell_if_lost(before);
    }

    fn tell_if_lost(&mut self, before: bool) {
        if before && !self.usable() {
            self.outputs.push_back(Output::Event(Event::NoLastWill));
        }
    }

    fn on_restarted(&mut self, now: Instant, pending: &Pending, answer: Answer) {
        let Ask::Restart { dialect, delay_id: asked } = &pending.ask else { return };
        let every = match &self.will {
            Will::Armed { delay_id, delay, .. } if delay_id == asked => self.restart_every(*delay),
            _ => return,
        };
        let Will::Armed { delay, expires_at, restart_at, verified, .. } = &mut self.will else { return };
        match answer {
            Answer::Done => {
                self.counters.restarts += 1;
                *expires_at = (*expires_at).max(pending.sent_at + *delay);
                *restart_at = (pending.sent_at + every).max(*restart_at);
                *verified = true;
                if *expires_at > now {
                    self.set_well();
                }
            }
            Answer::Lost | Answer::Conflict => {
                let fired = *expires_at <= now;
                self.counters.lost += 1;
                self.will = Will::Missing { not_before: now };
                if fired && matches!(self.member, Member::Present { .. }) {
                    self.rejoin(now);
                }
            }
            // It will fire, and nothing can be done about it but to come back.
            Answer::Unrecognised if self.support.manage.len() <= 1 => {
                self.will = Will::Missing { not_before: now };
                self.lose_support();
            }
            Answer::Unrecognised => {
                self.support.drop_manage(*dialect);
                *restart_at = now;
            }
            Answer::RateLimited { retry_after: None } => {
                let left = expires_at.saturating_duration_since(now);
                *restart_at = now + RATE_LIMIT_WAIT.min((left / 2).max(RETRY));
            }
            Answer::RateLimited { retry_after } => *restart_at = now + rate_limit(retry_after),
            _ => *restart_at = now + RETRY,
        }
    }

    fn set_well(&mut self) {
        if std::mem::replace(&mut self.probably_left, false) {
            self.outputs.push_back(Output::Event(Event::ProbablyLeft(false)));
        }
    }

    fn on_cancelled(&mut self, now: Instant, pending: &Pending, answer: Answer) {
        let Ask::Cancel { dialect, delay_id } = &pending.ask else { return };
        let Some(at) = self.stale.iter().position(|stale| stale.delay_id == *delay_id) else { return };
        let stale = &mut self.stale[at];
        stale.tries += 1;
        let again = match answer {
            Answer::RateLimited { retry_after } => Some(rate_limit(retry_after)),
            Answer::Unrecognised if self.support.manage.len() > 1 => {
                self.support.drop_manage(*dialect);
                Some(Duration::ZERO)
            }
            Answer::Failed => Some(backoff(stale.tries).min(RETRY_MAX)),
            _ => None,
        };
        match again {
            Some(wait) if stale.tries < CANCEL_TRIES_MAX => stale.not_before = now + wait,
            _ => {
                self.stale.remove(at);
            }
        }
    }

    fn on_join_sent(&mut self, now: Instant, fresh: bool, periods: u32, answer: Answer) {
        let undo = std::mem::take(&mut self.undo);
        let wait = match answer {
            Answer::Done | Answer::Scheduled { .. } | Answer::SentAtOnce => {
                self.member_tries = 0;
                self.join_unanswered = false;
                if self.want != Want::In {
                    return;
                }
                return self.on_joined(now, fresh, periods, undo);
            }
            Answer::Forbidden => {
                if fresh && self.want == Want::In {
                    self.announced = false;
                    self.stop(Event::Refused);
                    return;
                }
                RETRY_MAX
            }
            Answer::RateLimited { retry_after } => rate_limit(retry_after),
            _ => {
                self.member_tries += 1;
                backoff(self.member_tries).min(RETRY_MAX)
            }
        };
        match (&mut self.member, self.want) {
            (Member::Absent { not_before }, Want::In) => *not_before = now + wait,
            (Member::Present { renew_at, .. }, _) => *renew_at = now + wait,
            (Member::Absent { .. }, _) => {}
        }
    }

    fn on_joined(&mut self, now: Instant, fresh: bool, periods: u32, undo: bool) {
        if undo || (!fresh && matches!(self.member, Member::Absent { .. })) {
            // It may have been overtaken by a leave.
            self.member = Member::Absent { not_before: now };
            return;
        }
        let (since, seen) = match self.member {
            Member::Present { since, seen, .. } if !fresh => (since, seen),
            _ => (now, false),
        };
        let renew_at = since + self.config.expiry * periods - EXPIRY_HEADROOM.min(self.config.expiry / 2);
        self.member = Member::Present { since, seen, periods, renew_at: renew_at.max(now + RETRY), changed: false };
        if fresh {
            self.outputs.push_back(Output::Event(Event::Joined));
            self.set_well();
        }
        // On some servers our own member event cancels what we scheduled: see whether it is still there.
        if let Will::Armed { restart_at, .. } = &mut self.will {
            *restart_at = now;
        }
        if let Loan::Lent { check_at, .. } = &mut self.loan {
            *check_at = Some(now);
        }
    }

    fn on_leave_sent(&mut self, now: Instant, answer: Answer) {
        let undo = std::mem::take(&mut self.undo);
        let wait = match answer {
            Answer::Done | Answer::Scheduled { .. } | Answer::SentAtOnce | Answer::Forbidden => {
                self.announced = undo;
                return;
            }
            Answer::RateLimited { retry_after } => rate_limit(retry_after),
            _ => backoff(self.member_tries + 1).min(RETRY_MAX),
        };
        self.member_tries += 1;
        if self.member_tries >= LEAVE_TRIES_MAX {
            // The last will does it, and is therefore not cancelled.
            self.announced = false;
            self.join_unanswered = true;
        }
        self.member = Member::Absent { not_before: now + wait };
    }

    fn on_loan_scheduled(&mut self, now: Instant, pending: &Pending, answer: Answer) {
        let Ask::Schedule { dialect, delay, transaction } = &pending.ask else { return };
        self.loan_transaction = (answer == Answer::Failed).then(|| transaction.clone());
        match (answer, &mut self.loan) {
            (Answer::Scheduled { delay_id }, Loan::Wanted { tries, .. }) if self.want == Want::In => {
                self.loan = Loan::Offered { delay_id, delay: *delay, tries: *tries + 1 };
            }
            (Answer::Scheduled { delay_id }, _) => self.retire(now, delay_id, false),
            (Answer::SentAtOnce, _) => self.on_accident(now, *dialect),
            (Answer::TooLong { max: Some(max) }, _) if max < *delay => self.learn_max_delay(max),
            (Answer::RateLimited { retry_after }, Loan::Wanted { not_before, .. }) => {
                *not_before = now + rate_limit(retry_after);
            }
            (_, Loan::Wanted { not_before, tries }) => {
                *tries += 1;
                *not_before = now + LOAN_RETRY;
            }
            _ => {}
        }
    }

    fn on_delegated(&mut self, now: Instant, asked: &DelayId, answer: Answer) {
        let Loan::Offered { delay_id, tries, .. } = &self.loan else { return };
        if delay_id != asked {
            return;
        }
        let (delay_id, tries) = (delay_id.clone(), *tries);
        if answer != Answer::Done {
            self.loan = Loan::Wanted { not_before: now + LOAN_RETRY, tries };
            return self.retire(now, delay_id, false);
        }
        self.loan = Loan::Lent { delay_id, tries, check_at: None };
        if let Will::Armed { delay_id, .. } = std::mem::replace(&mut self.will, Will::Missing { not_before: now }) {
            self.retire(now, delay_id, false);
        }
        self.set_well();
        self.outputs.push_back(Output::Event(Event::Delegated(true)));
    }

    /// Whether what the focus has survived our own member event.
    fn on_loan_checked(&mut self, now: Instant, pending: &Pending, answer: Answer) {
        let Ask::Restart { dialect, delay_id: asked } = &pending.ask else { return };
        let Loan::Lent { delay_id, tries, check_at } = &mut self.loan else { return };
        if delay_id != asked {
            return;
        }
        match answer {
            Answer::Done => *check_at = None,
            Answer::Lost | Answer::Conflict => {
                let tries = *tries;
                self.recall(now, Loan::Wanted { not_before: now + RETRY, tries });
            }
            Answer::Unrecognised if self.support.manage.len() > 1 => self.support.drop_manage(*dialect),
            Answer::RateLimited { retry_after } => *check_at = Some(now + rate_limit(retry_after)),
            _ => *check_at = Some(now + RETRY_MAX),
        }
    }
}

/// What the server asked for, within bounds, or our own guess.
fn rate_limit(retry_after: Option<Duration>) -> Duration {
    retry_after.map_or(RATE_LIMIT_WAIT, |wait| wait.clamp(RETRY, RATE_LIMIT_WAIT_MAX))
}
