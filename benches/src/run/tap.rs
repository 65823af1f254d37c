//! Where a participant's media begins and ends: an interceptor at the application's end of the stack's chain. It makes
//! packets when they are due and takes those that arrive, so nothing waits in a queue between a task and the stack; what
//! it sends and gets still passes the stack's own NACK, RTX, transport-wide feedback, reports and SRTP.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize as _;

use super::media::{Feed, Outgoing};
use super::person::{Person, Record};
use super::receive::{Arrival, Verdict};

pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
pub const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
pub const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/// One source that is sent, and the encodings that carry it.
#[derive(Debug)]
pub struct Outlet {
    pub feed: Feed,
    pub mid: String,
    /// By layer.
    pub encodings: Vec<Encoding>,
}

/// One RTP stream that is sent.
#[derive(Debug)]
pub struct Encoding {
    pub ssrc: u32,
    pub rid: &'static str,
    payload_type: u8,
    ids: ExtensionIds,
    sequence: u16,
}

#[derive(Debug, Clone, Copy, Default)]
struct ExtensionIds {
    mid: Option<u8>,
    rid: Option<u8>,
    audio_level: Option<u8>,
}

impl Encoding {
    pub fn new(ssrc: u32, rid: &'static str) -> Self {
        Self { ssrc, rid, payload_type: 0, ids: ExtensionIds::default(), sequence: ssrc as u16 }
    }
}

/// See the module.
pub struct Tap {
    person: Arc<Person>,
    epoch: Instant,
    outlets: Vec<Outlet>,
    /// Slots, by the SSRC of their RTX stream.
    repairs: BTreeMap<u32, u32>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
    due: Vec<Outgoing>,
}

impl Tap {
    pub fn new(person: Arc<Person>, epoch: Instant, outlets: Vec<Outlet>) -> Self {
        let (reads, writes) = (VecDeque::new(), VecDeque::new());
        Self { person, epoch, outlets, repairs: BTreeMap::new(), reads, writes, due: Vec::new() }
    }

    fn clock(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_nanos() as u64
    }

    fn handle_rtp(&mut self, packet: &rtp::Packet) {
        // The chain's own time is that of the read of a whole batch; this packet comes up now.
        let now = Instant::now();
        let clock = self.clock(now);
        let length = packet.marshal_size();
        let person = self.person.clone();
        let mut record = person.record();
        record.received.add(length);
        record.heard_at = Some(now);
        let header = &packet.header;
        let (ssrc, sequence, payload) = match self.repairs.get(&header.ssrc) {
            // RFC 4588 §4: the original number in front; without it, padding that probes the path.
            Some(slot) => match packet.payload.split_first_chunk() {
                Some((number, _)) => (*slot, u16::from_be_bytes(*number), packet.payload.slice(number.len()..)),
                None => return,
            },
            None => (header.ssrc, header.sequence_number, packet.payload.clone()),
        };
        let Record { streams, latency, first_media_at, keyframe_requests_sent, .. } = &mut *record;
        let Some(stream) = streams.get_mut(&ssrc) else { return };
        let arrival = Arrival { at: now, clock, sequence, marker: header.marker, payload, length };
        let verdict = stream.handle_packet(&arrival, person.crypt.as_deref(), latency);
        if verdict != Verdict::Ignored {
            first_media_at.get_or_insert(now);
        }
        if verdict == Verdict::NeedsKeyframe {
            *keyframe_requests_sent += 1;
            let request = PictureLossIndication { sender_ssrc: 0, media_ssrc: ssrc };
            self.send(now, Packet::Rtcp(vec![Box::new(request)]));
        }
    }

    fn handle_rtcp(&mut self, packets: &[Box<dyn rtc::rtcp::Packet>]) {
        for packet in packets {
            let packet = packet.as_any();
            if let Some(request) = packet.downcast_ref::<PictureLossIndication>() {
                self.keyframe_requested(request.media_ssrc);
            }
            if let Some(request) = packet.downcast_ref::<FullIntraRequest>() {
                request.fir.iter().for_each(|entry| self.keyframe_requested(entry.ssrc));
            }
        }
    }

