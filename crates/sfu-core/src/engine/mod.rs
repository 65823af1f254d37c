//! The engine: one worker's share of all conferences.

mod bandwidth;
mod commands;
mod housekeeping;
mod media;
mod relay;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_chacha::ChaCha20Rng;
use slab::Slab;
use str0m::crypto::CryptoProvider;
use str0m::crypto::dtls::DtlsCert;

use crate::batch::Batch;
use crate::conference::Conference;
use crate::config::EngineConfig;
use crate::demux::{self, Class};
use crate::forward::rewriter::Rewriter;
use crate::id::{ConferenceId, LinkId, Mid, PeerId, TrackId};
use crate::io::{Datagram, DisconnectReason, Disposition, Event, Output, Reason, RelayMessage, SourceClock};
use crate::keys;
use crate::media::Scratch;
use crate::peer::{Peer, PeerEvent};
use crate::stats::Counters;
use crate::subscription::Subscription;
use crate::timers::{self, Timers};
use crate::track::{Origin, Track};

/// The rest of a frame is waited for so long. Publishers send the packets of a frame back to back, or paced by
/// milliseconds; only the former can be caught.
pub const HOLD: Duration = Duration::from_micros(200);
/// Below this a send saved is worth less than the wait.
const HOLD_SUBSCRIBERS: usize = 8;
/// Frames that are waited for at a time.
const OPEN_FRAMES_MAX: usize = 64;

/// The forwarding engine of one worker.
///
/// Contract: any number of `handle_*` (one receive batch), then [`Engine::poll_output`] until it returns
/// [`Output::Timeout`]; at that time, [`Engine::handle_timeout`]. `now` never goes back.
pub struct Engine {
    now: Instant,
    config: EngineConfig,
    /// For what an attacker must not guess: ICE credentials.
    secrets: ChaCha20Rng,
    /// For first sequence numbers and the like.
    numbers: SmallRng,
    certificate: Option<DtlsCert>,
    /// The configured one, with its keys tapped.
    crypto: Arc<CryptoProvider>,
    /// Boxed, for they are large (11 KB, most of it `str0m::Rtc`) and a slab doubles.
    peers: Slab<Box<Peer>>,
    peer_keys: BTreeMap<PeerId, usize>,
    by_address: BTreeMap<SocketAddr, usize>,
    by_ufrag: BTreeMap<String, usize>,
    tracks: Slab<Track>,
    track_keys: BTreeMap<TrackId, usize>,
    /// Published tracks by peer and m-line.
    published: BTreeMap<(usize, Mid), usize>,
    subscriptions: Slab<Subscription>,
    /// The numbers of m-lines that carry nothing now. An SSRC stays; so must they (RFC 3711 §9.1: no reuse under one key).
    parked: BTreeMap<(usize, Mid), Rewriter>,
    conferences: BTreeMap<ConferenceId, Conference>,
    /// Subscriptions whose subscribers are to be told something.
    reports_due: BTreeSet<usize>,
    deadlines: Timers<PeerKey>,
    keyframe_deadlines: BTreeSet<(Instant, usize, u8)>,
    next_housekeeping: Instant,
    rounds: u32,
    dirty: VecDeque<usize>,
    /// Frames of which the last packet has not come, as track and layer, and until when everything waits for that.
    open_frames: Vec<(usize, usize)>,
    hold: Option<Instant>,
    /// Peers that panicked and are not buried yet.
    failed: Vec<usize>,
    batch: Batch,
    scratch: Scratch,
    /// For the sender reports of one peer: which sender, and its source's clock.
    clocks: Vec<(u16, Option<SourceClock>)>,
    /// The media datagram that is being opened.
    incoming: Vec<u8>,
    relays: VecDeque<(LinkId, RelayMessage)>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Engine {
    /// # Panics
    /// If the crypto provider can make no DTLS certificate.
    #[must_use]
    pub fn new(now: Instant, config: EngineConfig) -> Self {
        let certificate = config.crypto.dtls_provider.generate_certificate();
        assert!(certificate.is_some(), "the DTLS provider makes certificates");
        Self {
            now,
            secrets: ChaCha20Rng::from_seed(config.seed),
            numbers: SmallRng::from_seed(config.seed),
            crypto: keys::tap(&config.crypto),
            config,
            certificate,
            peers: Slab::new(),
            peer_keys: BTreeMap::new(),
            by_address: BTreeMap::new(),
            by_ufrag: BTreeMap::new(),
            tracks: Slab::new(),
            track_keys: BTreeMap::new(),
            published: BTreeMap::new(),
            subscriptions: Slab::new(),
            parked: BTreeMap::new(),
            conferences: BTreeMap::new(),
            reports_due: BTreeSet::new(),
            deadlines: Timers::new(now),
            keyframe_deadlines: BTreeSet::new(),
            next_housekeeping: now + housekeeping::INTERVAL,
            rounds: 0,
            dirty: VecDeque::new(),
            open_frames: Vec::new(),
            hold: None,
            failed: Vec::new(),
            batch: Batch::default(),
            scratch: Scratch::default(),
            clocks: Vec::new(),
            incoming: Vec::new(),
            relays: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// A datagram came in.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) -> Disposition {
        self.now = now;
        self.counters.datagrams_received += 1;
        let class = demux::classify(datagram.contents);
        if class == Class::Junk {
            self.counters.datagrams_junk += 1;
            return Disposition::Junk;
        }
        // A request names its receiver; all else is known by where it comes from.
        let key = match demux::stun_local_ufrag(datagram.contents) {
            Some(ufrag) => self.by_ufrag.get(ufrag).copied(),
            None => self.by_address.get(&datagram.source).copied(),
        };
        let Some(key) = key else {
            self.counters.datagrams_unknown += 1;
            return Disposition::Unknown;
        };
        let destination = self.advertised(datagram.destination);
        let (source, datagram) = (datagram.source, Datagram { destination, ..datagram });
        if matches!(class, Class::Rtp | Class::Rtcp) {
            self.handle_media(key, class, datagram);
            return Disposition::Taken;
        }
        let genuine = self.with_peer(key, |peer, batch, counters| peer.handle_datagram(now, datagram, batch, counters));
        if genuine == Some(true) {
            self.adopt_address(key, source);
        }
        self.after_peer(key);
        Disposition::Taken
    }

    /// A deadline came.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        while let Some(PeerKey(key)) = self.deadlines.poll(now) {
            if let Some(peer) = self.peers.get_mut(key) {
                (peer.deadline, peer.scheduled) = (None, None);
            }
            self.with_peer(key, |peer, batch, counters| peer.handle_timeout(now, batch, counters));
            self.send_rtcp(key);
            if self.peers.get(key).is_some_and(|peer| peer.media.is_pending(now)) {
                self.mark_dirty(key);
            }
            self.after_peer(key);
        }
        if self.next_housekeeping <= now {
            self.next_housekeeping = now + housekeeping::INTERVAL;
            self.keep_house();
        }
    }

