//! What simulated participants send: opaque bytes that say where they come from, so that a receiver can tell whether
//! it should have got them, unchanged.

pub mod canary;
pub mod vp8;

pub use canary::Canary;

/// What a track shows. The same words as on the wire, in an order of our own.
pub use focus_signaling::wire::Source;

/// A simulcast layer: its rid, its size, and how many packets one of its frames fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    pub rid: &'static str,
    pub width: u32,
    pub height: u32,
    pub packets: u8,
}

/// The three layers of a camera, smallest first.
pub const CAMERA: [Layer; 3] = [
    Layer { rid: "q", width: 320, height: 180, packets: 1 },
    Layer { rid: "h", width: 640, height: 360, packets: 2 },
    Layer { rid: "f", width: 1280, height: 720, packets: 3 },
];

/// Frames per second of video. Few, so that many seeds fit into a test run.
pub const FPS: u32 = 15;
/// Packets per second of audio: 20 ms each, as browsers send Opus.
pub const AUDIO_PPS: u32 = 50;
