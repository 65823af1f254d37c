//! The "last will": a leave that the homeserver sends for us when we have died (MSC4140), and the member event that goes
//! with it.
//!
//! [`DelayedLeave`] owns when our own join and leave events are sent, and that a scheduled leave stands behind them: it
//! schedules it, keeps restarting it, finds out when it was lost or fired, and comes back then. It can lend the task to a focus
//! and take it back. It never makes the content of an event, and never talks to a server: requests come out as [`Action`]s,
//! answers go in.
//!
//! ```text
//!  join ─▶ schedule leave ─▶ send join ─▶ restart, restart, restart … ─▶ leave: send leave ─▶ cancel scheduled leave
//!              ▲   │ no such endpoint: next dialect, or none     │ 404
//!              │   │ sent at once (accident): mark, send join again
//!              └───┴─────────────────────────────────────────────┘
//! ```

mod answers;
pub mod config;
mod delay_id;
mod drive;
pub mod http;
mod support;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

pub use self::config::Config;
use self::config::*;
pub use self::delay_id::DelayId;
pub use self::http::Answer;
pub use self::support::{Manage, Schedule, Support};

/// Id of a request; each is used once by one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A request to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Comes back with the answer, see [`DelayedLeave::handle_answer`].
    pub request_id: RequestId,
    pub ask: Ask,
}

/// What is asked. [`Ask::to_http`] makes requests of all that concern the homeserver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Have the leave sent after `delay`. A repetition after a broken answer has the same transaction.
    Schedule { dialect: Schedule, delay: Duration, transaction: String },
    /// Begin the delay again.
    Restart { dialect: Manage, delay_id: DelayId },
    /// Never send it.
    Cancel { dialect: Manage, delay_id: DelayId },
    /// Send the join event, with `expires` = `periods` × [`Config::expiry`](config::Config). A `fresh` one is a new membership:
    /// its legacy content has no `created_ts`, or others would take it for the old one and send no keys. Otherwise `created_ts`
    /// is that of the join.
    SendJoin { fresh: bool, periods: u32, transaction: String },
    /// Send the leave event.
    SendLeave { transaction: String },
    /// Ask the focus to keep restarting this scheduled leave, and to send it when we are lost: `delegate_leave`.
    Delegate { delay_id: DelayId, delay: Duration },
    /// Tell the focus that it need not any more. Best effort: what it held is cancelled besides.
    TakeBack { delay_id: DelayId },
}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Make this request, and give its answer to [`DelayedLeave::handle_answer`].
    Ask(Action),
    /// Something that a client may want to show.
    Event(Event),
    /// Nothing now: call [`DelayedLeave::handle_timeout`] at that time, if there is one.
    Timeout(Option<Instant>, Reason),
}

/// What a client may want to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The join event was accepted.
    Joined,
    /// No restart got through for the whole delay: others probably see us gone. `false`: it is well again.
    ProbablyLeft(bool),
    /// The homeserver sent our leave when it should have scheduled it. It is being undone; the dialect is not used again.
    Accident(Schedule),
    /// This homeserver does no delayed events. If we die, others see us until the member event expires.
    NoLastWill,
    /// Our membership had gone; we join again.
    Rejoining,
    /// The focus has the last will (`true`), or we have it again.
    Delegated(bool),
    /// The homeserver refuses our join event. The machine has stopped.
    Refused,
    /// The leave was sent, or is left to the last will. The machine has stopped.
    Left,
}

/// What the machine waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An answer.
    Answer,
    /// The next restart.
    Restart,
    /// The moment at which the homeserver sends our leave.
    Expiry,
    /// The next try, or the renewal, of the member event.
    Member,
    /// The next try to schedule, to delegate or to cancel.
    Retry,
    /// Nothing.
    Idle,
}

