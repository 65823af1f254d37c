//! Two clocks: the monotonic one that deadlines are kept by, and the wall clock that Matrix events carry.
//!
//! Servers' and other clients' clocks are taken as they are, as all clients do; what is compared with them is our own wall clock.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, as `origin_server_ts` counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The end of time rather than an overflow: the numbers come from others.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` to here; zero if it is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the wall clock showed at one instant, and so what it shows at any other while nobody sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    at: Instant,
    wall: Timestamp,
}

impl Clock {
    pub fn new(at: Instant, wall: Timestamp) -> Self {
        Self { at, wall }
    }

    pub fn wall(&self, now: Instant) -> Timestamp {
        self.wall.plus(now.saturating_duration_since(self.at))
    }

    /// When the wall clock will show `wall`, or a time in the past if it has already. `None`: never.
    pub fn instant(&self, wall: Timestamp) -> Option<Instant> {
        self.at.checked_add(wall.since(self.wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    #[test]
    fn one_clock_follows_the_other() {
        let start = epoch();
        let clock = Clock::new(start, Timestamp::from_millis(1_000));
        let now = start + Duration::from_millis(500);
        assert_eq!(clock.wall(now), Timestamp::from_millis(1_500));
        assert_eq!(clock.instant(Timestamp::from_millis(2_000)), Some(start + Duration::from_secs(1)));
        assert_eq!(clock.instant(Timestamp::from_millis(7)), Some(start));
        // A time that others made up is never a panic.
        clock.instant(Timestamp::from_millis(u64::MAX));
    }
}
