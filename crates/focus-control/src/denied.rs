//! Who was removed and still holds tokens from before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::Private;
use crate::token::{LATE_LEEWAY, LIFETIME_MAX};

/// Who is kept out of where (an identity out of a conference, a user out of a room), each until its last token has expired. What is denied is not the person but the tokens
/// that it had by then: a newer one was granted by somebody who has looked again.
///
/// When the list is full, all tokens that are out by then are refused instead, which costs everybody who is about to
/// join a second request, and lets nobody in who was removed.
#[derive(Debug, Default)]
pub(crate) struct Denied {
    until: BTreeMap<(Private, Private), Duration>,
    order: BTreeSet<(Duration, (Private, Private))>,
    /// Tokens issued until then are refused, whoever has them.
    floor: Option<Duration>,
}

/// How long a removal is remembered.
pub(crate) fn term() -> Duration {
    // A whole second more than the last moment at which it is accepted.
    LIFETIME_MAX + LATE_LEEWAY + Duration::from_secs(1)
}

impl Denied {
    /// `until`: time since 1970, [`term`] after the removal.
    pub(crate) fn insert(&mut self, place: Private, who: Private, until: Duration, max: usize) {
        let key = (place, who);
        let before = self.until.insert(key.clone(), until);
        // An older word about the same one changes nothing.
        let until = before.map_or(until, |before| before.max(until));
        if let Some(before) = before {
            self.order.remove(&(before, key.clone()));
        }
        self.until.insert(key.clone(), until);
        self.order.insert((until, key));
        if self.until.len() > max {
            self.floor = self.order.last().map(|(until, _)| until.saturating_sub(term()));
            self.until.clear();
            self.order.clear();
        }
    }

    /// Whether a token of `who` that was issued at `issued` (whole seconds since 1970) was out when it was removed.
    /// In the second of the removal itself there is no telling, so it counts as out.
    pub(crate) fn contains(&self, place: &Private, who: &Private, issued: Duration) -> bool {
        let removed = self.until.get(&(place.clone(), who.clone())).map(|until| until.saturating_sub(term()));
        removed.into_iter().chain(self.floor).any(|removed| issued <= removed)
    }

    pub(crate) fn forget_expired(&mut self, unix_now: Duration) {
        while let Some((until, _)) = self.order.first()
            && *until <= unix_now
            && let Some((_, key)) = self.order.pop_first()
        {
            self.until.remove(&key);
        }
    }

    /// When there is next something to forget.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.order.first().map(|(until, _)| *until)
    }

    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Private {
        Private(text.to_owned())
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn tokens_from_before_are_refused_and_newer_ones_are_not() {
        let mut denied = Denied::default();
        denied.insert(word("call"), word("eve"), secs(1000) + term(), 9);
        let refused = |denied: &Denied, who: &str, issued| denied.contains(&word("call"), &word(who), secs(issued));
        assert!(refused(&denied, "eve", 999) && refused(&denied, "eve", 1000));
        assert!(!refused(&denied, "eve", 1001) && !refused(&denied, "bob", 999));
        denied.insert(word("call"), word("eve"), secs(900) + term(), 9);
        assert!(refused(&denied, "eve", 1000), "an older word changes nothing");
        denied.forget_expired(secs(999) + term());
        assert!(refused(&denied, "eve", 1000), "as long as a token of then could be good");
        denied.forget_expired(secs(1000) + term());
        assert_eq!((denied.len(), denied.order.len()), (0, 0));
    }

    #[test]
    fn a_full_list_lets_nobody_slip_through() {
        let mut denied = Denied::default();
        for n in 0..3 {
            denied.insert(word("call"), word(&format!("eve{n}")), secs(1000 + n) + term(), 2);
        }
        assert!(denied.contains(&word("call"), &word("eve0"), secs(1000)));
        assert!(denied.contains(&word("other"), &word("bob"), secs(1002)), "everybody asks once more");
        assert!(!denied.contains(&word("call"), &word("bob"), secs(1003)));
        assert_eq!(denied.len(), 0);
    }
}
