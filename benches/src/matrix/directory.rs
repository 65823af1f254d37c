//! What all members of a run share: which user is which person, when each member event went out, and counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use matrix_sdk::ruma::{OwnedUserId, UserId};
use matrixrtc::MemberKey;

/// See the module.
#[derive(Debug, Default)]
pub struct Directory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    people: BTreeMap<OwnedUserId, u32>,
    /// By user and member id: homeserver, and when.
    announced: BTreeMap<(OwnedUserId, String), (String, Instant)>,
    counts: Counts,
}

/// What happened in the run.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Messages with a key.
    pub sent: u64,
    pub failed: u64,
    pub received: u64,
    pub refused: u64,
    /// Questions for a key that did not come.
    pub asked: u64,
    /// Scheduled leaves that the focus took to look after.
    pub lent: u64,
    /// From a member event to its arrival, in milliseconds: of the same homeserver, and of another one.
    pub same_ms: Vec<f64>,
    pub across_ms: Vec<f64>,
}

impl Directory {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Maps are whole after each step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, user: &UserId, person: u32) {
        self.inner().people.insert(user.to_owned(), person);
    }

    pub fn person(&self, user: &UserId) -> Option<u32> {
        self.inner().people.get(user).copied()
    }

    pub fn announced(&self, user: &UserId, member_id: &str, homeserver: &str, at: Instant) {
        let key = (user.to_owned(), member_id.to_owned());
        self.inner().announced.insert(key, (homeserver.to_owned(), at));
    }

    pub fn left(&self, user: &UserId, member_id: &str) {
        self.inner().announced.remove(&(user.to_owned(), member_id.to_owned()));
    }

    /// A member of `homeserver` saw `member`.
    pub fn saw(&self, member: &MemberKey, homeserver: &str, at: Instant) {
        let mut inner = self.inner();
        let key = (member.user.clone(), member.member_id.clone());
        let Some((origin, announced)) = inner.announced.get(&key) else { return };
        let ms = at.saturating_duration_since(*announced).as_secs_f64() * 1e3;
        match origin == homeserver {
            true => inner.counts.same_ms.push(ms),
            false => inner.counts.across_ms.push(ms),
        }
    }

    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.inner().counts);
    }

    pub fn counts(&self) -> Counts {
        self.inner().counts.clone()
    }
}
