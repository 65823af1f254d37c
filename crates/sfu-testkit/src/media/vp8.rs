//! VP8's payload descriptor and first byte (RFC 7741 §4.2, §4.3), written and read independently of the engine.

/// The fields that a sender with temporal layers sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// First packet of the frame (S with partition 0).
    pub start: bool,
    /// 15 bits.
    pub picture_id: u16,
    pub tl0_pic_idx: u8,
    pub tid: u8,
    pub keyframe: bool,
}

impl Descriptor {
    /// Descriptor, and for a frame's first packet the first byte of the payload header.
    pub fn write(&self, out: &mut Vec<u8>) {
        const X: u8 = 0x80;
        const S: u8 = 0x10;
        const I: u8 = 0x80;
        const L: u8 = 0x40;
        const T: u8 = 0x20;
        const M: u8 = 0x80;
        let [high, low] = self.picture_id.to_be_bytes();
        out.extend([X | if self.start { S } else { 0 }, I | L | T, M | high, low, self.tl0_pic_idx, self.tid << 6]);
        // Size0, H, VER: anything; P: 0 for a key frame. In later packets this byte is data, and may be anything.
        out.push(if self.start { 0x50 | u8::from(!self.keyframe) } else { 0x50 });
    }

    /// The descriptor, and what lies under it after the first byte.
    pub fn read(payload: &[u8]) -> Option<(Self, &[u8])> {
        let [first, flags, high, low, tl0, tid, header, rest @ ..] = payload else { return None };
        if first & 0x80 == 0 || flags & 0xe0 != 0xe0 || high & 0x80 == 0 {
            return None;
        }
        let start = first & 0x17 == 0x10;
        let descriptor = Self {
            start,
            picture_id: u16::from_be_bytes([high & 0x7f, *low]),
            tl0_pic_idx: *tl0,
            tid: tid >> 6,
            keyframe: start && header & 1 == 0,
        };
        Some((descriptor, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn str0m_reads_what_we_write() {
        let descriptor = Descriptor { start: true, picture_id: 0x1234, tl0_pic_idx: 7, tid: 1, keyframe: true };
        let mut bytes = Vec::new();
        descriptor.write(&mut bytes);
        bytes.extend(b"rest");
        assert_eq!(Descriptor::read(&bytes), Some((descriptor, &b"rest"[..])));
        let theirs = str0m::rtp::Vp8Descriptor::parse(&bytes).expect("valid");
        assert!(theirs.starts_keyframe(&bytes));
        assert!(theirs.patch().picture_id(0x7fff).tl0_pic_idx(1).build().is_ok());
    }
}