    /// The next effect. [`Output::Timeout`] means that there is nothing more before that time.
    pub fn poll_output(&mut self) -> Output<'_> {
        self.bury_failed();
        self.handle_keyframe_deadlines();
        if let Some(until) = self.held_until()
            && !self.batch.is_ready()
        {
            return Output::Timeout(until, Reason::Coalesce);
        }
        while !self.batch.is_ready() {
            let Some(key) = self.dirty.pop_front() else { break };
            // All of it was taken: start over at the front, so that the buffer stays in the cache.
            self.batch.clear();
            self.flush(key);
            self.after_peer(key);
            self.bury_failed();
        }
        if self.batch.is_ready() {
            self.counters.transmits += 1;
            let candidates = &self.config.candidates;
            let Some(mut transmit) = self.batch.pop() else { return Output::Timeout(self.now, Reason::Peer) };
            if let Some(candidate) = candidates.iter().find(|candidate| candidate.advertised == transmit.source) {
                transmit.source = candidate.bound;
            }
            return Output::Transmit(transmit);
        }
        self.batch.clear();
        if let Some((link, message)) = self.relays.pop_front() {
            self.counters.relays_sent += 1;
            return Output::Relay { link, message };
        }
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        let mut next = (self.next_housekeeping, Reason::Housekeeping);
        if let Some(&(at, ..)) = self.keyframe_deadlines.first()
            && at < next.0
        {
            next = (at, Reason::Keyframe);
        }
        if let Some(at) = self.deadlines.next()
            && at < next.0
        {
            next = (at, Reason::Peer);
        }
        Output::Timeout(next.0, next.1)
    }

    /// A frame's packets come one after the other within some microseconds. What leaves together costs half as much as
    /// what leaves one by one, for then the kernel is asked once per subscriber.
    fn held_until(&mut self) -> Option<Instant> {
        let until = self.hold?;
        if !self.open_frames.is_empty() && self.now < until {
            return Some(until);
        }
        self.hold = None;
        // Its publisher sends frames piece by piece: the rest of this one is not waited for again.
        for (track, layer) in self.open_frames.drain(..) {
            if let Some(layer) = self.tracks.get_mut(track).and_then(|track| track.layers.get_mut(layer)) {
                layer.trickles = true;
            }
        }
        None
    }

    /// A video packet is to leave for so many subscribers.
    pub(super) fn note_frame(&mut self, track: usize, layer: usize, ends: bool, subscribers: usize) {
        let trickles = &mut self.tracks[track].layers[layer].trickles;
        if ends {
            *trickles = false;
            self.open_frames.retain(|open| *open != (track, layer));
        } else if !*trickles && subscribers >= HOLD_SUBSCRIBERS && self.open_frames.len() < OPEN_FRAMES_MAX {
            if !self.open_frames.contains(&(track, layer)) {
                self.open_frames.push((track, layer));
            }
            self.hold.get_or_insert(self.now + HOLD);
        }
    }

    /// Cumulative counters, copied out.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What it holds now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            peers: self.peers.len(),
            tracks: self.tracks.len(),
            subscriptions: self.subscriptions.len(),
            conferences: self.conferences.len(),
            addresses: self.by_address.len(),
            ufrags: self.by_ufrag.len(),
            parked: self.parked.len(),
            deadlines: self.deadlines.len() + self.keyframe_deadlines.len(),
        }
    }

    /// The advertised address by which str0m knows the local address that a datagram came to.
    fn advertised(&self, bound: SocketAddr) -> SocketAddr {
        self.config
            .candidates
            .iter()
            .find(|candidate| candidate.bound == bound)
            .map_or(bound, |candidate| candidate.advertised)
    }

    /// Runs `work` on a peer. If it panics, the peer is lost and nobody else: it is not touched again, and buried when
    /// nobody up the stack holds keys of what hangs on it.
    fn with_peer<T>(&mut self, key: usize, work: impl FnOnce(&mut Peer, &mut Batch, &mut Counters) -> T) -> Option<T> {
        self.with_peer_and_tracks(key, |peer, lent| work(peer, lent.batch, lent.counters))
    }

    /// [`with_peer`](Self::with_peer), with all that sending needs.
    fn with_peer_and_tracks<T>(&mut self, key: usize, work: impl FnOnce(&mut Peer, Lent<'_>) -> T) -> Option<T> {
        let Self { peers, batch, counters, tracks, scratch, .. } = self;
        let peer = peers.get_mut(key).filter(|peer| !peer.failed)?;
        let lent = Lent { batch, counters, tracks, scratch };
        // The batch takes whole datagrams and the counters whole numbers, so a half-done `work` leaves both usable;
        // the peer itself is never touched again.
        match catch_unwind(AssertUnwindSafe(|| work(peer, lent))) {
            Ok(result) => Some(result),
            Err(_) => {
                self.note_panic(Some(key));
                None
            }
        }
    }

    /// Runs `work` on all of the engine: the fan-out, and what is done by the clock. If it panics, the peer that caused it is
    /// lost, if one did; what else was half done stays so, which may cost packets but not the worker.
    fn contain(&mut self, cause: Option<usize>, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.note_panic(cause);
        }
    }

    fn note_panic(&mut self, cause: Option<usize>) {
        self.counters.panics += 1;
        let Some((key, peer)) = cause.and_then(|key| Some((key, self.peers.get_mut(key)?))) else { return };
        if !std::mem::replace(&mut peer.failed, true) {
            self.failed.push(key);
        }
    }

    /// Sends what is queued for a peer.
    fn flush(&mut self, key: usize) {
        let now = self.now;
        self.with_peer_and_tracks(key, |peer, lent| {
            peer.dirty = false;
            peer.media.flush(now, lent.tracks, lent.scratch, lent.batch, lent.counters);
            peer.send_written(now, lent.batch, lent.counters);
        });
        self.send_rtcp(key);
    }

    /// Sends the RTCP of a peer that is due.
    fn send_rtcp(&mut self, key: usize) {
        let now = self.now;
        let Some(peer) = self.peers.get(key).filter(|peer| !peer.failed) else { return };
        if peer.media.deadline(now).is_none_or(|at| now < at) {
            return;
        }
        let mut clocks = std::mem::take(&mut self.clocks);
        clocks.clear();
        let due = peer.media.reports_due(now);
        clocks.extend(due.map(|(sender, of)| (sender, self.clock_of(of.track, of.layer))));
        self.with_peer_and_tracks(key, |peer, lent| {
            peer.media.send_rtcp(now, &clocks, lent.scratch, lent.batch, lent.counters);
            peer.update_deadline(now);
        });
        self.clocks = clocks;
    }

    /// What the publisher of a layer said last of its clock.
    fn clock_of(&self, track: usize, layer: u8) -> Option<SourceClock> {
        let track = self.tracks.get(track)?;
        let state = track.layers.get(usize::from(layer))?;
        match track.origin {
            Origin::Peer { peer, mid } => self.peers.get(peer)?.media.receiver.clock(mid, state.rid),
            Origin::Link { .. } => state.clock,
        }
    }

    fn bury_failed(&mut self) {
        while let Some(key) = self.failed.pop() {
            self.remove_peer(key, DisconnectReason::Panicked);
        }
    }

    /// Takes up what a peer has to tell, and its next deadline.
    fn after_peer(&mut self, key: usize) {
        loop {
            let Some(peer) = self.peers.get_mut(key) else { return };
            let Some(event) = peer.poll_event() else { break };
            self.handle_peer_event(key, event);
        }
        self.schedule(key);
    }

    fn schedule(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.scheduled == peer.deadline {
            return;
        }
        peer.scheduled = peer.deadline;
        match peer.deadline {
            Some(deadline) => self.deadlines.set(self.now, PeerKey(key), deadline),
            None => self.deadlines.cancel(PeerKey(key)),
        }
    }

    fn handle_peer_event(&mut self, key: usize, event: PeerEvent) {
        let Some(peer) = self.peers.get(key) else { return };
        let id = peer.id;
        match event {
            PeerEvent::Connected => {
                self.counters.peers_connected += 1;
                self.events.push_back(Event::Connected { peer: id });
                self.start_subscriptions(key);
            }
            PeerEvent::Gone(reason) => self.remove_peer(key, reason),
            PeerEvent::Data(data) => self.events.push_back(Event::Data { peer: id, data }),
            PeerEvent::DataClosed => self.events.push_back(Event::DataClosed { peer: id }),
        }
    }

    /// A peer proved that it receives at `address`.
    fn adopt_address(&mut self, key: usize, address: SocketAddr) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if self.by_address.get(&address) == Some(&key) {
            return;
        }
        let id = peer.id;
        // Who can send from another's address could otherwise take its media away.
        let previous = self.by_address.get(&address).and_then(|previous| self.peers.get(*previous));
        if previous.is_some_and(|previous| previous.is_busy_at(address, self.now)) {
            self.counters.datagrams_refused += 1;
            return;
        }
        if let Some(previous) = self.by_address.insert(address, key)
            && let Some(other) = self.peers.get_mut(previous)
        {
            other.addresses.retain(|known| *known != address);
        }
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.addresses.push_back(address);
        let surplus =
            if peer.addresses.len() > self.config.bounds.addresses { peer.addresses.pop_front() } else { None };
        if let Some(old) = surplus {
            self.by_address.remove(&old);
            self.events.push_back(Event::AddressRemoved { peer: id, address: old });
        }
        self.events.push_back(Event::AddressAdded { peer: id, address });
    }
}

/// What of the engine the work on one peer may use.
struct Lent<'a> {
    batch: &'a mut Batch,
    counters: &'a mut Counters,
    tracks: &'a Slab<Track>,
    scratch: &'a mut Scratch,
}

/// The deadline of the peer that has this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PeerKey(usize);

impl timers::Key for PeerKey {
    fn place(self) -> (usize, usize) {
        (0, self.0)
    }
}

/// Sizes of an engine's maps: all zero when everybody has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauges {
    pub peers: usize,
    pub tracks: usize,
    pub subscriptions: usize,
    pub conferences: usize,
    pub addresses: usize,
    pub ufrags: usize,
    pub parked: usize,
    pub deadlines: usize,
}

#[cfg(test)]
mod tests;