    fn keyframe_requested(&mut self, ssrc: u32) {
        for outlet in &mut self.outlets {
            if let Some(layer) = outlet.encodings.iter().position(|encoding| encoding.ssrc == ssrc) {
                outlet.feed.request_keyframe(layer);
                self.person.record().keyframe_requests += 1;
            }
        }
    }

    fn send(&mut self, now: Instant, packet: Packet) {
        let message = AttributedPacket::new(packet);
        self.writes.push_back(TaggedPacket { now, transport: TransportContext::default(), message });
    }

    fn publish(&mut self, outlet: usize, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        let clock = self.clock(now);
        let person = self.person.clone();
        self.outlets[outlet].feed.handle_timeout(now, clock, person.crypt.as_deref(), &mut due);
        for packet in due.drain(..) {
            if let Some(packet) = self.outlets[outlet].packet(packet) {
                person.record().sent.add(packet.marshal_size());
                self.send(now, Packet::Rtp(packet));
            }
        }
        self.due = due;
    }
}

impl Outlet {
    fn packet(&mut self, outgoing: Outgoing) -> Option<rtp::Packet> {
        let encoding = self.encodings.get_mut(outgoing.layer)?;
        encoding.sequence = encoding.sequence.wrapping_add(1);
        let mut header = rtp::Header {
            version: 2,
            marker: outgoing.marker,
            payload_type: encoding.payload_type,
            sequence_number: encoding.sequence,
            timestamp: outgoing.timestamp.wrapping_add(encoding.ssrc),
            ssrc: encoding.ssrc,
            ..rtp::Header::default()
        };
        let rid = Some(encoding.rid).filter(|rid| !rid.is_empty());
        // The highest bit says that somebody speaks (RFC 6464 §3).
        let level = outgoing.level.map(|level| Bytes::from(vec![level | if level < 60 { 0x80 } else { 0 }]));
        let extensions = [
            (encoding.ids.mid, Some(Bytes::from(self.mid.clone()))),
            (encoding.ids.rid, rid.map(|rid| Bytes::from_static(rid.as_bytes()))),
            (encoding.ids.audio_level, level),
        ];
        for (id, value) in extensions {
            if let Some((id, value)) = id.zip(value) {
                // Ours are short and their ids come from the answer: nothing to refuse.
                let _ = header.set_extension(id, value);
            }
        }
        Some(rtp::Packet { header, payload: outgoing.payload.into() })
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    /// Media ends here; control messages go on.
    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        match &message.message.packet {
            Packet::Rtp(packet) => self.handle_rtp(packet),
            Packet::Rtcp(packets) => {
                self.handle_rtcp(packets);
                self.reads.push_back(message);
            }
            _ => self.reads.push_back(message),
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        for outlet in 0..self.outlets.len() {
            if self.outlets[outlet].feed.deadline().is_some_and(|at| at <= now) {
                self.publish(outlet, Instant::now());
            }
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.outlets.iter().filter_map(|outlet| outlet.feed.deadline()).min()
    }
}

impl Interceptor for Tap {
    /// The answer has come: payload types and extensions are known, sending begins with the connection.
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let id = |uri: &str| {
            let found = info.rtp_header_extensions.iter().find(|extension| extension.uri == uri);
            found.and_then(|extension| u8::try_from(extension.id).ok()).filter(|id| *id > 0)
        };
        for outlet in &mut self.outlets {
            if let Some(encoding) = outlet.encodings.iter_mut().find(|encoding| encoding.ssrc == info.ssrc) {
                encoding.payload_type = info.payload_type;
                encoding.ids = ExtensionIds { mid: id(MID), rid: id(RID), audio_level: id(AUDIO_LEVEL) };
                outlet.feed.start(Instant::now());
            }
        }
    }

    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    /// Learns which stream repairs which.
    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(repair) = info.ssrc_rtx {
            self.repairs.insert(repair, info.ssrc);
        }
    }

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
