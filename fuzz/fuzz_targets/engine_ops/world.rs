//! The engine, its clients, a perfect network between them, and what must always hold.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use sfu_core::{
    Bounds, Command, CommandError, ConferenceId, Datagram, Disposition, Engine, EngineConfig, Kind, LinkId,
    LocalCandidate, Mid, Output, ParticipantId, PeerId, PublishedTrack, RelayMessage, Reply, Rid, TrackId, Want,
    codec::{Codec, CodecName},
    demux::{self, Class},
    engine::Gauges,
    io::{Extensions, Head, LayerInfo, Packet},
    rtp::vp8,
};
use sfu_testkit::dtls::insecure_provider;
use str0m::media::{Direction, MediaKind};

use crate::{
    client::Client,
    offer,
    operation::{Beginning, Operation, Published, RelayedLayer, Text},
};

const GOOD_OFFER: &str = include_str!("../../seeds/sdp/offer");
const GOOD_CANDIDATE: &str = "candidate:1 1 udp 1677729535 198.51.100.23 46154 typ srflx raddr 0.0.0.0 rport 0";
/// Peers 0, 1 and 2 have clients: 0 publishes tracks 0 and 1 and 1 receives, in conference 0; 2 receives in conference 1.
const CLIENTS: u8 = 3;
const PEERS: u8 = 6;
const TRACKS: u8 = 12;
const CONFERENCES: u8 = 2;
const LINKS: u8 = 2;
/// Outputs of one drain. A few hundred are usual.
const OUTPUTS_MAX: usize = 100_000;

pub struct World {
    now: Instant,
    engine: Engine,
    clients: Vec<Client>,
    /// Addresses from which genuine STUN may have come, and so may be sent to.
    proved: BTreeSet<SocketAddr>,
    relayed: u64,
    /// Conferences of the remote tracks.
    remote: BTreeMap<TrackId, u8>,
}

fn server() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7882))
}

fn elsewhere(from: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 3], 2000 + u16::from(from % 4)))
}

fn peer(number: u8) -> PeerId {
    PeerId(u64::from(number % PEERS))
}

fn track(number: u8) -> TrackId {
    TrackId(u64::from(number % TRACKS))
}

fn kind(video: bool) -> Kind {
    if video { Kind::Video } else { Kind::Audio }
}

fn mid(text: &str) -> Mid {
    Mid::new(text).expect("a short token")
}

impl World {
    pub fn new() -> Self {
        let now = Instant::now();
        let candidates = vec![LocalCandidate { advertised: server(), bound: server() }];
        // Small, so that they are reached.
        let bounds = Bounds { peers: 5, addresses: 2, candidates: 3, ..Bounds::default() };
        let config = EngineConfig { candidates, seed: [7; 32], crypto: insecure_provider(1), bounds };
        let mut world = Self {
            now,
            engine: Engine::new(now, config),
            clients: vec![],
            proved: BTreeSet::new(),
            relayed: 1 << 16,
            remote: BTreeMap::new(),
        };
        for (number, conference, direction) in
            [(0, 0, Direction::SendOnly), (1, 0, Direction::RecvOnly), (2, 1, Direction::RecvOnly)]
        {
            world.join(number, conference, direction);
        }
        world.advance(Duration::from_millis(60));
        assert!(world.clients.iter().all(|client| client.connected), "the clients connect");
        for (number, line) in [(0, 0), (1, 1)] {
            let mid = mid(&world.clients[1].mids[line]);
            let want = Want { width: 640, height: 360, fps: 0 };
            world.command(Command::Subscribe { peer: peer(1), track: track(number), mid, want }).expect("subscribe");
        }
        world
    }

    fn join(&mut self, number: u8, conference: u8, direction: Direction) {
        let connect = Command::Connect {
            peer: peer(number),
            conference: ConferenceId(conference.into()),
            participant: ParticipantId(number.into()),
        };
        self.command(connect).expect("connect");
        let mut client = Client::new(self.now, number, conference);
        self.proved.insert(client.address);
        let offer = client.offer(&[(MediaKind::Audio, direction), (MediaKind::Video, direction)], false);
        self.clients.push(client);
        self.offer_of(number.into(), offer.expect("a first offer"));
    }

