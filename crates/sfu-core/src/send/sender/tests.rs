use super::*;
use crate::codec::CodecName;
use crate::io::{Extensions, Payload};
use crate::rtp::header::Header;
use crate::rtp::vp8;
use crate::srtp::{Profile, Session};
use crate::test_time::epoch;

const OPUS: Codec = Codec { name: CodecName::Opus, profile: 0, clock_rate: 48_000 };
const VP8: Codec = Codec { name: CodecName::Vp8, profile: 0, clock_rate: 90_000 };

fn sessions() -> (Session, Session) {
    let material: Vec<u8> = (0..56).collect();
    let session = |client| Session::new(Profile::AeadAes128Gcm, &material, client).expect("keys");
    (session(false), session(true))
}

fn line(kind: Kind, rtx: bool) -> SenderLine {
    let codec = if kind == Kind::Video { VP8 } else { OPUS };
    SenderLine {
        mid: Mid::new("17").expect("mid"),
        kind,
        ssrc: 0xabcd,
        rtx_ssrc: rtx.then_some(0xabce),
        payload_types: vec![(96, codec, rtx.then_some(97))],
        extensions: ExtensionIds {
            mid: Some(4),
            transport_cc: Some(3),
            audio_level: Some(1),
            rotation: Some(13),
            ..ExtensionIds::default()
        },
        active: true,
    }
}

fn packet(codec: Codec, payload: &[u8]) -> Packet {
    let extensions = Extensions { audio_level: Some((30, true)), rotation: None };
    let vp8 = if codec == VP8 { vp8::Descriptor::parse(payload) } else { None };
    let head = Head {
        source: 5,
        sequence: 1000,
        timestamp: 77,
        marker: true,
        codec,
        keyframe: false,
        vp8,
        extensions,
        received: epoch(),
    };
    Packet { head, payload: Payload::from(payload) }
}

fn outgoing(sequence: u64, vp8: Option<Vp8Numbers>) -> Outgoing {
    let numbers = Numbers { sequence, timestamp: 5_000, vp8 };
    Outgoing { sender: 0, payload_type: 96, layer: 0, track: 3, source: 5, input: 1000, length: 0, header: 0, numbers }
}

type Elements = Vec<(u8, Vec<u8>)>;

/// Opens what was sealed: header, its elements, payload without padding.
fn open(client: &mut Session, datagram: &[u8]) -> (Header, Elements, Vec<u8>) {
    let mut bytes = datagram.to_vec();
    let header = Header::parse(&bytes).expect("a header");
    let (_, payload) =
        client.inbound.open_rtp(header.ssrc, header.sequence, header.length, &mut bytes).expect("authentic");
    let elements = header.extensions(&bytes).map(|(id, value)| (id, value.to_vec())).collect();
    let payload = &bytes[payload];
    let length = header.unpadded(payload).expect("padding is right");
    (header, elements, payload[..length].to_vec())
}

#[test]
fn what_is_sealed_is_read_by_the_client() {
    let (server, mut client) = sessions();
    let mut sender = Sender::new(line(Kind::Video, true), 1);
    let payload = [0x90, 0xe0, 0x92, 0x34, 0x07, 0x20, 0x00, 9, 9];
    let packet = packet(VP8, &payload);
    let vp8 = Vp8Numbers { picture_id: Some(0x0101), tl0_picture_index: Some(8) };
    let mut out = vec![0xff; 1700];
    let length = sender.seal(&server.outbound, &packet, &outgoing(4_464, Some(vp8)), (0, 500, 3), &mut out);
    let (header, elements, body) = open(&mut client, &out[..length]);
    assert_eq!((header.ssrc, header.sequence, header.timestamp, header.payload_type), (0xabcd, 4464, 5_000, 96));
    assert!(header.marker && header.padding);
    assert_eq!(elements, [(3, vec![1, 244]), (4, b"17".to_vec()), (1, vec![0x80 | 30])]);
    assert_eq!(body, [0x90, 0xe0, 0x81, 0x01, 0x08, 0x20, 0x00, 9, 9]);
    assert_eq!(header.length, sender.header_length(&packet.head));
    assert_eq!(*packet.payload, payload, "the shared copy is as it was");
}

