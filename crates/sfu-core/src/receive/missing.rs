//! Which packets of one stream are missing, and when to ask for them (RFC 4585 §6.2.1).

use std::time::{Duration, Instant};

/// A packet is asked for when it is so late, or when so many later ones have come: whatever is first. What was only
/// reordered has come by then.
const PATIENCE: Duration = Duration::from_millis(10);
const REORDERED_MAX: u64 = 3;
/// Asked again after a round trip and this much, and not sooner than [`RETRY_MIN`].
const RETRY_SLACK: Duration = Duration::from_millis(5);
const RETRY_MIN: Duration = Duration::from_millis(20);
/// A claimed round trip beyond this would keep us from asking at all.
const RETRY_MAX: Duration = Duration::from_millis(500);
/// What was asked for so often, or is missing for so long, is given up: a subscriber's picture froze long ago.
const TRIES_MAX: u8 = 10;
const AGE_MAX: Duration = Duration::from_secs(1);
/// More missing than this is no loss to repair: half a second of video at 10 Mbit/s. 40 bytes each, while they are missing.
pub(super) const MISSING_MAX: usize = 512;
/// In one NACK message: as many pairs as one holds, if no two of them can share one.
pub(super) const ASKED_MAX: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Missing {
    sequence: u64,
    noticed: Instant,
    /// When to ask (again).
    due: Instant,
    tries: u8,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct MissingPackets {
    highest: Option<u64>,
    /// In ascending order.
    missing: Vec<Missing>,
    /// Not after the earliest `due`.
    due: Option<Instant>,
}

impl MissingPackets {
    /// A packet came. `asks`: gaps before it may be asked for. `true`: so much is missing that it was all given up.
    pub(super) fn note(&mut self, now: Instant, sequence: u64, asks: bool) -> bool {
        let Some(highest) = self.highest else {
            self.highest = Some(sequence);
            return false;
        };
        if sequence <= highest {
            if let Ok(place) = self.missing.binary_search_by_key(&sequence, |missing| missing.sequence) {
                self.missing.remove(place);
            }
            return false;
        }
        self.highest = Some(sequence);
        let gap = sequence - highest - 1;
        if !asks {
            return false;
        }
        if gap > (MISSING_MAX - self.missing.len()) as u64 {
            self.give_up();
            return true;
        }
        if gap > 0 {
            let due = now + PATIENCE;
            let new = |sequence| Missing { sequence, noticed: now, due, tries: 0 };
            self.missing.extend((highest + 1..sequence).map(new));
            self.wake(due);
        }
        self.hasten(now, sequence);
        false
    }

    /// Those that more than [`REORDERED_MAX`] packets overtook are due now.
    fn hasten(&mut self, now: Instant, highest: u64) {
        let mut hastened = false;
        for missing in self.missing.iter_mut().rev().take_while(|missing| missing.tries == 0 && missing.due > now) {
            if missing.sequence + REORDERED_MAX <= highest {
                missing.due = now;
                hastened = true;
            }
        }
        if hastened {
            self.wake(now);
        }
    }

    fn wake(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Forgets what is missing, and its memory.
    pub(super) fn give_up(&mut self) {
        self.missing = Vec::new();
        self.due = None;
    }

    /// Begins anew with the next packet.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// When to call [`MissingPackets::poll`]; perhaps a little early.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Sequence numbers to ask for now, ascending, at most [`ASKED_MAX`]. Those that do not fit are still due.
    pub(super) fn poll(&mut self, now: Instant, rtt: Duration, asked: &mut Vec<u16>) {
        asked.clear();
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        let retry = (rtt.min(RETRY_MAX) + RETRY_SLACK).max(RETRY_MIN);
        self.missing.retain(|missing| {
            missing.tries < TRIES_MAX && now.saturating_duration_since(missing.noticed) < AGE_MAX || missing.due > now
        });
        for missing in self.missing.iter_mut().filter(|missing| missing.due <= now).take(ASKED_MAX) {
            asked.push(missing.sequence as u16);
            missing.tries += 1;
            missing.due = now + retry;
        }
        self.due = self.missing.iter().map(|missing| missing.due).min();
        if self.missing.is_empty() {
            self.missing = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::epoch;

    const RTT: Duration = Duration::from_millis(50);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn poll(packets: &mut MissingPackets, now: Instant) -> Vec<u16> {
        let mut asked = Vec::new();
        packets.poll(now, RTT, &mut asked);
        asked
    }

    #[test]
    fn reordering_is_not_asked_for_and_loss_is_asked_for_soon() {
        let start = epoch();
        let mut packets = MissingPackets::default();
        for sequence in [65_534, 65_536, 65_535, 65_538] {
            assert!(!packets.note(start, sequence, true));
        }
        assert_eq!(packets.deadline(), Some(start + PATIENCE));
        assert!(poll(&mut packets, start + ms(9)).is_empty());
        assert_eq!(poll(&mut packets, start + PATIENCE), [1], "by time, and as the 16 bits on the wire");
        packets.note(start, 65_537, true);
        assert!(poll(&mut packets, start + ms(200)).is_empty(), "it came");
        packets.note(start, 65_541, true);
        packets.note(start, 65_542, true);
        assert_eq!(poll(&mut packets, start), [3], "three have overtaken this one");
        packets.note(start, 65_543, true);
        assert_eq!(poll(&mut packets, start), [4]);
    }

    #[test]
    fn asks_a_few_times_and_then_no_more() {
        let start = epoch();
        for (rtt, expected) in [(ms(0), 10), (ms(200), 5), (Duration::from_secs(100), 2)] {
            let mut packets = MissingPackets::default();
            packets.note(start, 1, true);
            packets.note(start, 3, true);
            let (mut asked, mut times) = (Vec::new(), 0);
            while let Some(due) = packets.deadline() {
                packets.poll(due, rtt, &mut asked);
                times += asked.len();
            }
            assert_eq!((times, packets.missing.capacity()), (expected, 0), "{rtt:?}");
        }
    }

    #[test]
    fn a_flood_of_gaps_is_bounded() {
        let start = epoch();
        let mut packets = MissingPackets::default();
        packets.note(start, 0, true);
        let mut given_up = 0;
        for sequence in (2..5_000).step_by(2) {
            given_up += usize::from(packets.note(start, sequence, true));
            assert!(packets.missing.len() <= MISSING_MAX);
        }
        assert_eq!(given_up, 4);
        assert!(packets.note(start, 100_000, true), "one gap too wide");
        assert_eq!(packets.deadline(), None);
        assert!(!packets.note(start, 200_000, false) && packets.missing.is_empty(), "nobody would answer");
    }

    #[test]
    fn one_message_holds_so_many() {
        let start = epoch();
        let mut packets = MissingPackets::default();
        packets.note(start, 0, true);
        packets.note(start, 201, true);
        let mut lengths = Vec::new();
        while packets.deadline().is_some_and(|due| due <= start + PATIENCE) {
            lengths.push(poll(&mut packets, start + PATIENCE).len());
        }
        assert_eq!(lengths, [64, 64, 64, 8]);
    }
}
