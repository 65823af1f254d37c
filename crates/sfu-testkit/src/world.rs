//! The simulated world: virtual time, a queue of events, foci, clients, and what lies between them.
//!
//! Everything that happens is an event with a time; of equal times the first that was queued comes first. Nobody reads a
//! clock: the one [`Instant`] that machines want as their origin is taken once, here.

mod post;
mod verbs;
mod wait;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use focus_control::ConnectionId;
use focus_signaling::todevice::{Address, Content};

pub use self::post::Post;
use self::wire::{Meddling, Socket};
use crate::checkers::{Checkers, Leniency};
use crate::client::Client;
use crate::focus::{Focus, FocusSetup};
use crate::network::{Network, Node, Path};
use crate::random::{Random, mix};
use crate::trace::Trace;

/// How a world begins.
#[derive(Debug, Clone)]
pub struct Setup {
    pub foci: usize,
    pub focus: FocusSetup,
    pub path: Path,
    /// One way, of the signalling sockets.
    pub signal_delay: Duration,
    /// What homeservers do to to-device messages.
    pub post: Post,
    /// What str0m draws for itself (SSRCs, mids, ICE credentials) comes from this as well as from the seed: a story that
    /// compares two runs gives them different ones, because nobody may notice.
    pub private_randomness: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            foci: 1,
            focus: FocusSetup::default(),
            path: Path::default(),
            signal_delay: Duration::from_millis(20),
            post: Post::default(),
            private_randomness: 0,
        }
    }
}

impl Setup {
    pub fn workers(workers: usize, spread_at: usize) -> Self {
        Self { focus: FocusSetup { workers, spread_at, ..FocusSetup::default() }, ..Self::default() }
    }

    pub fn over(path: Path) -> Self {
        Self { path, ..Self::default() }
    }
}

#[derive(Debug)]
enum Event {
    Wake(Node),
    ToFocus { focus: usize, source: SocketAddr, bytes: Vec<u8> },
    ToClient { client: usize, source: SocketAddr, destination: SocketAddr, bytes: Vec<u8> },
    FocusOpen(ConnectionId),
    FocusText(ConnectionId, String),
    FocusClosed(ConnectionId),
    ClientText(ConnectionId, String),
    ClientClosed(ConnectionId, Option<u16>),
    FocusToDevice { focus: usize, from: Address, content: Content },
    ClientToDevice { client: usize, content: Content },
    Move { client: usize, focus: usize },
}

pub struct World {
    pub seed: u64,
    pub setup: Setup,
    pub now: Duration,
    pub network: Network,
    pub foci: Vec<Focus>,
    pub clients: Vec<Client>,
    pub checkers: Checkers,
    pub trace: Trace,
    /// Events that were handled.
    pub steps: u64,
    base: Instant,
    queue: BTreeMap<(Duration, u64), Event>,
    queued: u64,
    wakes: BTreeMap<Node, Duration>,
    /// Which focus each client talks to.
    homes: Vec<usize>,
    sockets: BTreeMap<ConnectionId, Socket>,
    /// The socket that each client has open.
    current: BTreeMap<usize, ConnectionId>,
    opened: u64,
    /// Public addresses of clients, where a NAT gave them one that is not their own.
    nat: BTreeMap<usize, SocketAddr>,
    addresses: BTreeMap<SocketAddr, usize>,
    /// Sockets do not even break: nothing gets through and nobody is told.
    pub(crate) dark: BTreeMap<usize, Duration>,
    meddling: BTreeMap<usize, Meddling>,
    post_random: Random,
    /// To-device messages that were sent to foci: whose, and what.
    pub posted: Vec<(usize, Content)>,
    wiretaps: BTreeMap<usize, Vec<(Duration, Vec<u8>)>>,
    /// Wakes of a node within the second that began then.
    spin: BTreeMap<Node, (Duration, u32)>,
    pub drained: Vec<usize>,
    /// Panics that the story caused.
    pub panics_injected: u64,
}

/// A machine that asks to be woken more often than this in a second of virtual time spins.
const WAKES_PER_SECOND_MAX: u32 = 100_000;
/// The finest a real loop would sleep. A deadline that has passed comes after this.
const TICK: Duration = Duration::from_micros(50);

impl World {
    pub fn new(seed: u64, setup: Setup) -> Self {
        // str0m takes these from the thread's generator. With it the whole run can be replayed.
        fastrand::seed(mix(seed, &[0xfa57, setup.private_randomness]));
        let base = Instant::now();
        let foci: Vec<_> = (0..setup.foci).map(|index| Focus::new(index, seed, setup.focus.clone(), base)).collect();
        let mut world = Self {
            seed,
            now: Duration::ZERO,
            network: Network::new(seed, setup.path.clone()),
            foci,
            clients: Vec::new(),
            checkers: Checkers::default(),
            trace: Trace::default(),
            steps: 0,
            base,
            queue: BTreeMap::new(),
            queued: 0,
            wakes: BTreeMap::new(),
            homes: Vec::new(),
            sockets: BTreeMap::new(),
            current: BTreeMap::new(),
            opened: 0,
            nat: BTreeMap::new(),
            addresses: BTreeMap::new(),
            dark: BTreeMap::new(),
            meddling: BTreeMap::new(),
            post_random: Random::stream(seed, &[0x9057]),
            posted: Vec::new(),
            wiretaps: BTreeMap::new(),
            spin: BTreeMap::new(),
            drained: Vec::new(),
            panics_injected: 0,
            setup,
        };
        world.checkers.leniency =
            Leniency { gaps: world.setup.path.loss > 0.0, reordering: world.setup.path.reorder > 0.0 };
        for focus in 0..world.foci.len() {
            world.flush_focus(focus);
        }
        world
    }

