//! One gate per layer: however many subscribers ask, its publisher is asked once per interval, and again only if nobody
//! got what they asked for.

use std::time::{Duration, Instant};

/// Whether to ask the publisher now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Ask,
    /// Asked lately: look again at this time.
    Wait(Instant),
}

/// See the module.
#[derive(Debug, Default, Clone, Copy)]
pub struct KeyframeGate {
    asked: Option<Instant>,
    /// Somebody asked and no key frame came since.
    wanted: bool,
}

impl KeyframeGate {
    /// Somebody wants a key frame.
    pub fn request(&mut self, now: Instant, interval: Duration) -> Decision {
        self.wanted = true;
        self.decide(now, interval)
    }

    /// The time of a [`Decision::Wait`] came; `None` if there is nothing left to ask for.
    pub fn handle_timeout(&mut self, now: Instant, interval: Duration) -> Option<Decision> {
        self.wanted.then(|| self.decide(now, interval))
    }

    /// A key frame came.
    pub fn handle_keyframe(&mut self) {
        self.wanted = false;
    }

    fn decide(&mut self, now: Instant, interval: Duration) -> Decision {
        match self.asked {
            Some(asked) if now < asked + interval => Decision::Wait(asked + interval),
            _ => {
                self.asked = Some(now);
                Decision::Ask
            }
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
        assert_eq!(gate.request(start, INTERVAL), Decision::Ask);
        for i in 0..100 {
            let now = start + Duration::from_millis(i);
            assert_eq!(gate.request(now, INTERVAL), Decision::Wait(start + INTERVAL));
        }
        gate.handle_keyframe();
        assert_eq!(gate.handle_timeout(start + INTERVAL, INTERVAL), None);
    }

    #[test]
    fn asked_again_when_none_came() {
        let start = epoch();
        let mut gate = KeyframeGate::default();
        gate.request(start, INTERVAL);
        assert_eq!(gate.handle_timeout(start + INTERVAL, INTERVAL), Some(Decision::Ask));
        let next = start + INTERVAL * 2;
        assert_eq!(gate.handle_timeout(start + INTERVAL, INTERVAL), Some(Decision::Wait(next)));
    }
}
