//! Throughput over a sliding window.

/// Bytes in slots of 65.5 ms, by the time that the caller says. Times may be of any clock.
#[derive(Debug, Default)]
pub struct Rate {
    slots: [u32; SLOTS],
    /// The slot of the latest time, and of the first after a reset.
    newest: i64,
    first: i64,
    running: bool,
}

/// A power of two, so that a slot's place is a mask. Half a second in all.
const SLOTS: usize = 8;
const SLOT_SHIFT: u32 = 16;
const SLOT_US: u64 = 1 << SLOT_SHIFT;
/// The four last slots: a quarter of a second, eight frames.
const RECENT: i64 = 4;
/// Fewer whole slots say nothing.
const WHOLE_MIN: i64 = 2;

impl Rate {
    #[inline]
    pub fn add(&mut self, at_us: i64, bytes: u16) {
        let slot = at_us >> SLOT_SHIFT;
        if slot != self.newest || !self.running {
            self.turn(slot);
            if slot + SLOTS as i64 <= self.newest {
                return;
            }
        }
        let sum = &mut self.slots[place(slot)];
        *sum = sum.wrapping_add(u32::from(bytes));
    }

    /// A time in another slot than the last one.
    fn turn(&mut self, slot: i64) {
        if !self.running {
            (self.running, self.first, self.newest) = (true, slot, slot);
            self.slots = [0; SLOTS];
        }
        for emptied in 1..=slot.saturating_sub(self.newest).min(SLOTS as i64) {
            self.slots[place(self.newest + emptied)] = 0;
        }
        self.newest = self.newest.max(slot);
    }

    pub fn reset(&mut self) {
        self.running = false;
    }

    /// Bits per second over the last quarter of a second; `None` before there is enough.
    pub fn recent(&self) -> Option<f64> {
        self.over(RECENT)
    }

    /// Bits per second over the last half second.
    pub fn average(&self) -> Option<f64> {
        self.over(SLOTS as i64 - 1)
    }

    /// The first and the newest slot are not whole.
    fn over(&self, slots: i64) -> Option<f64> {
        let whole = slots.min(self.newest.saturating_sub(self.first) - 1);
        if !self.running || whole < WHOLE_MIN {
            return None;
        }
        let bytes: u64 = (1..=whole).map(|back| u64::from(self.slots[place(self.newest - back)])).sum();
        Some(bytes as f64 * 8e6 / (whole as u64 * SLOT_US) as f64)
    }
}

fn place(slot: i64) -> usize {
    slot as usize & (SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_and_its_end() {
        let mut rate = Rate::default();
        assert_eq!(rate.average(), None);
        for packet in 0..200 {
            rate.add(-500_000 + packet * 10_000, 1250);
        }
        let (recent, average) = (rate.recent().expect("enough"), rate.average().expect("enough"));
        assert!((950_000.0..1_050_000.0).contains(&average), "{average}");
        assert!((900_000.0..1_100_000.0).contains(&recent), "{recent}");
        rate.add(i64::from(u32::MAX), 0);
        assert_eq!(rate.average(), Some(0.0), "a long pause");
        rate.add(0, 9999);
        assert_eq!(rate.average(), Some(0.0), "too old to count");
        rate.reset();
        assert_eq!(rate.recent(), None);
    }
}
