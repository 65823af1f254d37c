//! What publishers put into packets so that receivers can tell whose it is, which one, and when it was sent.

/// Begins the marked part; anything else that arrives is not ours.
const MAGIC: u32 = 0x5f0b_e4c8;
const MARK: usize = 4 + 2 + 8 + 8;
/// VP8 payload descriptor with a 15-bit picture id (RFC 7741 §4.2).
const DESCRIPTOR: usize = 4;
/// VP8 frame tag and key frame header (RFC 6386 §9.1).
const FRAME_HEADER: usize = 10;
/// The smallest payload that holds everything.
pub const SIZE_MIN: usize = DESCRIPTOR + FRAME_HEADER + MARK;

/// The mark of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    pub publisher: u16,
    /// From 0, one more with each packet of a publisher.
    pub number: u64,
    /// Nanoseconds of the load generator's clock.
    pub stamp: u64,
}

impl Payload {
    pub fn write_audio(&self, size: usize, out: &mut Vec<u8>) {
        self.write(size, out.len(), out);
    }

    /// `first`: begins the frame.
    pub fn write_vp8(&self, size: usize, first: bool, keyframe: bool, picture: u16, out: &mut Vec<u8>) {
        let start = out.len();
        let [high, low] = (picture | 0x8000).to_be_bytes();
        out.extend_from_slice(&[if first { 0x90 } else { 0x80 }, 0x80, high, low]);
        // Frame tag (bit 0 clear: key frame), start code, 640 × 360.
        out.extend_from_slice(&[u8::from(!keyframe) | 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]);
        self.write(size, start, out);
    }

    fn write(&self, size: usize, start: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC.to_be_bytes());
        out.extend_from_slice(&self.publisher.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.stamp.to_be_bytes());
        out.resize((start + size).max(out.len()), 0xa5);
    }

    /// Reads the mark of a decrypted payload.
    pub fn read(payload: &[u8], audio: bool) -> Option<Self> {
        let start = if audio { 0 } else { DESCRIPTOR + FRAME_HEADER };
        let mark: &[u8; MARK] = payload.get(start..)?.first_chunk()?;
        let number = |at: usize| mark[at..].first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        if mark[..4] != MAGIC.to_be_bytes() {
            return None;
        }
        Some(Self { publisher: u16::from_be_bytes([mark[4], mark[5]]), number: number(6)?, stamp: number(14)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives() {
        let payload = Payload { publisher: 3, number: 1 << 40, stamp: 99 };
        let mut out = Vec::new();
        payload.write_vp8(SIZE_MIN, true, true, 300, &mut out);
        assert_eq!(out.len(), SIZE_MIN);
        assert_eq!(Payload::read(&out, false), Some(payload));
        assert_eq!(Payload::read(&out, true), None);
        out.clear();
        payload.write_audio(80, &mut out);
        assert_eq!(out.len(), 80);
        assert_eq!(Payload::read(&out, true), Some(payload));
        assert_eq!(Payload::read(&out[..20], true), None);
    }
}
