//! The way of one packet, from datagram to what is handed on.

use std::time::Instant;

use super::line::Values;
use super::sources::Role;
use super::{ReceiveCounters, Received, Receiver, report};
use crate::codec::Codec;
use crate::rtp;
use crate::rtp::header::Header;
use crate::srtp;

/// Largest RTP payload that is handed on: an Ethernet frame holds no more.
pub const PAYLOAD_MAX: usize = 1500;

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

impl Receiver {
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
        if payload.is_empty() {
            counters.padding += 1;
            self.noted(key, packet.now);
            return None;
        }
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
            // It has a number, and subscribers would miss that.
            counters.padding += 1;
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
}
