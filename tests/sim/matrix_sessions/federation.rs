//! Homeservers that federate one room: delays, splits, events out of order, and what a client is given by its own server.
//!
//! State is resolved by depth, then event id. That is not Matrix's algorithm; what it shares with it is what counts here: all
//! servers that have the same events have the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Map, Value, json};
use sfu_testkit::random::Random;

/// Milliseconds since the Unix epoch at the start of each story.
pub(super) const EPOCH: u64 = 1_750_000_000_000;

/// An event on its way between servers.
#[derive(Debug)]
pub(super) struct Pdu {
    pub(super) event: Value,
    pub(super) encrypted_by: Option<String>,
    depth: u64,
}

/// What a client's server gives it.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) event: Value,
    pub(super) encrypted_by: Option<String>,
}

enum Delivery {
    ToServer(usize, Rc<Pdu>),
    ToClient(usize, Given),
    /// A delayed event (MSC4140) is due, unless it was restarted or cancelled.
    Will(u64),
}

/// What somebody sends.
pub(super) struct Sending {
    pub(super) kind: String,
    pub(super) sender: String,
    pub(super) state_key: Option<String>,
    pub(super) content: Map<String, Value>,
    pub(super) sticky_ms: Option<u64>,
    pub(super) encrypted_by: Option<String>,
}

struct Server {
    /// How wrong its clock is.
    skew_ms: u64,
    clients: Vec<usize>,
    state: BTreeMap<(String, String), Rc<Pdu>>,
    sticky: Vec<Rc<Pdu>>,
    redacted: BTreeSet<String>,
    seen: BTreeSet<String>,
    last_sent: u64,
}

/// A delayed event that waits at its server.
struct Will {
    server: usize,
    sending: Sending,
}

pub(super) struct Federation {
    pub(super) now: u64,
    pub(super) random: Random,
    /// Nobody renews anything any more.
    pub(super) is_over: bool,
    servers: Vec<Server>,
    queue: BTreeMap<(u64, u64), Delivery>,
    count: u64,
    cut: BTreeSet<(usize, usize)>,
    held: Vec<(usize, usize, Rc<Pdu>)>,
    wills: BTreeMap<u64, Will>,
    /// When the last thing that was given to each client arrives: one by one, in order.
    given_until: Vec<u64>,
}

impl Federation {
    pub(super) fn new(seed: u64, servers: usize) -> Self {
        let mut random = Random::stream(seed, &[1]);
        let server = |random: &mut Random| Server {
            skew_ms: random.below(4_000),
            clients: Vec::new(),
            state: BTreeMap::new(),
            sticky: Vec::new(),
            redacted: BTreeSet::new(),
            seen: BTreeSet::new(),
            last_sent: 0,
        };
        let servers = (0..servers).map(|_| server(&mut random)).collect();
        Self {
            now: 0,
            random,
            is_over: false,
            servers,
            queue: BTreeMap::new(),
            count: 0,
            cut: BTreeSet::new(),
            held: Vec::new(),
            wills: BTreeMap::new(),
            given_until: Vec::new(),
        }
    }

    pub(super) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Clients are numbered in the order in which they are added.
    pub(super) fn add_client(&mut self, server: usize) {
        let client = self.given_until.len();
        self.given_until.push(0);
        self.servers[server].clients.push(client);
    }

    /// A server accepts an event of one of its users.
    pub(super) fn send(&mut self, server: usize, sending: Sending) -> String {
        self.count += 1;
        let event_id = format!("${:08x}", self.random.u64() as u32) + &self.count.to_string();
        let here = &mut self.servers[server];
        // A server's clock shows each millisecond once.
        here.last_sent = (EPOCH + self.now + here.skew_ms).max(here.last_sent + 1);
        let mut event = json!({"type": sending.kind, "event_id": event_id, "sender": sending.sender,
            "origin_server_ts": here.last_sent, "content": sending.content});
        let mut depth = 0;
        if let Some(state_key) = sending.state_key {
            let place = (sending.kind, state_key.clone());
            depth = here.state.get(&place).map_or(0, |known| known.depth + 1);
            event["state_key"] = state_key.into();
        }
        if let Some(duration) = sending.sticky_ms {
            event["msc4354_sticky"] = json!({"duration_ms": duration});
        }
        let pdu = Rc::new(Pdu { event, encrypted_by: sending.encrypted_by, depth });
        for other in (0..self.servers.len()).filter(|other| *other != server) {
            self.federate(server, other, Rc::clone(&pdu));
        }
        self.accept(server, pdu);
        event_id
    }

    /// What the server will send in a client's place after `delay`, unless it is taken back.
    pub(super) fn leave_will(&mut self, server: usize, sending: Sending, delay: u64) -> u64 {
        self.count += 1;
        self.wills.insert(self.count, Will { server, sending });
        self.queue.insert((self.now + delay, self.count), Delivery::Will(self.count));
        self.count
    }

    pub(super) fn cut(&mut self, one: usize, two: usize) {
        self.cut.insert((one.min(two), one.max(two)));
    }

    pub(super) fn is_cut(&self) -> bool {
        !self.cut.is_empty()
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
        let mut held = std::mem::take(&mut self.held);
        while !held.is_empty() {
            // In any order: each server asks for what it missed as it finds out.
            let next = self.random.below(held.len() as u64) as usize;
            let (from, to, pdu) = held.swap_remove(next);
            self.federate(from, to, pdu);
        }
    }

