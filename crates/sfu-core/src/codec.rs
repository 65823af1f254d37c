//! Which codec a packet carries, and whether it begins a key frame. Reads only bytes that stay clear under end-to-end
//! encryption: the RTP payload descriptors that the packetiser adds, VP8's first payload byte, H264's NAL types.

/// A codec as far as two peers must agree on it. `profile` is 0 where a codec has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codec {
    pub name: CodecName,
    /// VP9: profile id. H264: profile_idc and constraint bits, and the packetisation mode. AV1: profile.
    pub profile: u32,
    /// RTP clock, in Hz.
    pub clock_rate: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodecName {
    Opus,
    Vp8,
    Vp9,
    Av1,
    H264,
}
