//! Short waits that end on time, for the rest of a frame to arrive.
//!
//! The poll will not do: it knows whole milliseconds only, and it ends with each packet. A nap takes in a burst at once.
//! Measured for 100 µs, in a virtual machine of 2 cores: `nanosleep`, `clock_nanosleep`, `ppoll` and `epoll_pwait2` all
//! end after 168 µs with the usual timer slack and after 118 µs without (p99 145); each costs 15–17 µs of CPU, mostly
//! the switch to idle and back. A send that is saved brings 1.8 µs, so a nap pays from about nine subscribers on.
//! Spinning is exact and costs all of its time.

use std::time::{Duration, Instant};

/// A burst of 8 full packets takes 30 µs on loopback and 100 µs on 1 Gbit/s; then the sockets are looked at.
const NAP: Duration = Duration::from_micros(80);
/// What falling asleep and waking takes alone. For less than this nobody sleeps.
const WAKING: Duration = Duration::from_micros(17);

/// Takes the slack from the sleeps of this thread: the kernel lets them run over by 50 µs, to wake for several at once.
pub(super) fn without_slack() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// Sleeps, at most until `until`, and perhaps not at all. Come again until then.
pub(super) fn nap(now: Instant, until: Instant) {
    if let Some(length) = length(until.saturating_duration_since(now)) {
        std::thread::sleep(length);
    }
}

/// How long to ask the kernel to sleep, when there are so many left.
fn length(left: Duration) -> Option<Duration> {
    // What would remain after a full nap is not worth one of its own.
    let whole = if left < NAP + 2 * WAKING + NAP / 2 { left } else { NAP + WAKING };
    whole.checked_sub(WAKING).filter(|length| !length.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naps_lead_to_the_end_in_few_steps() {
        for micros in 0..=1000 {
            let mut left = Duration::from_micros(micros);
            let mut naps = 0;
            while let Some(length) = length(left) {
                assert!(length <= left - WAKING, "never too late");
                left -= length + WAKING;
                naps += 1;
            }
            assert!(left <= WAKING);
            assert!(naps <= 1 + micros / 97, "{naps} naps for {micros} µs");
        }
        assert_eq!(length(NAP), Some(NAP - WAKING));
        assert_eq!(length(Duration::from_micros(200)), Some(NAP));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_thread_wakes_on_time() {
        without_slack();
        assert_eq!(rustix::thread::current_timer_slack().expect("readable"), 1);
        nap(Instant::now(), Instant::now());
    }
}
