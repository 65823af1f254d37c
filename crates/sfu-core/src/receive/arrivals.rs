//! When packets arrived, by their transport-wide sequence number: what transport-wide feedback is made from
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::time::{Duration, Instant};

use crate::rtcp::twcc::{FEEDBACK_PACKETS_MAX, Writer};
use crate::srtp::extend;

/// Between two feedback messages, and above [`FAST_BPS`].
const INTERVAL: Duration = Duration::from_millis(100);
const INTERVAL_FAST: Duration = Duration::from_millis(50);
const FAST_BPS: u64 = 1_000_000;
/// Packets remembered behind the newest that was told, so that one that comes late can still be told; it makes those behind
/// it told again, which senders expect.
const TOLD_KEPT: usize = 128;
/// Entries, 16 bytes each. A wider gap is no loss to report.
const LOG_MAX: usize = 2048;

/// One peer's arrivals.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Extended number of `log[0]`.
    first: u64,
    /// Microseconds since `epoch`, or `None` for a packet that has not come (yet).
    log: Vec<Option<i64>>,
    /// Place in `log` of the first that is to be told.
    untold: usize,
    /// Start of our clock: the first arrival.
    epoch: Option<Instant>,
    due: Option<Instant>,
    told: Option<Instant>,
    /// Received since then.
    bytes: u64,
    /// Above [`FAST_BPS`] up to then.
    fast: bool,
    writer: Writer,
}

impl Arrivals {
    /// An authentic packet of `bytes` came.
    pub(super) fn note(&mut self, now: Instant, number: u16, bytes: usize) {
        let epoch = *self.epoch.get_or_insert(now);
        let at = i64::try_from(now.saturating_duration_since(epoch).as_micros()).unwrap_or(i64::MAX);
        self.bytes += bytes as u64;
        let number = if self.log.is_empty() {
            // One roll-over ahead, so that something may be behind the first.
            self.first = if self.first == 0 { 1 << 16 | u64::from(number) } else { extend(Some(self.first), number) };
            self.untold = 0;
            self.first
        } else {
            extend(Some(self.first + self.log.len() as u64 - 1), number)
        };
        let Some(place) = number.checked_sub(self.first) else { return };
        if place >= LOG_MAX as u64 {
            self.log.clear();
            (self.first, self.untold) = (number, 0);
        }
        let place = (number - self.first) as usize;
        if place >= self.log.len() {
            self.log.resize(place + 1, None);
        }
        if self.log[place].is_some() {
            return;
        }
        self.log[place] = Some(at);
        self.untold = self.untold.min(place);
        if self.log.len() - self.untold >= FEEDBACK_PACKETS_MAX {
            self.due = Some(now);
        } else if self.due.is_none() {
            self.due = Some(self.told.map_or(now + INTERVAL_FAST, |told| (told + self.interval()).max(now)));
        }
    }

    fn interval(&self) -> Duration {
        if self.fast { INTERVAL_FAST } else { INTERVAL }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Bytes of the longest message that [`Arrivals::write`] could make now, after the two SSRCs.
    pub(super) fn length_max(&self) -> usize {
        let packets = (self.log.len() - self.untold).min(FEEDBACK_PACKETS_MAX);
        (8 + 2 * packets.div_ceil(7) + 2 * packets).next_multiple_of(4)
    }

    /// Writes one message body if one is due. More may be due then.
    pub(super) fn write(&mut self, now: Instant, body: &mut Vec<u8>) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        // A message must hold an arrival; of a gap that would fill it, the end is told.
        let lost = self.log[self.untold..].iter().take_while(|arrival| arrival.is_none()).count();
        if lost >= FEEDBACK_PACKETS_MAX {
            self.untold += lost - FEEDBACK_PACKETS_MAX / 2;
        }
        let base = (self.first + self.untold as u64) as u16;
        let Some(covered) = self.writer.write(base, &self.log[self.untold..], body) else {
            self.due = None;
            return false;
        };
        self.untold += covered;
        if self.untold == self.log.len() {
            let since = self.told.or(self.epoch).unwrap_or(now);
            let elapsed = now.saturating_duration_since(since).max(Duration::from_millis(1)).as_millis();
            self.fast = u128::from(self.bytes) * 8_000 > u128::from(FAST_BPS) * elapsed;
            (self.due, self.told, self.bytes) = (None, Some(now), 0);
        }
        let keep = TOLD_KEPT.min(self.untold);
        self.first += (self.untold - keep) as u64;
        self.log.drain(..self.untold - keep);
        self.untold = keep;
        true
    }

