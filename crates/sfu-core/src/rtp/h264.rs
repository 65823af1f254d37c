//! H264 NAL unit types (RFC 6184 §5). Frame-aware end-to-end encryption leaves them clear.

const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// NAL units looked at in one aggregate; an encoder puts parameter sets first.
const AGGREGATED_MAX: usize = 16;

/// A packet with a sequence parameter set, or the start of an IDR picture.
#[must_use]
pub fn begins_keyframe(payload: &[u8]) -> bool {
    let Some(first) = payload.first() else { return false };
    match first & 0x1f {
        IDR | SPS => true,
        FU_A => payload.get(1).is_some_and(|header| header & 0x80 != 0 && matches!(header & 0x1f, IDR | SPS)),
        STAP_A => {
            let mut rest = &payload[1..];
            for _ in 0..AGGREGATED_MAX {
                let [high, low, nal, ..] = *rest else { return false };
                if matches!(nal & 0x1f, IDR | SPS) {
                    return true;
                }
                let size = usize::from(u16::from_be_bytes([high, low]));
                let Some(next) = rest.get(2 + size..) else { return false };
                rest = next;
            }
            false
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::begins_keyframe;

    #[test]
    fn parameter_sets_and_idr_starts() {
        assert!(begins_keyframe(&[0x67, 1, 2]));
        assert!(begins_keyframe(&[0x65, 1]));
        assert!(begins_keyframe(&[0x7c, 0x85, 1]), "start of a fragmented IDR");
        assert!(!begins_keyframe(&[0x7c, 0x05, 1]), "middle of one");
        assert!(!begins_keyframe(&[0x41, 1]), "non-IDR slice");
        assert!(begins_keyframe(&[0x78, 0, 1, 0x09, 0, 2, 0x67, 1]), "aggregate with SPS behind a delimiter");
        assert!(!begins_keyframe(&[0x78, 0, 1, 0x09, 0, 200, 0x41]), "aggregate that lies about sizes");
        assert!(!begins_keyframe(&[0x78, 0, 0]));
        assert!(!begins_keyframe(&[]));
    }
}
