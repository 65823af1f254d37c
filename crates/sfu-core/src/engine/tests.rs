//! One engine and real str0m clients over a perfect network. Everything with loss, several engines or signalling is in
//! the workspace's `tests/sim`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Input, Rtc, RtcConfig};

use super::*;
use crate::config::{Bounds, LocalCandidate};
use crate::id::ParticipantId;
use crate::io::{Command, CommandError, Kind, Pause, PublishedTrack, Reply, Want};
use crate::test_time::epoch;

mod hostile;

const CONFERENCE: ConferenceId = ConferenceId(1);

fn server() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7882))
}

struct Client {
    peer: PeerId,
    address: SocketAddr,
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    mids: Vec<str0m::media::Mid>,
    received: Vec<RtpPacket>,
    keyframe_requests: usize,
}

struct Pair {
    now: Instant,
    engine: Engine,
    clients: Vec<Client>,
    events: Vec<Event>,
    /// Every datagram to the engine, and from it.
    up: Vec<Vec<u8>>,
    down: Vec<Vec<u8>>,
}

impl Pair {
    fn new() -> Self {
        let now = epoch();
        let candidates = vec![LocalCandidate { advertised: server(), bound: server() }];
        let config =
            EngineConfig { candidates, seed: [7; 32], crypto: crate::default_crypto(), bounds: Bounds::default() };
        Self {
            now,
            engine: Engine::new(now, config),
            clients: Vec::new(),
            events: Vec::new(),
            up: vec![],
            down: vec![],
        }
    }

    fn command(&mut self, command: Command) -> Result<Reply, CommandError> {
        self.engine.handle_command(self.now, command)
    }

    /// A connected peer that sends or receives audio and video.
    fn join(&mut self, id: u64, direction: Direction) -> usize {
        let now = self.now;
        let peer = PeerId(id);
        self.command(Command::Connect { peer, conference: CONFERENCE, participant: ParticipantId(id) })
            .expect("connect");
        let address = SocketAddr::from(([10, 0, 0, 2], 1000 + id as u16));
        let mut rtc =
            RtcConfig::new().set_rtp_mode(true).set_crypto_provider(Arc::clone(&crate::default_crypto())).build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("candidate"));
        let mut api = rtc.sdp_api();
        let mids = vec![
            api.add_media(MediaKind::Audio, direction, None, None, None),
            api.add_media(MediaKind::Video, direction, None, None, None),
        ];
        let (offer, pending) = api.apply().expect("changes");
        let published = match direction {
            Direction::SendOnly => [(Kind::Audio, 0), (Kind::Video, 1)]
                .map(|(kind, index)| PublishedTrack {
                    mid: Mid::new(&mids[index]).expect("mid"),
                    track: TrackId(id * 10 + index as u64),
                    kind,
                    width: 640,
                    height: 360,
                    muted: false,
                })
                .to_vec(),
            _ => vec![],
        };
        let reply = self.command(Command::Offer { peer, sdp: offer.to_sdp_string(), published }).expect("offer");
        let Reply::Answer { sdp } = reply else { panic!("an answer") };
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&sdp).expect("SDP")).expect("answer");
        self.clients.push(Client { peer, address, rtc, pending: None, mids, received: vec![], keyframe_requests: 0 });
        let index = self.clients.len() - 1;
        self.run(Duration::from_secs(2));
        assert!(self.clients[index].pending.is_none());
        assert!(self.events.contains(&Event::Connected { peer }), "{:?}", self.events);
        index
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(5);
            let now = self.now;
            let mut to_server = VecDeque::new();
            for client in &mut self.clients {
                client.rtc.handle_input(Input::Timeout(now)).expect("timeout");
                client.drain(&mut to_server);
            }
            self.engine.handle_timeout(now);
            for _ in 0..20 {
                for (source, contents) in to_server.drain(..) {
                    self.up.push(contents.clone());
                    self.engine.handle_datagram(now, Datagram { source, destination: server(), contents: &contents });
                }
                loop {
                    match self.engine.poll_output() {
                        Output::Timeout(..) => break,
                        Output::Event(event) => self.events.push(event),
                        Output::Relay { .. } => panic!("nobody to relay to"),
                        Output::Transmit(transmit) => {
                            let client =
                                self.clients.iter_mut().find(|c| c.address == transmit.destination).expect("client");
                            for datagram in transmit.datagrams() {
                                self.down.push(datagram.to_vec());
                                let contents = datagram.try_into().expect("a datagram");
                                let (source, destination) = (transmit.source, transmit.destination);
                                let receive = Receive { proto: Protocol::Udp, source, destination, contents };
                                client.rtc.handle_input(Input::Receive(now, receive)).expect("input");
                                client.drain(&mut to_server);
                            }
                        }
                    }
                }
            }
        }
    }

    fn send(&mut self, client: usize, media: usize, sequence: u64, payload: &[u8]) {
        let now = self.now;
        let client = &mut self.clients[client];
        let mid = client.mids[media];
        let mut params = client.rtc.codec_config().params().iter();
        let wanted = if media == 0 { str0m::format::Codec::Opus } else { str0m::format::Codec::Vp8 };
        let pt = params.find(|p| p.spec().codec == wanted).expect("codec").pt();
        let mut direct = client.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None).expect("stream");
        let extensions = ExtensionValues { audio_level: Some(-20), voice_activity: Some(true), ..Default::default() };
        let write =
            RtpWrite::new(pt, sequence.into(), sequence as u32 * 960, now, payload).marker(true).ext_vals(extensions);
        stream.write_rtp(write);
    }
}

