//! Ids of the tokens that were used and could still be shown again.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest;

use crate::token::LATE_LEEWAY;

/// The first half of an id's SHA-256: an id has up to 64 bytes, and a busy focus remembers tens of thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark([u8; 16]);

impl Mark {
    pub(crate) fn of(jti: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, jti.as_bytes());
        let mut mark = [0; 16];
        mark.copy_from_slice(&digest.as_ref()[..16]);
        Self(mark)
    }
}

/// Remembers each id until its token would be refused anyway. When it is full, it is for the caller to let nobody in:
/// an id that was forgotten early would be a token that works twice.
#[derive(Debug, Default)]
pub(crate) struct UsedTokens {
    /// By the second, counted from 1970, in which they are forgotten. Each list is sorted.
    by_end: BTreeMap<u64, Vec<Mark>>,
}

impl UsedTokens {
    /// `expires`: as of its token, time since 1970 without leeway.
    pub(crate) fn contains(&self, jti: Mark, expires: Duration) -> bool {
        self.by_end.get(&end(expires)).is_some_and(|marks| marks.binary_search(&jti).is_ok())
    }

    pub(crate) fn len(&self) -> usize {
        self.by_end.values().map(Vec::len).sum()
    }

    /// `expires`: as above.
    pub(crate) fn insert(&mut self, jti: Mark, expires: Duration) {
        let marks = self.by_end.entry(end(expires)).or_default();
        if let Err(place) = marks.binary_search(&jti) {
            marks.insert(place, jti);
        }
    }

    pub(crate) fn forget_expired(&mut self, unix_now: Duration) {
        while let Some(first) = self.by_end.first_entry()
            && *first.key() <= unix_now.as_secs()
        {
            first.remove();
        }
    }

    /// When there is next something to forget.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.by_end.first_key_value().map(|(end, _)| Duration::from_secs(*end))
    }
}

/// A whole second or two more than the last moment at which it is accepted.
fn end(expires: Duration) -> u64 {
    (expires + LATE_LEEWAY).as_secs() + 2
}

#[cfg(test)]
mod tests;
