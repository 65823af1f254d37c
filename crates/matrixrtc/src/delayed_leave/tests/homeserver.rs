//! A homeserver, as far as the last will sees it: one membership, delayed events with their timers, and its manners.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::*;

/// What this server does differently from the merged text.
#[derive(Debug, Clone)]
pub(super) struct Manners {
    pub(super) schedule: Vec<Schedule>,
    /// The query parameter is ignored: the leave is sent at once.
    pub(super) drops_parameter: bool,
    /// Our own member event cancels what is scheduled.
    pub(super) own_event_cancels: bool,
    pub(super) manage: Vec<Manage>,
    /// Of a hundred management requests, so many are rate-limited.
    pub(super) rate_limited: u32,
    /// Of a hundred restarts, before so many the server forgets what is scheduled.
    pub(super) forgets: u32,
    pub(super) max_delay: Duration,
}

#[derive(Debug)]
pub(super) struct Homeserver {
    pub(super) manners: Manners,
    pub(super) joined: bool,
    /// By id: when it fires, and its delay.
    pub(super) scheduled: BTreeMap<String, (Instant, Duration)>,
    transactions: BTreeMap<String, String>,
    ids: u32,
    pub(super) requests: u32,
    pub(super) accidents: u32,
}

impl Homeserver {
    pub(super) fn new(manners: Manners) -> Self {
        let (scheduled, transactions) = (BTreeMap::new(), BTreeMap::new());
        Self { manners, joined: false, scheduled, transactions, ids: 0, requests: 0, accidents: 0 }
    }

    pub(super) fn next_fire(&self) -> Option<Instant> {
        self.scheduled.values().map(|(at, _)| *at).min()
    }

    pub(super) fn fire(&mut self, now: Instant) {
        let due: Vec<_> = self.scheduled.iter().filter(|(_, (at, _))| *at <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            self.scheduled.remove(&id);
            self.joined = false;
        }
    }

    pub(super) fn handle(&mut self, now: Instant, ask: &Ask, rng: &mut ChaCha20Rng) -> Answer {
        self.requests += 1;
        self.fire(now);
        let manages = matches!(ask, Ask::Restart { .. } | Ask::Cancel { .. } | Ask::Schedule { .. });
        if manages && rng.random_range(0..100) < self.manners.rate_limited {
            let named = rng.random_bool(0.5).then(|| Duration::from_millis(rng.random_range(100..4000)));
            return Answer::RateLimited { retry_after: named };
        }
        match ask {
            Ask::Schedule { dialect, delay, transaction } => self.schedule(now, *dialect, *delay, transaction),
            Ask::Restart { dialect, delay_id } => {
                if !self.manners.manage.contains(dialect) {
                    return Answer::Unrecognised;
                }
                if rng.random_range(0..100) < self.manners.forgets {
                    self.scheduled.clear();
                }
                match self.scheduled.get_mut(delay_id.as_str()) {
                    Some((at, delay)) => {
                        *at = now + *delay;
                        Answer::Done
                    }
                    None => Answer::Lost,
                }
            }
            Ask::Cancel { dialect, delay_id } => {
                if !self.manners.manage.contains(dialect) {
                    return Answer::Unrecognised;
                }
                if self.scheduled.remove(delay_id.as_str()).is_some() { Answer::Done } else { Answer::Lost }
            }
            Ask::SendJoin { .. } => {
                self.joined = true;
                if self.manners.own_event_cancels {
                    self.scheduled.clear();
                }
                Answer::Done
            }
            Ask::SendLeave { .. } => {
                self.joined = false;
                Answer::Done
            }
            Ask::Delegate { .. } | Ask::TakeBack { .. } => Answer::Failed,
        }
    }

    fn schedule(&mut self, now: Instant, dialect: Schedule, delay: Duration, transaction: &str) -> Answer {
        if dialect == Schedule::Query && self.manners.drops_parameter {
            self.joined = false;
            self.accidents += 1;
            return Answer::SentAtOnce;
        }
        if !self.manners.schedule.contains(&dialect) {
            return Answer::Unrecognised;
        }
        if delay > self.manners.max_delay {
            return Answer::TooLong { max: Some(self.manners.max_delay) };
        }
        let known = self.transactions.get(transaction).filter(|_| dialect != Schedule::Query);
        if let Some(id) = known {
            return Answer::Scheduled { delay_id: id.clone().into() };
        }
        self.ids += 1;
        let id = format!("delay{}", self.ids);
        self.transactions.insert(transaction.to_owned(), id.clone());
        self.scheduled.insert(id.clone(), (now + delay, delay));
        Answer::Scheduled { delay_id: id.into() }
    }
}
