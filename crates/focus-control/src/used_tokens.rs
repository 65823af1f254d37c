//! Ids of the tokens that were used and could still be shown again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::Private;
use crate::token::LATE_LEEWAY;

/// Remembers each id until its token would be refused anyway. When it is full, it is for the caller to let nobody in:
/// an id that was forgotten early would be a token that works twice.
#[derive(Debug, Default)]
pub(crate) struct UsedTokens {
    expiry: BTreeMap<Private, Duration>,
    order: BTreeSet<(Duration, Private)>,
}

impl UsedTokens {
    pub(crate) fn contains(&self, jti: &Private) -> bool {
        self.expiry.contains_key(jti)
    }

    pub(crate) fn len(&self) -> usize {
        self.expiry.len()
    }

    /// `expires`: time since 1970, without leeway.
    pub(crate) fn insert(&mut self, jti: Private, expires: Duration) {
        // A whole second more than the last moment at which it is accepted.
        let forget = expires + LATE_LEEWAY + Duration::from_secs(1);
        self.expiry.insert(jti.clone(), forget);
        self.order.insert((forget, jti));
    }

    pub(crate) fn forget_expired(&mut self, unix_now: Duration) {
        while let Some((forget, _)) = self.order.first()
            && *forget <= unix_now
            && let Some((_, jti)) = self.order.pop_first()
        {
            self.expiry.remove(&jti);
        }
    }

    /// When there is next something to forget.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.order.first().map(|(forget, _)| *forget)
    }
}