    /// The present as machines see it.
    pub fn instant(&self) -> Instant {
        self.base + self.now
    }

    fn since_base(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.base)
    }

    fn post(&mut self, at: Duration, event: Event) {
        self.queued += 1;
        self.queue.insert((at, self.queued), event);
    }

    /// Handles the next event if it comes before `until`.
    fn step(&mut self, until: Duration) -> bool {
        let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(entry.key().0);
        let event = entry.remove();
        self.steps += 1;
        self.handle(event);
        true
    }

    fn handle(&mut self, event: Event) {
        let now = self.instant();
        match event {
            Event::Wake(node) => {
                if self.wakes.get(&node) != Some(&self.now) {
                    return;
                }
                self.wakes.remove(&node);
                self.count_wake(node);
                match node {
                    Node::Focus(focus) => self.foci[focus].handle_timeout(now),
                    Node::Client(client) => self.clients[client].handle_timeout(now),
                }
                self.flush(node);
            }
            Event::ToFocus { focus, source, bytes } => {
                self.foci[focus].handle_datagram(now, source, &bytes);
                self.flush_focus(focus);
            }
            Event::ToClient { client, source, destination, bytes } => {
                self.clients[client].handle_datagram(now, source, destination, &bytes);
                self.flush_client(client);
            }
            Event::FocusOpen(connection) => self.with_socket(connection, |focus, _| focus.handle_open(now, connection)),
            Event::FocusText(connection, text) => {
                self.with_socket(connection, |focus, _| focus.handle_text(now, connection, &text));
            }
            Event::FocusClosed(connection) => {
                self.with_socket(connection, |focus, _| focus.handle_closed(now, connection));
                self.sockets.remove(&connection);
            }
            Event::ClientText(connection, text) => {
                if let Some(client) = self.client_of(connection) {
                    self.clients[client].handle_text(now, &text);
                    self.flush_client(client);
                }
            }
            Event::ClientClosed(connection, code) => {
                if let Some(client) = self.client_of(connection) {
                    self.current.remove(&client);
                    self.sockets.remove(&connection);
                    self.clients[client].handle_closed(now, code);
                    self.flush_client(client);
                }
            }
            Event::FocusToDevice { focus, from, content } => {
                self.foci[focus].handle_to_device(now, from, content);
                self.flush_focus(focus);
            }
            Event::ClientToDevice { client, content } => {
                self.clients[client].handle_to_device(now, content);
                self.flush_client(client);
            }
            Event::Move { client, focus } => {
                self.homes[client] = focus;
                self.clients[client].leave();
                self.flush_client(client);
                self.clients[client].join();
                self.flush_client(client);
            }
        }
    }

    fn count_wake(&mut self, node: Node) {
        let (since, count) = self.spin.entry(node).or_insert((self.now, 0));
        if self.now > *since + Duration::from_secs(1) {
            (*since, *count) = (self.now, 0);
        }
        *count += 1;
        if *count == WAKES_PER_SECOND_MAX {
            self.checkers.report(self.now, format!("{node:?} spins"));
        }
    }

    fn reschedule(&mut self, node: Node) {
        let deadline = match node {
            Node::Focus(focus) => self.foci[focus].deadline(),
            Node::Client(client) => self.clients[client].deadline(),
        };
        let Some(deadline) = deadline else { return };
        let at = self.since_base(deadline).max(self.now + TICK);
        if self.wakes.get(&node).is_none_or(|known| at < *known) {
            self.wakes.insert(node, at);
            self.post(at, Event::Wake(node));
        }
    }

    fn flush(&mut self, node: Node) {
        match node {
            Node::Focus(focus) => self.flush_focus(focus),
            Node::Client(client) => self.flush_client(client),
        }
    }

    /// Looks at everything that has been delivered, and fails on what is wrong.
    pub fn check(&mut self) {
        assert!(self.checkers.violations.is_empty(), "{}", self.checkers.violations.join("\n"));
    }

    /// The end of a story.
    pub fn finish(&mut self) {
        self.checkers.finish(self.now);
        self.check();
        for (index, focus) in self.foci.iter().enumerate() {
            assert_eq!(focus.counter("panics"), self.panics_injected, "an engine of focus {index} panicked");
        }
    }
}
