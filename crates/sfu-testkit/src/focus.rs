//! A simulated focus: the control plane, the engines and a connection machine per socket, wired as the server wires
//! them, in virtual time.
//!
//! What the server has and instant calls would hide is here too: control and workers reach each other with a delay,
//! a 4-tuple hashes to a worker as `SO_REUSEPORT` does, so that with several workers most datagrams come to the wrong
//! one and go once through a ring, and the rings are bounded.

mod desk;
mod directory;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use focus_control::token::{LIFETIME_DEFAULT, Mint, Minter};
use focus_control::{ConnectionId, Control, ControlBounds, ControlConfig, Gauges, RequestId, WallClock, WorkerId};
use focus_signaling::todevice::{Address, Content};
use focus_signaling::{CloseCode, Connection};
use sfu_core::{
    Bounds, Command, CommandError, Datagram, Disposition, Engine, EngineConfig, Event, LinkId, LocalCandidate,
    RelayMessage, Reply,
};

use self::desk::Desk;
use self::directory::Directory;
use crate::dtls::insecure_provider;
use crate::random::{Random, mix};

/// How a focus is set up.
#[derive(Debug, Clone)]
pub struct FocusSetup {
    pub workers: usize,
    pub spread_at: usize,
    /// Messages that one ring between two workers holds.
    pub ring: usize,
    /// How long a message waits in a ring until its worker takes it.
    pub ring_delay: Duration,
    /// How long commands, replies and events are on their way between control and workers.
    pub lag: Duration,
    pub bounds: Bounds,
    pub control_bounds: ControlBounds,
}

impl Default for FocusSetup {
    fn default() -> Self {
        Self {
            workers: 1,
            spread_at: 50,
            ring: 4096,
            ring_delay: Duration::from_micros(100),
            lag: Duration::from_micros(200),
            bounds: Bounds::default(),
            control_bounds: ControlBounds::default(),
        }
    }
}

/// What a focus wants done.
#[derive(Debug)]
pub enum Effect {
    Datagram { source: SocketAddr, destination: SocketAddr, bytes: Vec<u8> },
    Text { connection: ConnectionId, text: String },
    Close { connection: ConnectionId, code: CloseCode },
    ToDevice { to: Address, content: Content },
    Drained,
}

/// What is on its way inside the focus.
#[derive(Debug)]
enum Mail {
    Command(WorkerId, RequestId, Command),
    Reply(WorkerId, RequestId, Result<Reply, CommandError>),
    Event(WorkerId, Event),
    /// The worker empties this ring.
    Ring {
        from: usize,
        to: usize,
    },
}

#[derive(Debug)]
enum Parcel {
    Datagram { source: SocketAddr, destination: SocketAddr, bytes: Vec<u8> },
    Relay(RelayMessage),
}

/// What happened at the rings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingTally {
    pub misrouted: u64,
    pub relayed: u64,
    pub overflowed: u64,
    /// Datagrams of nobody.
    pub unknown: u64,
}

pub struct Focus {
    pub address: SocketAddr,
    pub minter: Minter,
    pub control: Control,
    pub engines: Vec<Engine>,
    pub rings_tally: RingTally,
    setup: FocusSetup,
    random: Random,
    connections: BTreeMap<ConnectionId, Connection>,
    pub desk: Desk,
    directory: Directory,
    rings: BTreeMap<(usize, usize), VecDeque<Parcel>>,
    /// By the time that it arrives, then in order of sending.
    mail: BTreeMap<(Instant, u64), Mail>,
    mailed: u64,
    /// When each engine, each connection and control want to be woken.
    engine_deadlines: Vec<Option<Instant>>,
    connection_deadlines: BTreeMap<ConnectionId, Instant>,
    control_deadline: Option<Instant>,
    clock: WallClock,
    effects: Vec<Effect>,
    /// Every event that any engine gave, for stories to look at.
    pub seen: Vec<(WorkerId, Event)>,
}

