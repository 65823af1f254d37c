//! The thread that writes. What comes together is one transaction; what could not be written waits, by row, and is
//! tried again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::db::Db;
use super::{Health, Write};

/// Rows that wait for a disk that takes nothing: all sessions of the focus, twice.
pub(super) const WAITING_MAX: usize = 16_384;
/// A full disk is tried again this often.
const RETRY: Duration = Duration::from_secs(5);

pub(super) enum Job {
    Write(Write),
    /// Says whether everything before it is on the disk.
    Flush(oneshot::Sender<bool>),
}

/// What a change is about. Of two changes of one row, the later counts.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Denied(String, String),
    Delegation(String, String),
}

impl Row {
    fn of(write: &Write) -> Self {
        match write {
            Write::Deny(d) => Self::Denied(d.conference.clone(), d.identity.clone()),
            Write::Delegate(d) => Self::Delegation(d.conference.clone(), d.identity.clone()),
            Write::EndDelegation { conference, identity } => Self::Delegation(conference.clone(), identity.clone()),
        }
    }
}

pub(super) struct Keeper {
    pub(super) db: Db,
    waiting: BTreeMap<Row, Write>,
    pub(super) health: Arc<Health>,
}

impl Keeper {
    pub(super) fn new(db: Db, health: Arc<Health>) -> Self {
        Self { db, waiting: BTreeMap::new(), health }
    }

    /// Until nobody is left to give it work.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let first = match self.health.is_degraded() {
                false => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                true => jobs.recv_timeout(RETRY),
            };
            let mut asked = Vec::new();
            match first {
                Ok(job) => {
                    for job in std::iter::once(job).chain(jobs.try_iter()) {
                        match job {
                            Job::Write(write) => self.take(write),
                            Job::Flush(done) => asked.push(done),
                        }
                    }
                    // While the disk takes nothing it is tried by the clock, unless somebody wants to know.
                    if !self.health.is_degraded() || !asked.is_empty() {
                        self.write();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.write(),
                Err(RecvTimeoutError::Disconnected) => return self.write(),
            }
            for done in asked {
                // Whoever asked may have gone.
                let _ = done.send(!self.health.is_degraded());
            }
        }
    }

    pub(super) fn take(&mut self, write: Write) {
        let row = Row::of(&write);
        if self.waiting.len() >= WAITING_MAX && !self.waiting.contains_key(&row) {
            self.health.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.waiting.insert(row, write);
    }

    pub(super) fn write(&mut self) {
        if self.waiting.is_empty() && !self.db.is_read_only() {
            return self.health.degraded.store(false, Ordering::Relaxed);
        }
        match self.db.write(self.waiting.values()) {
            Ok(()) => {
                self.waiting.clear();
                if self.health.degraded.swap(false, Ordering::Relaxed) {
                    info!("state.dir can be written again");
                }
            }
            Err(error) => {
                self.health.failures.fetch_add(1, Ordering::Relaxed);
                if !self.health.degraded.swap(true, Ordering::Relaxed) {
                    warn!(%error, "state cannot be written; it is tried again");
                }
            }
        }
    }
}
