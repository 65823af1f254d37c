//! An engine and its clients, a tick at a time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sfu_core::{
    Bounds, Command, ConferenceId, Datagram, Engine, EngineConfig, Kind, LocalCandidate, Mid, Output, ParticipantId,
    PeerId, PublishedTrack, Reply, TrackId, Want,
};

use super::{Cost, Section};
use crate::allocations;
use crate::client::outbox::Outbox;
use crate::client::publisher::MediaShape;
use crate::client::subscription::Faults;
use crate::client::{Client, Plan};

const CONFERENCE: ConferenceId = ConferenceId(1);
/// What is kept of a datagram when only its head is: RTP header and extensions.
const HEAD: usize = 40;
/// Rounds of question and answer within one tick: ICE and DTLS go to and fro, and time stands still meanwhile.
const ROUNDS_MAX: usize = 50;
const CONNECT_TICKS: usize = 5000;

/// How much of what the engine sends is taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Whole,
    Heads,
}

/// See the module.
pub struct World {
    /// CPU time is taken. Not while the call is set up.
    pub clock: bool,
    /// Where the engine allocates is taken down.
    pub trace: bool,
    now: Instant,
    engine: Engine,
    engine_deadline: Instant,
    clients: Vec<Client>,
    by_address: BTreeMap<SocketAddr, usize>,
    publishers: usize,
    outbox: Outbox,
    /// Datagrams to the engine: client, and where in `bytes`.
    inbound: Vec<(usize, std::ops::Range<usize>)>,
    bytes: Vec<u8>,
    outbound: Vec<(SocketAddr, std::ops::Range<usize>)>,
    kept: Vec<u8>,
}

impl World {
    /// A call with everybody connected and subscribed.
    pub fn new(publishers: usize, subscribers: usize, shape: MediaShape) -> Result<Self> {
        let now = Instant::now();
        let candidates = vec![LocalCandidate { advertised: server(), bound: server() }];
        let crypto = sfu_core::default_crypto();
        let config = EngineConfig { candidates, seed: [1; 32], crypto, bounds: Bounds::default() };
        let mut world = Self {
            clock: false,
            trace: false,
            now,
            engine: Engine::new(now, config),
            engine_deadline: now,
            clients: Vec::new(),
            by_address: BTreeMap::new(),
            publishers,
            outbox: Outbox::default(),
            inbound: Vec::with_capacity(4096),
            bytes: Vec::with_capacity(4 << 20),
            // Large enough never to grow while allocations are counted.
            outbound: Vec::with_capacity(1 << 16),
            kept: Vec::with_capacity(64 << 20),
        };
        let mesh = publishers == subscribers && publishers > 1;
        let clients = if mesh { publishers } else { publishers + subscribers };
        for index in 0..clients {
            let slots = match (mesh, index < publishers) {
                (true, _) => publishers - 1,
                (false, true) => 0,
                (false, false) => publishers,
            };
            let (audio_slots, video_slots) = if shape.audio { (slots, 0) } else { (0, slots) };
            let publish = (index < publishers).then_some(shape);
            world.join(Plan { publish, audio_slots, video_slots, ..Plan::bare(index as u16) })?;
        }
        let mut section = Section::default();
        for _ in 0..CONNECT_TICKS {
            if world.clients.iter().all(|client| client.connected_at.is_some()) {
                world.subscribe(shape)?;
                return Ok(world);
            }
            world.tick(Duration::from_millis(1), Keep::Whole, &mut section)?;
        }
        bail!("not everybody connected")
    }

