//! One m-line that the client receives on: its SSRCs, its header, what it was sent.

use std::time::{Duration, Instant};

use super::history::{Entry, History, flag};
use crate::codec::Codec;
use crate::forward::rewriter::{Numbers, Vp8Numbers};
use crate::id::Mid;
use crate::io::{Head, Kind, Packet, SourceClock};
use crate::receive::ExtensionIds;
use crate::rtcp::{ReportBlock, SenderInfo};
use crate::rtp::header::{Fixed, HeaderWriter};
use crate::srtp::Outbound;

/// What an m-line to the client negotiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderLine {
    pub mid: Mid,
    pub kind: Kind,
    pub ssrc: u32,
    pub rtx_ssrc: Option<u32>,
    /// What the client takes, with the payload type of its retransmission (RFC 4588 §8.6).
    pub payload_types: Vec<(u8, Codec, Option<u8>)>,
    pub extensions: ExtensionIds,
    /// The client takes media on it now.
    pub active: bool,
}

/// A packet on its way: what is rewritten of it, and where the rest is.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing {
    /// Index of the peer's sender.
    pub sender: u16,
    pub payload_type: u8,
    pub layer: u8,
    /// Key of the track whose ring has it.
    pub track: usize,
    pub source: u32,
    pub input: u32,
    /// Bytes of the payload.
    pub length: u16,
    /// Bytes of the header, by [`Sender::header_length`].
    pub header: u16,
    pub numbers: Numbers,
}

/// RTX puts the original sequence number before the payload (RFC 4588 §4).
const OSN: usize = 2;

/// See the module.
#[derive(Debug)]
pub struct Sender {
    pub line: SenderLine,
    pub history: History,
    /// Highest sequence number sent, extended.
    highest: u64,
    /// Next sequence number of the RTX stream, extended. It outlives everything that is carried on the m-line: under one
    /// key no number may come twice (RFC 3711 §9.1).
    rtx_next: u64,
    /// The client has reported on the SSRC, so it knows to which m-line it belongs (RFC 8843 §9.2).
    mid_known: bool,
    packets: u32,
    bytes: u32,
    /// What is sent now: its source and how far its timestamps are moved. For sender reports.
    timeline: Option<Timeline>,
    reported_packets: u32,
    /// Middle bits of the NTP time of the last sender report, and when it was sent.
    last_report: Option<(u32, Instant)>,
    pub fraction_lost: u8,
}

/// What is sent now, and how far its timestamps are moved.
#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    pub track: usize,
    pub layer: u8,
    source: u32,
    offset: u32,
    clock_rate: u32,
}

impl Sender {
    /// `rtx_first` should be random.
    pub fn new(line: SenderLine, rtx_first: u16) -> Self {
        Self {
            line,
            history: History::default(),
            highest: 0,
            rtx_next: u64::from(rtx_first & 0x7fff),
            mid_known: false,
            packets: 0,
            bytes: 0,
            timeline: None,
            reported_packets: 0,
            last_report: None,
            fraction_lost: 0,
        }
    }

    /// The client negotiated again. What was sent before is not sent again: its header might come out different.
    pub fn set_line(&mut self, line: SenderLine) {
        if line != self.line {
            self.history.clear();
            // The client may have made its receiver anew.
            self.mid_known = false;
            self.line = line;
        }
    }

    /// Another track comes on this m-line.
    pub fn begin(&mut self) {
        self.history.clear();
        self.timeline = None;
        self.fraction_lost = 0;
    }

    pub fn payload_type(&self, codec: Codec) -> Option<u8> {
        self.line.payload_types.iter().find(|(_, other, _)| *other == codec).map(|(number, ..)| *number)
    }

    /// The client takes retransmissions of this payload type.
    pub fn has_rtx(&self, payload_type: u8) -> bool {
        let known = |(number, _, rtx): &(u8, Codec, Option<u8>)| *number == payload_type && rtx.is_some();
        self.line.rtx_ssrc.is_some() && self.line.payload_types.iter().any(known)
    }

    /// Highest sequence number sent.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Key of the track that it carries.
    pub fn track(&self) -> Option<usize> {
        self.timeline.map(|timeline| timeline.track)
    }

    /// It carries something about which a report is due.
    pub fn report_due(&self) -> Option<Timeline> {
        self.timeline.filter(|_| self.packets != self.reported_packets)
    }

    /// Length of the header that [`Sender::seal`] writes for such a packet now.
    pub fn header_length(&self, head: &Head) -> usize {
        self.header_length_with(head, !self.mid_known)
    }

    /// Length of the header that [`Sender::seal_rtx`] writes for such a packet.
    pub fn rtx_header_length(&self, head: &Head) -> usize {
        self.header_length_with(head, true)
    }

