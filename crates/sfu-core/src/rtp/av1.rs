//! AV1 aggregation header (AV1 RTP payload specification §4.4).

/// First packet of a coded video sequence, which begins with a key frame: the N bit, on a packet that does not
/// continue an OBU (Z bit).
#[must_use]
pub fn begins_keyframe(payload: &[u8]) -> bool {
    payload.len() > 1 && payload[0] & 0x88 == 0x08
}

#[cfg(test)]
mod tests {
    use super::begins_keyframe;

    #[test]
    fn the_n_bit_without_the_z_bit() {
        assert!(begins_keyframe(&[0x08, 0x0a]));
        assert!(begins_keyframe(&[0x68, 0x0a]));
        assert!(!begins_keyframe(&[0x88, 0x0a]), "continues an OBU");
        assert!(!begins_keyframe(&[0x10, 0x0a]));
        assert!(!begins_keyframe(&[0x08]), "nothing behind it");
        assert!(!begins_keyframe(&[]));
    }
}
