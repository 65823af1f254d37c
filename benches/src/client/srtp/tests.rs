//! Round trips with str0m's SRTP, in both directions and for both key sizes: str0m is a whole peer here, with real DTLS.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer};

use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::*;
use crate::client::outbox::Outbox;
use crate::client::publisher::MediaShape;
use crate::client::subscription::Faults;
use crate::client::{Client, Plan};
use crate::payload::Payload;

fn server() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 1))
}

fn client() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], 2))
}

/// A lean client and a str0m peer.
struct Pair {
    now: Instant,
    client: Client,
    rtc: Rtc,
    received: Vec<RtpPacket>,
    reports: usize,
}

impl Pair {
    fn new(plan: Plan) -> Self {
        let now = Instant::now();
        let (client, offer, _) = Client::new(now, now, client(), plan).expect("client");
        let mut rtc = RtcConfig::new().set_rtp_mode(true).set_ice_lite(true).build(now);
        rtc.add_local_candidate(Candidate::host(server(), "udp").expect("candidate"));
        let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(&offer).expect("SDP")).expect("offer");
        let mut pair = Self { now, client, rtc, received: vec![], reports: 0 };
        let mut outbox = Outbox::default();
        SdpAnswer::from_sdp_string(&answer.to_sdp_string()).expect("SDP");
        pair.client.handle_answer(now, &answer.to_sdp_string(), &mut outbox).expect("answer");
        pair.run(Duration::from_secs(2), outbox);
        assert!(pair.client.connected_at.is_some(), "{:?}", pair.client.failed);
        pair
    }

    fn run(&mut self, time: Duration, mut outbox: Outbox) {
        let end = self.now + time;
        let mut to_client: VecDeque<Vec<u8>> = VecDeque::new();
        while self.now < end {
            self.now += Duration::from_millis(5);
            self.client.handle_timeout(self.now, &mut outbox);
            self.rtc.handle_input(Input::Timeout(self.now)).expect("timeout");
            for _ in 0..10 {
                for (_, datagram) in outbox.datagrams() {
                    let contents = datagram.try_into().expect("datagram");
                    let receive = Receive { proto: Protocol::Udp, source: client(), destination: server(), contents };
                    self.rtc.handle_input(Input::Receive(self.now, receive)).expect("input");
                    drain(&mut self.rtc, &mut to_client, &mut self.received);
                }
                outbox.clear();
                drain(&mut self.rtc, &mut to_client, &mut self.received);
                for datagram in to_client.drain(..) {
                    self.reports += usize::from(datagram[0] >> 6 == 2 && (192..=223).contains(&datagram[1]));
                    self.client.handle_datagram(self.now, server(), &datagram, &mut outbox);
                }
            }
        }
    }
}

fn drain(rtc: &mut Rtc, to_client: &mut VecDeque<Vec<u8>>, received: &mut Vec<RtpPacket>) {
    loop {
        match rtc.poll_output().expect("it lives") {
            Output::Timeout(_) => return,
            Output::Transmit(transmit) => to_client.push_back(transmit.contents.to_vec()),
            Output::Event(Event::RtpPacket(packet)) => received.push(packet),
            Output::Event(_) => {}
        }
    }
}

#[test]
fn str0m_opens_what_the_client_seals_and_its_rtcp_opens_here() {
    let shape = MediaShape::video(300, 1);
    let mut pair = Pair::new(Plan { publish: Some(shape), ..Plan::bare(3) });
    pair.client.start_publishing(pair.now);
    pair.run(Duration::from_secs(1), Outbox::default());
    let marks: Vec<u64> =
        pair.received.iter().map(|p| Payload::read(&p.payload, false).expect("a mark").number).collect();
    assert_eq!(marks, (0..marks.len() as u64).collect::<Vec<_>>());
    assert!(marks.len() >= 24 * 8, "{}", marks.len());
    // A key frame request is sealed by str0m and read here.
    let mid = pair.client.publisher.as_ref().expect("it publishes").mid.clone();
    let mut direct = pair.rtc.direct_api();
    let stream = direct.stream_rx_by_mid(mid.as_str().into(), None).expect("stream");
    stream.request_keyframe(str0m::media::KeyframeRequestKind::Pli);
    pair.run(Duration::from_millis(100), Outbox::default());
    assert_eq!(pair.client.publisher.as_ref().map(|p| p.keyframe_requests), Some(1));
    assert!(pair.reports > 0);
    assert_eq!(pair.client.faults, Faults::default());
}

#[test]
fn the_client_opens_what_str0m_seals_and_counts_it() {
    let mut pair = Pair::new(Plan { audio_slots: 1, ..Plan::bare(3) });
    pair.client.expect(0, 9);
    let mid = pair.client.subscriptions[0].mid.clone();
    let payload_type = |rtc: &Rtc| {
        let params = rtc.codec_config().params().iter().find(|p| p.spec().codec == str0m::format::Codec::Opus);
        params.expect("opus").pt()
    };
    let pt = payload_type(&pair.rtc);
    // From just before a wrap of the sequence number on.
    for number in 0..200 {
        let mut payload = Vec::new();
        Payload { publisher: 9, number, stamp: 0 }.write_audio(80, &mut payload);
        let mut direct = pair.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid.as_str().into(), None).expect("stream");
        stream.write_rtp(RtpWrite::new(pt, (65_500 + number).into(), 0, pair.now, payload));
        pair.run(Duration::from_millis(5), Outbox::default());
    }
    assert_eq!(pair.client.subscriptions[0].delivered(0..200), 200);
    assert_eq!(pair.client.faults, Faults::default());
    // str0m reads our reports: it would not count them otherwise.
    assert!(pair.client.first_media_at.is_some());
}

#[test]
fn both_key_sizes_round_trip_and_a_changed_bit_does_not() {
    for profile in [SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AEAD_AES_256_GCM] {
        let material = Material { bytes: (0..88).collect(), profile, active: true };
        let mut one = Srtp::new(&material, true).expect("keys");
        let other = Srtp::new(&material, false).expect("keys");
        let mut packet = [&[0x80, 96, 0, 5, 0, 0, 0, 0, 0, 0, 0, 7][..], b"payload"].concat();
        one.send.seal_rtp(&mut packet, 0, 12, 65_536 + 5).expect("sealed");
        assert_eq!(packet.len(), 12 + 7 + TAG);
        let mut out = Vec::new();
        assert_eq!(other.receive.open_rtp(&packet, 12, 65_536 + 5, &mut out).expect("opens"), b"payload");
        assert!(other.receive.open_rtp(&packet, 12, 5, &mut out).is_err(), "another roll-over count");
        packet[1] ^= 1;
        assert!(other.receive.open_rtp(&packet, 12, 65_536 + 5, &mut out).is_err(), "the header is authenticated");
        let report = [0x80, 201, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9];
        let mut sealed = report.to_vec();
        one.send.seal_rtcp(&mut sealed, 0).expect("sealed");
        assert_eq!(other.receive.open_rtcp(&sealed).expect("opens"), report);
        sealed[9] ^= 1;
        assert!(other.receive.open_rtcp(&sealed).is_err());
    }
    let bad = Material { bytes: vec![0; 60], profile: SrtpProfile::AES128_CM_SHA1_80, active: true };
    assert!(matches!(Srtp::new(&bad, true), Err(SrtpError::Profile(_))));
}
