//! How fast whole bursts come through. They measure the bottleneck for nothing: their packets leave at one instant and
//! arrive at its pace.

/// See the module.
#[derive(Debug, Default)]
pub struct Bursts {
    /// The burst that is open: packets sent at one instant, and when the first and the last of them arrived.
    sent_us: u64,
    first: i64,
    last: i64,
    /// Without the first packet.
    bytes: u32,
    packets: u16,
    /// µs per byte, smoothed; 0 if unknown.
    pace: f64,
}

/// Fewer say little about a rate.
const PACKETS_MIN: u16 = 4;
/// Weight of one burst.
const SHARE: f64 = 0.2;
/// The resolution of arrival times.
const TICK_US: i64 = 250;

impl Bursts {
    #[inline]
    pub fn arrived(&mut self, sent_us: u64, at: i64, bytes: u16) {
        if sent_us == self.sent_us && at >= self.last {
            self.last = at;
            self.bytes += u32::from(bytes);
            self.packets = self.packets.saturating_add(1);
            return;
        }
        self.close();
        *self = Self { sent_us, first: at, last: at, bytes: 0, packets: 1, pace: self.pace };
    }

    /// The receiver's clock jumped.
    pub fn reset(&mut self) {
        self.packets = 0;
    }

    /// Bits per second; 0 if unknown.
    pub fn bitrate(&self) -> f64 {
        if self.pace > 0.0 { 8e6 / self.pace } else { 0.0 }
    }

    fn close(&mut self) {
        if self.packets < PACKETS_MIN || self.bytes == 0 {
            return;
        }
        let spread = self.last.saturating_sub(self.first);
        let pace = spread.max(TICK_US) as f64 / f64::from(self.bytes);
        if self.pace == 0.0 {
            self.pace = pace;
        } else if spread > TICK_US || pace < self.pace {
            // Within one tick a small burst tells only that it was at least so fast.
            self.pace += SHARE * (pace - self.pace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_of_bursts() {
        let mut bursts = Bursts::default();
        let mut burst = |number: u64, packets: i64, gap: i64| {
            (0..packets).for_each(|packet| bursts.arrived(number * 40_000, packet * gap, 1000));
            bursts.bitrate()
        };
        assert_eq!(burst(1, 3, 1000), 0.0);
        assert_eq!(burst(2, 9, 1000), 0.0, "three packets say nothing");
        assert_eq!(burst(3, 9, 1000), 8e6);
        assert_eq!(burst(4, 9, 0), 8e6, "nothing new");
        assert!(burst(5, 9, 0) > 8e6, "the one before came in one tick");
    }
}
