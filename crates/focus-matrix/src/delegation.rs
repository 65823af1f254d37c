//! Delegated leaves: the focus restarts a member's delayed leave event (MSC4140) while the member lives, and sends it when
//! the member is lost, because a client that dies cannot.
//!
//! Lost is who was silent on signalling *and* on media for [`Timing::loss`]; whether its session is still held does not matter.
//! The machine knows members by opaque words, is told of every sign of life, and asks homeservers through
//! [`Output::Ask`]. It never sees an access token, and never asks a homeserver that the operator did not name: those
//! are given at construction. A `delay_id` is a capability: it is in [`Ask`] and [`Will`], and no `Debug` shows it.

mod answers;
mod job;
mod presence;
mod servers;
mod timing;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;

use job::{Job, Phase};
use servers::{Servers, Urgency};

pub use servers::Answer;
pub use timing::Timing;

/// A member of a conference, by the words of its token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    pub conference: String,
    pub identity: String,
}

/// A presence of a member at the focus: each session has another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionNumber(pub u64);

/// Names a question until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// What a member has delegated.
#[derive(Clone, PartialEq, Eq)]
pub struct Will {
    pub server_name: String,
    pub delay_id: String,
    pub delay: Duration,
    /// Send it when the member says that it leaves.
    pub on_leave: bool,
}

/// A question to a homeserver: `POST …/org.matrix.msc4140/delayed_events/{delay_id}/{action}`, without a token.
#[derive(Clone, PartialEq, Eq)]
pub enum Ask {
    /// Restart an event that does not exist: 404 says that events can be managed by their id, 401 that they cannot.
    Probe {
        delay_id: String,
    },
    Restart {
        delay_id: String,
    },
    Send {
        delay_id: String,
    },
}

/// Why a will is not held. What is told of it is for the member's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this focus looks after leave events at its own homeservers only")]
    ForeignServer,
    #[error("a delegated leave needs a delay of 30 s to 24 h")]
    Delay,
    #[error("the homeserver wants its user's token to restart a delayed event: restart it yourself")]
    NeedsToken,
    #[error("the homeserver has no delayed events")]
    Unsupported,
    #[error("the homeserver does not know this delayed event")]
    UnknownEvent,
    #[error("the homeserver could not be asked")]
    Unreachable,
    #[error("too many leaves are delegated")]
    Full,
    #[error("delegated too often")]
    TooOften,
    #[error("nothing is delegated")]
    Nothing,
}

/// What became of a will, unasked or as the end of [`Delegation::delegate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Held: the answer to `delegate`, with its token.
    Held,
    /// Not held: the other answer.
    Refused(Refusal),
    /// The leave was sent, and the member is there again.
    Sent,
    /// The homeserver does not know it any more, or does not let us restart it.
    Lost,
}

/// One effect.
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    Ask {
        id: AskId,
        server_name: String,
        ask: Ask,
    },
    /// `request`: the number given with [`Delegation::delegate`].
    Tell {
        session: SessionNumber,
        request: Option<u64>,
        news: News,
    },
    /// To be kept: it is held, and was last restarted just now.
    Save {
        member: Member,
        will: Will,
    },
    Forget {
        member: Member,
    },
    /// Nothing before this time, unless something comes in.
    Timeout(Option<Instant>),
}

/// Counts, cumulative but for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Wills held now.
    pub held: u64,
    pub accepted: u64,
    pub refused: u64,
    pub restarts: u64,
    /// Questions that failed and were asked again.
    pub retries: u64,
    /// Leaves sent, because the member was lost, or said that it leaves.
    pub sent_lost: u64,
    pub sent_left: u64,
    /// Wills that the homeserver did not know any more, or that could not be sent.
    pub lost: u64,
    pub taken_back: u64,
}

/// All wills that this focus holds.
///
/// Contract: any number of `handle_*` and plain verbs, then [`poll_output`](Self::poll_output) until it returns
/// [`Output::Timeout`]; [`handle_timeout`](Self::handle_timeout) at that time.
pub struct Delegation {
    timing: Timing,
    jobs: BTreeMap<Member, Job>,
    /// When to look at which job. One entry for each job at most.
    timers: BTreeSet<(Instant, Member)>,
    /// Everybody who is there, held or not.
    sessions: BTreeMap<SessionNumber, Session>,
    servers: Servers,
    rng: ChaCha20Rng,
    outputs: VecDeque<Output>,
    counters: Counters,
}

struct Session {
    member: Member,
    /// When it asked last.
    asked: Option<Instant>,
}

