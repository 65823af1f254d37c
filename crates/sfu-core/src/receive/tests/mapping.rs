use super::*;

fn somewhere(mid: &str, rid: Option<&str>) -> Option<(String, Option<String>)> {
    Some((mid.to_owned(), rid.map(str::to_owned)))
}

#[test]
fn by_extension_by_sdp_and_not_at_all() {
    let mut world = World::new(vec![audio("a", &[(100, None)]), video("v", &[]), video("w", &[(300, Some(301))])]);
    assert_eq!(world.place(&Sent::new(100, 1, OPUS, b"x")), somewhere("a", None));
    assert_eq!(world.place(&Sent::new(200, 1, VP8, b"x").mid("v").rid("h")), somewhere("v", Some("h")));
    assert_eq!(world.place(&Sent::new(200, 2, VP8, b"x")), somewhere("v", Some("h")), "remembered");
    assert_eq!(world.place(&Sent::new(201, 1, VP8, b"x").mid("v").rid("q")), somewhere("v", Some("q")));
    assert_eq!(world.place(&Sent::new(300, 9, H264, b"x")), somewhere("w", None));
    let again = Sent::new(300, 8, H264, b"y").again(301, 5);
    let got = world.send(&again).expect("named by the SDP");
    assert_eq!((got.source, got.sequence, got.recovered, got.payload.as_slice()), (300, 8, true, &b"y"[..]));
    assert_eq!(world.place(&Sent::new(400, 1, VP8, b"x")), None, "said by nobody");
    assert_eq!(world.place(&Sent::new(400, 2, VP8, b"x").mid("z")), None, "no such m-line");
    assert_eq!(world.counters.unassigned, 2);
    assert_eq!(world.place(&Sent::new(400, 3, VP8, b"x").mid("w").rid("f")), somewhere("w", Some("f")));
    assert_eq!(world.place(&Sent::new(100, 2, VP8, b"x")), None, "video on an audio m-line");
    assert_eq!(world.counters.unknown_payload, 1);
    assert!(world.receiver.request_keyframe(mid("v"), rid("q")));
    assert!(!world.receiver.request_keyframe(mid("v"), rid("none")));
    assert_eq!(world.asked().1, [201]);
}

/// Chrome's retransmissions: MID and repaired RID, or MID alone where there is one encoding.
#[test]
fn retransmissions_find_their_stream() {
    let mut world = World::new(vec![video("v", &[]), video("w", &[])]);
    let lost = Sent::new(10, 4, VP8, b"lost");
    assert_eq!(world.send(&lost.again(11, 1).mid("v")), None, "nothing to repair yet");
    world.send(&Sent::new(10, 5, VP8, b"x").mid("v"));
    assert_eq!(world.send(&lost.again(11, 2).mid("v")).map(|got| (got.source, got.sequence)), Some((10, 4)));
    for (ssrc, name) in [(20, "h"), (22, "q")] {
        world.send(&Sent::new(ssrc, 5, VP8, b"x").mid("w").rid(name));
    }
    let lost = Sent::new(0, 4, VP8, b"lost");
    assert_eq!(world.send(&lost.again(24, 1).mid("w")), None, "of which of the two?");
    let got = world.send(&lost.again(23, 1).mid("w").repaired_rid("q")).expect("it says");
    assert_eq!((got.source, got.sequence, got.rid), (22, 4, rid("q")));
}

#[test]
fn a_source_keeps_its_m_line_unless_it_really_moved() {
    let mut world = World::new(vec![video("v", &[(1, None)]), video("w", &[]), audio("a", &[])]);
    assert_eq!(world.place(&Sent::new(1, 1, VP8, b"x")), somewhere("v", None));
    assert_eq!(world.place(&Sent::new(1, 2, VP8, b"x").rid("h")), somewhere("v", Some("h")), "it had no encoding");
    assert_eq!(world.place(&Sent::new(1, 3, VP8, b"x").mid("v").rid("q")), somewhere("v", Some("h")), "now it has");
    assert_eq!(world.place(&Sent::new(1, 4, VP8, b"x").mid("z")), None, "an m-line that we do not know");
    assert_eq!(world.place(&Sent::new(1, 4, VP8, b"x").mid("ä")), None, "no m-line at all");
    assert_eq!(world.place(&Sent::new(1, 5, VP8, b"x").mid("a")), None, "not with video");
    assert_eq!(world.place(&Sent::new(1, 6, VP8, b"x").mid("w").rid("h")), somewhere("w", Some("h")));
    assert_eq!(world.place(&Sent::new(1, 7, VP8, b"x")), somewhere("w", Some("h")));
    assert_eq!(world.receiver.streams.len(), 1);
}

