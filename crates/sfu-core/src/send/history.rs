//! What one m-line was sent lately: enough to find each packet again in its publisher's ring, and to write it again.

/// Entries to begin with, and at most: a power of two each.
const FIRST: usize = 64;
const MAX: usize = 1024;
/// An entry younger than this should still be there; the history grows if it would not. In ticks of [`TICK_MS`].
const KEPT_TICKS: u32 = 600 / TICK_MS;
/// Time is kept in ticks.
pub const TICK_MS: u32 = 8;

/// One packet that was sent: 28 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    /// SSRC at the publisher, and the low bits of the sequence number there: its key in the ring.
    pub source: u32,
    pub input: u32,
    /// Low bits of the sequence number that it was sent under.
    pub output: u32,
    pub timestamp: u32,
    /// Ticks since the sender began, and when it was last sent again.
    pub sent: u32,
    /// Its transport-wide number: the byte-identical packet has it again.
    pub transport: u16,
    pub picture_id: u16,
    pub tl0: u8,
    /// The layer, and the bytes of padding: see [`Entry::layer`], [`Entry::padding`].
    pub(super) packed: u8,
    pub payload_type: u8,
    pub flags: u8,
}

/// Bits of [`Entry::packed`] that the layer takes.
const LAYER_BITS: u8 = 3;
/// Most padding that an entry can tell of.
pub const PADDING_MAX: u8 = u8::MAX >> LAYER_BITS;

impl Entry {
    /// Of the publisher's track.
    pub fn layer(&self) -> u8 {
        self.packed & ((1 << LAYER_BITS) - 1)
    }

    /// Bytes of RTP padding that it had.
    pub fn padding(&self) -> u8 {
        self.packed >> LAYER_BITS
    }

    /// `layer` is below 8, `padding` at most [`PADDING_MAX`].
    #[must_use]
    pub fn with(mut self, layer: u8, padding: u8) -> Self {
        self.packed = layer & ((1 << LAYER_BITS) - 1) | padding.min(PADDING_MAX) << LAYER_BITS;
        self
    }
}

/// Bits of [`Entry::flags`].
pub mod flag {
    /// The entry holds something.
    pub const USED: u8 = 1;
    /// VP8 numbers were rewritten.
    pub const VP8: u8 = 2;
    /// The MID extension was in it.
    pub const MID: u8 = 4;
    /// It was sent again.
    pub const AGAIN: u8 = 16;
}

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    entries: Vec<Entry>,
}

impl History {
    /// Notes a packet.
    pub fn note(&mut self, entry: Entry) {
        if self.entries.is_empty() {
            self.entries.resize(FIRST, Entry::default());
        }
        let mut slot = entry.output as usize & (self.entries.len() - 1);
        let old = self.entries[slot];
        if old.flags & flag::USED != 0
            && entry.sent.wrapping_sub(old.sent) < KEPT_TICKS
            && old.output != entry.output
            && self.entries.len() < MAX
        {
            self.grow();
            slot = entry.output as usize & (self.entries.len() - 1);
        }
        self.entries[slot] = Entry { flags: entry.flags | flag::USED, ..entry };
    }

    /// The packet that was last sent under this number.
    pub fn find(&mut self, sequence: u16) -> Option<&mut Entry> {
        let mask = self.entries.len().wrapping_sub(1);
        let entry = self.entries.get_mut(usize::from(sequence) & mask)?;
        (entry.flags & flag::USED != 0 && entry.output as u16 == sequence).then_some(entry)
    }

    /// Forgets all: the m-line carries another track now.
    pub fn clear(&mut self) {
        self.entries = Vec::new();
    }

    fn grow(&mut self) {
        let size = self.entries.len() * 2;
        let old = std::mem::replace(&mut self.entries, vec![Entry::default(); size]);
        for entry in old.into_iter().filter(|entry| entry.flags & flag::USED != 0) {
            let slot = entry.output as usize & (size - 1);
            self.entries[slot] = entry;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 28);
    }

    #[test]
    fn grows_with_the_rate_and_forgets_the_oldest() {
        let mut history = History::default();
        assert_eq!(history.find(5), None);
        let at = |history: &mut History, output: u32, packets_per_tick: u32| {
            history.note(Entry { output, input: output + 7, sent: output / packets_per_tick, ..Entry::default() });
        };
        for output in 0..2000 {
            at(&mut history, output, 1);
        }
        assert_eq!(history.entries.len(), 128, "75 packets in 600 ms");
        assert_eq!(history.find(1999).map(|e| e.input), Some(2006));
        assert_eq!(history.find(1999 - 127).map(|e| e.input), Some(2006 - 127));
        assert_eq!(history.find(1999 - 128), None);
        for output in 65_530..70_000 {
            at(&mut history, output, 100);
        }
        assert_eq!(history.entries.len(), MAX, "and no further");
        assert_eq!(history.find(69_999u32 as u16).map(|e| e.output), Some(69_999));
        history.clear();
        assert_eq!(history.find(69_999u32 as u16), None);
    }
}
