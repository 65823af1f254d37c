//! What one peer sends us: each SRTP datagram is opened, found its m-line and encoding, freed of retransmission and padding,
//! and handed on once. Along the way it is noted what must be told to the sender: losses (NACK), arrivals
//! (transport-wide feedback), reception reports, key-frame requests.
//!
//! Contract: after each `handle_*`, whenever [`Receiver::deadline`] has passed, call [`Receiver::poll_rtcp`] until it
//! answers `false`. Nothing here allocates per packet. It does not open or read RTCP, and does not judge whether an encoding was offered.

mod arrivals;
mod assign;
mod counters;
mod line;
mod missing;
mod packet;
mod report;
mod sources;
mod statistics;
mod stream;

use std::time::Instant;

use slab::Slab;

pub use counters::ReceiveCounters;
pub use line::{ExtensionIds, ReceiveLine, ReceivePayload};
pub use packet::PAYLOAD_MAX;

use crate::codec::Codec;
use crate::id::{Mid, Rid};
use crate::io::Extensions;
pub use crate::io::SourceClock;
use crate::rtcp::SenderInfo;
use arrivals::Arrivals;
use line::Meanings;
use sources::{Role, Sources};
use stream::Stream;

/// One packet, for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    pub mid: Mid,
    pub rid: Option<Rid>,
    /// The stream's main SSRC, also if this came as a retransmission.
    pub source: u32,
    /// Extended by the roll-over count.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub codec: Codec,
    /// It begins a key frame; always false for audio.
    pub keyframe: bool,
    pub extensions: Extensions,
    pub payload: &'a [u8],
    /// It came as a retransmission (RFC 4588).
    pub recovered: bool,
}

/// The receiving side of one peer. See the module.
#[derive(Debug, Default)]
pub struct Receiver {
    /// Compounds need not begin with a report (RFC 5506, `a=rtcp-rsize`).
    pub reduced_size: bool,
    lines: Vec<ReceiveLine>,
    meanings: Meanings,
    sources: Sources,
    streams: Slab<Stream>,
    arrivals: Arrivals,
    /// The first packet's arrival; jitter counts from here.
    epoch: Option<Instant>,
    /// Of the last packet.
    last: Option<(Instant, u32)>,
    report_due: Option<Instant>,
    /// Not after anything that is due.
    wake: Option<Instant>,
    too_many_sources: bool,
}

impl Receiver {
    /// What was negotiated now. Streams of m-lines that stay go on; those of others rest until their m-line comes back.
    pub fn set_lines(&mut self, mut lines: Vec<ReceiveLine>) {
        lines.retain(|line| !line.payload_types.is_empty());
        self.meanings = Meanings::new(&lines);
        for (_, stream) in &mut self.streams {
            match lines.iter().position(|line| line.mid == stream.mid && line.kind == stream.kind) {
                Some(place) => stream.place(place as u16, &lines[place]),
                None => stream.rest(),
            }
        }
        self.lines = lines;
    }

    /// From RTCP that the caller has opened.
    pub fn handle_sender_report(&mut self, now: Instant, ssrc: u32, info: SenderInfo) {
        let Some(Role::Main(key) | Role::Repair(key)) = self.sources.role(ssrc) else { return };
        if let Some(stream) = self.streams.get_mut(usize::from(key)) {
            stream.note_sender_report(now, ssrc, info);
        }
    }

    /// A source said goodbye (RFC 3550 §6.6): nothing more is asked of it. Browsers say it of an encoding that pauses, too, and
    /// go on under the same SSRC, so that it stays known.
    pub fn handle_goodbye(&mut self, ssrc: u32) {
        let Some(Role::Main(key)) = self.sources.role(ssrc) else { return };
        if let Some(stream) = self.streams.get_mut(usize::from(key)) {
            stream.pause();
        }
    }

    /// Asks for a key frame at the next poll. `false` if nothing has come of that encoding yet.
    pub fn request_keyframe(&mut self, mid: Mid, rid: Option<Rid>) -> bool {
        let Some(key) = self.stream_of(mid, rid) else { return false };
        let Some(stream) = self.streams.get_mut(usize::from(key)).filter(|stream| stream.line.is_some()) else {
            return false;
        };
        stream.wants_keyframe = true;
        self.wake_at(self.last.map(|(at, _)| at));
        true
    }

    /// The last sender report of an encoding.
    #[must_use]
    pub fn clock(&self, mid: Mid, rid: Option<Rid>) -> Option<SourceClock> {
        self.streams.get(usize::from(self.stream_of(mid, rid)?))?.clock
    }

    /// Share of the packets lost on their way since the last call, before any was sent again.
    pub fn take_loss(&mut self) -> f32 {
        let (mut expected, mut lost) = (0, 0);
        for (_, stream) in &mut self.streams {
            let loss = stream.statistics.take_loss();
            expected += loss.0;
            lost += loss.1;
        }
        if expected == 0 { 0.0 } else { lost as f32 / expected as f32 }
    }

    /// The peer has used more SSRCs than any client does; the caller ends it.
    #[must_use]
    pub fn has_too_many_sources(&self) -> bool {
        self.too_many_sources
    }

    /// When [`Receiver::poll_rtcp`] has something to write; `None` while nothing comes.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.wake
    }

    fn wake_at(&mut self, at: Option<Instant>) {
        if let Some(at) = at {
            self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        }
    }
}

#[cfg(test)]
mod tests;