#[test]
fn an_m_line_that_pauses_and_comes_back_finds_its_streams() {
    let lines = || vec![audio("a", &[]), video("v", &[])];
    let mut world = World::new(lines());
    let first = Sent::new(1, 65_535, VP8, b"x");
    world.send(&first.clone().mid("v").rid("h"));
    world.receiver.set_lines(vec![audio("a", &[])]);
    assert_eq!(world.place(&Sent::new(1, 65_536, VP8, b"x")), None);
    assert!(!world.receiver.request_keyframe(mid("v"), rid("h")));
    world.receiver.set_lines(lines().into_iter().rev().collect());
    let got = world.send(&Sent::new(1, 65_537, VP8, b"x")).expect("known");
    assert_eq!((got.rid, got.sequence), (rid("h"), 65_537));
    assert_eq!(world.send(&first.again(2, 1).mid("v").repaired_rid("h")), None, "told before the pause");
    assert_eq!(world.counters.duplicates, 1);
}

#[test]
fn a_restarted_source_replaces_the_old_one() {
    let mut world = World::new(vec![video("v", &[])]);
    world.send(&Sent::new(1, 100, VP8, b"x").mid("v"));
    let old = Sent::new(1, 99, VP8, b"old");
    world.send(&old.again(2, 1).mid("v"));
    let late = world.seal(&Sent::new(1, 101, VP8, b"x").mid("v"));
    assert_eq!(world.send(&Sent::new(5, 7, VP8, b"x").mid("v")).map(|got| got.source), Some(5));
    assert_eq!(world.take(late), None);
    assert_eq!(world.send(&old.again(2, 2).mid("v")), None, "its retransmissions end with it");
    assert_eq!((world.counters.retired, world.receiver.streams.len()), (2, 1));
    assert_eq!(world.counters.packets, 3, "what is retired is not even opened");
    let got = world.send(&Sent::new(5, 6, VP8, b"y").again(6, 1).mid("v")).expect("the new one's");
    assert_eq!((got.source, got.sequence), (5, 6));
}

/// Whatever is not authentic leaves no trace: no source, no window, no deadline.
#[test]
fn forged_packets_change_nothing() {
    let mut world = World::new(vec![video("v", &[(1, Some(2))])]);
    world.send(&Sent::new(1, 10, VP8, b"x").transport(3));
    world.poll();
    let state = |world: &World| {
        (format!("{:?}{:?}", world.receiver.streams, world.receiver.arrivals), world.receiver.deadline())
    };
    let before = state(&world);
    for (ssrc, sequence) in [(1, 30_000), (1, 11), (2, 5), (77, 1), (1, 9)] {
        let mut datagram = world.seal(&Sent::new(ssrc, sequence, VP8, b"x").mid("v").transport(9));
        *datagram.last_mut().expect("a tag") ^= 1;
        assert_eq!(world.take(datagram), None);
    }
    assert_eq!((world.counters.forged, world.receiver.sources.live()), (5, 1));
    assert_eq!(state(&world), before);
    assert!(world.send(&Sent::new(1, 11, VP8, b"x")).is_some());
}

#[test]
fn sources_are_bounded() {
    let mut world = World::new(vec![video("v", &[])]);
    for ssrc in 0..sources::SEEN_MAX as u32 {
        let taken = world.place(&Sent::new(ssrc, 1, VP8, b"x").mid("v"));
        assert_eq!(taken, somewhere("v", None), "{ssrc}: each replaces the one before");
        assert!(!world.receiver.has_too_many_sources());
    }
    let mut forged = world.seal(&Sent::new(77_777, 1, VP8, b"x").mid("v"));
    forged[20] ^= 1;
    world.take(forged);
    assert!(!world.receiver.has_too_many_sources(), "not by forgery");
    assert_eq!(world.place(&Sent::new(77_777, 1, VP8, b"x").mid("v")), None);
    assert!(world.receiver.has_too_many_sources());
}

