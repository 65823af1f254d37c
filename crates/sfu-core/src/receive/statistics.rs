//! What a reception report says of one source (RFC 3550 §6.4.1, appendix A).

use std::time::Instant;

use crate::rtcp::{ReportBlock, SenderInfo};

/// A jump further ahead than this is the sender's doing, not loss (RFC 3550 appendix A.1, `MAX_DROPOUT`).
const DROPOUT_MAX: u64 = 3000;

/// Counts of one SSRC, of its main packets or of its retransmissions.
#[derive(Debug)]
pub(super) struct Statistics {
    /// Extended sequence number that counting began with; moves over jumps that are no loss.
    base: u64,
    highest: u64,
    received: u64,
    /// At the last report.
    reported: Totals,
    /// When [`Statistics::take_loss`] was last asked.
    taken: Totals,
    /// RTP clock ticks, in 1/16.
    jitter: u64,
    transit: Option<u32>,
    sender_report: Option<(u32, Instant)>,
    /// Something came since the last report.
    fresh: bool,
    /// A block is due.
    pub owed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    expected: u64,
    received: u64,
}

impl Statistics {
    pub(super) fn new(first: u64) -> Self {
        Self {
            base: first,
            highest: first,
            received: 0,
            reported: Totals::default(),
            taken: Totals::default(),
            jitter: 0,
            transit: None,
            sender_report: None,
            fresh: false,
            owed: false,
        }
    }

    /// A packet came, for the first time. `arrival` is now in ticks of the same clock as `timestamp`, from any origin; `None` for
    /// retransmissions, whose timestamps say nothing of their way.
    pub(super) fn note(&mut self, sequence: u64, timestamp: u32, arrival: Option<u32>) {
        self.fresh = true;
        self.received += 1;
        if let Some(ahead) = sequence.checked_sub(self.highest) {
            if ahead > DROPOUT_MAX {
                self.base += ahead - 1;
            }
            self.highest = sequence;
        }
        let Some(arrival) = arrival else { return };
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(last) = self.transit.replace(transit) {
            let difference = u64::from((transit.wrapping_sub(last) as i32).unsigned_abs());
            self.jitter = self.jitter + difference - ((self.jitter + 8) >> 4);
        }
    }

    pub(super) fn note_sender_report(&mut self, now: Instant, info: SenderInfo) {
        self.sender_report = Some(((info.ntp >> 16) as u32, now));
    }

    /// Whether anything came since the last call.
    pub(super) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    /// The block that is due, if one is. Fractions and deltas count from the last one.
    pub(super) fn take_block(&mut self, now: Instant, ssrc: u32) -> Option<ReportBlock> {
        if !std::mem::take(&mut self.owed) {
            return None;
        }
        let totals = self.totals();
        let (expected, lost) = totals.since(self.reported);
        self.reported = totals;
        let (last_sender_report, delay_since_last) = self.sender_report.map_or((0, 0), |(middle, at)| {
            let delay = now.saturating_duration_since(at).as_micros() * 65_536 / 1_000_000;
            (middle, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        Some(ReportBlock {
            ssrc,
            fraction_lost: (lost * 256).checked_div(expected).unwrap_or(0).min(255) as u8,
            cumulative_lost: (totals.expected as i64 - totals.received as i64).clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: self.highest as u32,
            jitter: u32::try_from(self.jitter >> 4).unwrap_or(u32::MAX),
            last_sender_report,
            delay_since_last,
        })
    }

    /// Packets expected and lost since the last call.
    pub(super) fn take_loss(&mut self) -> (u64, u64) {
        let totals = self.totals();
        let loss = totals.since(self.taken);
        self.taken = totals;
        loss
    }

    fn totals(&self) -> Totals {
        Totals { expected: self.highest - self.base + 1, received: self.received }
    }
}

impl Totals {
    /// Expected and lost since; a late packet of the interval before is no negative loss.
    fn since(self, before: Self) -> (u64, u64) {
        let expected = self.expected.saturating_sub(before.expected);
        (expected, expected.saturating_sub(self.received - before.received))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test_time::epoch;

    fn report(statistics: &mut Statistics, now: Instant) -> ReportBlock {
        statistics.owed = statistics.take_fresh();
        statistics.take_block(now, 7).expect("something came")
    }

    #[test]
    fn loss_is_counted_once_and_late_packets_take_it_back() {
        let mut statistics = Statistics::new(65_530);
        for sequence in (65_530..65_550).filter(|sequence| sequence % 4 != 0) {
            statistics.note(sequence, 0, None);
        }
        let block = report(&mut statistics, epoch());
        assert_eq!((block.cumulative_lost, block.fraction_lost, block.highest_sequence), (5, 64, 65_549));
        for sequence in [65_532, 65_550, 65_551] {
            statistics.note(sequence, 0, None);
        }
        let block = report(&mut statistics, epoch());
        assert_eq!((block.cumulative_lost, block.fraction_lost), (4, 0));
        assert_eq!(statistics.take_loss(), (22, 4));
        assert_eq!(statistics.take_loss(), (0, 0));
        assert_eq!(statistics.take_block(epoch(), 7), None, "one report, one block");
    }

    #[test]
    fn a_jump_is_no_loss_and_earlier_than_the_first_is_negative() {
        let mut statistics = Statistics::new(10);
        for sequence in [10, 20_000, 20_001, 9, 8] {
            statistics.note(sequence, 0, None);
        }
        assert_eq!(report(&mut statistics, epoch()).cumulative_lost, -2);
    }

    /// RFC 3550 appendix A.8 by hand: differences of 16 ticks, each taken in by a sixteenth.
    #[test]
    fn jitter_and_delay_since_the_sender_report() {
        let now = epoch();
        let mut statistics = Statistics::new(1);
        let info = SenderInfo { ntp: 0x1111_2222_3333_4444, ..SenderInfo::default() };
        statistics.note_sender_report(now, info);
        for (sequence, arrival) in [(1, 100), (2, 260 + 16), (3, 420), (4, 580 + 16)] {
            statistics.note(sequence, (sequence as u32 - 1).wrapping_mul(160).wrapping_sub(50), Some(arrival));
        }
        let block = report(&mut statistics, now + Duration::from_millis(1_500));
        // 0 → 16 → 16 + 16 - 1 → 31 + 16 - 2, in sixteenths.
        assert_eq!(block.jitter, 45 >> 4);
        assert_eq!((block.last_sender_report, block.delay_since_last), (0x2222_3333, 65_536 * 3 / 2));
        statistics.note(5, u32::MAX / 2, Some(0));
        assert!(report(&mut statistics, now).jitter < 1 << 28, "one wild timestamp is taken in by a sixteenth");
    }
}
