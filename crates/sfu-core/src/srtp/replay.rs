//! Which packet indices were seen (RFC 3711 §3.3.2), or given out.

/// A packet more than so many indices late is refused. Video at 10 Mbit/s makes some 1000 packets in a second, and a
/// retransmission that late is of no use.
const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// The highest index seen and which of the [`WINDOW`] below it.
#[derive(Debug, Clone)]
pub(crate) struct ReplayWindow {
    highest: Option<u64>,
    /// Bit `index % WINDOW`.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    pub(crate) fn new() -> Self {
        Self { highest: None, seen: [0; WORDS] }
    }

    pub(crate) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether a packet with this index may still come.
    pub(crate) fn admits(&self, index: u64) -> bool {
        let Some(highest) = self.highest else { return true };
        if index > highest {
            return true;
        }
        highest - index < WINDOW && self.seen[word(index)] & bit(index) == 0
    }

    /// An authenticated packet with this index came.
    pub(crate) fn note(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {}
            Some(highest) => {
                for passed in (highest + 1..=index).rev().take(WINDOW as usize) {
                    self.seen[word(passed)] &= !bit(passed);
                }
                self.highest = Some(index);
            }
            None => self.highest = Some(index),
        }
        self.seen[word(index)] |= bit(index);
    }
}

fn word(index: u64) -> usize {
    (index % WINDOW / 64) as usize
}

fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_once_within_the_window() {
        let mut window = ReplayWindow::new();
        for index in [5000, 5002, 5001, 7000, 6500] {
            assert!(window.admits(index), "{index}");
            window.note(index);
            assert!(!window.admits(index), "{index}");
        }
        assert!(!window.admits(5003), "older than the window");
        assert!(window.admits(7000 - WINDOW + 1));
        window.note(7000 + 10 * WINDOW);
        assert!(window.admits(7000 + 10 * WINDOW - 1), "a jump forgets everything");
    }

    #[test]
    fn agrees_with_a_set() {
        let mut window = ReplayWindow::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut state = 1u64;
        let mut top = 1000;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let index = top + state % 40 - 20 - (state >> 60) % 2 * 900;
            let expected = !seen.contains(&index) && (seen.is_empty() || index > top || top - index < WINDOW);
            assert_eq!(window.admits(index), expected, "{index} at {top}");
            if expected {
                window.note(index);
                seen.insert(index);
                top = *seen.last().expect("one");
            }
        }
    }
}
