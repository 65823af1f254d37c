//! A client with the right keys that sends whatever it likes: nothing is handed on twice, what is asked of it is bounded and
//! well formed, and there is always an end to what is due.

#![no_main]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use sfu_core::{
    Kind, Mid, Rid,
    codec::{Codec, CodecName},
    receive::{ExtensionIds, PAYLOAD_MAX, ReceiveCounters, ReceiveLine, ReceivePayload, Receiver},
    rtcp::{
        SenderInfo, read,
        write::{COMPOUND_MAX, Compound},
    },
    srtp::{Profile, Session},
};

#[derive(Debug, Arbitrary)]
enum Operation<'a> {
    /// Its m-lines now, bit by bit of those in `lines`.
    Lines(u8),
    Rtp(Rtp<'a>),
    /// With nobody's keys.
    Datagram(&'a [u8]),
    Report {
        ssrc: u8,
        ntp: u64,
    },
    Goodbye {
        ssrc: u8,
    },
    Keyframe {
        mid: u8,
        rid: Option<u8>,
    },
    Pass {
        milliseconds: u8,
        rtt: u16,
    },
    Loss,
}

#[derive(Debug, Arbitrary)]
struct Rtp<'a> {
    ssrc: u8,
    /// Ahead of the last one of that SSRC, or behind.
    step: i8,
    /// Many times that.
    far: bool,
    payload_type: u8,
    timestamp: u32,
    padding: bool,
    extensions: Extensions<'a>,
    payload: &'a [u8],
}

#[derive(Debug, Arbitrary)]
enum Extensions<'a> {
    None,
    Named { mid: Option<u8>, rid: Option<u8>, repaired: Option<u8>, transport: Option<u16> },
    OneByte(&'a [u8]),
    TwoByte(&'a [u8]),
}

const OPERATIONS_MAX: usize = 256;
const MATERIAL: [u8; 88] = [0x5a; 88];
const PAYLOAD_TYPES: [u8; 6] = [111, 96, 97, 102, 103, 99];
const NAMES: [&str; 4] = ["a", "v", "w", "x"];
const RIDS: [&str; 3] = ["q", "h", "f"];

fn lines(bits: u8) -> Vec<ReceiveLine> {
    let payload = |number, name, rtx: Option<u8>| ReceivePayload {
        number,
        codec: Codec { name, profile: 0, clock_rate: if name == CodecName::Opus { 48_000 } else { 90_000 } },
        rtx,
        nack: rtx.is_some(),
    };
    let extensions = ExtensionIds {
        mid: Some(1),
        rid: Some(2),
        repaired_rid: Some(3),
        audio_level: Some(4),
        transport_cc: Some(5),
        rotation: Some(6),
    };
    let audio = vec![payload(111, CodecName::Opus, None)];
    let video = vec![payload(96, CodecName::Vp8, Some(97)), payload(102, CodecName::H264, Some(103))];
    let line = |place: usize, kind, payload_types: &[_], ssrcs: &[_]| ReceiveLine {
        mid: Mid::new(NAMES[place]).expect("a MID"),
        kind,
        payload_types: payload_types.to_vec(),
        extensions,
        ssrcs: ssrcs.to_vec(),
    };
    let all = [
        line(0, Kind::Audio, &audio, &[(1, None)]),
        line(1, Kind::Video, &video, &[(2, Some(3)), (4, None)]),
        line(2, Kind::Video, &video, &[]),
    ];
    all.into_iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1).map(|(_, line)| line).collect()
}

