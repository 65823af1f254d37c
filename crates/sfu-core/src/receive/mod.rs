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
mod report;
mod sources;
mod statistics;
mod stream;

use std::time::Instant;

use slab::Slab;

pub use counters::ReceiveCounters;
pub use line::{ExtensionIds, ReceiveLine, ReceivePayload};

use crate::codec::Codec;
use crate::id::{Mid, Rid};
use crate::io::Extensions;
pub use crate::io::SourceClock;
use crate::rtcp::SenderInfo;
use crate::rtp;
use crate::rtp::header::Header;
use crate::srtp;
use arrivals::Arrivals;
use line::{Meanings, Values};
use sources::{Role, Sources};
use stream::Stream;

/// Largest RTP payload that is handed on: an Ethernet frame holds no more.
pub const PAYLOAD_MAX: usize = 1500;

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

    /// Opens one SRTP datagram where it stands, and says what it is. `None` for what goes no further, which is counted.
    pub fn handle_rtp<'a>(
        &mut self,
        now: Instant,
        inbound: &mut srtp::Inbound,
        datagram: &'a mut [u8],
        counters: &mut ReceiveCounters,
    ) -> Option<Received<'a>> {
        let Some(header) = Header::parse(datagram) else {
            counters.malformed += 1;
            return None;
        };
        let role = self.sources.role(header.ssrc);
        if role == Some(Role::Retired) {
            counters.retired += 1;
            return None;
        }
        let (sequence, payload) = match inbound.open_rtp(header.ssrc, header.sequence, header.length, datagram) {
            Ok(opened) => opened,
            Err(error) => {
                counters.refuse(error);
                return None;
            }
        };
        // From here on it is authentic.
        let datagram: &'a [u8] = datagram;
        counters.packets += 1;
        counters.bytes += datagram.len() as u64;
        self.last = Some((now, header.ssrc));
        let values = self.meanings.read(header.extensions(datagram));
        if let Some(number) = values.transport {
            self.arrivals.note(now, number, datagram.len());
            self.wake_at(self.arrivals.deadline());
        }
        let role = self.assign(inbound, (header.ssrc, header.payload_type, sequence), &values, role);
        let payload = &datagram[payload];
        let Some(length) = header.unpadded(payload) else {
            counters.malformed += 1;
            return None;
        };
        let packet = Authentic { now, header: &header, sequence, values, payload: &payload[..length] };
        match role {
            Role::Main(key) => self.handle_main(key, packet, counters),
            Role::Repair(key) => self.handle_repair(key, packet, counters),
            Role::Unassigned => {
                counters.unassigned += 1;
                None
            }
            Role::Retired => {
                counters.retired += 1;
                None
            }
        }
    }

    fn handle_main<'a>(
        &mut self,
        key: u16,
        packet: Authentic<'a, '_>,
        counters: &mut ReceiveCounters,
    ) -> Option<Received<'a>> {
        let Authentic { now, header, sequence, .. } = packet;
        let stream = self.streams.get_mut(usize::from(key))?;
        let Some(line) = stream.line.and_then(|line| self.lines.get(usize::from(line))) else {
            counters.unassigned += 1;
            return None;
        };
        let carried = stream.payload(header.payload_type, line);
        let elapsed = now.saturating_duration_since(*self.epoch.get_or_insert(now)).as_micros() as u64;
        let ticks = carried.map(|carried| elapsed.wrapping_mul(carried.codec.clock_rate.into()) / 1_000_000);
        stream.statistics.note(sequence, header.timestamp, ticks.map(|ticks| ticks as u32));
        let new = stream.note(now, sequence);
        self.noted(key, now);
        let Some(carried) = carried else {
            counters.unknown_payload += 1;
            return None;
        };
        self.received(key, packet, carried.codec, new.then_some(sequence), counters)
    }

    fn handle_repair<'a>(
        &mut self,
        key: u16,
        packet: Authentic<'a, '_>,
        counters: &mut ReceiveCounters,
    ) -> Option<Received<'a>> {
        let stream = self.streams.get_mut(usize::from(key))?;
        let Some(line) = stream.line.and_then(|line| self.lines.get(usize::from(line))) else {
            counters.unassigned += 1;
            return None;
        };
        if let Some(repair) = &mut stream.repair {
            repair.statistics.note(packet.sequence, 0, None);
        }
        let Some((carried, true)) = line.payload(packet.header.payload_type) else {
            counters.unknown_payload += 1;
            return None;
        };
        // The original sequence number (RFC 4588 §4). Without one it is padding, with which senders probe.
        let [high, low, payload @ ..] = packet.payload else {
            counters.padding += 1;
            self.noted(key, packet.now);
            return None;
        };
        let original = stream.recover(packet.now, u16::from_be_bytes([*high, *low]));
        self.noted(key, packet.now);
        let packet = Authentic { payload, ..packet };
        let received = self.received(key, packet, carried.codec, original, counters)?;
        counters.recovered += 1;
        Some(Received { recovered: true, ..received })
    }

    /// `sequence` is the stream's own; `None` if the packet was handed on before.
    fn received<'a>(
        &self,
        key: u16,
        packet: Authentic<'a, '_>,
        codec: Codec,
        sequence: Option<u64>,
        counters: &mut ReceiveCounters,
    ) -> Option<Received<'a>> {
        let stream = self.streams.get(usize::from(key))?;
        let Authentic { header, payload, values, .. } = packet;
        let Some(sequence) = sequence else {
            counters.duplicates += 1;
            return None;
        };
        if payload.is_empty() {
            counters.padding += 1;
            return None;
        }
        if payload.len() > PAYLOAD_MAX {
            counters.oversized += 1;
            return None;
        }
        Some(Received {
            mid: stream.mid,
            rid: stream.rid,
            source: stream.ssrc,
            sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            codec,
            keyframe: rtp::begins_keyframe(codec.name, payload),
            extensions: values.forwarded,
            payload,
            recovered: false,
        })
    }

    /// A stream noted a packet: what is due now?
    fn noted(&mut self, key: u16, now: Instant) {
        let due = *self.report_due.get_or_insert(now + report::INTERVAL);
        self.wake_at(Some(due));
        let Some(stream) = self.streams.get(usize::from(key)) else { return };
        let (missing, asks) = (stream.missing.deadline(), stream.wants_keyframe);
        self.wake_at(missing);
        self.wake_at(asks.then_some(now));
    }

    fn wake_at(&mut self, at: Option<Instant>) {
        if let Some(at) = at {
            self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        }
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
}

/// A packet that SRTP vouched for.
#[derive(Debug)]
struct Authentic<'a, 'h> {
    now: Instant,
    header: &'h Header,
    /// Extended number of its own SSRC.
    sequence: u64,
    values: Values<'a>,
    /// Without padding.
    payload: &'a [u8],
}

#[cfg(test)]
mod tests;
