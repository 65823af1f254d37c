//! The clear bytes of RTP payloads: payload descriptors, and the first bytes of a frame where a codec keeps them clear.
//! Nothing here reads what end-to-end encryption covers.

pub mod av1;
pub mod h264;
pub mod header;
pub mod vp8;
pub mod vp9;

use crate::codec::CodecName;

/// Whether `payload` begins a key frame. `false` for anything that cannot be read.
#[must_use]
pub fn begins_keyframe(codec: CodecName, payload: &[u8]) -> bool {
    match codec {
        CodecName::Opus => false,
        CodecName::Vp8 => vp8::Descriptor::parse(payload).is_some_and(|d| d.begins_keyframe),
        CodecName::Vp9 => vp9::begins_keyframe(payload),
        CodecName::Av1 => av1::begins_keyframe(payload),
        CodecName::H264 => h264::begins_keyframe(payload),
    }
}