/// Counts, cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Restarts that the homeserver answered.
    pub restarts: u64,
    /// Scheduled leaves that the homeserver did not know any more.
    pub lost: u64,
    /// Leaves that were sent when they should have been scheduled.
    pub accidents: u64,
    /// Joins because our membership had gone.
    pub rejoins: u64,
    /// Answers that told us to wait.
    pub rate_limited: u64,
    /// Requests that were not answered, or with an error of the server.
    pub failed: u64,
    /// Answers that belong to no request.
    pub strays: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Out,
    In,
    Leaving,
}

/// The scheduled leave that we restart ourselves.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Will {
    Missing {
        not_before: Instant,
    },
    Armed {
        delay_id: DelayId,
        delay: Duration,
        /// At the earliest: counted from when the request left.
        expires_at: Instant,
        restart_at: Instant,
        /// Known to be alive since the last doubt.
        verified: bool,
    },
}

/// Our member event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Absent {
        not_before: Instant,
    },
    Present {
        since: Instant,
        seen: bool,
        periods: u32,
        renew_at: Instant,
        /// The content changed: it is sent again, for the same periods.
        changed: bool,
    },
}

/// The scheduled leave that the focus restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Loan {
    /// There is no focus, or nothing to lend.
    None,
    Wanted {
        not_before: Instant,
        tries: u32,
    },
    /// Scheduled, and offered to the focus.
    Offered {
        delay_id: DelayId,
        delay: Duration,
        tries: u32,
    },
    /// `check_at`: our own member event may have cancelled it.
    Lent {
        delay_id: DelayId,
        tries: u32,
        check_at: Option<Instant>,
    },
}

/// A scheduled leave that must not fire any more.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stale {
    delay_id: DelayId,
    /// It is all we have until another is armed.
    after_armed: bool,
    not_before: Instant,
    tries: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    Own,
    Loan,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    ask: Ask,
    purpose: Purpose,
    sent_at: Instant,
    deadline: Instant,
}

/// The machine of one membership.
///
/// Contract: any number of `handle_*` and verbs, then [`poll_output`](Self::poll_output) until it returns
/// [`Output::Timeout`]. At most [`OUTSTANDING_MAX`] requests are outstanding, and none for longer than
/// [`SEND_TIMEOUT`]; an answer that comes later is still understood.
#[derive(Debug)]
pub struct DelayedLeave {
    config: Config,
    support: Support,
    want: Want,
    will: Will,
    member: Member,
    loan: Loan,
    stale: VecDeque<Stale>,
    /// A join event of ours may stand at the homeserver.
    announced: bool,
    /// A join event was sent and never answered: it may arrive after our leave.
    join_unanswered: bool,
    /// What is outstanding of the member event may be overtaken: a join by the leave of an accident, a leave by a late join.
    undo: bool,
    /// The join does not wait longer for the will.
    join_by: Instant,
    /// Of a schedule without an answer, for the next try: the server then knows it for the same.
    transaction: Option<String>,
    loan_transaction: Option<String>,
    schedule_tries: u32,
    member_tries: u32,
    rejoins: u32,
    rejoined_at: Option<Instant>,
    probably_left: bool,
    pending: BTreeMap<RequestId, Pending>,
    late: VecDeque<(RequestId, Pending)>,
    outputs: VecDeque<Output>,
    next_id: u64,
    prefix: String,
    counters: Counters,
}

impl DelayedLeave {
    /// `prefix` begins every transaction id, and must differ between two machines of the same device.
    pub fn new(now: Instant, config: Config, support: Support, prefix: String) -> Self {
        Self {
            config,
            support,
            want: Want::Out,
            will: Will::Missing { not_before: now },
            member: Member::Absent { not_before: now },
            loan: Loan::None,
            stale: VecDeque::new(),
            announced: false,
            join_unanswered: false,
            undo: false,
            join_by: now,
            transaction: None,
            loan_transaction: None,
            schedule_tries: 0,
            member_tries: 0,
            rejoins: 0,
            rejoined_at: None,
            probably_left: false,
            pending: BTreeMap::new(),
            late: VecDeque::new(),
            outputs: VecDeque::new(),
            next_id: 0,
            prefix,
            counters: Counters::default(),
        }
    }

