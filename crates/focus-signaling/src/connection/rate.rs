//! How much a client may say: a token bucket, and a count of how often it was told to slow down.

use std::time::{Duration, Instant};

use crate::limits::{BURST_SECONDS, BYTES_PER_COUNT, REFUSED_WINDOW};

/// A token bucket, kept as the time at which it is full again: no fractions to lose, and nothing to do while idle.
#[derive(Debug)]
pub(crate) struct Rate {
    full_at: Instant,
    /// What one message costs.
    interval: Duration,
    /// How far `full_at` may lie ahead.
    burst: Duration,
}

impl Rate {
    pub(crate) fn new(now: Instant, messages_per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / messages_per_second.max(1);
        Self { full_at: now, interval, burst: interval * messages_per_second.max(1) * BURST_SECONDS }
    }

    /// Takes a message of this size from the bucket, or says how long to wait for it.
    pub(crate) fn take(&mut self, now: Instant, bytes: usize) -> Result<(), Duration> {
        let counts = u32::try_from(bytes.div_ceil(BYTES_PER_COUNT).max(1)).unwrap_or(u32::MAX);
        // A bucket that is smaller than the largest message lets it pass when full.
        let cost = self.interval.saturating_mul(counts).min(self.burst);
        let used = self.full_at.saturating_duration_since(now);
        let wait = used.saturating_add(cost).saturating_sub(self.burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at = self.full_at.max(now) + cost;
        Ok(())
    }
}

/// Refusals since the window began. A window begins with the first refusal after the last one ended.
#[derive(Debug)]
pub(super) struct RefusalWindow {
    began: Instant,
    count: u32,
}

impl RefusalWindow {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, count: 0 }
    }

    /// Counts one more, and says how many there are.
    pub(super) fn count(&mut self, now: Instant) -> u32 {
        if now.saturating_duration_since(self.began) >= REFUSED_WINDOW {
            *self = Self::new(now);
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}
