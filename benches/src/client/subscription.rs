//! One received stream: every packet is known by its sequence number and counted once; a sample is decrypted and tells
//! the publisher's number and the time it was sent.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::rtp::Extender;
use crate::payload::Payload;

/// A stream that was silent for so long may have been paused: its next packet is looked at anew.
const PAUSE: Duration = Duration::from_millis(200);

/// What a receiver holds against a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Did not decrypt, or held no mark.
    pub forged: u64,
    /// Of another publisher than subscribed, or a number that does not fit its sequence number.
    pub misplaced: u64,
    pub duplicates: u64,
    /// RTP with an SSRC that nobody announced.
    pub strangers: u64,
}

impl Faults {
    pub fn total(&self) -> u64 {
        self.forged + self.misplaced + self.duplicates + self.strangers
    }
}

impl std::ops::AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.forged += other.forged;
        self.misplaced += other.misplaced;
        self.duplicates += other.duplicates;
        self.strangers += other.strangers;
    }
}

/// See the module.
#[derive(Debug)]
pub struct Subscription {
    pub ssrc: u32,
    pub mid: String,
    /// Whose packets are expected; none before it is subscribed.
    pub publisher: Option<u16>,
    pub audio: bool,
    /// Of a track that sends nothing: whatever arrives is a fault.
    pub idle: bool,
    pub sequences: Extender,
    /// Sender report: middle of its NTP time, and when it came, in µs.
    pub last_report: Option<(u32, u64)>,
    /// Extended sequence number minus the publisher's number, once a packet was decrypted.
    offset: Option<i64>,
    last_at: Option<Instant>,
    /// A bit for each number of the publisher.
    seen: Vec<u64>,
}

impl Subscription {
    pub fn new(ssrc: u32, mid: String, audio: bool) -> Self {
        Self {
            ssrc,
            mid,
            publisher: None,
            audio,
            idle: false,
            sequences: Extender::default(),
            last_report: None,
            offset: None,
            last_at: None,
            seen: Vec::new(),
        }
    }

    pub fn is_known(&self) -> bool {
        self.offset.is_some()
    }

    /// A packet came. After a pause, sequence numbers go on where they stopped, while the publisher's went on.
    pub fn note_arrival(&mut self, now: Instant) {
        if self.last_at.replace(now).is_some_and(|last| now >= last + PAUSE) {
            self.offset = None;
        }
    }

    /// A decrypted packet.
    pub fn handle_mark(&mut self, sequence: u64, mark: Payload, faults: &mut Faults) {
        let offset = sequence as i64 - mark.number as i64;
        if self.publisher != Some(mark.publisher) || *self.offset.get_or_insert(offset) != offset {
            faults.misplaced += 1;
        }
    }

    /// Any packet, once the first was decrypted.
    pub fn count(&mut self, sequence: u64, faults: &mut Faults) {
        let Some(offset) = self.offset else { return };
        let Ok(number) = usize::try_from(sequence as i64 - offset) else {
            faults.misplaced += 1;
            return;
        };
        let (word, bit) = (number / 64, 1 << (number % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            faults.duplicates += 1;
        }
        self.seen[word] |= bit;
    }

    /// How many of these numbers of the publisher came.
    pub fn delivered(&self, numbers: Range<u64>) -> u64 {
        let wanted = numbers.end - numbers.start;
        wanted - self.missing(numbers).count() as u64
    }

    /// Those that did not.
    pub fn missing(&self, numbers: Range<u64>) -> impl Iterator<Item = u64> {
        numbers.filter(|number| self.seen.get((number / 64) as usize).is_none_or(|word| word >> (number % 64) & 1 == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_counts_once_and_only_within_its_window() {
        let mut subscription = Subscription::new(1, "0".into(), false);
        subscription.publisher = Some(4);
        let mut faults = Faults::default();
        let mark = |number| Payload { publisher: 4, number, stamp: 0 };
        subscription.count(1000, &mut faults);
        assert!(!subscription.is_known());
        subscription.handle_mark(1000, mark(100), &mut faults);
        for sequence in [1000, 1001, 1003, 1003, 1100] {
            subscription.count(sequence, &mut faults);
        }
        assert_eq!(subscription.delivered(100..104), 3);
        assert_eq!(subscription.delivered(0..10_000), 4);
        assert_eq!(faults, Faults { duplicates: 1, ..Faults::default() });
        subscription.handle_mark(1004, mark(105), &mut faults);
        subscription.handle_mark(1004, Payload { publisher: 5, ..mark(104) }, &mut faults);
        assert_eq!(faults.misplaced, 2);
    }

    #[test]
    fn a_pause_leaves_numbers_out_and_is_no_fault() {
        let mut subscription = Subscription::new(1, "0".into(), false);
        subscription.publisher = Some(4);
        let mut faults = Faults::default();
        let start = Instant::now();
        for (at, sequence, number) in [(0, 50, 0), (40, 51, 1), (1000, 52, 25), (1040, 53, 26)] {
            subscription.note_arrival(start + Duration::from_millis(at));
            if !subscription.is_known() {
                subscription.handle_mark(sequence, Payload { publisher: 4, number, stamp: 0 }, &mut faults);
            }
            subscription.count(sequence, &mut faults);
        }
        assert_eq!(faults, Faults::default());
        assert_eq!(subscription.missing(0..27).count(), 23);
        // Without a pause the same is a fault.
        subscription.handle_mark(54, Payload { publisher: 4, number: 30, stamp: 0 }, &mut faults);
        assert_eq!(faults.misplaced, 1);
    }
}
