use super::*;

fn started(sequence: u64) -> World {
    let mut world = World::new(vec![video("v", &[(1, Some(2))]), audio("a", &[(9, None)])]);
    assert!(world.send(&Sent::new(1, sequence, VP8, b"first")).is_some());
    world
}

/// Loss at the roll-over of the 16 bits: asked for, sent again as RTX, handed on once under its own number.
#[test]
fn loss_is_asked_for_and_recovered_over_the_roll_over() {
    let mut world = started(65_533);
    let lost: Vec<_> = (65_535..65_538).map(|sequence| Sent::new(1, sequence, VP8, b"lost")).collect();
    for sequence in [65_534, 65_538, 65_539] {
        assert!(world.send(&Sent::new(1, sequence, VP8, b"x")).is_some());
    }
    world.pass(ms(10));
    assert_eq!(world.asked().0, [(1, 65_535), (1, 0), (1, 1)]);
    for (number, sent) in lost.iter().enumerate() {
        let again = sent.again(2, 70 + number as u64);
        let got = world.send(&again).expect("recovered");
        assert_eq!((got.source, got.sequence, got.recovered), (1, sent.sequence, true));
        assert_eq!(got.payload, b"lost");
        assert_eq!(world.send(&sent.again(2, 80 + number as u64)), None, "once");
        assert_eq!(world.send(sent), None, "nor when the original comes after all");
    }
    assert_eq!((world.counters.recovered, world.counters.duplicates), (3, 6));
    world.pass(ms(900));
    assert_eq!(world.asked().0, [], "nothing is missing");
}

#[test]
fn unanswered_requests_end() {
    let mut world = started(1);
    world.send(&Sent::new(1, 3, VP8, b"x"));
    let mut times = 0;
    for _ in 0..100 {
        let Some(at) = world.receiver.deadline() else { break };
        world.now = at;
        times += world.asked().0.len();
    }
    assert_eq!((times, world.receiver.deadline()), (10, None));
}

#[test]
fn audio_is_asked_for_only_if_it_was_negotiated() {
    for nack in [false, true] {
        let mut line = audio("a", &[(9, None)]);
        line.payload_types[0].nack = nack;
        let mut world = World::new(vec![line]);
        for sequence in [1, 3] {
            world.send(&Sent::new(9, sequence, OPUS, b"x"));
        }
        world.pass(ms(10));
        assert_eq!(world.asked().0.len(), usize::from(nack));
        assert!(world.send(&Sent::new(9, 2, OPUS, b"y")).is_some_and(|got| !got.recovered));
    }
}

/// A jump beyond repair asks for one key frame instead of a storm of NACKs, and audio for nothing.
#[test]
fn too_wide_a_gap_is_a_keyframe_request() {
    let mut world = started(1);
    world.send(&Sent::new(1, 2_000, VP8, b"x"));
    assert_eq!(world.asked(), (vec![], vec![1]));
    for step in 1..20 {
        world.send(&Sent::new(1, 2_000 + 1_000 * step, VP8, b"x"));
        world.pass(ms(5));
        assert_eq!(world.asked(), (vec![], vec![]), "asked just now");
    }
    world.pass(ms(500));
    world.send(&Sent::new(1, 30_000, VP8, b"x"));
    assert_eq!(world.asked().1, [1]);
    let mut line = audio("a", &[(9, None)]);
    line.payload_types[0].nack = true;
    let mut world = World::new(vec![line]);
    for sequence in [1, 5_000] {
        world.send(&Sent::new(9, sequence, OPUS, b"x"));
    }
    assert_eq!(world.asked(), (vec![], vec![]), "sound has no key frames");
}

/// However a client numbers its packets, what we ask for stays within bounds: each missing one ten times, 512 at once.
#[test]
fn a_nack_storm_is_bounded() {
    let mut world = started(1);
    let (mut asked, mut most) = (0, 0);
    for step in 1..=2_000u64 {
        world.send(&Sent::new(1, 1 + 2 * step, VP8, b"x"));
        world.pass(ms(1));
        let now = world.asked().0.len();
        asked += now;
        most = most.max(now);
    }
    assert!(asked <= 2_000 * 10, "{asked}");
    assert!(most <= 512, "{most}");
    let bytes: usize = world.poll().iter().map(Vec::len).sum();
    assert!(bytes < 10_000);
}

#[test]
fn padding_is_no_loss() {
    let mut world = started(1);
    let empty =
        world.send(&Sent::new(1, 2, VP8, b"").padding(200).transport(7)).expect("its number must not be missed");
    assert!(empty.payload.is_empty());
    assert_eq!(world.send(&Sent::new(2, 1, VP8_RTX, b"").padding(200).transport(8)), None);
    assert_eq!(world.counters.padding, 2);
    assert!(world.send(&Sent::new(1, 3, VP8, b"x")).is_some());
    world.pass(ms(20));
    assert_eq!(world.asked().0, [], "nothing is missing");
    assert_eq!(world.receiver.take_loss(), 0.0);
    let mut lies = Sent::new(1, 4, VP8, b"").padding(3);
    lies.payload = Vec::new();
    let mut datagram = world.seal(&lies);
    datagram.truncate(12);
    assert_eq!(world.take(datagram), None);
}

#[test]
fn sizes_are_bounded() {
    let mut world = started(1);
    assert!(world.send(&Sent::new(1, 2, VP8, &[7; PAYLOAD_MAX])).is_some());
    assert_eq!(world.send(&Sent::new(1, 3, VP8, &[7; PAYLOAD_MAX + 1])), None);
    let again = Sent::new(1, 4, VP8, &[7; PAYLOAD_MAX]).again(2, 1);
    assert!(world.send(&again).is_some(), "two bytes of RTX do not count");
    assert_eq!(world.counters.oversized, 1);
}

/// RTX that names packets which were never near.
#[test]
fn retransmissions_from_afar_are_not_taken() {
    let mut world = started(10_000);
    for original in [10_000 + 513, 20_000, 10_000 - 1_024, 40_000] {
        assert_eq!(world.send(&Sent::new(1, original, VP8, b"x").again(2, original)), None, "{original}");
    }
    assert!(world.send(&Sent::new(1, 10_001, VP8, b"x")).is_some(), "the window has not moved");
    let got = world.send(&Sent::new(1, 10_005, VP8, b"tail").again(2, 41_000)).expect("sent ahead of the original");
    assert_eq!(got.sequence, 10_005);
    assert_eq!(world.send(&Sent::new(1, 10_005, VP8, b"tail")), None);
}

#[test]
fn after_a_goodbye_nothing_is_asked_and_the_source_may_go_on() {
    let mut world = started(1);
    world.send(&Sent::new(1, 5, VP8, b"x"));
    world.receiver.handle_goodbye(1);
    world.pass(ms(20));
    assert_eq!(world.asked(), (vec![], vec![]));
    assert!(world.send(&Sent::new(1, 6, VP8, b"x")).is_some());
}
