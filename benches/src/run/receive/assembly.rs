//! Packets of one slot, put together to whole encrypted frames: only a whole frame can be opened.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Two seconds of a fast video; what is older is given up.
const PARTS_MAX: usize = 2048;

/// One packet's share of a frame.
#[derive(Debug)]
struct Part {
    first: bool,
    last: bool,
    bytes: Bytes,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Assembly {
    /// The highest number so far, extended beyond 16 bits.
    highest: Option<u64>,
    parts: BTreeMap<u64, Part>,
}

impl Assembly {
    /// A packet that has not come before; the frame that it makes whole.
    pub fn handle(&mut self, sequence: u16, marker: bool, audio: bool, payload: &Bytes) -> Option<Vec<u8>> {
        let number = self.extend(sequence);
        let (first, start) = if audio { (true, 0) } else { descriptor(payload)? };
        let part = Part { first, last: marker || audio, bytes: payload.slice(start..) };
        self.parts.insert(number, part);
        let frame = self.whole(number);
        while self.parts.len() > PARTS_MAX {
            self.parts.pop_first();
        }
        frame
    }

    fn extend(&mut self, sequence: u16) -> u64 {
        let highest = self.highest.unwrap_or(u64::from(sequence) + (1 << 16));
        let step = sequence.wrapping_sub(highest as u16) as i16;
        let number = highest.saturating_add_signed(i64::from(step));
        self.highest = Some(highest.max(number));
        number
    }

    /// The frame around `number`, if no part of it is missing.
    fn whole(&mut self, number: u64) -> Option<Vec<u8>> {
        let mut from = number;
        while !self.parts.get(&from)?.first {
            from -= 1;
        }
        let mut to = number;
        while !self.parts.get(&to)?.last {
            to += 1;
        }
        let parts = (from..=to).filter_map(|number| self.parts.remove(&number));
        Some(parts.flat_map(|part| part.bytes).collect())
    }
}

/// Whether a VP8 payload begins a frame, and where the frame's bytes begin in it (RFC 7741 §4.2).
fn descriptor(payload: &[u8]) -> Option<(bool, usize)> {
    let first = *payload.first()?;
    let begins = first & 0x10 != 0 && first & 0x07 == 0;
    let mut length = 1;
    if first & 0x80 != 0 {
        let extended = *payload.get(1)?;
        length += 1;
        if extended & 0x80 != 0 {
            length += if payload.get(length)? & 0x80 != 0 { 2 } else { 1 };
        }
        length += usize::from(extended & 0x40 != 0);
        length += usize::from(extended & 0x30 != 0);
    }
    (payload.len() > length).then_some((begins, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(first: bool, byte: u8) -> Bytes {
        Bytes::from(vec![if first { 0x90 } else { 0x80 }, 0x80, 0x81, 0x02, byte])
    }

    #[test]
    fn a_frame_is_whole_whatever_the_order_of_its_packets() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.handle(65_535, false, false, &part(true, 1)), None);
        assert_eq!(assembly.handle(1, true, false, &part(false, 3)), None);
        assert_eq!(assembly.handle(3, true, false, &part(false, 9)), None, "the next frame lacks its beginning");
        assert_eq!(assembly.handle(0, false, false, &part(false, 2)), Some(vec![1, 2, 3]));
        assert_eq!(assembly.handle(2, false, false, &part(true, 8)), Some(vec![8, 9]));
        assert!(assembly.parts.is_empty());
    }

    #[test]
    fn each_audio_packet_is_a_frame() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.handle(7, false, true, &Bytes::from_static(&[1, 2])), Some(vec![1, 2]));
    }

    #[test]
    fn descriptors_of_every_length() {
        assert_eq!(descriptor(&[0x10, 0]), Some((true, 1)));
        assert_eq!(descriptor(&[0x00, 0]), Some((false, 1)));
        assert_eq!(descriptor(&[0x11, 0]), Some((false, 1)), "another partition");
        assert_eq!(descriptor(&[0x90, 0x80, 0x01, 0]), Some((true, 3)));
        assert_eq!(descriptor(&[0x90, 0xf0, 0x81, 2, 3, 4, 0]), Some((true, 6)));
        assert_eq!(descriptor(&[0x90, 0x80, 0x81, 2]), None, "nothing behind it");
        assert_eq!(descriptor(&[]), None);
    }

    #[test]
    fn what_never_gets_whole_does_not_stay_for_ever() {
        let mut assembly = Assembly::default();
        (0..3000).for_each(|number| assert!(assembly.handle(number, false, false, &part(false, 0)).is_none()));
        assert_eq!(assembly.parts.len(), PARTS_MAX);
    }
}
