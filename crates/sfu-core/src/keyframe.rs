//! One gate per layer: however many subscribers ask, its publisher is asked once per interval, and again only if nobody
//! got what they asked for.

use std::time::{Duration, Instant};

use crate::forward::ring::REPLAY_AGE_MAX;

/// More requests than these, whoever makes them, are a crowd.
const CROWD: u16 = 8;
/// Between a request that was answered and the next one of a crowd. Half of that time the ring serves whoever comes; the others
/// share the next key frame. So a room that fills within a second costs its publisher two.
const CROWD_PATIENCE: Duration = REPLAY_AGE_MAX.saturating_mul(2);

/// What to do when a time came that the gate named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Ask the publisher, and look again after an interval.
    Ask,
    /// Look again at this time.
    Wait(Instant),
}

/// See the module.
#[derive(Debug, Default, Clone, Copy)]
pub struct KeyframeGate {
    asked: Option<Instant>,
    /// Requests since the last key frame came.
    waiting: u16,
    /// Requests since the last key frame: a publisher that does not answer is asked ever less often.
    unanswered: u32,
}

impl KeyframeGate {
    /// Somebody wants a key frame. Answers when to look at the gate: that is now at the earliest, but after the packets
    /// that have already come, for one of them may be the key frame.
    pub fn request(&mut self, now: Instant, interval: Duration) -> Instant {
        self.waiting = self.waiting.saturating_add(1);
        self.asked.map_or(now, |asked| now.max(asked + self.patience(interval)))
    }

    /// A time came; `None` if there is nothing left to ask for.
    pub fn handle_timeout(&mut self, now: Instant, interval: Duration) -> Option<Decision> {
        if self.waiting == 0 {
            return None;
        }
        Some(match self.asked {
            Some(asked) if now < asked + self.patience(interval) => Decision::Wait(asked + self.patience(interval)),
            _ => {
                self.asked = Some(now);
                self.unanswered += 1;
                Decision::Ask
            }
        })
    }

    /// A key frame came.
    pub fn handle_keyframe(&mut self) {
        self.waiting = 0;
        self.unanswered = 0;
    }

    /// Nobody waits any more.
    pub fn forget(&mut self) {
        self.waiting = 0;
    }

    /// Unanswered, the second request comes after one interval, the fifth and all further ones after eight. After an
    /// answer two intervals pass, or more if a crowd waits.
    fn patience(&self, interval: Duration) -> Duration {
        match self.unanswered {
            0 if self.waiting > CROWD => CROWD_PATIENCE.max(interval * 2),
            0 => interval * 2,
            more => interval * (1 << (more - 1).min(3)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::epoch;

    const INTERVAL: Duration = Duration::from_millis(300);

    #[test]
    fn many_requests_are_one() {
        let start = epoch();
        let mut gate = KeyframeGate::default();
        assert_eq!(gate.request(start, INTERVAL), start);
        assert_eq!(gate.handle_timeout(start, INTERVAL), Some(Decision::Ask));
        for i in 0..100 {
            let now = start + Duration::from_millis(i);
            assert_eq!(gate.request(now, INTERVAL), start + INTERVAL);
            assert_eq!(gate.handle_timeout(now, INTERVAL), Some(Decision::Wait(start + INTERVAL)));
        }
        gate.handle_keyframe();
        assert_eq!(gate.handle_timeout(start + INTERVAL, INTERVAL), None);
    }

    /// When the publisher is asked within 1.1 s if somebody wants a key frame every so often, each request being answered at once.
    fn asked(every_ms: usize) -> Vec<u64> {
        let mut gate = KeyframeGate::default();
        let mut asked = Vec::new();
        let mut at = None;
        for ms in 0..1_100 {
            let now = epoch() + Duration::from_millis(ms);
            if (ms as usize).is_multiple_of(every_ms) {
                at = Some(gate.request(now, INTERVAL));
            }
            if at.is_some_and(|at| at <= now) {
                at = match gate.handle_timeout(now, INTERVAL) {
                    Some(Decision::Ask) => {
                        asked.push(ms);
                        gate.handle_keyframe();
                        None
                    }
                    Some(Decision::Wait(later)) => Some(later),
                    None => None,
                };
            }
        }
        asked
    }

    #[test]
    fn a_crowd_waits_a_little_longer() {
        assert_eq!(asked(2), [0, 800]);
        assert_eq!(asked(100), [0, 600]);
    }

    #[test]
    fn not_asked_for_what_came_in_the_same_batch() {
        let start = epoch();
        let mut gate = KeyframeGate::default();
        gate.request(start, INTERVAL);
        gate.handle_keyframe();
        assert_eq!(gate.handle_timeout(start, INTERVAL), None);
    }

    #[test]
    fn asked_again_when_none_came() {
        let start = epoch();
        let mut gate = KeyframeGate::default();
        gate.request(start, INTERVAL);
        gate.handle_timeout(start, INTERVAL);
        assert_eq!(gate.handle_timeout(start + INTERVAL, INTERVAL), Some(Decision::Ask));
    }

    #[test]
    fn ever_less_often_while_unanswered() {
        let mut now = epoch();
        let mut gate = KeyframeGate::default();
        let mut waits = Vec::new();
        gate.request(now, INTERVAL);
        for _ in 0..6 {
            assert_eq!(gate.handle_timeout(now, INTERVAL), Some(Decision::Ask));
            let Some(Decision::Wait(at)) = gate.handle_timeout(now, INTERVAL) else { panic!("it waits") };
            waits.push((at - now).as_millis());
            now = at;
        }
        assert_eq!(waits, [300, 600, 1200, 2400, 2400, 2400]);
        gate.handle_keyframe();
        assert_eq!(gate.request(now, INTERVAL), now, "an answer makes good");
    }
}
