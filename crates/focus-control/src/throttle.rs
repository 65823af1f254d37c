//! "When it changes, but at most every …".

use std::time::{Duration, Instant};

/// What to do about a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn<T> {
    Nothing,
    Wait(Instant),
    Send(T),
}

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: Option<Instant>,
}

impl Throttle {
    /// Something has changed: it is sent if the last one is long enough ago.
    pub(crate) fn turn<T>(&mut self, now: Instant, interval: Duration, send: impl FnOnce() -> T) -> Turn<T> {
        match self.last {
            Some(last) if last + interval > now => Turn::Wait(last + interval),
            _ => {
                self.last = Some(now);
                Turn::Send(send())
            }
        }
    }
}

/// A bucket of `burst` tokens that gains one each `interval`, as one instant (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    /// When the bucket is full again.
    full_at: Option<Instant>,
}

impl RateLimit {
    /// Takes a token, or says how long until there is one.
    pub(crate) fn take(&mut self, now: Instant, burst: u32, interval: Duration) -> Result<(), Duration> {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + interval;
        let allowed_at = full_at.checked_sub(interval * burst).unwrap_or(now);
        if allowed_at > now {
            return Err(allowed_at - now);
        }
        self.full_at = Some(full_at);
        Ok(())
    }
}