    /// Nothing has come for a while: the memory goes, the count goes on.
    pub(super) fn rest(&mut self) {
        if self.due.is_none() && !self.log.is_empty() {
            self.first += self.log.len() as u64;
            self.log = Vec::new();
            self.untold = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::twcc::Feedback;
    use crate::test_time::epoch;

    /// (number, microseconds) of all that is due.
    fn told(arrivals: &mut Arrivals, now: Instant) -> Vec<(u16, Option<i64>)> {
        let (mut body, mut told) = (Vec::new(), Vec::new());
        loop {
            let length_max = arrivals.length_max();
            if !arrivals.write(now, &mut body) {
                return told;
            }
            assert!(body.len() <= length_max);
            let feedback = Feedback::parse(&body).expect("a header");
            assert!(feedback.for_each(|number, at| told.push((number, at))));
        }
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn tells_over_the_wrap_with_gaps_and_reordering() {
        let start = epoch();
        let mut arrivals = Arrivals::default();
        for (at, number) in [(0, 65_534), (1, 0), (2, 65_535), (3, 3), (3, 3)] {
            arrivals.note(start + ms(at), number, 100);
        }
        assert_eq!(arrivals.deadline(), Some(start + INTERVAL_FAST));
        assert!(told(&mut arrivals, start + ms(49)).is_empty());
        let seen = told(&mut arrivals, start + ms(50));
        let expected =
            [(65_534, Some(0)), (65_535, Some(2_000)), (0, Some(1_000)), (1, None), (2, None), (3, Some(3_000))];
        assert_eq!(seen, expected);
        assert_eq!(arrivals.deadline(), None, "nothing comes, nothing is told");
        arrivals.note(start + ms(60), 2, 100);
        assert_eq!(arrivals.deadline(), Some(start + ms(150)));
        let seen = told(&mut arrivals, start + ms(150));
        assert_eq!(seen, [(2, Some(60_000)), (3, Some(3_000))], "a late one is told, with those behind it");
    }

    #[test]
    fn is_quicker_when_much_comes() {
        let start = epoch();
        let mut arrivals = Arrivals::default();
        arrivals.note(start, 1, 100);
        told(&mut arrivals, start + ms(50));
        for number in 2..13 {
            arrivals.note(start + ms(60), number, 1_200);
        }
        assert_eq!(arrivals.deadline(), Some(start + ms(150)));
        assert_eq!(told(&mut arrivals, start + ms(150)).len(), 11);
        for number in 13..600 {
            let wait = if number < 412 { 200 } else { 160 };
            arrivals.note(start + ms(160), number, 1_200);
            assert_eq!(
                arrivals.deadline(),
                Some(start + ms(wait)),
                "{number}: 11 in 100 ms is much, and 400 are a message"
            );
        }
        assert_eq!(told(&mut arrivals, start + ms(160)).len(), 587);
    }

    #[test]
    fn what_comes_behind_a_wide_gap_is_told() {
        let start = epoch();
        let mut arrivals = Arrivals::default();
        arrivals.note(start, 1, 100);
        assert_eq!(told(&mut arrivals, start + ms(50)).len(), 1);
        arrivals.note(start + ms(60), 1_500, 100);
        let seen = told(&mut arrivals, start + ms(200));
        assert_eq!((seen.len(), seen.last()), (FEEDBACK_PACKETS_MAX / 2 + 1, Some(&(1_500, Some(60_000)))));
        assert_eq!(arrivals.deadline(), None);
    }

    #[test]
    fn wild_numbers_stay_bounded() {
        let start = epoch();
        let mut arrivals = Arrivals::default();
        let mut number = 1u16;
        for step in 0..200_000u64 {
            number = number.wrapping_mul(25_173).wrapping_add(13_849);
            arrivals.note(start + Duration::from_micros(step), number, 100);
            assert!(arrivals.log.len() <= LOG_MAX);
        }
        told(&mut arrivals, start + ms(1_000));
        assert!(arrivals.log.len() <= TOLD_KEPT);
        arrivals.rest();
        assert_eq!(arrivals.log.capacity(), 0);
        arrivals.note(start + ms(2_000), 9, 100);
        assert_eq!(told(&mut arrivals, start + ms(2_000)), [(9, Some(2_000_000))]);
    }
}
