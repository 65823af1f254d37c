//! The sending half of a lean client: frames in bursts, sealed by the client itself.

use std::time::{Duration, Instant};

use super::outbox::Outbox;
use super::rtcp;
use super::rtp::{ExtensionIds, Header};
use super::srtp::{Direction, SrtpError};
use crate::payload::Payload;

/// The MID goes with the first packets, as browsers do until the server has acknowledged it.
const PACKETS_WITH_MID: u64 = 100;
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What a publisher sends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MediaShape {
    pub audio: bool,
    /// Bytes of an RTP payload.
    pub size: usize,
    /// Each payload is up to so many bytes longer or shorter.
    pub jitter: usize,
    /// Packets of one frame, sent back to back.
    pub burst: usize,
    pub interval: Duration,
    /// RTP clock ticks of one frame.
    pub ticks: u32,
}

impl MediaShape {
    /// 25 frames a second of 8 packets.
    pub fn video(size: usize, jitter: usize) -> Self {
        Self { audio: false, size, jitter, burst: 8, interval: Duration::from_millis(40), ticks: 3600 }
    }

    /// A packet each 20 ms.
    pub fn audio(size: usize) -> Self {
        Self { audio: true, size, jitter: 0, burst: 1, interval: Duration::from_millis(20), ticks: 960 }
    }
}

/// See the module.
pub struct Publisher {
    pub shape: MediaShape,
    /// Told to receivers in each payload.
    pub id: u16,
    pub ssrc: u32,
    pub payload_type: u8,
    pub mid: String,
    /// Number of the next packet, from 0.
    pub next: u64,
    /// Requests by the server.
    pub keyframe_requests: u64,
    pub next_frame: Option<Instant>,
    first_sequence: u64,
    timestamp: u32,
    picture: u16,
    wants_keyframe: bool,
    next_report: Option<Instant>,
    bytes: u32,
    sizes: Sizes,
}

impl Publisher {
    pub fn new(shape: MediaShape, id: u16, ssrc: u32, payload_type: u8, mid: String) -> Self {
        Self {
            shape,
            id,
            ssrc,
            payload_type,
            mid,
            next: 0,
            keyframe_requests: 0,
            next_frame: None,
            // Below 2^15 (RFC 3711 §3.3.1), different for each.
            first_sequence: u64::from(id) * 257 % (1 << 15),
            timestamp: u32::from(id) << 16,
            picture: 0,
            wants_keyframe: true,
            next_report: None,
            bytes: 0,
            sizes: Sizes(u64::from(id) + 1),
        }
    }

    pub fn start(&mut self, at: Instant) {
        self.next_frame = Some(at);
        self.next_report = Some(at + REPORT_INTERVAL);
    }

    pub fn stop(&mut self) {
        self.next_frame = None;
        self.next_report = None;
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.next_frame.into_iter().chain(self.next_report).min()
    }

    pub fn handle_keyframe_request(&mut self) {
        self.keyframe_requests += 1;
        self.wants_keyframe = true;
    }

    /// Sends what is due. `stamp`: nanoseconds that receivers compare with their own clock.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        stamp: u64,
        keys: &mut Direction,
        ids: ExtensionIds,
        transport_sequence: &mut u64,
        outbox: &mut Outbox,
    ) -> Result<(), SrtpError> {
        if let Some(at) = self.next_frame.filter(|at| *at <= now) {
            self.send_frame(stamp, keys, ids, transport_sequence, outbox)?;
            // A frame that was missed altogether is not made up for: an encoder would not either.
            self.next_frame = Some((at + self.shape.interval).max(now));
        }
        if self.next_report.is_some_and(|at| at <= now) {
            self.next_report = Some(now + REPORT_INTERVAL);
            let ntp = (u128::from(stamp) << 32) / 1_000_000_000;
            let start = outbox.begin();
            let (packets, bytes) = (self.next as u32, self.bytes);
            rtcp::write_sender_report(self.ssrc, ntp as u64, self.timestamp, packets, bytes, outbox.buffer());
            keys.seal_rtcp(outbox.buffer(), start)?;
            outbox.end(start);
        }
        Ok(())
    }

    fn send_frame(
        &mut self,
        stamp: u64,
        keys: &Direction,
        ids: ExtensionIds,
        transport_sequence: &mut u64,
        outbox: &mut Outbox,
    ) -> Result<(), SrtpError> {
        let keyframe = std::mem::take(&mut self.wants_keyframe);
        self.picture = (self.picture + 1) & 0x7fff;
        self.timestamp = self.timestamp.wrapping_add(self.shape.ticks);
        for place in 0..self.shape.burst {
            let index = self.first_sequence + self.next;
            let header = Header {
                payload_type: self.payload_type,
                marker: place + 1 == self.shape.burst && !self.shape.audio,
                sequence: index as u16,
                timestamp: self.timestamp,
                ssrc: self.ssrc,
                transport_sequence: Some(*transport_sequence as u16),
                mid: (self.next < PACKETS_WITH_MID).then_some(&self.mid),
                audio_level: self.shape.audio.then_some(30),
            };
            *transport_sequence += 1;
            let payload = Payload { publisher: self.id, number: self.next, stamp };
            let size = self.sizes.next(self.shape.size, self.shape.jitter);
            let start = outbox.begin();
            let length = header.write(ids, outbox.buffer());
            match self.shape.audio {
                true => payload.write_audio(size, outbox.buffer()),
                false => payload.write_vp8(size, place == 0, keyframe, self.picture, outbox.buffer()),
            }
            keys.seal_rtp(outbox.buffer(), start, length, index)?;
            outbox.end(start);
            self.next += 1;
            self.bytes = self.bytes.wrapping_add(size as u32);
        }
        Ok(())
    }
}

/// Sizes spread evenly around the middle, the same in each run (xorshift64).
struct Sizes(u64);

impl Sizes {
    fn next(&mut self, middle: usize, jitter: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let spread = 2 * jitter as u64 + 1;
        middle + ((self.0 >> 32) % spread) as usize - jitter.min(middle)
    }
}
