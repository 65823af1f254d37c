//! A client that seals packets, and a receiver in virtual time.

mod mapping;
mod random;
mod recovery;
mod reports;

use std::time::Duration;

use super::*;
use crate::codec::CodecName;
use crate::io::Kind;
use crate::rtcp::read::{Message, read};
use crate::rtcp::write::Compound;
use crate::rtp::header::{Fixed, HeaderWriter};
use crate::srtp::{Profile, Session};
use crate::test_time::epoch;

const OPUS: u8 = 111;
const VP8: u8 = 96;
const VP8_RTX: u8 = 97;
const H264: u8 = 102;
const H264_RTX: u8 = 103;
const IDS: ExtensionIds = ExtensionIds {
    mid: Some(1),
    rid: Some(2),
    repaired_rid: Some(3),
    audio_level: Some(4),
    transport_cc: Some(5),
    rotation: Some(6),
};
const OWN: u32 = 0x0f0f;
const RTT: Duration = Duration::from_millis(40);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn mid(text: &str) -> Mid {
    Mid::new(text).expect("a MID")
}

fn rid(text: &str) -> Option<Rid> {
    Some(Rid::new(text).expect("a RID"))
}

fn payload(number: u8, name: CodecName, rtx: Option<u8>) -> ReceivePayload {
    let clock_rate = if name == CodecName::Opus { 48_000 } else { 90_000 };
    ReceivePayload { number, codec: Codec { name, profile: 0, clock_rate }, rtx, nack: rtx.is_some() }
}

fn audio(name: &str, ssrcs: &[(u32, Option<u32>)]) -> ReceiveLine {
    let payload_types = vec![payload(OPUS, CodecName::Opus, None)];
    ReceiveLine { mid: mid(name), kind: Kind::Audio, payload_types, extensions: IDS, ssrcs: ssrcs.to_vec() }
}

fn video(name: &str, ssrcs: &[(u32, Option<u32>)]) -> ReceiveLine {
    let payload_types =
        vec![payload(VP8, CodecName::Vp8, Some(VP8_RTX)), payload(H264, CodecName::H264, Some(H264_RTX))];
    ReceiveLine { mid: mid(name), kind: Kind::Video, payload_types, extensions: IDS, ssrcs: ssrcs.to_vec() }
}

/// One packet to send.
#[derive(Debug, Clone)]
struct Sent {
    ssrc: u32,
    sequence: u64,
    payload_type: u8,
    timestamp: u32,
    extensions: Vec<(u8, Vec<u8>)>,
    payload: Vec<u8>,
    padding: u8,
}

impl Sent {
    fn new(ssrc: u32, sequence: u64, payload_type: u8, payload: &[u8]) -> Self {
        let payload = payload.to_vec();
        Self { ssrc, sequence, payload_type, timestamp: 1, extensions: Vec::new(), payload, padding: 0 }
    }

    fn with(mut self, id: Option<u8>, value: &[u8]) -> Self {
        self.extensions.push((id.expect("negotiated"), value.to_vec()));
        self
    }

    fn mid(self, mid: &str) -> Self {
        self.with(IDS.mid, mid.as_bytes())
    }

    fn rid(self, rid: &str) -> Self {
        self.with(IDS.rid, rid.as_bytes())
    }

    fn repaired_rid(self, rid: &str) -> Self {
        self.with(IDS.repaired_rid, rid.as_bytes())
    }

    fn transport(self, number: u16) -> Self {
        self.with(IDS.transport_cc, &number.to_be_bytes())
    }

    fn padding(mut self, padding: u8) -> Self {
        self.padding = padding;
        self
    }

    /// The same payload as a retransmission.
    fn again(&self, ssrc: u32, sequence: u64) -> Self {
        let payload = [&(self.sequence as u16).to_be_bytes(), self.payload.as_slice()].concat();
        Self { ssrc, sequence, payload, payload_type: self.payload_type + 1, ..self.clone() }
    }
}

/// What came of one datagram, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Got {
    mid: Mid,
    rid: Option<Rid>,
    source: u32,
    sequence: u64,
    payload: Vec<u8>,
    recovered: bool,
}

struct World {
    client: Session,
    server: Session,
    receiver: Receiver,
    counters: ReceiveCounters,
    now: Instant,
}

impl World {
    fn new(lines: Vec<ReceiveLine>) -> Self {
        let session = |client| Session::new(Profile::AeadAes128Gcm, &[0x5a; 88], client).expect("keys");
        let mut receiver = Receiver::default();
        receiver.set_lines(lines);
        let counters = ReceiveCounters::default();
        Self { client: session(true), server: session(false), receiver, counters, now: epoch() }
    }

    fn seal(&self, sent: &Sent) -> Vec<u8> {
        let mut out = vec![0; 4096];
        let fixed = Fixed {
            payload_type: sent.payload_type,
            marker: true,
            sequence: sent.sequence as u16,
            timestamp: sent.timestamp,
            ssrc: sent.ssrc,
        };
        let mut writer = HeaderWriter::new(&mut out, fixed);
        for (id, value) in &sent.extensions {
            writer.extension(*id, value);
        }
        let header = writer.finish();
        let mut payload = sent.payload.clone();
        if sent.padding > 0 {
            out[0] |= 0x20;
            payload.resize(payload.len() + usize::from(sent.padding), 0);
            *payload.last_mut().expect("padding") = sent.padding;
        }
        let length = self.client.outbound.seal_rtp(sent.ssrc, sent.sequence, header, &payload, &mut out);
        out.truncate(length);
        out
    }

    fn take(&mut self, mut datagram: Vec<u8>) -> Option<Got> {
        let Self { server, receiver, counters, now, .. } = self;
        let received = receiver.handle_rtp(*now, &mut server.inbound, &mut datagram, counters)?;
        let Received { mid, rid, source, sequence, payload, recovered, .. } = received;
        Some(Got { mid, rid, source, sequence, payload: payload.to_vec(), recovered })
    }

    fn send(&mut self, sent: &Sent) -> Option<Got> {
        self.take(self.seal(sent))
    }

    /// Where it was taken to.
    fn place(&mut self, sent: &Sent) -> Option<(String, Option<String>)> {
        self.send(sent).map(|got| (got.mid.to_string(), got.rid.map(|rid| rid.to_string())))
    }

    /// The compounds due now.
    fn poll(&mut self) -> Vec<Vec<u8>> {
        let mut compounds = Vec::new();
        let mut compound = Compound::default();
        while self.receiver.poll_rtcp(self.now, OWN, RTT, &mut compound, &mut self.counters) {
            assert!(self.receiver.reduced_size || compound.bytes()[1] == 201, "begins with a report");
            compounds.push(compound.bytes().to_vec());
            compound.clear();
        }
        assert!(self.receiver.deadline().is_none_or(|at| at > self.now), "all was polled");
        compounds
    }

    /// Sequence numbers asked for now, as (ssrc, number), and SSRCs asked for key frames.
    fn asked(&mut self) -> (Vec<(u32, u16)>, Vec<u32>) {
        let (mut nacks, mut plis) = (Vec::new(), Vec::new());
        for compound in self.poll() {
            assert!(read(&compound, |message| match message {
                Message::Nack { ssrc, pairs } => pairs.for_each(|number| nacks.push((ssrc, number))),
                Message::Pli { ssrc } => plis.push(ssrc),
                _ => {}
            }));
        }
        (nacks, plis)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}
