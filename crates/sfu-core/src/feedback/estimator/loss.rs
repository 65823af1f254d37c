//! The share of packets lost over the last second, by transport-wide feedback alone: reception reports also count what was
//! lost on the publisher's way.

/// Counts in quarters of a second.
#[derive(Debug, Default)]
pub struct Loss {
    /// (lost, told)
    quarters: [(u16, u16); 4],
    at: u8,
    began_us: u64,
}

const QUARTER_US: u64 = 250_000;
/// With fewer packets one lost is already some percent.
const PACKETS_MIN: u32 = 30;

impl Loss {
    pub fn count(&mut self, lost: bool) {
        let (losses, told) = &mut self.quarters[usize::from(self.at)];
        *told = told.saturating_add(1);
        *losses = losses.saturating_add(u16::from(lost));
    }

    /// Call with each feedback message.
    pub fn advance(&mut self, now_us: u64) {
        if now_us >= self.began_us + QUARTER_US {
            self.began_us = now_us;
            self.at = (self.at + 1) % 4;
            self.quarters[usize::from(self.at)] = (0, 0);
        }
    }

    pub fn reset(&mut self) {
        self.quarters = Default::default();
    }

    /// 0.0–1.0; `None` with too few packets to say.
    pub fn share(&self) -> Option<f64> {
        let sum = |part: fn(&(u16, u16)) -> u16| self.quarters.iter().map(|quarter| u32::from(part(quarter))).sum::<u32>();
        let (lost, told) = (sum(|quarter| quarter.0), sum(|quarter| quarter.1));
        (told >= PACKETS_MIN).then(|| f64::from(lost) / f64::from(told))
    }
}
