//! Which packets of a stream came, by their sequence numbers (RFC 3550 §A.1): each once, however often it came.

/// How far back a late or repeated packet is still known: two seconds of a fast video.
const WINDOW: u64 = 2048;

/// See the module.
#[derive(Debug)]
pub struct Sequence {
    /// The highest so far, extended beyond 16 bits.
    highest: Option<u64>,
    /// The last one before the window.
    base: u64,
    received: u64,
    seen: Vec<u64>,
}

impl Default for Sequence {
    fn default() -> Self {
        Self { highest: None, base: 0, received: 0, seen: vec![0; (WINDOW / 64) as usize] }
    }
}

impl Sequence {
    /// Whether it is new.
    pub fn handle(&mut self, number: u16) -> bool {
        let Some(highest) = self.highest else {
            // One round up, so that what came before the first can be told apart from what wrapped.
            let first = u64::from(number) + (1 << 16);
            (self.highest, self.base) = (Some(first), first - 1);
            self.received = 1;
            self.mark(first);
            return true;
        };
        let step = number.wrapping_sub(highest as u16) as i16;
        let extended = highest.saturating_add_signed(i64::from(step));
        if extended > highest {
            let from = (highest + 1).max(extended.saturating_sub(WINDOW - 1));
            (from..=extended).for_each(|number| self.clear(number));
            self.highest = Some(extended);
        } else if highest - extended >= WINDOW || self.is_marked(extended) {
            return false;
        }
        self.mark(extended);
        if extended > self.base {
            self.received += 1;
        }
        true
    }

    /// Counts anew from here.
    pub fn begin(&mut self) {
        if let Some(highest) = self.highest {
            (self.base, self.received) = (highest, 0);
        }
    }

    /// How many there should be, the highest being the last.
    pub fn expected(&self) -> u64 {
        self.highest.map_or(0, |highest| highest - self.base)
    }

    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    fn slot(number: u64) -> (usize, u64) {
        (((number % WINDOW) / 64) as usize, 1 << (number % 64))
    }

    fn mark(&mut self, number: u64) {
        let (word, bit) = Self::slot(number);
        self.seen[word] |= bit;
    }

    fn clear(&mut self, number: u64) {
        let (word, bit) = Self::slot(number);
        self.seen[word] &= !bit;
    }

    fn is_marked(&self, number: u64) -> bool {
        let (word, bit) = Self::slot(number);
        self.seen[word] & bit != 0
    }
}