    fn header_length_with(&self, head: &Head, with_mid: bool) -> usize {
        let ids = &self.line.extensions;
        let mut elements = 0;
        if ids.transport_cc.is_some() {
            elements += 3;
        }
        if with_mid && ids.mid.is_some() {
            elements += 1 + self.line.mid.as_str().len();
        }
        if ids.audio_level.is_some() && head.extensions.audio_level.is_some() {
            elements += 2;
        }
        if ids.rotation.is_some() && head.extensions.rotation.is_some() {
            elements += 2;
        }
        if elements == 0 { 12 } else { 16 + usize::next_multiple_of(elements, 4) }
    }

    /// Seals a packet for the first time; `padding` bytes (at most [`history::PADDING_MAX`](super::history::PADDING_MAX))
    /// are added behind its payload. Answers the datagram's length.
    pub fn seal(
        &mut self,
        srtp: &Outbound,
        packet: &Packet,
        outgoing: &Outgoing,
        (ticks, transport, padding): (u32, u16, u8),
        out: &mut [u8],
    ) -> usize {
        let numbers = &outgoing.numbers;
        if self.timeline.is_some_and(|timeline| timeline.source != packet.head.source) {
            // What an ended source sent is of no use to anybody, and its numbers may come again.
            self.history.clear();
        }
        let mut flags = 0;
        if numbers.vp8.is_some() {
            flags |= flag::VP8;
        }
        if !self.mid_known {
            flags |= flag::MID;
        }
        let vp8 = numbers.vp8.unwrap_or(Vp8Numbers { picture_id: None, tl0_picture_index: None });
        let entry = Entry {
            source: outgoing.source,
            input: outgoing.input,
            output: numbers.sequence as u32,
            timestamp: numbers.timestamp,
            sent: ticks,
            transport,
            picture_id: vp8.picture_id.unwrap_or(0),
            tl0: vp8.tl0_picture_index.unwrap_or(0),
            payload_type: outgoing.payload_type,
            flags,
            ..Entry::default()
        };
        let entry = entry.with(outgoing.layer, padding);
        self.history.note(entry);
        self.highest = self.highest.max(numbers.sequence);
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(packet.payload.len() as u32);
        let head = &packet.head;
        self.timeline = Some(Timeline {
            track: outgoing.track,
            layer: outgoing.layer,
            source: head.source,
            offset: numbers.timestamp.wrapping_sub(head.timestamp),
            clock_rate: head.codec.clock_rate,
        });
        self.write(srtp, packet, &entry, numbers.sequence, out)
    }

    /// The very datagram again, byte by byte: same number, same header, same payload.
    pub fn seal_again(&self, srtp: &Outbound, packet: &Packet, entry: &Entry, highest: u64, out: &mut [u8]) -> usize {
        // The history has the low bits; it reaches back far less than they do.
        let behind = (highest as u32).wrapping_sub(entry.output);
        self.write(srtp, packet, entry, highest - u64::from(behind), out)
    }

    fn write(&self, srtp: &Outbound, packet: &Packet, entry: &Entry, sequence: u64, out: &mut [u8]) -> usize {
        let padding = entry.padding();
        let fixed = Fixed {
            payload_type: entry.payload_type,
            marker: packet.head.marker,
            sequence: sequence as u16,
            timestamp: entry.timestamp,
            ssrc: self.line.ssrc,
        };
        let start = self.header(fixed, entry.transport, entry.flags & flag::MID != 0, Some(&packet.head), out);
        let end = start + packet.payload.len();
        out[start..end].copy_from_slice(&packet.payload);
        patch(packet, entry, &mut out[start..end]);
        let end = pad(out, end, padding);
        // The padding bit stands in the first byte.
        if padding > 0 {
            out[0] |= 0x20;
        }
        srtp.seal_rtp_in_place(self.line.ssrc, sequence, start, end, out)
    }

    fn header(&self, fixed: Fixed, transport: u16, with_mid: bool, head: Option<&Head>, out: &mut [u8]) -> usize {
        let ids = &self.line.extensions;
        let mut writer = HeaderWriter::new(out, fixed);
        if let Some(id) = ids.transport_cc {
            writer.extension(id, &transport.to_be_bytes());
        }
        if let Some(id) = ids.mid.filter(|_| with_mid) {
            writer.extension(id, self.line.mid.as_str().as_bytes());
        }
        if let Some(head) = head {
            if let Some((id, (level, voice))) = ids.audio_level.zip(head.extensions.audio_level) {
                writer.extension(id, &[level.min(127) | u8::from(voice) << 7]);
            }
            if let Some((id, degrees)) = ids.rotation.zip(head.extensions.rotation) {
                writer.extension(id, &[(degrees / 90) as u8 & 3]);
            }
        }
        writer.finish()
    }

