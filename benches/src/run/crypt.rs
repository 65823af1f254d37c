//! Frames that are encrypted end to end, laid out as the web client lays them out (`clients/web/src/e2ee/frame.ts`): a few
//! clear bytes that a focus must read, authenticated as SFrame metadata, then one RFC 9605 ciphertext. Who has which key is
//! not known here.

use std::fmt::Debug;

use tokio::sync::watch;

/// Opus: the TOC byte (RFC 6716 §3.1). CELT, 20 ms, stereo.
const OPUS_CLEAR: [u8; 1] = [0xfc];
/// Of a VP8 key frame: frame tag, start code, size (RFC 6386 §9.1); of another one the tag.
const VP8_KEYFRAME_CLEAR: usize = 10;
const VP8_DELTA_CLEAR: usize = 3;
/// What SFrame adds at most to a frame: header and tag.
pub const OVERHEAD_MAX: usize = 17 + 16;

/// The keys of one participant: those that it sends under, and those that others gave it.
pub trait Crypt: Send + Sync + Debug {
    /// An SFrame ciphertext; `None` while there is no key.
    fn seal(&self, metadata: &[u8], plaintext: &[u8]) -> Option<Vec<u8>>;

    /// The frame of the person of that number.
    fn open(&self, sender: u32, metadata: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, Closed>;

    /// Index of the key that is sent under, and news of it.
    fn index(&self) -> watch::Receiver<u32>;
}

/// Why a frame stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The sender's key has not come.
    #[cfg_attr(not(feature = "matrix"), expect(dead_code, reason = "only members of homeservers have keys"))]
    NoKey,
    /// Another key, or bytes that somebody changed.
    Failed,
}

/// An encrypted Opus frame.
pub fn seal_audio(crypt: &dyn Crypt, plaintext: &[u8]) -> Option<Vec<u8>> {
    join(crypt, &OPUS_CLEAR, plaintext)
}

/// An encrypted VP8 frame of that size in pixels.
pub fn seal_vp8(crypt: &dyn Crypt, keyframe: bool, width: u16, height: u16, plaintext: &[u8]) -> Option<Vec<u8>> {
    let ([w0, w1], [h0, h1]) = (width.to_le_bytes(), height.to_le_bytes());
    let clear = [u8::from(!keyframe) | 0x10, 0, 0, 0x9d, 0x01, 0x2a, w0, w1, h0, h1];
    let length = if keyframe { VP8_KEYFRAME_CLEAR } else { VP8_DELTA_CLEAR };
    join(crypt, &clear[..length], plaintext)
}

fn join(crypt: &dyn Crypt, clear: &[u8], plaintext: &[u8]) -> Option<Vec<u8>> {
    let mut frame = clear.to_vec();
    frame.extend(crypt.seal(clear, plaintext)?);
    Some(frame)
}

/// What is in a frame of `sender`, and whether it is a key frame of a video.
pub fn open(crypt: &dyn Crypt, sender: u32, audio: bool, frame: &[u8]) -> Result<(Vec<u8>, bool), Closed> {
    let keyframe = !audio && frame.first().is_some_and(|tag| tag & 1 == 0);
    let clear = match (audio, keyframe) {
        (true, _) => OPUS_CLEAR.len(),
        (false, true) => VP8_KEYFRAME_CLEAR,
        (false, false) => VP8_DELTA_CLEAR,
    };
    let (clear, ciphertext) = frame.split_at_checked(clear).ok_or(Closed::Failed)?;
    Ok((crypt.open(sender, clear, ciphertext)?, keyframe))
}
