//! What a publisher, or somebody who can send datagrams, tries on others.

use std::collections::BTreeMap;

use super::*;
#[cfg(feature = "fault-injection")]
use crate::io::Fault;

fn subscribe(pair: &mut Pair, client: usize, track: u64) {
    let (peer, mid) = (pair.clients[client].peer, mid(&pair.clients[client], 1));
    let want = Want { width: 640, height: 360, fps: 0 };
    pair.command(Command::Subscribe { peer, track: TrackId(track), mid, want }).expect("subscribe");
}

/// Two clients, and the second gets the first one's video.
fn watching() -> (Pair, usize, usize) {
    let mut pair = Pair::new();
    let alice = pair.join(1, Direction::SendOnly);
    let bob = pair.join(2, Direction::RecvOnly);
    subscribe(&mut pair, bob, 11);
    (pair, alice, bob)
}

fn send_video(pair: &mut Pair, client: usize, sequences: std::ops::Range<u64>, payload: &[u8]) {
    for sequence in sequences {
        pair.send(client, 1, sequence, payload);
        pair.run(Duration::from_millis(10));
    }
}

/// The client's video goes on from another SSRC.
fn change_ssrc(client: &mut Client, ssrc: u32) {
    let mid = client.mids[1];
    let mut direct = client.rtc.direct_api();
    let old = direct.stream_tx_by_mid(mid, None).expect("stream").ssrc();
    direct.remove_stream_tx(old);
    direct.declare_stream_tx(ssrc.into(), None, mid, None);
}

fn send_opus_as_video(pair: &mut Pair, client: usize, sequence: u64) {
    let now = pair.now;
    let client = &mut pair.clients[client];
    let mid = client.mids[1];
    let opus = |p: &&str0m::format::PayloadParams| p.spec().codec == str0m::format::Codec::Opus;
    let pt = client.rtc.codec_config().params().iter().find(opus).expect("codec").pt();
    let mut direct = client.rtc.direct_api();
    let stream = direct.stream_tx_by_mid(mid, None).expect("stream");
    stream.write_rtp(RtpWrite::new(pt, sequence.into(), 0, now, DELTA));
}

#[test]
fn a_publisher_that_begins_anew_is_followed() {
    let (mut pair, alice, bob) = watching();
    send_video(&mut pair, alice, 5000..5020, KEY);
    change_ssrc(&mut pair.clients[alice], 777_777);
    let before = pair.clients[bob].received.len();
    assert_eq!(before, 20);
    send_video(&mut pair, alice, 100..120, KEY);
    assert_eq!(pair.clients[bob].received.len() - before, 20);
    let carol = pair.join(3, Direction::RecvOnly);
    subscribe(&mut pair, carol, 11);
    send_video(&mut pair, alice, 120..140, KEY);
    assert_eq!(pair.clients[carol].received.len(), 20, "and by those who come later");
    // Without a key frame there is nothing to go on with; it is asked for.
    let asked = pair.clients[alice].keyframe_requests;
    change_ssrc(&mut pair.clients[alice], 888_888);
    send_video(&mut pair, alice, 100..110, DELTA);
    assert!(pair.clients[alice].keyframe_requests > asked);
}

#[test]
fn no_number_is_ever_used_for_two_contents() {
    let (mut pair, alice, _) = watching();
    send_video(&mut pair, alice, 1000..1050, KEY);
    for (round, ssrc) in [777_777u32, 888_888, 999_999].into_iter().enumerate() {
        change_ssrc(&mut pair.clients[alice], ssrc);
        let payload = [0x90, 0x80, 0x81, 0x02, round as u8 & 1, b'0' + round as u8];
        send_video(&mut pair, alice, 1010..1050, &payload);
    }
    let mut sealed: BTreeMap<(Vec<u8>, Vec<u8>), Vec<u8>> = BTreeMap::new();
    let mut packets = 0;
    for datagram in pair.down.iter().filter(|datagram| demux::classify(datagram) == Class::Rtp) {
        packets += 1;
        let numbers = (datagram[8..12].to_vec(), datagram[2..4].to_vec());
        let body = datagram[datagram.len() - 22..].to_vec();
        if let Some(other) = sealed.insert(numbers, body.clone()) {
            assert_eq!(other, body, "one SSRC and sequence number, two contents");
        }
    }
    assert!(packets >= 90, "{packets}");
}

