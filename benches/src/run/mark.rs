//! What a publisher writes into each packet, so that a receiver can tell whose it is, to which frame it belongs and when
//! it was sent. Bytes without any secret, behind what a server reads of VP8.

/// Begins the mark; anything else that arrives is not ours.
const MAGIC: u32 = 0x5f0b_e4c9;
pub const MARK: usize = 4 + 4 + 1 + 1 + 4 + 2 + 2 + 8;
/// VP8 payload descriptor with a 15-bit picture id (RFC 7741 §4.2).
pub const DESCRIPTOR: usize = 4;
/// VP8 frame tag and key frame header (RFC 6386 §9.1).
const FRAME_HEADER: usize = 10;
/// The smallest payload that holds everything.
pub const SIZE_MIN: usize = DESCRIPTOR + FRAME_HEADER + MARK;

/// The mark of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub person: u32,
    /// Index in [`Source::ALL`](super::plan::Source::ALL).
    pub source: u8,
    /// Simulcast layer, 0 being the smallest.
    pub layer: u8,
    /// One more with each frame; layers of one moment share it.
    pub frame: u32,
    /// Packet of the frame, and of how many.
    pub index: u16,
    pub count: u16,
    /// Nanoseconds of the clock that all participants share.
    pub stamp: u64,
}

/// The picture that a VP8 packet belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Picture {
    pub id: u16,
    pub keyframe: bool,
    pub width: u16,
    pub height: u16,
}

impl Picture {
    /// The payload descriptor of its first packet, or of another one.
    pub fn descriptor(self, first: bool) -> [u8; DESCRIPTOR] {
        let [high, low] = (self.id | 0x8000).to_be_bytes();
        [if first { 0x90 } else { 0x80 }, 0x80, high, low]
    }
}

impl Mark {
    pub fn padded(&self, size: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(size.max(MARK));
        self.write(&mut out);
        out.resize(size.max(MARK), 0xa5);
        out
    }

    pub fn vp8(&self, size: usize, picture: Picture) -> Vec<u8> {
        let mut out = Vec::with_capacity(size.max(SIZE_MIN));
        out.extend_from_slice(&picture.descriptor(self.index == 0));
        // Frame tag (bit 0 clear: key frame), start code, size.
        let ([w0, w1], [h0, h1]) = (picture.width.to_le_bytes(), picture.height.to_le_bytes());
        out.extend_from_slice(&[u8::from(!picture.keyframe) | 0x10, 0, 0, 0x9d, 0x01, 0x2a, w0, w1, h0, h1]);
        self.write(&mut out);
        out.resize(size.max(SIZE_MIN), 0xa5);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC.to_be_bytes());
        out.extend_from_slice(&self.person.to_be_bytes());
        out.extend_from_slice(&[self.source, self.layer]);
        out.extend_from_slice(&self.frame.to_be_bytes());
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(&self.stamp.to_be_bytes());
    }

    /// Reads the mark of a payload, and whether it is of a key frame (audio never is).
    pub fn read(payload: &[u8], audio: bool) -> Option<(Self, bool)> {
        let start = if audio { 0 } else { DESCRIPTOR + FRAME_HEADER };
        let read = Self::parse(payload.get(start..)?)?;
        Some((read, !audio && payload[DESCRIPTOR] & 1 == 0))
    }

    /// The mark at the beginning of `bytes`.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mark: &[u8; MARK] = bytes.first_chunk()?;
        let u32_at = |at: usize| mark[at..].first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let u16_at = |at: usize| mark[at..].first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
        if u32_at(0)? != MAGIC {
            return None;
        }
        let stamp = u64::from_be_bytes(*mark[18..].first_chunk()?);
        Some(Self {
            person: u32_at(4)?,
            source: mark[8],
            layer: mark[9],
            frame: u32_at(10)?,
            index: u16_at(14)?,
            count: u16_at(16)?,
            stamp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { person: 70_000, source: 1, layer: 1, frame: 9, index: 2, count: 3, stamp: 1 << 40 };

    #[test]
    fn a_mark_survives() {
        let picture = Picture { id: 300, keyframe: true, width: 640, height: 360 };
        let video = MARK.vp8(SIZE_MIN, picture);
        assert_eq!(video.len(), SIZE_MIN);
        assert_eq!(Mark::read(&video, false), Some((MARK, true)));
        let delta = MARK.vp8(500, Picture { keyframe: false, ..picture });
        assert_eq!((delta.len(), Mark::read(&delta, false)), (500, Some((MARK, false))));
        let audio = MARK.padded(80);
        assert_eq!((audio.len(), Mark::read(&audio, true)), (80, Some((MARK, false))));
    }

    #[test]
    fn anything_else_is_not_ours() {
        assert_eq!(Mark::read(&[0xa5; 200], true), None);
        assert_eq!(Mark::read(&MARK.padded(80)[..20], true), None);
        assert_eq!(Mark::read(&[], false), None);
    }
}
