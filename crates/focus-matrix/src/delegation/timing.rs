//! The paces and bounds of delegated leaves.

use std::time::Duration;

/// What a test may want shorter. The defaults are what the documents promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Silence, on signalling and on media, after which a member is lost.
    pub loss: Duration,
    /// So long a restarted focus waits for its members. Clients try for 44–52 s to come back.
    pub grace: Duration,
    /// Shorter delays cost the homeserver more than they gain.
    pub delay_min: Duration,
    /// Wills held at once: one for each session that the focus can have.
    pub jobs_max: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            loss: Duration::from_secs(20),
            grace: Duration::from_secs(65),
            delay_min: Duration::from_secs(30),
            jobs_max: 8192,
        }
    }
}

/// No homeserver allows more by default, and nobody needs it.
pub(super) const DELAY_MAX: Duration = Duration::from_secs(24 * 3600);
/// One session asks this often at most: each time costs its homeserver one or two requests.
pub(super) const DELEGATE_INTERVAL: Duration = Duration::from_secs(2);
/// What the homeserver does not answer in this time is asked again.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Wait after the first failure, and at most; each time half as long again.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A leave that cannot be sent for so many tries is left to the homeserver, which sends it when its delay is over.
pub(super) const SEND_TRIES_MAX: u32 = 20;
/// Restarts are put forward by up to so many hundredths of the delay, so that those of a whole call do not come together.
pub(super) const JITTER_PERCENT: u32 = 5;

impl Timing {
    /// After a restart, the next comes when 80 % of the delay are over, less `jitter` hundredths.
    pub(super) fn restart_after(&self, delay: Duration, jitter: u32) -> Duration {
        delay * (80 - jitter.min(JITTER_PERCENT)) / 100
    }
}

/// Before the next try, after `tries` failures.
pub(super) fn backoff(tries: u32) -> Duration {
    // 1.5^11 is more than 60.
    let factor = 1.5_f64.powi(tries.min(11) as i32 - 1).max(1.0);
    RETRY.mul_f64(factor).min(RETRY_MAX)
}