#[test]
fn large_gaps_do_not_cost_the_subscriber_its_line() {
    let (mut pair, alice, bob) = watching();
    let honest = pair.join(4, Direction::SendOnly);
    send_video(&mut pair, alice, 1000..1010, KEY);
    for jump in [30_000, 60_000] {
        send_opus_as_video(&mut pair, alice, 1010 + jump);
        pair.run(Duration::from_millis(10));
    }
    send_video(&mut pair, alice, 67_510..67_520, KEY);
    assert_eq!(pair.clients[bob].received.len(), 20);
    subscribe(&mut pair, bob, 41);
    send_video(&mut pair, honest, 1000..1050, KEY);
    assert_eq!(pair.clients[bob].received.len(), 70);
}

#[test]
fn packets_of_the_wrong_kind_are_no_news() {
    let (mut pair, alice, bob) = watching();
    send_video(&mut pair, alice, 1..3, KEY);
    let told = |pair: &Pair| pair.events.iter().filter(|event| matches!(event, Event::Subscribed { .. })).count();
    let before = told(&pair);
    for sequence in 0..100 {
        send_opus_as_video(&mut pair, alice, 3 + 2 * sequence);
        send_video(&mut pair, alice, 4 + 2 * sequence..5 + 2 * sequence, DELTA);
    }
    assert!(told(&pair) <= before + 1, "{}", told(&pair) - before);
    assert!(pair.clients[bob].received.len() >= 100);
    assert_eq!(pair.engine.counters().receive.unknown_payload, 100);
}

#[test]
fn a_check_that_was_seen_cannot_be_replayed_from_elsewhere() {
    let mut pair = Pair::new();
    pair.join(1, Direction::SendOnly);
    let check = pair.up.iter().rev().find(|datagram| demux::is_binding_request(datagram)).expect("a check").clone();
    let refused = pair.engine.counters().datagrams_refused;
    for port in 0..1000 {
        let source = SocketAddr::from(([10, 0, 7, 7], 1000 + port));
        pair.engine.handle_datagram(pair.now, Datagram { source, destination: server(), contents: &check });
        while !matches!(pair.engine.poll_output(), Output::Timeout(..)) {}
    }
    assert_eq!(pair.engine.counters().datagrams_refused - refused, 1000);
    assert_eq!(pair.engine.gauges().addresses, 1);
}

#[test]
fn complaints_about_an_offer_tell_nothing_of_us() {
    let mut pair = Pair::new();
    pair.join(1, Direction::SendOnly);
    let bad = Command::Offer { peer: PeerId(1), sdp: "v=0\r\nm=audio\r\nnonsense".into(), published: vec![] };
    assert_eq!(pair.command(bad), Err(CommandError::Sdp("it does not parse".into())));
}

#[cfg(feature = "fault-injection")]
#[test]
fn a_newcomer_does_not_inherit_a_grave() {
    let mut pair = Pair::new();
    pair.join(1, Direction::SendOnly);
    let (peer, source) = (PeerId(1), pair.clients[0].address);
    let check = pair.up.iter().rev().find(|datagram| demux::is_binding_request(datagram)).expect("a check").clone();
    pair.command(Command::InjectPanic { peer, at: Fault::Datagram }).expect("injected");
    pair.engine.handle_datagram(pair.now, Datagram { source, destination: server(), contents: &check });
    pair.command(Command::Disconnect { peer }).expect("disconnect");
    let newcomer = PeerId(9);
    pair.command(Command::Connect { peer: newcomer, conference: CONFERENCE, participant: ParticipantId(9) })
        .expect("connect");
    while !matches!(pair.engine.poll_output(), Output::Timeout(..)) {}
    assert_eq!(pair.engine.gauges().peers, 1);
}