    /// The offer of a client, with what it publishes: its first two m-lines, if it is the publisher.
    fn offer_of(&mut self, client: usize, sdp: String) {
        let published = if client == 0 {
            let mids = &self.clients[0].mids;
            [false, true].map(|video| PublishedTrack {
                mid: mid(&mids[usize::from(video)]),
                track: track(video.into()),
                kind: kind(video),
                width: 640,
                height: 360,
                muted: false,
            })
        } else {
            return self.answer_of(client, sdp, vec![]);
        };
        self.answer_of(client, sdp, published.to_vec());
    }

    fn answer_of(&mut self, client: usize, sdp: String, published: Vec<PublishedTrack>) {
        match self.command(Command::Offer { peer: PeerId(client as u64), sdp, published }) {
            Ok(Reply::Answer { sdp }) => self.clients[client].answer(&sdp),
            Ok(Reply::Done) => panic!("an offer is answered"),
            Err(_) => self.clients[client].refused(),
        }
    }

    pub fn perform(&mut self, operation: Operation) {
        match operation {
            Operation::Connect { peer: number, conference } => {
                self.confuse(number);
                let conference = conference % CONFERENCES;
                let connect = Command::Connect {
                    peer: peer(number),
                    conference: ConferenceId(conference.into()),
                    participant: ParticipantId((number % PEERS).into()),
                };
                let moved = self.command(connect).is_ok();
                if let Some(client) = self.clients.get_mut(usize::from(number % PEERS)).filter(|_| moved) {
                    client.reconnected(conference);
                }
            }
            Operation::Offer { peer: number, lines, published } => {
                self.confuse(number);
                let published = published.iter().take(20).map(published_track).collect();
                self.just(Command::Offer { peer: peer(number), sdp: offer::write(&lines), published });
            }
            Operation::OfferText { peer: number, text } => self.offer_text(number, text),
            Operation::Candidate { peer: number, text } => {
                self.just(Command::Candidate { peer: peer(number), candidate: text.apply(GOOD_CANDIDATE) });
            }
            Operation::Subscribe { peer: number, track: of, line, width, height, fps } => {
                let want = Want { width: width.into(), height: height.into(), fps: fps.into() };
                let mid = self.mid(number, line);
                self.just(Command::Subscribe { peer: peer(number), track: track(of), mid, want });
            }
            Operation::Unsubscribe { peer: number, track: of } => {
                self.just(Command::Unsubscribe { peer: peer(number), track: track(of) });
            }
            Operation::Mute { track: of, muted } => self.just(Command::Mute { track: track(of), muted }),
            Operation::RequestKeyframe { peer: number, track: of } => {
                self.just(Command::RequestKeyframe { peer: peer(number), track: track(of) });
            }
            Operation::SendData { peer: number, length } => {
                self.just(Command::SendData { peer: peer(number), data: vec![1; length.into()] });
            }
            Operation::Disconnect { peer: number } => self.just(Command::Disconnect { peer: peer(number) }),
            Operation::AddRemoteTrack { conference, link, track: of, video } => {
                let conference = conference % CONFERENCES;
                let add = Command::AddRemoteTrack {
                    conference: ConferenceId(conference.into()),
                    link: LinkId((link % LINKS).into()),
                    track: track(of),
                    participant: ParticipantId(99),
                    kind: kind(video),
                };
                if self.command(add).is_ok() {
                    self.remote.insert(track(of), conference);
                }
            }
            Operation::RemoveRemoteTrack { track: of } => self.just(Command::RemoveRemoteTrack { track: track(of) }),
            Operation::RelayMedia { link, track: of, layer, codec, keyframe, step, payload } => {
                self.relayed = self.relayed.saturating_add_signed(i64::from(step.cast_signed()));
                let packet = self.relayed_packet(track(of), codec, keyframe, payload);
                self.relay(link, RelayMessage::Media { track: track(of), layer, packet });
            }
            Operation::RelayLayers { link, track: of, layers, muted } => {
                let layers = layers.iter().take(12).map(layer_info).collect();
                self.relay(link, RelayMessage::Layers { track: track(of), layers, muted });
            }
            Operation::RelayWant { link, track: of, layers } => {
                self.relay(link, RelayMessage::Want { track: track(of), layers });
            }
            Operation::RelayKeyframeRequest { link, track: of, layer } => {
                self.relay(link, RelayMessage::KeyframeRequest { track: track(of), layer });
            }
            Operation::Datagram { from, contents } => {
                let source = if from < CLIENTS { self.clients[usize::from(from)].address } else { elsewhere(from) };
                self.datagram(source, &contents);
            }
            Operation::Replay { client, at, xor, from } => self.replay(client, at, xor, from),
            Operation::Rtp { client, video, step, keyframe, payload } => {
                let mut bytes = if video { vec![0x90, 0x80, 0x01, u8::from(!keyframe)] } else { vec![] };
                bytes.extend(payload);
                let now = self.now;
                self.client(client).send_rtp(now, video, step, &bytes);
            }
            Operation::KeyframeRequest { client } => self.client(client).request_keyframe(),
            Operation::Data { client, length } => self.client(client).send_data(length),
            Operation::Reoffer { client, restart, video, sends } => {
                let media = if video { MediaKind::Video } else { MediaKind::Audio };
                let direction = if sends { Direction::SendOnly } else { Direction::RecvOnly };
                let number = usize::from(client % CLIENTS);
                if let Some(sdp) = self.clients[number].offer(&[(media, direction)], restart) {
                    self.offer_of(number, sdp);
                }
            }
            Operation::Close { client } => self.client(client).close(),
            Operation::Lose { client, datagrams } => self.client(client).lose = datagrams,
            Operation::Time { ms } => self.advance(Duration::from_millis(u64::from(ms % 5000))),
        }
        self.settle();
    }

