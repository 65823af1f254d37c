//! When the next packet may leave. Whole frames leave at once, for that is what batching lives on; only a burst that
//! would fill a slow link's queue (a key frame) is spread.

/// A virtual bucket (the generic cell rate algorithm): it says when the link will have drained what was sent. Times are
/// microseconds since the owner's epoch.
#[derive(Debug, Default)]
pub struct Pacer {
    /// When all that was sent will have drained at the pacing rate. In 1/1024 µs, for a packet drains in a few µs.
    drained_at: u64,
    /// 1/1024 µs per byte; 0: no limit.
    per_byte: u32,
    /// How far ahead of draining a burst may run, µs.
    burst_us: u32,
}

/// Faster than the estimate, so that a frame does not take all the time until the next one (as libwebrtc's pacer).
const FACTOR_PERCENT: u64 = 250;
/// What may leave at once.
const BURST_US: u64 = 10_000;
/// ... and never less than ten packets: below it there is nothing to win by holding.
const BURST_MIN_BYTES: u64 = 12_000;
/// A link that carried bursts this fast is not worth pacing for.
const UNLIMITED_BPS: u64 = 40_000_000;
const FRACTION: u64 = 1024;
/// What was sent without asking (sound, retransmissions) holds video back no longer than this, whatever the rate was then.
const DEBT_MAX_US: u64 = 500_000;

impl Pacer {
    /// `estimate_bps`: what the path carries. `burst_bps`: how fast whole bursts came through lately, 0 if unknown.
    pub fn set_rate(&mut self, estimate_bps: u64, burst_bps: u64) {
        // Half of it, because others may share the link.
        let rate = (estimate_bps.saturating_mul(FACTOR_PERCENT) / 100).max(burst_bps / 2).max(1);
        if rate >= UNLIMITED_BPS {
            self.per_byte = 0;
            return;
        }
        self.per_byte = u32::try_from(8_000_000 * FRACTION / rate).unwrap_or(u32::MAX);
        self.burst_us = BURST_US.max(BURST_MIN_BYTES * 8_000_000 / rate).min(u64::from(u32::MAX)) as u32;
    }

    /// Whether the next packet may leave now. Audio need not ask.
    #[inline]
    #[must_use]
    pub fn allows(&self, now_us: u64) -> bool {
        self.per_byte == 0 || self.drained_at <= (now_us + u64::from(self.burst_us)) * FRACTION
    }

    /// A packet left, allowed or not.
    #[inline]
    pub fn spend(&mut self, now_us: u64, bytes: u16) {
        if self.per_byte != 0 {
            let drained_at = self.drained_at.max(now_us * FRACTION) + u64::from(bytes) * u64::from(self.per_byte);
            self.drained_at = drained_at.min((now_us + u64::from(self.burst_us) + DEBT_MAX_US) * FRACTION);
        }
    }

    /// When [`Self::allows`] will say yes: not before half of the burst has drained, so that what was held leaves in
    /// few batches and not packet by packet.
    #[must_use]
    pub fn next_at(&self, now_us: u64) -> u64 {
        if self.allows(now_us) {
            return now_us;
        }
        (self.drained_at / FRACTION).saturating_sub(u64::from(self.burst_us / 2)).max(now_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(pacer: &mut Pacer, now_us: u64, packets: usize) -> usize {
        (0..packets).take_while(|_| pacer.allows(now_us).then(|| pacer.spend(now_us, 1200)).is_some()).count()
    }

    #[test]
    fn a_frame_leaves_at_once_and_a_key_frame_is_spread() {
        let mut pacer = Pacer::default();
        pacer.set_rate(1_000_000, 0);
        assert_eq!(leaves(&mut pacer, 0, 8), 8, "a frame of 1 Mbit/s at 25 a second is 4 packets");
        let mut pacer = Pacer::default();
        pacer.set_rate(1_000_000, 0);
        let (mut now, mut left, mut batches) = (0, 50usize, 0);
        while left > 0 {
            left -= leaves(&mut pacer, now, left);
            batches += 1;
            assert!(left == 0 || pacer.next_at(now) > now);
            now = pacer.next_at(now);
        }
        // 60 kB at 2.5 Mbit/s take 192 ms, less the burst at the beginning.
        assert!((120_000..192_000).contains(&now), "{now} µs");
        assert!(batches < 12, "{batches} batches");
    }

    #[test]
    fn a_fast_link_is_never_held() {
        let mut pacer = Pacer::default();
        assert_eq!(leaves(&mut pacer, 0, 1000), 1000, "nothing is known yet");
        pacer.set_rate(20_000_000, 0);
        assert_eq!(leaves(&mut pacer, 0, 1000), 1000);
        pacer.set_rate(1_000_000, 200_000_000);
        assert_eq!(leaves(&mut pacer, 0, 1000), 1000, "bursts came through at 200 Mbit/s");
        assert_eq!(pacer.next_at(7), 7);
    }

    #[test]
    fn a_slow_link_is_paced_whatever_it_owes() {
        for (estimate, rate) in [(50_000, 125_000), (80_000, 200_000), (1_000_000, 2_500_000)] {
            let mut pacer = Pacer::default();
            pacer.set_rate(estimate, 0);
            let (mut now, mut sent) = (0, 0);
            while now < 10_000_000 {
                sent += leaves(&mut pacer, now, 1000);
                now = pacer.next_at(now).max(now + 1000);
            }
            let bps = sent as u64 * 1200 * 8 / 10;
            assert!(bps < rate * 5 / 4, "{bps} at {rate}");
        }
    }
}