    /// Joins: schedules the leave, then has the join event sent. Nothing if we are in already.
    pub fn join(&mut self, now: Instant) {
        if self.want == Want::In {
            return;
        }
        self.want = Want::In;
        self.member = Member::Absent { not_before: now };
        self.join_by = now + JOIN_WAIT_MAX;
        (self.member_tries, self.schedule_tries) = (0, 0);
        if let Will::Armed { restart_at, verified, .. } = &mut self.will {
            (*restart_at, *verified) = (now, false);
        }
        if !self.usable() {
            self.outputs.push_back(Output::Event(Event::NoLastWill));
        }
        self.drive(now);
    }

    /// Leaves: has the leave event sent, then what is scheduled cancelled. Ends with [`Event::Left`].
    pub fn leave(&mut self, now: Instant) {
        if self.want != Want::In {
            return;
        }
        self.want = Want::Leaving;
        self.member_tries = 0;
        self.member = Member::Absent { not_before: now };
        if let Loan::Offered { delay_id, .. } | Loan::Lent { delay_id, .. } =
            std::mem::replace(&mut self.loan, Loan::None)
        {
            self.retire(now, delay_id, false);
        }
        self.drive(now);
    }

    /// The content of the join event changed (another focus, another intent): it is sent again.
    pub fn update(&mut self, now: Instant) {
        if let Member::Present { renew_at, changed, .. } = &mut self.member {
            (*renew_at, *changed) = (now, true);
        }
        self.drive(now);
    }

    /// What sync says: whether the room's state holds our membership. To be called with every sync that could have changed it.
    pub fn handle_own_membership(&mut self, now: Instant, present: bool) {
        if let (Want::In, Member::Present { since, seen, .. }) = (self.want, &mut self.member) {
            if present {
                *seen = true;
            } else if *seen || now >= *since + SEEN_WITHIN {
                self.rejoin(now);
            }
        }
        self.drive(now);
    }

    /// A signalling connection to our focus stands: with [`Config::loan_delay`], the leave is offered to it.
    pub fn handle_focus_connected(&mut self, now: Instant) {
        if self.loan == Loan::None && self.config.loan_delay.is_some() {
            self.loan = Loan::Wanted { not_before: now, tries: 0 };
        }
        self.drive(now);
    }

    /// The connection to the focus is lost: we restart a leave of our own again, and cancel the one that was lent.
    pub fn handle_focus_lost(&mut self, now: Instant) {
        self.recall(now, Loan::None);
        self.drive(now);
    }

    /// The focus says that it does not look after our leave any more, though its connection stands.
    pub fn handle_delegation_lost(&mut self, now: Instant) {
        if let Loan::Offered { tries, .. } | Loan::Lent { tries, .. } = self.loan {
            self.recall(now, Loan::Wanted { not_before: now + LOAN_RETRY, tries });
        }
        self.drive(now);
    }

    /// Takes the leave back from a focus that we are about to leave for another.
    pub fn take_back(&mut self, now: Instant) {
        if let Loan::Offered { delay_id, .. } | Loan::Lent { delay_id, .. } = &self.loan {
            let ask = Ask::TakeBack { delay_id: delay_id.clone() };
            // The answer tells nothing that we would act on: the leave is cancelled besides.
            let request_id = self.next_request();
            self.outputs.push_back(Output::Ask(Action { request_id, ask }));
        }
        self.recall(now, Loan::None);
        self.drive(now);
    }

    /// The homeserver was asked again what it can.
    pub fn handle_support(&mut self, now: Instant, support: Support) {
        self.support = support;
        self.drive(now);
    }