    /// The beginnings still are what they were made for.
    pub fn begin(&mut self, beginning: &Beginning) {
        self.advance(Duration::from_millis(20));
        let counters = self.engine.counters();
        match beginning {
            Beginning::Call => {}
            Beginning::Remote | Beginning::Grown => assert!(counters.packets_forwarded > 0, "{counters:?}"),
            Beginning::Relaying => assert!(counters.relays_sent > 2, "{counters:?}"),
        }
    }

    /// Everybody leaves, and nothing is left.
    pub fn end(mut self) {
        for number in 0..PEERS {
            self.just(Command::Disconnect { peer: peer(number) });
        }
        for number in 0..TRACKS {
            self.just(Command::RemoveRemoteTrack { track: track(number) });
        }
        self.settle();
        self.advance(Duration::from_millis(1500));
        assert_eq!(self.engine.gauges(), Gauges::default());
        assert_eq!(self.engine.counters().panics, 0);
    }

    fn client(&mut self, number: u8) -> &mut Client {
        &mut self.clients[usize::from(number % CLIENTS)]
    }

    fn mid(&self, number: u8, line: u8) -> Mid {
        let client = self.clients.get(usize::from(number % PEERS));
        let known = client.and_then(|client| client.mids.get(usize::from(line % 4)));
        known.and_then(|known| Mid::new(known)).unwrap_or_else(|| mid(&offer::mid_of(line)))
    }

    fn confuse(&mut self, number: u8) {
        if let Some(client) = self.clients.get_mut(usize::from(number % PEERS)) {
            client.confused = true;
        }
    }

    fn offer_text(&mut self, number: u8, text: Text) {
        self.confuse(number);
        let sdp = text.apply(GOOD_OFFER);
        self.just(Command::Offer { peer: peer(number), sdp, published: vec![] });
    }

    fn relayed_packet(&self, of: TrackId, codec: u8, keyframe: bool, mut payload: Vec<u8>) -> Packet {
        const NAMES: [CodecName; 5] =
            [CodecName::Opus, CodecName::Vp8, CodecName::Vp9, CodecName::Av1, CodecName::H264];
        let name = NAMES[usize::from(codec) % NAMES.len()];
        let clock_rate = if name == CodecName::Opus { 48_000 } else { 90_000 };
        payload.truncate(1400);
        payload.push(self.remote.get(&of).copied().unwrap_or(u8::MAX));
        let head = Head {
            source: self.relayed as u32 / 1000,
            sequence: self.relayed,
            timestamp: self.relayed as u32 * 960,
            marker: true,
            codec: Codec { name, profile: 0, clock_rate },
            keyframe,
            // A lie, now and then: the engine looks for itself.
            vp8: vp8::Descriptor::parse(&[0x90, 0xe0, 0x80, 1, 2, 3, 4]),
            extensions: Extensions::default(),
            received: self.now,
        };
        Packet { head, payload: payload.into() }
    }