    /// The client hears nothing for a while, and then all.
    pub(super) fn pause_client(&mut self, client: usize, millis: u64) {
        self.given_until[client] = self.given_until[client].max(self.now + millis);
    }

    /// Everything that `server` gives to one who starts anew.
    pub(super) fn snapshot(&mut self, server: usize) -> Vec<Given> {
        let here = &self.servers[server];
        let wall = EPOCH + self.now + here.skew_ms;
        let mut given: Vec<Given> = here.state.values().map(|pdu| given(pdu, here, wall)).collect();
        let is_sticky = |pdu: &&Rc<Pdu>| {
            let sent = pdu.event["origin_server_ts"].as_u64().unwrap_or_default();
            sent + pdu.event["msc4354_sticky"]["duration_ms"].as_u64().unwrap_or_default() > wall
        };
        let mut sticky: Vec<Given> =
            here.sticky.iter().filter(is_sticky).map(|pdu| self::given(pdu, here, wall)).collect();
        while !sticky.is_empty() {
            let next = self.random.below(sticky.len() as u64) as usize;
            given.push(sticky.swap_remove(next));
        }
        given
    }

    /// The ids of sticky events with this key: what a moderator has to redact.
    pub(super) fn sticky_events(&self, server: usize, key: &str) -> Vec<String> {
        let has_key = |pdu: &&Rc<Pdu>| pdu.event["content"]["msc4354_sticky_key"] == key;
        let id = |pdu: &Rc<Pdu>| pdu.event["event_id"].as_str().unwrap_or_default().to_owned();
        self.servers[server].sticky.iter().filter(has_key).map(id).collect()
    }

    pub(super) fn state(&self, server: usize, kind: &str, state_key: &str) -> Option<&Value> {
        self.servers[server].state.get(&(kind.to_owned(), state_key.to_owned())).map(|pdu| &pdu.event)
    }

    /// Whether all servers resolve the room's state alike.
    pub(super) fn is_resolved(&self) -> bool {
        let ids = |server: &Server| -> Vec<Value> {
            server.state.values().map(|pdu| pdu.event["event_id"].clone()).collect()
        };
        self.servers.windows(2).all(|pair| ids(&pair[0]) == ids(&pair[1]))
    }

    /// When something happens next.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    /// Does what is due now; what reaches clients comes back.
    pub(super) fn run_due(&mut self) -> Vec<(usize, Given)> {
        let mut given = Vec::new();
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Delivery::ToServer(server, pdu) => self.accept(server, pdu),
                Delivery::ToClient(client, what) => given.push((client, what)),
                Delivery::Will(will) => {
                    if let Some(Will { server, sending }) = self.wills.remove(&will) {
                        self.send(server, sending);
                    }
                }
            }
        }
        given
    }

    pub(super) fn cancel_will(&mut self, will: u64) {
        self.wills.remove(&will);
    }

    fn federate(&mut self, from: usize, to: usize, pdu: Rc<Pdu>) {
        if self.cut.contains(&(from.min(to), from.max(to))) {
            return self.held.push((from, to, pdu));
        }
        let bound = if self.random.below(10) == 0 { 3_000 } else { 100 };
        let delay = 5 + self.random.below(bound);
        self.count += 1;
        self.queue.insert((self.now + delay, self.count), Delivery::ToServer(to, pdu));
    }

    fn accept(&mut self, server: usize, pdu: Rc<Pdu>) {
        let here = &mut self.servers[server];
        if !here.seen.insert(text(&pdu.event, "event_id")) {
            return;
        }
        if pdu.event["type"] == "m.room.redaction" {
            here.redacted.insert(text(&pdu.event["content"], "redacts"));
        }
        if pdu.event.get("state_key").is_some() {
            let place = (text(&pdu.event, "type"), text(&pdu.event, "state_key"));
            let rank = |pdu: &Pdu| (pdu.depth, text(&pdu.event, "event_id"));
            if here.state.get(&place).is_some_and(|known| rank(known) > rank(&pdu)) {
                return; // Resolved against it: nobody is told.
            }
            here.state.insert(place, Rc::clone(&pdu));
        } else if pdu.event.get("msc4354_sticky").is_some() {
            here.sticky.push(Rc::clone(&pdu));
        }
        let wall = EPOCH + self.now + here.skew_ms;
        let what = given(&pdu, here, wall);
        for client in here.clients.clone() {
            let bound = if self.random.below(20) == 0 { 5_000 } else { 150 };
            let delay = 1 + self.random.below(bound);
            let at = (self.now + delay).max(self.given_until[client]);
            self.given_until[client] = at;
            self.count += 1;
            self.queue.insert((at, self.count), Delivery::ToClient(client, what.clone()));
        }
    }
}

/// As the server has it now: redacted, and with what is left of its stickiness.
fn given(pdu: &Rc<Pdu>, server: &Server, wall: u64) -> Given {
    let mut event = pdu.event.clone();
    if server.redacted.contains(&text(&event, "event_id")) {
        event["content"] = json!({});
        event["unsigned"] = json!({"redacted_because": {"type": "m.room.redaction"}});
    } else if let Some(duration) = event["msc4354_sticky"]["duration_ms"].as_u64() {
        let sent = event["origin_server_ts"].as_u64().unwrap_or_default().min(wall);
        event["unsigned"] = json!({"msc4354_sticky_duration_ttl_ms": (sent + duration).saturating_sub(wall)});
    }
    Given { event, encrypted_by: pdu.encrypted_by.clone() }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