    fn join(&mut self, plan: Plan) -> Result<()> {
        let index = self.clients.len();
        let peer = PeerId(index as u64);
        let participant = ParticipantId(index as u64);
        let port = 1024 + u16::try_from(index).context("too many clients")?;
        let address = SocketAddr::from(([10, 0, 0, 2], port));
        let (mut client, sdp, tracks) = Client::new(self.now, self.now, address, plan)?;
        self.engine.handle_command(self.now, Command::Connect { peer, conference: CONFERENCE, participant })?;
        let published = tracks.iter().map(|track| {
            let kind = if plan.publish.is_some_and(|shape| shape.audio) { Kind::Audio } else { Kind::Video };
            let mid = Mid::new(&track.mid).context("mid")?;
            Ok(PublishedTrack { mid, track: TrackId(index as u64), kind, width: 640, height: 360, muted: false })
        });
        let published = published.collect::<Result<Vec<_>>>()?;
        let reply = self.engine.handle_command(self.now, Command::Offer { peer, sdp, published })?;
        let Reply::Answer { sdp } = reply else { bail!("no answer") };
        client.handle_answer(self.now, &sdp, &mut self.outbox)?;
        self.clients.push(client);
        self.by_address.insert(address, index);
        self.collect(index);
        Ok(())
    }

    fn subscribe(&mut self, shape: MediaShape) -> Result<()> {
        for index in 0..self.clients.len() {
            let others = (0..self.publishers).filter(|publisher| *publisher != index);
            for (slot, publisher) in (0..self.clients[index].subscriptions.len()).zip(others) {
                self.clients[index].expect(slot, publisher as u16);
                let mid = Mid::new(&self.clients[index].subscriptions[slot].mid).context("mid")?;
                let size = |pixels| if shape.audio { 0 } else { pixels };
                let want = Want { width: size(640), height: size(360), fps: 0 };
                let (peer, track) = (PeerId(index as u64), TrackId(publisher as u64));
                self.engine.handle_command(self.now, Command::Subscribe { peer, track, mid, want })?;
            }
        }
        Ok(())
    }

    /// Publishers begin, spread over a frame interval.
    pub fn start(&mut self) {
        for index in 0..self.publishers {
            let Some(shape) = self.clients[index].plan.publish else { continue };
            let phase = shape.interval * index as u32 / self.publishers as u32;
            self.clients[index].start_publishing(self.now + phase);
        }
    }

    pub fn stop(&mut self) {
        for publisher in self.clients.iter_mut().filter_map(|client| client.publisher.as_mut()) {
            publisher.stop();
        }
    }

    /// Number of each publisher's next packet.
    pub fn numbers(&self) -> Vec<u64> {
        self.clients.iter().filter_map(|client| client.publisher.as_ref()).map(|publisher| publisher.next).collect()
    }