    /// An answer. [`Answer::Failed`] for none: a broken connection, or a time-out of the driver's own.
    pub fn handle_answer(&mut self, now: Instant, request_id: RequestId, answer: Answer) {
        if let Some(pending) = self.pending.remove(&request_id) {
            self.on_answer(now, pending, answer);
        } else if let Some(at) = self.late.iter().position(|(id, _)| *id == request_id) {
            if let Some((_, pending)) = self.late.remove(at) {
                self.on_late_answer(now, pending, answer);
            }
        } else if answer != Answer::Done {
            self.counters.strays += 1;
        }
        self.drive(now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.drive(now);
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| {
            let (at, reason) = self.deadline();
            Output::Timeout(at, reason)
        })
    }

    /// Whether others probably see us gone; see [`Event::ProbablyLeft`].
    pub fn is_probably_left(&self) -> bool {
        self.probably_left
    }

    /// Whether the join event was accepted and, as far as we know, stands.
    pub fn is_joined(&self) -> bool {
        self.want == Want::In && matches!(self.member, Member::Present { .. })
    }

    /// Whether a scheduled leave stands behind us, ours or the focus's.
    pub fn has_last_will(&self) -> bool {
        matches!(self.will, Will::Armed { .. }) || matches!(self.loan, Loan::Lent { .. })
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn usable(&self) -> bool {
        self.support.is_enough() && self.delay() >= DELAY_MIN
    }

    /// Of our own will: as configured, within what the server takes.
    fn delay(&self) -> Duration {
        self.config.delay.min(self.support.max_delay.unwrap_or(Duration::MAX))
    }

    fn loan_delay(&self) -> Option<Duration> {
        let delay = self.config.loan_delay?.min(self.support.max_delay.unwrap_or(Duration::MAX));
        (delay >= LOAN_DELAY_MIN).then_some(delay)
    }

    fn next_request(&mut self) -> RequestId {
        self.next_id += 1;
        RequestId(self.next_id)
    }

    /// Our membership is gone, or probably so. The will may have fired, or may still be there and fire later: it is looked at first.
    fn rejoin(&mut self, now: Instant) {
        self.counters.rejoins += 1;
        let soon = self.rejoined_at.is_some_and(|at| now < at + REJOIN_WAIT_MAX);
        self.rejoins = if soon { self.rejoins + 1 } else { 0 };
        let wait = if soon { backoff(self.rejoins).min(REJOIN_WAIT_MAX) } else { Duration::ZERO };
        self.rejoined_at = Some(now + wait);
        self.member = Member::Absent { not_before: now + wait };
        self.join_by = now + wait + JOIN_WAIT_MAX;
        self.member_tries = 0;
        if let Will::Armed { restart_at, verified, .. } = &mut self.will {
            (*restart_at, *verified) = (now, false);
        }
        self.outputs.push_back(Output::Event(Event::Rejoining));
    }

    /// What the focus had, or was offered, is cancelled as soon as a will of our own is armed.
    fn recall(&mut self, now: Instant, next: Loan) {
        match std::mem::replace(&mut self.loan, next) {
            Loan::Offered { delay_id, .. } => self.retire(now, delay_id, false),
            Loan::Lent { delay_id, .. } => {
                self.retire(now, delay_id, true);
                self.schedule_tries = 0;
                self.will = Will::Missing { not_before: now };
                self.outputs.push_back(Output::Event(Event::Delegated(false)));
            }
            Loan::None | Loan::Wanted { .. } => {}
        }
    }

    fn retire(&mut self, now: Instant, delay_id: DelayId, after_armed: bool) {
        if self.stale.len() == STALE_MAX {
            self.stale.pop_front();
        }
        self.stale.push_back(Stale { delay_id, after_armed, not_before: now, tries: 0 });
    }
}

/// 1 s, 2 s, 4 s … for the first, second, third try, [`RETRY_MAX`] at most while `tries` is small enough to matter.
fn backoff(tries: u32) -> Duration {
    RETRY * 2u32.saturating_pow(tries.saturating_sub(1).min(6))
}

#[cfg(test)]
mod tests;