#[test]
fn rtx_carries_the_number_and_the_same_payload() {
    let (server, mut client) = sessions();
    let mut sender = Sender::new(line(Kind::Video, true), 0x7fff);
    let packet = packet(VP8, &[0x90, 0xe0, 0x92, 0x34, 0x07, 0x20, 0x00]);
    let vp8 = Vp8Numbers { picture_id: Some(3), tl0_picture_index: Some(4) };
    let mut out = vec![0; 1700];
    sender.seal(&server.outbound, &packet, &outgoing(65_537, Some(vp8)), (0, 1, 0), &mut out);
    let entry = *sender.history.find(1).expect("noted");
    for expected in 0x7fff..0x8003u16 {
        let length = sender.seal_rtx(&server.outbound, &packet, &entry, 2, &mut out).expect("RTX");
        let (header, _, body) = open(&mut client, &out[..length]);
        assert_eq!((header.ssrc, header.payload_type, header.sequence), (0xabce, 97, expected));
        assert_eq!(body, [0, 1, 0x90, 0xe0, 0x80, 0x03, 0x04, 0x20, 0x00]);
    }
    let length = sender.seal_padding(&server.outbound, 9, &mut out).expect("padding");
    let (header, elements, body) = open(&mut client, &out[..length]);
    assert_eq!((header.sequence, body.len(), elements[0].clone()), (0x8003, 0, (3, vec![0, 9])));
}

/// Two different packets under one nonce would give the key away (RFC 7714 §8.4): the second must be the first.
#[test]
fn audio_is_sent_again_byte_by_byte() {
    let (server, _) = sessions();
    let mut sender = Sender::new(line(Kind::Audio, false), 1);
    let packet = packet(OPUS, b"twenty milliseconds");
    let (mut first, mut again) = (vec![0; 1700], vec![0; 1700]);
    let length = sender.seal(&server.outbound, &packet, &outgoing(65_535, None), (0, 7, 0), &mut first);
    let mut other = vec![0; 1700];
    sender.seal(&server.outbound, &packet, &outgoing(65_536, None), (0, 8, 0), &mut other);
    // From now on headers come without MID; this one had it.
    sender.handle_report(epoch(), &ReportBlock { ssrc: 0xabcd, ..ReportBlock::default() });
    let entry = *sender.history.find(65_535).expect("noted");
    let highest = sender.highest();
    assert_eq!(sender.seal_again(&server.outbound, &packet, &entry, highest, &mut again), length);
    assert_eq!(first[..length], again[..length]);
    let mut changed = line(Kind::Audio, false);
    changed.extensions.audio_level = None;
    sender.set_line(changed);
    assert!(sender.history.find(65_535).is_none(), "with other extensions it would come out different");
}

#[test]
fn reports_follow_the_publishers_clock_and_tell_the_round_trip() {
    let (server, _) = sessions();
    let start = epoch();
    let mut sender = Sender::new(line(Kind::Video, true), 1);
    let clock = SourceClock { source: 5, ntp: 100 << 32, rtp_timestamp: 50, received: start };
    assert!(sender.report_due().is_none() && sender.report(start, &clock).is_none(), "nothing was sent");
    let packet = packet(VP8, &[0x10, 1]);
    let mut out = vec![0; 1700];
    sender.seal(&server.outbound, &packet, &outgoing(1, None), (0, 0, 0), &mut out);
    let now = start + Duration::from_millis(500);
    assert!(sender.report(now, &SourceClock { source: 6, ..clock }).is_none(), "of another source");
    let info = sender.report(now, &clock).expect("a report");
    assert_eq!(info.ntp, (100 << 32) + (1 << 31));
    // The packet's 77 became 5000, so 50 is 4973; and half a second at 90 kHz.
    assert_eq!(info.rtp_timestamp, 4_973 + 45_000);
    assert_eq!((info.packets, info.bytes), (1, 2));
    assert!(sender.report_due().is_none(), "until something is sent again");
    let block = ReportBlock {
        ssrc: 0xabcd,
        fraction_lost: 64,
        last_sender_report: (info.ntp >> 16) as u32,
        delay_since_last: 65_536 / 10,
        ..ReportBlock::default()
    };
    let rtt = sender.handle_report(now + Duration::from_millis(130), &block).expect("told");
    assert!((29..=31).contains(&rtt.as_millis()), "{rtt:?}");
    assert_eq!(sender.fraction_lost, 64);
    let stale = ReportBlock { last_sender_report: 1, ..block };
    assert_eq!(sender.handle_report(now + Duration::from_millis(130), &stale), None);
}