    /// Packets that arrived and that should have, of these numbers of each publisher.
    pub fn delivered(&self, from: &[u64], to: &[u64]) -> (u64, u64) {
        let subscriptions = self.clients.iter().flat_map(|client| &client.subscriptions);
        subscriptions.fold((0, 0), |(delivered, expected), subscription| {
            let Some(publisher) = subscription.publisher.map(usize::from) else { return (delivered, expected) };
            let window = from[publisher]..to[publisher];
            (delivered + subscription.delivered(window.clone()), expected + window.end - window.start)
        })
    }

    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        for client in &self.clients {
            faults += client.faults;
        }
        faults
    }

    /// Lets time pass and does all that is due.
    pub fn tick(&mut self, time: Duration, keep: Keep, section: &mut Section) -> Result<()> {
        self.now += time;
        for index in 0..self.clients.len() {
            if self.clients[index].deadline().is_some_and(|at| at <= self.now) {
                self.clients[index].handle_timeout(self.now, &mut self.outbox);
                self.collect(index);
            }
        }
        for _ in 0..ROUNDS_MAX {
            if self.inbound.is_empty() && self.engine_deadline > self.now {
                break;
            }
            self.run_engine(keep, section);
            self.bytes.clear();
            self.inbound.clear();
            self.deliver(keep);
        }
        match self.clients.iter().find_map(|client| client.failed.as_ref()) {
            Some(failure) => bail!("a client failed: {failure}"),
            None => Ok(()),
        }
    }

    /// Media, feedback and what is due by the clock, one after the other, so that each has an account of its own.
    fn run_engine(&mut self, keep: Keep, section: &mut Section) {
        if self.inbound.iter().any(|(_, range)| is_rtp(&self.bytes[range.clone()])) {
            match keep {
                Keep::Heads => self.gate_media(section),
                Keep::Whole => self.take(keep, true, section),
            }
        }
        if self.inbound.iter().any(|(_, range)| !is_rtp(&self.bytes[range.clone()])) {
            match keep {
                Keep::Heads => self.gate_feedback(section),
                Keep::Whole => self.take(keep, false, section),
            }
        }
        if self.engine_deadline <= self.now {
            match keep {
                Keep::Heads => self.gate_timers(section),
                Keep::Whole => self.timers(keep, section),
            }
        }
    }

    /// Callgrind knows this function by its name, as the two after it: what it counts in here is the gate's figure.
    #[inline(never)]
    fn gate_media(&mut self, section: &mut Section) {
        self.take(Keep::Heads, true, section);
    }

    #[inline(never)]
    fn gate_feedback(&mut self, section: &mut Section) {
        self.take(Keep::Heads, false, section);
    }

    #[inline(never)]
    fn gate_timers(&mut self, section: &mut Section) {
        self.timers(Keep::Heads, section);
    }

    fn take(&mut self, keep: Keep, media: bool, section: &mut Section) {
        let before = Cost::so_far(self.clock);
        allocations::trace(self.trace.then_some(if media { "media" } else { "feedback" }));
        for (client, range) in &self.inbound {
            let contents = &self.bytes[range.clone()];
            if is_rtp(contents) == media {
                let source = SocketAddr::from(([10, 0, 0, 2], 1024 + *client as u16));
                self.engine.handle_datagram(self.now, Datagram { source, destination: server(), contents });
            }
        }
        self.poll_engine(keep, section);
        allocations::trace(None);
        let cost = if media { &mut section.media } else { &mut section.feedback };
        cost.add_since(before, self.clock);
    }

    fn timers(&mut self, keep: Keep, section: &mut Section) {
        let (before, packets) = (Cost::so_far(self.clock), section.packets);
        allocations::trace(self.trace.then_some("timers"));
        self.engine.handle_timeout(self.now);
        self.poll_engine(keep, section);
        allocations::trace(None);
        // What was held back for pacing is media still.
        let cost = if section.packets > packets { &mut section.media } else { &mut section.timers };
        cost.add_since(before, self.clock);
    }

    fn poll_engine(&mut self, keep: Keep, section: &mut Section) {
        loop {
            match self.engine.poll_output() {
                Output::Timeout(at, _) => {
                    self.engine_deadline = at;
                    return;
                }
                Output::Transmit(transmit) => {
                    let mut is_media = false;
                    for datagram in transmit.datagrams() {
                        let rtp = is_rtp(datagram);
                        let length = if rtp && keep == Keep::Heads { datagram.len().min(HEAD) } else { datagram.len() };
                        let start = self.kept.len();
                        self.kept.extend_from_slice(&datagram[..length]);
                        self.outbound.push((transmit.destination, start..start + length));
                        section.packets += u64::from(rtp);
                        is_media |= rtp;
                    }
                    section.transmits += u64::from(is_media);
                }
                Output::Relay { .. } | Output::Event(_) => {}
            }
        }
    }

    fn deliver(&mut self, keep: Keep) {
        let outbound = std::mem::take(&mut self.outbound);
        let kept = std::mem::take(&mut self.kept);
        for (destination, range) in &outbound {
            let Some(&index) = self.by_address.get(destination) else { continue };
            let datagram = &kept[range.clone()];
            self.clients[index].heads_only = keep == Keep::Heads && is_rtp(datagram);
            self.clients[index].handle_datagram(self.now, server(), datagram, &mut self.outbox);
            self.collect(index);
        }
        (self.outbound, self.kept) = (outbound, kept);
        self.outbound.clear();
        self.kept.clear();
    }

    fn collect(&mut self, client: usize) {
        for (_, datagram) in self.outbox.datagrams() {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(datagram);
            self.inbound.push((client, start..self.bytes.len()));
        }
        self.outbox.clear();
    }
}

fn server() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7882))
}

fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, ..] if !(192..=223).contains(second))
}