impl Delegation {
    /// `servers`: the homeservers that the operator named.
    pub fn new(servers: impl IntoIterator<Item = String>, timing: Timing, seed: [u8; 32]) -> Self {
        Self {
            timing,
            jobs: BTreeMap::new(),
            timers: BTreeSet::new(),
            sessions: BTreeMap::new(),
            servers: Servers::new(servers),
            rng: ChaCha20Rng::from_seed(seed),
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// What the process before held, `since` the last restart. Its members get [`Timing::grace`] to come back.
    pub fn restore(&mut self, now: Instant, member: Member, will: Will, since: Duration) {
        if self.jobs.len() >= self.timing.jobs_max || !self.servers.knows(&will.server_name) {
            return self.outputs.push_back(Output::Forget { member });
        }
        let due = self.timing.restart_after(will.delay, 0).saturating_sub(since);
        let mut job = Job::new(will, now);
        job.phase = Phase::Held { restart_at: now + due, tries: 0 };
        job.presence.wait_until(now + self.timing.grace);
        self.jobs.insert(member.clone(), job);
        self.go_on(now, &member);
    }

    /// A member asks us to look after its leave. Ends in [`News::Held`] or [`News::Refused`] with the same `request`, unless
    /// it asks again or leaves before.
    pub fn delegate(&mut self, now: Instant, session: SessionNumber, request: u64, will: Will) {
        let refusal = self.refusal(now, session, &will);
        let Some(known) = self.sessions.get_mut(&session) else { return };
        if let Some(refusal) = refusal {
            return self.refuse(session, request, refusal);
        }
        known.asked = Some(now);
        let member = known.member.clone();
        // The one before is the client's to cancel: it knows best which one still counts.
        self.drop_job(&member);
        let mut job = Job::new(will, now);
        job.presence.joined(session, now);
        job.phase = Phase::Proving { session, request };
        self.jobs.insert(member.clone(), job);
        self.go_on(now, &member);
    }

    fn refusal(&self, now: Instant, session: SessionNumber, will: &Will) -> Option<Refusal> {
        let session = self.sessions.get(&session)?;
        if !self.servers.knows(&will.server_name) {
            Some(Refusal::ForeignServer)
        } else if !(self.timing.delay_min..=timing::DELAY_MAX).contains(&will.delay) {
            Some(Refusal::Delay)
        } else if session.asked.is_some_and(|asked| now < asked + timing::DELEGATE_INTERVAL) {
            Some(Refusal::TooOften)
        } else if self.jobs.len() >= self.timing.jobs_max && !self.jobs.contains_key(&session.member) {
            Some(Refusal::Full)
        } else {
            None
        }
    }

    /// The member looks after its leave itself again. `false`: nothing was held.
    pub fn take_back(&mut self, session: SessionNumber) -> bool {
        let Some(member) = self.sessions.get(&session).map(|session| session.member.clone()) else { return false };
        let held = self.drop_job(&member);
        self.counters.taken_back += u64::from(held);
        held
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.servers.handle_timeout(now);
        for id in self.servers.overdue(now) {
            self.handle_answer(now, id, Answer::Failed);
        }
        while let Some((at, member)) = self.timers.first().cloned() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            if let Some(job) = self.jobs.get_mut(&member) {
                job.timer = None;
            }
            self.go_on(now, &member);
        }
    }

    pub fn poll_output(&mut self, now: Instant) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        while let Some((server_name, member)) = self.servers.next(now) {
            let Some(job) = self.jobs.get_mut(&member) else { continue };
            let ask = match job.urgency() {
                Urgency::Prove if !self.servers.is_open(&server_name, now) => {
                    let mut number = [0; 16];
                    self.rng.fill_bytes(&mut number);
                    Ask::Probe { delay_id: format!("none_{:032x}", u128::from_be_bytes(number)) }
                }
                Urgency::Send => Ask::Send { delay_id: job.will.delay_id.clone() },
                Urgency::Prove | Urgency::Restart => Ask::Restart { delay_id: job.will.delay_id.clone() },
            };
            let id = self.servers.asked(now, &server_name, &member, &ask);
            (job.queued, job.asked) = (false, Some(id));
            return Output::Ask { id, server_name, ask };
        }
        let next = self.timers.first().map(|(at, _)| *at);
        Output::Timeout(next.into_iter().chain(self.servers.next_timeout()).min())
    }

    pub fn counters(&self) -> Counters {
        let held = self.jobs.values().filter(|job| matches!(job.phase, Phase::Held { .. })).count() as u64;
        Counters { held, ..self.counters }
    }

    /// Whether a question about the job is needed now, and when to look at it again.
    fn go_on(&mut self, now: Instant, member: &Member) {
        let Some(job) = self.jobs.get_mut(member) else { return };
        job.look(now, &self.timing);
        if job.asked.is_none() && job.is_due(now) {
            job.queued = true;
            self.servers.enqueue(&job.will.server_name, job.urgency(), now, member);
        }
        self.schedule(member);
    }

    fn schedule(&mut self, member: &Member) {
        let Some(job) = self.jobs.get_mut(member) else { return };
        let next = job.next_look(&self.timing);
        if let Some(old) = std::mem::replace(&mut job.timer, next) {
            self.timers.remove(&(old, member.clone()));
        }
        if let Some(next) = next {
            self.timers.insert((next, member.clone()));
        }
    }

    /// `true`: something was held, and is not any more.
    fn drop_job(&mut self, member: &Member) -> bool {
        let Some(job) = self.jobs.remove(member) else { return false };
        if let Some(at) = job.timer {
            self.timers.remove(&(at, member.clone()));
        }
        self.servers.forget(&job.will.server_name, member);
        let was_held = !matches!(job.phase, Phase::Proving { .. });
        if was_held {
            self.outputs.push_back(Output::Forget { member: member.clone() });
        }
        was_held
    }

    fn refuse(&mut self, session: SessionNumber, request: u64, refusal: Refusal) {
        self.counters.refused += 1;
        let news = News::Refused(refusal);
        self.outputs.push_back(Output::Tell { session, request: Some(request), news });
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe { .. } => "Probe",
            Self::Restart { .. } => "Restart",
            Self::Send { .. } => "Send",
        })
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask { id, ask, .. } => {
                f.debug_struct("Ask").field("id", id).field("ask", ask).finish_non_exhaustive()
            }
            Self::Tell { session, request, news } => {
                f.debug_struct("Tell").field("session", session).field("request", request).field("news", news).finish()
            }
            Self::Save { .. } => f.write_str("Save"),
            Self::Forget { .. } => f.write_str("Forget"),
            Self::Timeout(at) => f.debug_tuple("Timeout").field(at).finish(),
        }
    }
}
