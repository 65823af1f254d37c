//! One received stream as its viewer has it: what came, what is missing, when the picture stood still.

mod assembly;
mod frames;
mod sequence;

use std::time::Instant;

use bytes::Bytes;

use self::assembly::Assembly;
pub use self::frames::Frames;
pub use self::sequence::Sequence;
use super::crypt::{self, Closed, Crypt};
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
    /// Packets (of encrypted media: frames) of somebody or something else: a grave fault of the server.
    pub foreign: u64,
    pub sequence: Sequence,
    /// `None` for audio.
    pub frames: Option<Frames>,
    /// Encrypted frames that were whole.
    pub opened: u64,
    pub without_key: u64,
    pub unopened: u64,
    /// In its life.
    pub first_at: Option<Instant>,
    pub last_at: Option<Instant>,
    assembly: Assembly,
}

/// A packet, as the slot has it.
#[derive(Debug)]
pub struct Arrival {
    pub at: Instant,
    /// `at` in the nanoseconds of [`Mark::stamp`].
    pub clock: u64,
    pub sequence: u16,
    pub marker: bool,
    pub payload: Bytes,
    /// Bytes of the whole packet as received.
    pub length: usize,
}

/// What a packet did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// The picture cannot go on without a key frame.
    NeedsKeyframe,
    /// It had come before, is no media of this stream, or is not yet a whole frame.
    Ignored,
}

impl Stream {
    /// `fps` of a video.
    pub fn new(expected: Expected, fps: Option<u32>) -> Self {
        Self {
            expected,
            packets: 0,
            bytes: 0,
            foreign: 0,
            sequence: Sequence::default(),
            frames: fps.map(Frames::new),
            opened: 0,
            without_key: 0,
            unopened: 0,
            first_at: None,
            last_at: None,
            assembly: Assembly::default(),
        }
    }

    /// `crypt`: what opens encrypted frames; without it they are not encrypted.
    pub fn handle_packet(&mut self, arrival: &Arrival, crypt: Option<&dyn Crypt>, latency: &mut Histogram) -> Verdict {
        // Padding probes the path and is no media, but has a number.
        if !self.sequence.handle(arrival.sequence) {
            return Verdict::Ignored;
        }
        self.packets += 1;
        self.bytes += arrival.length as u64;
        if arrival.payload.is_empty() {
            return Verdict::Ignored;
        }
        self.last_at = Some(arrival.at);
        let audio = self.expected.source.is_audio();
        let mark = match crypt {
            None => Mark::read(&arrival.payload, audio),
            Some(crypt) => match self.open(arrival, crypt) {
                Some(mark) => mark,
                None => return Verdict::Ignored,
            },
        };
        let Expected { person, source } = self.expected;
        let Some((mark, keyframe)) = mark.filter(|(mark, _)| mark.person == person && mark.source == source as u8)
        else {
            self.foreign += 1;
            return Verdict::Ignored;
        };
        self.first_at.get_or_insert(arrival.at);
        latency.add(arrival.clock.saturating_sub(mark.stamp) / 1000);
        match self.frames.as_mut().is_some_and(|frames| frames.handle(arrival.at, &mark, keyframe)) {
            true => Verdict::NeedsKeyframe,
            false => Verdict::Fine,
        }
    }

    /// What is in the frame that the packet made whole; `None` if there is none, or if it stays closed.
    fn open(&mut self, arrival: &Arrival, crypt: &dyn Crypt) -> Option<Option<(Mark, bool)>> {
        let audio = self.expected.source.is_audio();
        let frame = self.assembly.handle(arrival.sequence, arrival.marker, audio, &arrival.payload)?;
        match crypt::open(crypt, self.expected.person, audio, &frame) {
            Ok((plaintext, keyframe)) => {
                self.opened += 1;
                Some(Mark::parse(&plaintext).map(|mark| (mark, keyframe)))
            }
            Err(Closed::NoKey) => {
                self.without_key += 1;
                None
            }
            Err(Closed::Failed) => {
                self.unopened += 1;
                None
            }
        }
    }

    /// The measured window begins.
    pub fn begin(&mut self, now: Instant) {
        (self.packets, self.bytes, self.foreign) = (0, 0, 0);
        (self.opened, self.without_key, self.unopened) = (0, 0, 0);
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