    fn relay(&mut self, link: u8, message: RelayMessage) {
        self.engine.handle_relay(self.now, LinkId((link % LINKS).into()), message);
    }

    fn replay(&mut self, client: u8, at: u16, xor: u8, from: u8) {
        let client = self.client(client);
        let (mut bytes, address) = (client.last_sent.clone(), client.address);
        let index = usize::from(at) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(index) {
            *byte ^= xor;
        }
        let source = if from < 128 { address } else { elsewhere(from) };
        // A request that was overheard is genuine wherever it is sent from, until its checks fail (RFC 8445 §19.4.1).
        if xor == 0 || demux::classify(&bytes) == Class::Stun {
            self.proved.insert(source);
        }
        self.datagram(source, &bytes);
    }

    fn datagram(&mut self, source: SocketAddr, contents: &[u8]) {
        let junk = demux::classify(contents) == Class::Junk;
        let disposition = self.engine.handle_datagram(self.now, Datagram { source, destination: server(), contents });
        assert_eq!(disposition == Disposition::Junk, junk);
    }

    fn just(&mut self, command: Command) {
        let _ = self.command(command);
    }

    /// What is refused has changed nothing.
    fn command(&mut self, command: Command) -> Result<Reply, CommandError> {
        let before = self.engine.gauges();
        let trickled = matches!(command, Command::Candidate { .. });
        let reply = self.engine.handle_command(self.now, command);
        if let Err(error) = &reply
            && !matches!(error, CommandError::PeerFailed)
            && !trickled
        {
            assert_eq!(self.engine.gauges(), before, "{error}");
        }
        reply
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        // Long waits in few steps, because each costs as much as an operation.
        let step = (time / 10).max(Duration::from_millis(10));
        while self.now < end {
            self.now = (self.now + step).min(end);
            self.engine.handle_timeout(self.now);
            self.settle();
        }
    }

    /// Delivers whatever is under way, until nothing is.
    fn settle(&mut self) {
        let mut to_engine = VecDeque::new();
        for client in &mut self.clients {
            client.tick(self.now, &mut to_engine);
        }
        for _ in 0..50 {
            for (source, contents) in std::mem::take(&mut to_engine) {
                self.datagram(source, &contents);
            }
            self.drain(&mut to_engine);
            if to_engine.is_empty() {
                return;
            }
        }
    }

    fn drain(&mut self, to_engine: &mut VecDeque<(SocketAddr, Vec<u8>)>) {
        for _ in 0..OUTPUTS_MAX {
            match self.engine.poll_output() {
                Output::Timeout(..) => return,
                Output::Event(_) | Output::Relay { .. } => {}
                Output::Transmit(transmit) => {
                    let (source, destination) = (transmit.source, transmit.destination);
                    assert_eq!(source, server());
                    assert!(self.proved.contains(&destination), "{destination} never asked for this");
                    let client = self.clients.iter_mut().find(|client| client.address == destination);
                    let Some(client) = client else { continue };
                    for datagram in transmit.datagrams() {
                        client.take(self.now, source, datagram, to_engine);
                    }
                }
            }
        }
        panic!("the engine never rests");
    }
}

fn published_track(published: &Published) -> PublishedTrack {
    PublishedTrack {
        mid: mid(&offer::mid_of(published.line)),
        track: track(published.track),
        kind: kind(published.video),
        width: published.width.into(),
        height: published.height.into(),
        muted: published.muted,
    }
}

fn layer_info(layer: &RelayedLayer) -> LayerInfo {
    LayerInfo {
        rid: layer.rid.and_then(|rid| Rid::new(&format!("r{}", rid % 4))),
        width: layer.width.into(),
        height: layer.height.into(),
        active: layer.active,
        bitrate: u32::from(layer.width) * 1000,
    }
}