#[test]
fn streams_and_windows_are_bounded() {
    let mut world = World::new(vec![video("v", &[])]);
    for ssrc in 0..300u32 {
        world.send(&Sent::new(ssrc, 1, VP8, b"x").mid("v").rid(&format!("r{ssrc}")));
    }
    assert_eq!(world.receiver.streams.len(), assign::STREAMS_MAX);
    assert!(world.receiver.sources.live() <= sources::LIVE_MAX);
    assert_eq!(world.place(&Sent::new(0, 2, VP8, b"x")), somewhere("v", Some("r0")), "who was first stays");
    for ssrc in 1_000..1_300u32 {
        world.send(&Sent::new(ssrc, 1, VP8, b"x"));
    }
    assert!(world.receiver.sources.live() <= sources::LIVE_MAX);
    assert_eq!(world.place(&Sent::new(0, 3, VP8, b"x")), somewhere("v", Some("r0")));
    world.receiver.set_lines(vec![video("w", &[])]);
    assert_eq!(world.place(&Sent::new(2_000, 1, VP8, b"x").mid("w")), somewhere("w", None), "those that rest give way");
}

#[test]
fn hostile_extensions() {
    let mut world = World::new(vec![video("v", &[])]);
    let sent = |sequence| Sent::new(1, sequence, VP8, b"x").mid("v");
    assert!(world.send(&sent(1)).is_some());
    for (number, sent) in [
        sent(2).with(IDS.transport_cc, &[1]),
        sent(3).with(IDS.transport_cc, &[1, 2, 3]),
        sent(4).with(IDS.rid, b"not a rid"),
        sent(5).with(IDS.rid, &[0xff; 16]),
        sent(6).with(IDS.repaired_rid, b"h"),
        sent(7).with(IDS.rotation, &[0xff, 0xff]).with(Some(14), &[0; 16]),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(world.place(&sent), somewhere("v", None), "{number}");
    }
    assert_eq!(world.receiver.arrivals.deadline(), None);
    let mut alone = World::new(vec![video("v", &[])]);
    assert_eq!(alone.place(&sent(1).rid("not a rid")), None, "a claim that cannot be read");
    let conflicting = ExtensionIds { mid: Some(9), rid: Some(1), ..ExtensionIds::default() };
    let mut other = video("w", &[]);
    other.extensions = conflicting;
    let mut two = World::new(vec![video("v", &[]), other]);
    assert_eq!(two.place(&sent(1)), somewhere("v", None), "the first meaning holds");
}

#[test]
fn extensions_and_codec_are_read() {
    let mut world = World::new(vec![audio("a", &[]), video("v", &[])]);
    let mut datagram = world.seal(&Sent::new(1, 1, OPUS, b"x").mid("a").with(IDS.audio_level, &[0x80 | 30]));
    let World { server, receiver, counters, now, .. } = &mut world;
    let got = receiver.handle_rtp(*now, &mut server.inbound, &mut datagram, counters).expect("audio");
    assert_eq!((got.extensions.audio_level, got.codec.name), (Some((30, true)), CodecName::Opus));
    assert!(got.marker && !got.keyframe);
    // A VP8 descriptor that starts a partition, and a frame header without the P bit (RFC 7741).
    let key = [0x10, 0x00, 0x9d];
    let mut datagram = world.seal(&Sent::new(2, 1, VP8, &key).mid("v").with(IDS.rotation, &[0x0b]).padding(9));
    let World { server, receiver, counters, now, .. } = &mut world;
    let got = receiver.handle_rtp(*now, &mut server.inbound, &mut datagram, counters).expect("video");
    assert_eq!((got.extensions.rotation, got.keyframe, got.payload), (Some(270), true, &key[..]));
}