/// A packet before it is sealed: header and payload.
fn plain(rtp: &Rtp<'_>, sequence: u64) -> (Vec<u8>, Vec<u8>) {
    let mut block = Vec::new();
    let mut element = |id: u8, value: &[u8]| {
        block.push(id << 4 | (value.len() as u8 - 1));
        block.extend(value);
    };
    let mut profile = [0xbe, 0xde];
    match &rtp.extensions {
        Extensions::None => {}
        Extensions::Named { mid, rid, repaired, transport } => {
            let name = |names: &[&'static str], index: u8| names[usize::from(index) % names.len()].as_bytes();
            mid.inspect(|mid| element(1, name(&NAMES, *mid)));
            rid.inspect(|rid| element(2, name(&RIDS, *rid)));
            repaired.inspect(|rid| element(3, name(&RIDS, *rid)));
            transport.inspect(|number| element(5, &number.to_be_bytes()));
        }
        Extensions::OneByte(bytes) => block.extend(&bytes[..bytes.len().min(300)]),
        Extensions::TwoByte(bytes) => {
            profile = [0x10, 0];
            block.extend(&bytes[..bytes.len().min(300)]);
        }
    }
    block.resize(block.len().next_multiple_of(4), 0);
    let extended = u8::from(!matches!(rtp.extensions, Extensions::None)) << 4;
    let mut header = vec![0x80 | extended | u8::from(rtp.padding) << 5];
    header.push(PAYLOAD_TYPES[usize::from(rtp.payload_type) % PAYLOAD_TYPES.len()]);
    header.extend((sequence as u16).to_be_bytes());
    header.extend(rtp.timestamp.to_be_bytes());
    header.extend(u32::from(rtp.ssrc).to_be_bytes());
    if extended != 0 {
        header.extend(profile);
        header.extend((block.len() as u16 / 4).to_be_bytes());
        header.extend(block);
    }
    (header, rtp.payload[..rtp.payload.len().min(1_600)].to_vec())
}

fuzz_target!(|operations: Vec<Operation<'_>>| {
    let sender = Session::new(Profile::AeadAes128Gcm, &MATERIAL, true).expect("keys").outbound;
    let mut inbound = Session::new(Profile::AeadAes128Gcm, &MATERIAL, false).expect("keys").inbound;
    let mut receiver = Receiver::default();
    let mut counters = ReceiveCounters::default();
    let mut compound = Compound::default();
    let mut told = BTreeSet::new();
    let mut sequences = [65_000_u64; 256];
    let mut now = Instant::now();
    for operation in operations.into_iter().take(OPERATIONS_MAX) {
        let mut rtt = Duration::ZERO;
        match operation {
            Operation::Lines(bits) => receiver.set_lines(lines(bits)),
            Operation::Rtp(rtp) => {
                let step = i64::from(rtp.step) * if rtp.far { 200 } else { 1 };
                let last = &mut sequences[usize::from(rtp.ssrc)];
                let sequence = last.saturating_add_signed(step);
                *last = sequence;
                let (mut packet, payload) = plain(&rtp, sequence);
                let header = packet.len();
                packet.resize(header + payload.len() + Profile::AeadAes128Gcm.rtp_overhead(), 0);
                sender.seal_rtp(rtp.ssrc.into(), sequence, header, &payload, &mut packet);
                if let Some(got) = receiver.handle_rtp(now, &mut inbound, &mut packet, &mut counters) {
                    assert!(told.insert((got.source, got.sequence)), "told twice");
                    // Padding keeps its number; as a retransmission it is nothing.
                    assert!(!(got.recovered && got.payload.is_empty()) && got.payload.len() <= PAYLOAD_MAX);
                    assert!(
                        payload.windows(got.payload.len().max(1)).any(|window| window.starts_with(got.payload))
                            || got.payload.is_empty()
                    );
                    assert!(got.recovered || got.source == u32::from(rtp.ssrc));
                }
            }
            Operation::Datagram(bytes) => {
                let before = (counters.packets, receiver.deadline());
                assert_eq!(receiver.handle_rtp(now, &mut inbound, &mut bytes.to_vec(), &mut counters), None);
                assert_eq!((counters.packets, receiver.deadline()), before);
            }
            Operation::Report { ssrc, ntp } => {
                let info = SenderInfo { ntp, ..SenderInfo::default() };
                receiver.handle_sender_report(now, ssrc.into(), info);
            }
            Operation::Goodbye { ssrc } => receiver.handle_goodbye(ssrc.into()),
            Operation::Keyframe { mid, rid } => {
                let mid = Mid::new(NAMES[usize::from(mid) % NAMES.len()]).expect("a MID");
                let rid = rid.and_then(|rid| Rid::new(RIDS[usize::from(rid) % RIDS.len()]));
                receiver.request_keyframe(mid, rid);
            }
            Operation::Pass { milliseconds, rtt: round_trip } => {
                now += Duration::from_millis(milliseconds.into());
                rtt = Duration::from_millis(round_trip.into());
            }
            Operation::Loss => assert!((0.0..=1.0).contains(&receiver.take_loss())),
        }
        let mut compounds = 0;
        while receiver.poll_rtcp(now, 7, rtt, &mut compound, &mut counters) {
            compounds += 1;
            assert!(compounds < 300, "no end");
            assert!(compound.bytes().len() <= COMPOUND_MAX && compound.bytes()[1] == 201);
            let mut messages = 0;
            let whole = read::read(compound.bytes(), |message| {
                messages += 1;
                if let read::Message::TransportWide(feedback) = message {
                    assert!(feedback.for_each(|_, _| {}));
                }
            });
            assert!(whole || messages >= 16, "neither well formed nor longer than we read");
            compound.clear();
        }
        assert!(receiver.deadline().is_none_or(|at| at > now), "due, and not written");
    }
});