impl Focus {
    pub fn new(index: usize, seed: u64, setup: FocusSetup, now: Instant) -> Self {
        let address: SocketAddr = ([192, 0, 2, 1 + index as u8], 3478).into();
        let key = |part| mix(seed, &[0xf0c5, index as u64, part]);
        let seed_of = |part| Random::stream(key(part), &[]).bytes::<32>();
        let focus = format!("focus{index}.test");
        let minter = Minter::from_seed(&seed_of(0), focus.clone()).expect("any seed is a key");
        // 2033-05-18: as good as any.
        let clock = WallClock { instant: now, unix: Duration::from_secs(2_000_000_000) };
        let control = Control::new(
            now,
            ControlConfig {
                focus,
                workers: setup.workers,
                spread_at: setup.spread_at,
                seed: seed_of(1),
                verifier: Some(minter.verifier()),
                clock,
                bounds: setup.control_bounds.clone(),
            },
        );
        let engines: Vec<_> = (0..setup.workers)
            .map(|worker| {
                let config = EngineConfig {
                    candidates: vec![LocalCandidate { advertised: address, bound: address }],
                    seed: seed_of(10 + worker as u64),
                    crypto: insecure_provider(key(1000 + worker as u64)),
                    bounds: setup.bounds.clone(),
                };
                Engine::new(now, config)
            })
            .collect();
        Self {
            address,
            minter,
            control,
            engine_deadlines: vec![Some(now); engines.len()],
            engines,
            rings_tally: RingTally::default(),
            setup,
            random: Random::stream(key(2), &[]),
            connections: BTreeMap::new(),
            desk: Desk::new(format!("f{index}")),
            directory: Directory::default(),
            rings: BTreeMap::new(),
            mail: BTreeMap::new(),
            mailed: 0,
            connection_deadlines: BTreeMap::new(),
            control_deadline: Some(now),
            clock,
            effects: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// A token, as the authoriser of this focus would mint one now.
    pub fn mint(&mut self, now: Instant, identity: &str, conference: &str, publish: bool) -> String {
        let mint = Mint { identity, conference, name: identity, publish, lifetime: LIFETIME_DEFAULT };
        let unix = self.clock.unix + (now - self.clock.instant);
        self.minter.mint(&mint, unix, self.random.rng()).expect("a mintable token")
    }

    pub fn handle_open(&mut self, now: Instant, connection: ConnectionId) {
        let limits = self.setup.control_bounds.limits;
        self.connections.insert(connection, Connection::new(now, limits));
        self.pump_connection(now, connection);
        self.settle(now);
    }

    pub fn handle_text(&mut self, now: Instant, connection: ConnectionId, text: &str) {
        if let Some(machine) = self.connections.get_mut(&connection) {
            machine.handle_text(now, text);
            self.pump_connection(now, connection);
            self.settle(now);
        }
    }

    pub fn handle_closed(&mut self, now: Instant, connection: ConnectionId) {
        if let Some(mut machine) = self.connections.remove(&connection) {
            self.connection_deadlines.remove(&connection);
            machine.handle_closed(now);
            // What came before the end still counts.
            while let focus_signaling::Output::Request { id, message } = machine.poll_output() {
                self.control.handle_message(now, connection, id, message);
            }
            self.control.handle_closed(now, connection);
            self.settle(now);
        }
    }

    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) {
        let worker = self.hash_to_worker(source);
        let datagram = Datagram { source, destination: self.address, contents: bytes };
        if self.engines[worker].handle_datagram(now, datagram) == Disposition::Unknown {
            match self.directory.owner(source, bytes) {
                Some(owner) if owner != worker => {
                    self.rings_tally.misrouted += 1;
                    let parcel = Parcel::Datagram { source, destination: datagram.destination, bytes: bytes.to_vec() };
                    self.push_ring(now, worker, owner, parcel);
                }
                _ => self.rings_tally.unknown += 1,
            }
        }
        self.pump_engine(now, worker);
        self.settle(now);
    }

    /// As `SO_REUSEPORT` would: by the 4-tuple, for as long as it stays the same.
    fn hash_to_worker(&self, source: SocketAddr) -> usize {
        let hash = crate::random::hash(source.to_string().as_bytes());
        (mix(hash, &[]) % self.engines.len() as u64) as usize
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(entry) = self.mail.first_entry().filter(|entry| entry.key().0 <= now) {
            let mail = entry.remove();
            self.deliver(now, mail);
        }
        for worker in 0..self.engines.len() {
            if self.engine_deadlines[worker].is_some_and(|at| at <= now) {
                self.engines[worker].handle_timeout(now);
                self.pump_engine(now, worker);
            }
        }
        let due: Vec<_> = self.connection_deadlines.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for connection in due {
            if let Some(machine) = self.connections.get_mut(&connection) {
                machine.handle_timeout(now);
                self.pump_connection(now, connection);
            }
        }
        if self.control_deadline.is_some_and(|at| at <= now) {
            self.control.handle_timeout(now);
        }
        if self.desk.deadline.is_some_and(|at| at <= now) {
            self.desk.server.handle_timeout(now);
            self.pump_desk(now);
        }
        self.settle(now);
    }

    fn deliver(&mut self, now: Instant, mail: Mail) {
        match mail {
            Mail::Command(worker, request, command) => {
                let reply = self.engines[worker.0].handle_command(now, command);
                // Events that the command caused come before its reply only if the engine gave them before; the
                // server polls after it has answered.
                self.post(now, Mail::Reply(worker, request, reply));
                self.pump_engine(now, worker.0);
            }
            Mail::Reply(worker, request, reply) => self.control.handle_reply(now, worker, request, reply),
            Mail::Event(worker, event) => self.control.handle_event(now, worker, event),
            Mail::Ring { from, to } => {
                let parcels = self.rings.get_mut(&(from, to)).map(std::mem::take).unwrap_or_default();
                for parcel in parcels {
                    match parcel {
                        Parcel::Datagram { source, destination, bytes } => {
                            let datagram = Datagram { source, destination, contents: &bytes };
                            if self.engines[to].handle_datagram(now, datagram) == Disposition::Unknown {
                                self.rings_tally.unknown += 1;
                            }
                        }
                        Parcel::Relay(message) => {
                            self.engines[to].handle_relay(now, LinkId(from as u64), message);
                        }
                    }
                }
                self.pump_engine(now, to);
            }
        }
        self.pump_control(now);
    }

    fn post(&mut self, now: Instant, mail: Mail) {
        let delay = if matches!(mail, Mail::Ring { .. }) { self.setup.ring_delay } else { self.setup.lag };
        self.mailed += 1;
        self.mail.insert((now + delay, self.mailed), mail);
    }

    fn push_ring(&mut self, now: Instant, from: usize, to: usize, parcel: Parcel) {
        let ring = self.rings.entry((from, to)).or_default();
        if ring.len() >= self.setup.ring {
            self.rings_tally.overflowed += 1;
            return;
        }
        ring.push_back(parcel);
        if ring.len() == 1 {
            self.post(now, Mail::Ring { from, to });
        }
    }

    fn pump_engine(&mut self, now: Instant, worker: usize) {
        loop {
            match self.engines[worker].poll_output() {
                sfu_core::Output::Transmit(transmit) => {
                    let (source, destination) = (transmit.source, transmit.destination);
                    self.effects.extend(transmit.datagrams().map(|bytes| Effect::Datagram {
                        source,
                        destination,
                        bytes: bytes.to_vec(),
                    }));
                }
                sfu_core::Output::Relay { link, message } => {
                    self.rings_tally.relayed += 1;
                    self.push_ring(now, worker, link.0 as usize, Parcel::Relay(message));
                }
                sfu_core::Output::Event(event) => {
                    self.directory.handle_event(worker, &event);
                    self.seen.push((WorkerId(worker), event.clone()));
                    self.post(now, Mail::Event(WorkerId(worker), event));
                }
                sfu_core::Output::Timeout(at, _) => {
                    self.engine_deadlines[worker] = Some(at);
                    return;
                }
            }
        }
    }

    fn pump_connection(&mut self, now: Instant, connection: ConnectionId) {
        while let Some(machine) = self.connections.get_mut(&connection) {
            match machine.poll_output() {
                focus_signaling::Output::Text(text) => self.effects.push(Effect::Text { connection, text }),
                focus_signaling::Output::Request { id, message } => {
                    self.control.handle_message(now, connection, id, message);
                }
                focus_signaling::Output::Close { code } => {
                    self.effects.push(Effect::Close { connection, code });
                    self.connections.remove(&connection);
                    self.connection_deadlines.remove(&connection);
                    self.control.handle_closed(now, connection);
                }
                focus_signaling::Output::Timeout(at, _) => {
                    match at {
                        Some(at) => self.connection_deadlines.insert(connection, at),
                        None => self.connection_deadlines.remove(&connection),
                    };
                    return;
                }
            }
        }
    }

    fn pump_control(&mut self, now: Instant) {
        loop {
            match self.control.poll_output() {
                focus_control::Output::Send { connection, re, message } if self.desk.has(connection) => {
                    self.desk.send(now, connection, re, message);
                    self.pump_desk(now);
                }
                focus_control::Output::Close { connection, code } if self.desk.has(connection) => {
                    self.desk.close(now, connection, code);
                    self.pump_desk(now);
                }
                focus_control::Output::Send { connection, re, message } => {
                    if let Some(machine) = self.connections.get_mut(&connection) {
                        machine.send(now, re, message);
                        self.pump_connection(now, connection);
                    }
                }
                focus_control::Output::Close { connection, code } => {
                    if let Some(machine) = self.connections.get_mut(&connection) {
                        machine.close(now, code);
                        self.pump_connection(now, connection);
                    }
                }
                focus_control::Output::Command { worker, request, command } => {
                    self.post(now, Mail::Command(worker, request, command));
                }
                focus_control::Output::Delegate { .. } | focus_control::Output::Presence { .. } => {}
                focus_control::Output::Arrived(_)
                | focus_control::Output::Departed(_)
                | focus_control::Output::Confirm { .. } => {}
                focus_control::Output::Drained => self.effects.push(Effect::Drained),
                focus_control::Output::Timeout(at, _) => {
                    self.control_deadline = at;
                    return;
                }
            }
        }
    }

    /// After anything from outside: until nobody has anything more to say at this instant.
    fn settle(&mut self, now: Instant) {
        self.pump_control(now);
    }

    /// Does something to the control plane, as an operator would.
    pub fn control(&mut self, now: Instant, act: impl FnOnce(&mut Control)) {
        act(&mut self.control);
        self.settle(now);
    }

    /// Does something to one engine, past the control plane.
    pub fn command(&mut self, now: Instant, worker: usize, command: Command) -> Result<Reply, CommandError> {
        let reply = self.engines[worker].handle_command(now, command);
        self.pump_engine(now, worker);
        self.settle(now);
        reply
    }

    pub fn deadline(&self) -> Option<Instant> {
        let engines = self.engine_deadlines.iter().flatten();
        let mail = self.mail.keys().map(|(at, _)| at).next();
        let others = self.control_deadline.iter().chain(&self.desk.deadline);
        engines.chain(self.connection_deadlines.values()).chain(others).chain(mail).min().copied()
    }

    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The sum over the engines.
    pub fn counter(&self, name: &str) -> u64 {
        let values =
            |engine: &Engine| engine.counters().iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        self.engines.iter().map(|engine| values(engine).unwrap_or_else(|| panic!("no counter {name}"))).sum()
    }

    pub fn gauges(&self) -> Gauges {
        self.control.gauges()
    }

    /// Changes how many messages a ring holds.
    pub fn set_ring(&mut self, messages: usize) {
        self.setup.ring = messages;
    }

    /// Entries left in the directory, sockets, and messages on their way.
    pub fn leftovers(&self) -> (usize, usize, usize) {
        (self.directory.len(), self.connections.len(), self.rings.values().map(VecDeque::len).sum())
    }
}