impl Client {
    fn drain(&mut self, to_server: &mut VecDeque<(SocketAddr, Vec<u8>)>) {
        loop {
            match self.rtc.poll_output().expect("client lives") {
                str0m::Output::Timeout(_) => break,
                str0m::Output::Transmit(transmit) => to_server.push_back((self.address, transmit.contents.to_vec())),
                str0m::Output::Event(str0m::Event::RtpPacket(packet)) => self.received.push(packet),
                str0m::Output::Event(str0m::Event::KeyframeRequest(_)) => self.keyframe_requests += 1,
                str0m::Output::Event(_) => {}
            }
        }
    }
}

fn mid(client: &Client, media: usize) -> Mid {
    Mid::new(&client.mids[media]).expect("mid")
}

const KEY: &[u8] = &[0x90, 0x80, 0x81, 0x01, 0x00, b'k'];
const DELTA: &[u8] = &[0x90, 0x80, 0x81, 0x02, 0x01, b'd'];

#[test]
fn audio_and_video_flow_and_video_begins_with_a_key_frame() {
    let mut pair = Pair::new();
    let alice = pair.join(1, Direction::SendOnly);
    let bob = pair.join(2, Direction::RecvOnly);
    for sequence in 1..4 {
        pair.send(alice, 1, sequence, DELTA);
        pair.run(Duration::from_millis(10));
    }
    for (track, media) in [(10, 0), (11, 1)] {
        let (peer, mid) = (pair.clients[bob].peer, mid(&pair.clients[bob], media));
        let want = Want { width: 640, height: 360, fps: 0 };
        pair.command(Command::Subscribe { peer, track: TrackId(track), mid, want }).expect("subscribe");
    }
    pair.run(Duration::from_millis(100));
    assert_eq!(pair.clients[alice].keyframe_requests, 1);
    for (sequence, payload) in [(4, DELTA), (5, KEY), (6, DELTA)] {
        pair.send(alice, 1, sequence, payload);
        pair.send(alice, 0, sequence, b"opus");
        pair.run(Duration::from_millis(20));
    }
    pair.run(Duration::from_millis(300));
    let received = &pair.clients[bob].received;
    let video: Vec<u8> = received.iter().filter(|p| p.payload.len() == 6).map(|p| p.payload[5]).collect();
    assert_eq!(video, b"kd");
    let audio: Vec<_> = received.iter().filter(|p| &*p.payload == b"opus").collect();
    assert_eq!(audio.len(), 3);
    assert_eq!(audio[0].header.ext_vals.audio_level, Some(-20));
    assert_eq!(*audio[2].seq_no - *audio[0].seq_no, 2);
    assert!(pair.events.iter().any(|event| matches!(event, Event::Speakers { speakers, .. } if speakers.len() == 1)));
}

#[test]
fn muted_is_silent_and_said() {
    let mut pair = Pair::new();
    let alice = pair.join(1, Direction::SendOnly);
    let bob = pair.join(2, Direction::RecvOnly);
    let (peer, mid) = (pair.clients[bob].peer, mid(&pair.clients[bob], 0));
    pair.command(Command::Subscribe { peer, track: TrackId(10), mid, want: Want::default() }).expect("subscribe");
    pair.command(Command::Mute { track: TrackId(10), muted: true }).expect("mute");
    pair.send(alice, 0, 1, b"opus");
    pair.run(Duration::from_millis(50));
    assert!(pair.clients[bob].received.is_empty());
    let muted = Event::Subscribed { peer, track: TrackId(10), mid, rid: None, paused: Some(Pause::Muted) };
    assert!(pair.events.contains(&muted));
    pair.command(Command::Mute { track: TrackId(10), muted: false }).expect("unmute");
    pair.send(alice, 0, 2, b"opus");
    pair.run(Duration::from_millis(50));
    assert_eq!(pair.clients[bob].received.len(), 1);
}

#[test]
fn nothing_is_left_when_all_have_gone() {
    let mut pair = Pair::new();
    pair.join(1, Direction::SendOnly);
    let bob = pair.join(2, Direction::RecvOnly);
    let (peer, mid) = (pair.clients[bob].peer, mid(&pair.clients[bob], 1));
    pair.command(Command::Subscribe { peer, track: TrackId(11), mid, want: Want::default() }).expect("subscribe");
    for client in [1, 2] {
        pair.command(Command::Disconnect { peer: PeerId(client) }).expect("disconnect");
    }
    pair.run(Duration::from_millis(500));
    assert_eq!(pair.engine.gauges(), Gauges::default());
}