    /// Seals a packet as a retransmission (RFC 4588 §4); `None` if the client took no RTX for its payload type.
    pub fn seal_rtx(
        &mut self,
        srtp: &Outbound,
        packet: &Packet,
        entry: &Entry,
        transport: u16,
        out: &mut [u8],
    ) -> Option<usize> {
        let rtx = self.line.rtx_ssrc?;
        let of = self.line.payload_types.iter().find(|(number, ..)| *number == entry.payload_type)?;
        let fixed = self.rtx_fixed(rtx, of.2?, packet.head.marker, entry.timestamp);
        let sequence = self.take_rtx_sequence();
        // A report on the SSRC says nothing of this one: Firefox drops what comes on an SSRC that it has not seen with the
        // MID, even if the SDP has it.
        let header = self.header(fixed, transport, true, Some(&packet.head), out);
        out[header..header + OSN].copy_from_slice(&(entry.output as u16).to_be_bytes());
        let start = header + OSN;
        let end = start + packet.payload.len();
        out[start..end].copy_from_slice(&packet.payload);
        patch(packet, entry, &mut out[start..end]);
        Some(srtp.seal_rtp_in_place(rtx, sequence, header, end, out))
    }

    /// A packet of nothing but padding, to find out how much the path carries. Receivers take an RTX packet without payload
    /// for what it is.
    pub fn seal_padding(&mut self, srtp: &Outbound, transport: u16, out: &mut [u8]) -> Option<usize> {
        let rtx = self.line.rtx_ssrc?;
        let number = self.line.payload_types.iter().find_map(|(.., rtx)| *rtx)?;
        let fixed = self.rtx_fixed(rtx, number, false, 0);
        let sequence = self.take_rtx_sequence();
        let header = self.header(fixed, transport, true, None, out);
        let end = pad(out, header, u8::MAX);
        out[0] |= 0x20;
        Some(srtp.seal_rtp_in_place(rtx, sequence, header, end, out))
    }

    fn rtx_fixed(&self, ssrc: u32, payload_type: u8, marker: bool, timestamp: u32) -> Fixed {
        Fixed { payload_type, marker, sequence: self.rtx_next as u16, timestamp, ssrc }
    }

    fn take_rtx_sequence(&mut self) -> u64 {
        let sequence = self.rtx_next;
        self.rtx_next += 1;
        sequence
    }

    /// A sender report, from what the publisher says of its clock: the receiver can then play this publisher's media in
    /// time with each other (RFC 3550 §6.4.1).
    pub fn report(&mut self, now: Instant, clock: &SourceClock) -> Option<SenderInfo> {
        let timeline = self.timeline.filter(|timeline| timeline.source == clock.source)?;
        let elapsed = now.saturating_duration_since(clock.received);
        let ntp = clock.ntp.wrapping_add(ntp_duration(elapsed));
        let ticks = (elapsed.as_micros() * u128::from(timeline.clock_rate) / 1_000_000) as u32;
        let rtp_timestamp = clock.rtp_timestamp.wrapping_add(timeline.offset).wrapping_add(ticks);
        self.reported_packets = self.packets;
        self.last_report = Some(((ntp >> 16) as u32, now));
        Some(SenderInfo { ntp, rtp_timestamp, packets: self.packets, bytes: self.bytes })
    }

    /// The client reports on what we send; the round-trip time, if it can be told.
    pub fn handle_report(&mut self, now: Instant, block: &ReportBlock) -> Option<Duration> {
        self.mid_known = true;
        self.fraction_lost = block.fraction_lost;
        let (middle, sent) = self.last_report?;
        // A receiver that keeps the time in another format may round it.
        if block.last_sender_report == 0 || block.last_sender_report.wrapping_sub(middle).wrapping_add(1) > 2 {
            return None;
        }
        let held = Duration::from_micros((u64::from(block.delay_since_last) * 1_000_000) >> 16);
        now.saturating_duration_since(sent).checked_sub(held)
    }
}

/// 32.32 fixed point.
fn ntp_duration(time: Duration) -> u64 {
    (time.as_secs() << 32) | ((u64::from(time.subsec_nanos()) << 32) / 1_000_000_000)
}

fn patch(packet: &Packet, entry: &Entry, payload: &mut [u8]) {
    if entry.flags & flag::VP8 != 0
        && let Some(vp8) = packet.head.vp8
    {
        vp8.patch(payload, Some(entry.picture_id), Some(entry.tl0));
    }
}

/// RTP padding (RFC 3550 §5.1): the last byte tells how many.
fn pad(out: &mut [u8], end: usize, padding: u8) -> usize {
    if padding == 0 {
        return end;
    }
    let padded = end + usize::from(padding);
    out[end..padded].fill(0);
    out[padded - 1] = padding;
    padded
}

#[cfg(test)]
mod tests;
