//! VP9 payload descriptor (RFC 9628 §4.2).

/// First packet of a frame that no other frame predicts, in the lowest spatial layer.
#[must_use]
pub fn begins_keyframe(payload: &[u8]) -> bool {
    read(payload).unwrap_or(false)
}

fn read(payload: &[u8]) -> Option<bool> {
    let mut bytes = payload.iter().copied();
    let first = bytes.next()?;
    let (has_picture_id, inter_predicted) = (first & 0x80 != 0, first & 0x40 != 0);
    let (has_layers, begins_frame) = (first & 0x20 != 0, first & 0x08 != 0);
    if has_picture_id && bytes.next()? & 0x80 != 0 {
        bytes.next()?;
    }
    let spatial_layer = if has_layers { bytes.next()? >> 1 & 0x07 } else { 0 };
    Some(!inter_predicted && begins_frame && spatial_layer == 0)
}

#[cfg(test)]
mod tests {
    use super::begins_keyframe;

    #[test]
    fn key_frames_are_not_predicted_and_begin_in_the_lowest_layer() {
        assert!(begins_keyframe(&[0x88, 0x01]));
        assert!(begins_keyframe(&[0xa8, 0x81, 0x01, 0x00]));
        assert!(!begins_keyframe(&[0xc8, 0x01]), "inter predicted");
        assert!(!begins_keyframe(&[0x80, 0x01]), "not the beginning");
        assert!(!begins_keyframe(&[0xa8, 0x81, 0x01, 0x02]), "spatial layer 1");
        assert!(!begins_keyframe(&[0xa8, 0x81, 0x01]), "cut short");
        assert!(!begins_keyframe(&[]));
    }
}
