//! What must survive a restart: who was removed from which conference, the last wills that the focus holds for its
//! members. One SQLite file, `focus.sqlite3` in `state.dir`, of this process alone.
//!
//! The machines hold the truth; this is their copy for the next process. It is read once, at start, and afterwards only
//! written: [`Store::write`] never waits for the disk. What cannot be written now (disk full, read-only) is kept and
//! tried again; meanwhile calls go on and `/readyz` says so.

mod db;
mod keeper;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::oneshot;

pub(crate) use db::now_ms;

use db::Db;
use keeper::{Job, Keeper};

/// Name of the database in `state.dir`.
pub(crate) const FILE: &str = "focus.sqlite3";
/// Writes on their way to the keeper: a conference of the largest size may end at once, twice.
const QUEUE_MAX: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("state.dir {path}: {error}")]
    Dir { path: PathBuf, error: io::Error },
    #[error("state.dir {path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("state.dir {path}: in use by another process")]
    InUse { path: PathBuf },
    #[error("state.dir {path}: written by a newer version ({found}, this one knows {known})")]
    TooNew { path: PathBuf, found: i64, known: i64 },
    #[error("state.dir {path}: {error}")]
    Sqlite { path: PathBuf, error: rusqlite::Error },
    #[error("state.dir: no thread for it: {0}")]
    Thread(io::Error),
}

/// Somebody who may not come back: an identity into a conference, or a user into the conferences of a room. The words are
/// those of tokens: opaque.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) conference: String,
    pub(crate) identity: String,
    /// Milliseconds since 1970; forgotten afterwards.
    pub(crate) until_ms: u64,
}

/// A last will that a member has given to the focus. `delay_id` is a capability.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Delegation {
    pub(crate) conference: String,
    pub(crate) identity: String,
    pub(crate) server_name: String,
    pub(crate) delay_id: String,
    pub(crate) delay_ms: u64,
    pub(crate) on_leave: bool,
    /// When the homeserver last began to count anew, in milliseconds since 1970.
    pub(crate) restarted_ms: u64,
}

/// One change. A later one of the same row takes the place of an earlier one.
#[derive(Clone)]
pub(crate) enum Write {
    Deny(Denial),
    Delegate(Delegation),
    EndDelegation { conference: String, identity: String },
}

/// Everything that the last process left.
#[derive(Default)]
pub(crate) struct Saved {
    pub(crate) denials: Vec<Denial>,
    pub(crate) delegations: Vec<Delegation>,
}

/// How writing goes.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// The last attempt failed, and something waits.
    degraded: AtomicBool,
    failures: AtomicU64,
    /// Changes that nobody will write: too many waited.
    dropped: AtomicU64,
}

impl Health {
    pub(crate) fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Relaxed)
    }

    /// Attempts to write that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The way to the keeper, for as many as want one. When the last is dropped, what waits is written and the keeper ends.
#[derive(Clone)]
pub(crate) struct Store {
    jobs: SyncSender<Job>,
    health: Arc<Health>,
}

impl Store {
    /// Opens the database in `dir`, and makes both if they are missing. Without `dir` everything is in memory, and
    /// nothing survives. Reads from the disk: not for the control task.
    pub(crate) fn open(dir: Option<&Path>) -> Result<(Self, Saved), StoreError> {
        let db = match dir {
            Some(dir) => {
                make_dir(dir)?;
                Db::open(&dir.join(FILE))?
            }
            None => Db::in_memory()?,
        };
        Self::start(db)
    }

    fn start(db: Db) -> Result<(Self, Saved), StoreError> {
        let saved = db.load()?;
        let health = Arc::new(Health::default());
        health.degraded.store(db.is_read_only(), Ordering::Relaxed);
        let (jobs, inbox) = sync_channel(QUEUE_MAX);
        let keeper = Keeper::new(db, health.clone());
        let thread = std::thread::Builder::new().name("state".into());
        thread.spawn(move || keeper.run(&inbox)).map_err(StoreError::Thread)?;
        Ok((Self { jobs, health }, saved))
    }

    /// Never waits. It is written soon, or when that is possible again.
    pub(crate) fn write(&self, write: Write) {
        if self.jobs.try_send(Job::Write(write)).is_err() {
            self.health.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything before it was tried. `true`: all of it is on the disk.
    pub(crate) async fn flush(&self) -> bool {
        let (done, written) = oneshot::channel();
        let jobs = self.jobs.clone();
        // A full queue is waited for, but not on this thread.
        let sent = tokio::task::spawn_blocking(move || jobs.send(Job::Flush(done)).is_ok()).await;
        sent.unwrap_or(false) && written.await.unwrap_or(false)
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }
}

/// For the owner only, if it is made here; one that exists is the operator's.
pub(crate) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| StoreError::Dir { path: dir.to_owned(), error })
}
