//! The RTP header, payload descriptors of all codecs, and the numbers of an outgoing stream that is fed with whatever
//! they say.
//!
//! The input is one RTP packet, or payloads: a byte of flags, a byte that moves the sequence number, a length, a payload.

#![no_main]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use libfuzzer_sys::fuzz_target;
use sfu_core::{
    codec::{Codec, CodecName},
    forward::rewriter::{Numbers, Rewriter},
    io::{Extensions, Head},
    rtp::{
        self,
        header::{Fixed, Header, HeaderWriter},
        vp8,
    },
};

const CODECS: [CodecName; 5] = [CodecName::Opus, CodecName::Vp8, CodecName::Vp9, CodecName::Av1, CodecName::H264];

fuzz_target!(|data: &[u8]| {
    read_header(data);
    rewrite(data);
});

/// Header and elements lie within the packet, and what is written again is read again.
fn read_header(packet: &[u8]) {
    let Some(header) = Header::parse(packet) else { return };
    assert!(header.length >= 12 && header.length <= packet.len());
    let payload = &packet[header.length..];
    if let Some(length) = header.unpadded(payload) {
        assert!(length <= payload.len() && (header.padding || length == payload.len()));
    }
    let elements: Vec<(u8, &[u8])> = header.extensions(packet).collect();
    assert!(elements.iter().map(|(_, value)| value.len()).sum::<usize>() <= header.length - 12);

    let fixed = Fixed {
        payload_type: header.payload_type,
        marker: header.marker,
        sequence: header.sequence,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
    };
    let mut out = [0; 512];
    let mut writer = HeaderWriter::new(&mut out, fixed);
    let fitting = |(id, value): &(u8, &[u8])| (1..=14).contains(id) && (1..=16).contains(&value.len());
    elements.iter().for_each(|(id, value)| {
        writer.extension(*id, value);
    });
    let length = writer.finish();
    let again = Header::parse(&out[..length]).expect("what we write is a header");
    assert_eq!((again.sequence, again.timestamp, again.ssrc), (header.sequence, header.timestamp, header.ssrc));
    assert!(again.extensions(&out).eq(elements.into_iter().filter(fitting)));
}

fn rewrite(data: &[u8]) {
    let mut now = Instant::now();
    let mut rewriter = Rewriter::new(0x7fff, u32::MAX, 0x7fff);
    let mut sequence = 1_u64 << 16;
    let mut sent = BTreeSet::new();
    let mut highest = None;
    let mut rest = data;
    while let [flags, step, length, after @ ..] = rest {
        let (payload, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        for codec in CODECS {
            let _ = rtp::begins_keyframe(codec, payload);
        }
        let codec = CODECS[usize::from(flags & 7) % CODECS.len()];
        if codec == CodecName::Vp8 && vp8::Descriptor::parse(payload).is_none() {
            assert!(!rtp::begins_keyframe(codec, payload));
        }
        let scale = [1, 64, 1 << 12, i64::MAX / 128][usize::from(flags >> 6)];
        sequence = sequence.saturating_add_signed(i64::from(step.cast_signed()) * scale);
        now += Duration::from_millis(u64::from(*step));
        let clock_rate = if codec == CodecName::Opus { 48_000 } else { 90_000 };
        let packet = Head {
            source: u32::from(flags >> 4 & 3),
            sequence,
            timestamp: u32::from(*step).wrapping_mul(0x0123_4567),
            marker: true,
            codec: Codec { name: codec, profile: 0, clock_rate },
            keyframe: rtp::begins_keyframe(codec, payload),
            extensions: Extensions::default(),
            received: now,
            vp8: (codec == CodecName::Vp8).then(|| vp8::Descriptor::parse(payload)).flatten(),
        };
        if flags & 8 != 0 {
            rewriter.switch(now, &packet, Duration::from_millis(u64::from(*flags) * 5));
        }
        let follows = rewriter.follows(&packet);
        let Some(numbers) = rewriter.rewrite(now, &packet) else { continue };
        assert!(follows);
        // One number twice is one SRTP packet index twice under one key (RFC 3711 §9.1).
        assert!(sent.insert(numbers.sequence), "{} twice", numbers.sequence);
        // A receiver guesses the roll-over count from the number before (RFC 3711 §3.3.1).
        assert!(highest.is_none_or(|highest| numbers.sequence < highest + (1 << 15)), "{highest:?} then {numbers:?}");
        highest = highest.max(Some(numbers.sequence));
        check_vp8(payload, numbers);
    }
}

fn check_vp8(payload: &[u8], numbers: Numbers) {
    let Some(vp8) = numbers.vp8 else { return };
    let descriptor = vp8::Descriptor::parse(payload).expect("it has numbers");
    assert_eq!(vp8.picture_id.is_some(), descriptor.picture_id.is_some());
    assert_eq!(vp8.tl0_picture_index.is_some(), descriptor.tl0_picture_index.is_some());
    if let (Some(new), Some(old)) = (vp8.picture_id, descriptor.picture_id) {
        assert!(new <= old.mask());
    }
}
