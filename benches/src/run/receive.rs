//! One received stream as its viewer has it: what came, what is missing, when the picture stood still.

mod frames;
mod sequence;

use std::time::Instant;

pub use self::frames::Frames;
pub use self::sequence::Sequence;
use super::histogram::Histogram;
use super::mark::Mark;
use super::plan::Source;

/// What a slot shall carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    pub person: u32,
    pub source: Source,
}

/// Counted from the beginning of the measured window, but for what is said otherwise.
#[derive(Debug)]
pub struct Stream {
    pub expected: Expected,
    pub packets: u64,
    pub bytes: u64,
    /// Packets of somebody or something else: a grave fault of the server.
    pub foreign: u64,
    pub sequence: Sequence,
    /// `None` for audio.
    pub frames: Option<Frames>,
}

/// What a packet did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// The picture cannot go on without a key frame.
    NeedsKeyframe,
    /// It had come before, or is no media of this stream.
    Ignored,
}

impl Stream {
    /// `fps` of a video.
    pub fn new(expected: Expected, fps: Option<u32>) -> Self {
        let frames = fps.map(Frames::new);
        Self { expected, packets: 0, bytes: 0, foreign: 0, sequence: Sequence::default(), frames }
    }

    /// `length`: bytes of the packet as received; `clock`: now in the nanoseconds of [`Mark::stamp`].
    pub fn handle_packet(
        &mut self,
        now: Instant,
        clock: u64,
        sequence: u16,
        payload: &[u8],
        length: usize,
        latency: &mut Histogram,
    ) -> Verdict {
        // Padding probes the path and is no media, but has a number.
        if !self.sequence.handle(sequence) {
            return Verdict::Ignored;
        }
        self.packets += 1;
        self.bytes += length as u64;
        if payload.is_empty() {
            return Verdict::Ignored;
        }
        let source = self.expected.source;
        let mark = Mark::read(payload, source.is_audio());
        let ours = mark.filter(|(mark, _)| mark.person == self.expected.person && mark.source == source as u8);
        let Some((mark, keyframe)) = ours else {
            self.foreign += 1;
            return Verdict::Ignored;
        };
        latency.add(clock.saturating_sub(mark.stamp) / 1000);
        match self.frames.as_mut().is_some_and(|frames| frames.handle(now, &mark, keyframe)) {
            true => Verdict::NeedsKeyframe,
            false => Verdict::Fine,
        }
    }

    /// The measured window begins.
    pub fn begin(&mut self, now: Instant) {
        (self.packets, self.bytes, self.foreign) = (0, 0, 0);
        self.sequence.begin();
        if let Some(frames) = &mut self.frames {
            frames.begin(now);
        }
    }

    /// It ends: a picture that stands still now has been doing so.
    pub fn end(&mut self, now: Instant) {
        if let Some(frames) = &mut self.frames {
            frames.end(now);
        }
    }
}

#[cfg(test)]
mod tests;
