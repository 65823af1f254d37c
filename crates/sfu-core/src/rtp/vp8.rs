//! VP8 payload descriptor (RFC 7741 §4.2).

/// What forwarding needs of a VP8 payload descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    pub picture_id: Option<PictureId>,
    pub tl0_picture_index: Option<u8>,
    /// First packet of the first partition of a frame whose P bit says "key frame" (RFC 7741 §4.3).
    pub begins_keyframe: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    pub value: u16,
    /// 15 bits wide, else 7.
    pub wide: bool,
}

/// Where the picture id is, if there is one: behind the two bytes of flags.
const PICTURE_ID_AT: usize = 2;

impl PictureId {
    /// The largest value of its width.
    #[must_use]
    pub fn mask(self) -> u16 {
        if self.wide { 0x7fff } else { 0x7f }
    }
}

impl Descriptor {
    /// Writes other numbers over those of the payload that this was read from; each only if the payload has one.
    pub fn patch(&self, payload: &mut [u8], picture_id: Option<u16>, tl0_picture_index: Option<u8>) {
        let mut tl0_at = PICTURE_ID_AT;
        if let Some(own) = self.picture_id {
            if let Some(value) = picture_id {
                if own.wide {
                    payload[PICTURE_ID_AT] = 0x80 | (value >> 8) as u8 & 0x7f;
                    payload[PICTURE_ID_AT + 1] = value as u8;
                } else {
                    payload[PICTURE_ID_AT] = value as u8 & 0x7f;
                }
            }
            tl0_at += if own.wide { 2 } else { 1 };
        }
        if let (Some(_), Some(value)) = (self.tl0_picture_index, tl0_picture_index) {
            payload[tl0_at] = value;
        }
    }

    /// `None` if the payload ends within the descriptor, or there is nothing behind it.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut bytes = payload.iter().copied();
        let first = bytes.next()?;
        let mut picture_id = None;
        let mut tl0_picture_index = None;
        if first & 0x80 != 0 {
            let extensions = bytes.next()?;
            if extensions & 0x80 != 0 {
                let high = bytes.next()?;
                picture_id = Some(if high & 0x80 != 0 {
                    PictureId { value: u16::from(high & 0x7f) << 8 | u16::from(bytes.next()?), wide: true }
                } else {
                    PictureId { value: u16::from(high), wide: false }
                });
            }
            if extensions & 0x40 != 0 {
                tl0_picture_index = Some(bytes.next()?);
            }
            if extensions & 0x30 != 0 {
                bytes.next()?;
            }
        }
        let frame = bytes.next()?;
        let starts_first_partition = first & 0x10 != 0 && first & 0x0f == 0;
        Some(Self { picture_id, tl0_picture_index, begins_keyframe: starts_first_partition && frame & 0x01 == 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_narrow_picture_ids() {
        let wide = Descriptor::parse(&[0x90, 0xe0, 0x92, 0x34, 0x07, 0x20, 0x00]).expect("whole");
        assert_eq!(wide.picture_id, Some(PictureId { value: 0x1234, wide: true }));
        assert_eq!(wide.tl0_picture_index, Some(7));
        assert!(wide.begins_keyframe);
        let narrow = Descriptor::parse(&[0x90, 0x80, 0x12, 0x01]).expect("whole");
        assert_eq!(narrow.picture_id, Some(PictureId { value: 0x12, wide: false }));
        assert!(!narrow.begins_keyframe, "P bit set");
    }

    #[test]
    fn only_the_first_packet_begins_a_keyframe() {
        assert!(Descriptor::parse(&[0x10, 0x00]).expect("whole").begins_keyframe);
        assert!(!Descriptor::parse(&[0x00, 0x00]).expect("whole").begins_keyframe, "S bit clear");
        assert!(!Descriptor::parse(&[0x11, 0x00]).expect("whole").begins_keyframe, "second partition");
    }

    #[test]
    fn numbers_are_replaced_where_they_stand() {
        for original in
            [&[0x90, 0xe0, 0x92, 0x34, 0x07, 0x20, 0x00][..], &[0x90, 0xc0, 0x12, 0x07, 0x01], &[0x90, 0x40, 7, 1]]
        {
            let before = Descriptor::parse(original).expect("whole");
            let mut payload = original.to_vec();
            before.patch(&mut payload, Some(0x55), Some(9));
            let after = Descriptor::parse(&payload).expect("still whole");
            assert_eq!(after.picture_id, before.picture_id.map(|id| PictureId { value: 0x55, ..id }));
            assert_eq!(after.tl0_picture_index, Some(9));
            before.patch(&mut payload, before.picture_id.map(|id| id.value), before.tl0_picture_index);
            assert_eq!(payload, original);
        }
    }

    #[test]
    fn cut_short_is_none() {
        let whole = [0x90, 0xe0, 0x92, 0x34, 0x07, 0x20, 0x00];
        for length in 0..whole.len() {
            assert_eq!(Descriptor::parse(&whole[..length]), None, "{length}");
        }
    }
}