#[test]
fn bad_commands_change_nothing() {
    let mut pair = Pair::new();
    pair.join(1, Direction::SendOnly);
    let bob = pair.join(2, Direction::RecvOnly);
    let before = pair.engine.gauges();
    let (peer, video) = (pair.clients[bob].peer, mid(&pair.clients[bob], 1));
    let subscribe = |track, mid| Command::Subscribe { peer, track: TrackId(track), mid, want: Want::default() };
    assert_eq!(pair.command(subscribe(99, video)), Err(CommandError::UnknownTrack));
    assert_eq!(pair.command(subscribe(10, video)), Err(CommandError::WrongMid(video)), "audio on a video m-line");
    let other = Mid::new("nope").expect("mid");
    assert_eq!(pair.command(subscribe(11, other)), Err(CommandError::WrongMid(other)));
    assert_eq!(pair.command(Command::Disconnect { peer: PeerId(9) }), Err(CommandError::UnknownPeer));
    let offer = Command::Offer { peer, sdp: "v=0\r\nm=audio\r\nnonsense".into(), published: vec![] };
    assert!(matches!(pair.command(offer), Err(CommandError::Sdp(_))));
    let again = Command::Connect { peer, conference: CONFERENCE, participant: ParticipantId(5) };
    assert_eq!(pair.command(again), Err(CommandError::PeerExists));
    assert_eq!(pair.engine.gauges(), before);
}

#[test]
fn a_track_without_a_codec_in_common_ends_at_once() {
    let mut pair = Pair::new();
    let peer = PeerId(1);
    pair.command(Command::Connect { peer, conference: CONFERENCE, participant: ParticipantId(1) }).expect("connect");
    let mut rtc = RtcConfig::new().clear_codecs().enable_pcmu(true, false).build(pair.now);
    let mut api = rtc.sdp_api();
    let mid = api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
    let (offer, _) = api.apply().expect("changes");
    let mid = Mid::new(&mid).expect("mid");
    let track = PublishedTrack { mid, track: TrackId(5), kind: Kind::Audio, width: 0, height: 0, muted: false };
    pair.command(Command::Offer { peer, sdp: offer.to_sdp_string(), published: vec![track] }).expect("offer");
    pair.run(Duration::from_millis(10));
    assert!(pair.events.contains(&Event::TrackEnded { track: TrackId(5) }), "{:?}", pair.events);
    assert_eq!(pair.engine.gauges().tracks, 0);
}

/// Two names that str0m takes for one: it keeps letters and digits and makes the rest `_`.
#[test]
fn no_two_m_lines_share_an_ssrc_whatever_they_are_called() {
    let mut pair = Pair::new();
    let peer = PeerId(1);
    pair.command(Command::Connect { peer, conference: CONFERENCE, participant: ParticipantId(1) }).expect("connect");
    let mut rtc = RtcConfig::new().build(pair.now);
    let mut api = rtc.sdp_api();
    let mid = api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
    let (offer, _) = api.apply().expect("changes");
    let text = offer.to_sdp_string();
    let called = |name: &str| {
        text.replace(&format!("mid:{mid}"), &format!("mid:{name}"))
            .replace(&format!("BUNDLE {mid}"), &format!("BUNDLE {name}"))
    };
    for name in ["a-1", "a.1"] {
        let _ = pair.command(Command::Offer { peer, sdp: called(name), published: vec![] });
    }
    let (_, peer) = pair.engine.peers.iter().next().expect("a peer");
    let ssrcs: Vec<_> = peer.media.ssrcs().collect();
    let distinct: std::collections::BTreeSet<u32> = ssrcs.iter().map(|(_, ssrc, _)| *ssrc).collect();
    assert_eq!(distinct.len(), ssrcs.len(), "{ssrcs:?}");
}

/// The slot of an m-line is said to be a data channel, under the same name, and then what it was.
#[test]
fn an_ssrc_comes_back_with_its_numbers_or_not_at_all() {
    let mut pair = Pair::new();
    let peer = PeerId(1);
    pair.command(Command::Connect { peer, conference: CONFERENCE, participant: ParticipantId(1) }).expect("connect");
    let mut rtc = RtcConfig::new().build(pair.now);
    let mut api = rtc.sdp_api();
    api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    let video = api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
    let (offer, _) = api.apply().expect("changes");
    let text = offer.to_sdp_string();
    let at = text.find("m=video").expect("video");
    let section = &text[at..];
    let keep = |line: &&str| ["a=mid", "a=ice", "a=fingerprint", "a=setup", "c="].iter().any(|p| line.starts_with(p));
    let channel = format!(
        "{}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{}\r\na=sctp-port:5000\r\n",
        &text[..at],
        section.lines().filter(keep).collect::<Vec<_>>().join("\r\n")
    );
    let mut seen = Vec::new();
    for sdp in [text.clone(), channel, text.clone()] {
        let _ = pair.command(Command::Offer { peer, sdp, published: vec![] });
        let (_, peer) = pair.engine.peers.iter().next().expect("a peer");
        let mid = Mid::new(&video).expect("mid");
        seen.push(peer.media.ssrcs().find(|(other, ..)| *other == mid).map(|(_, ssrc, _)| ssrc));
    }
    assert!(seen[1].is_some() || seen[0] != seen[2], "{seen:?}");
}
