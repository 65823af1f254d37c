//! The focus's Matrix device, simulated from where its events are decrypted: who may join, and which link is which connection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use focus_control::ConnectionId;
use focus_signaling::todevice::server::{LinkId, Output, Server};
use focus_signaling::todevice::{Address, Content};
use focus_signaling::wire::{ClientMessage, Hello, ServerMessage, VERSION};
use focus_signaling::{CloseCode, Errcode};

use super::{Effect, Focus};

/// Where the ids of links begin among those of connections.
const FIRST: u64 = 1 << 40;

pub struct Desk {
    pub server: Server,
    /// Users that are in no room.
    pub strangers: BTreeSet<String>,
    /// Members that were let in, as they called themselves.
    pub joined: Vec<String>,
    pub(super) deadline: Option<Instant>,
    connections: BTreeMap<ConnectionId, LinkId>,
}

impl Desk {
    pub(super) fn new(prefix: String) -> Self {
        Self {
            server: Server::new(prefix),
            strangers: BTreeSet::new(),
            joined: Vec::new(),
            deadline: None,
            connections: BTreeMap::new(),
        }
    }

    pub(super) fn has(&self, connection: ConnectionId) -> bool {
        (FIRST..1 << 63).contains(&connection.0)
    }

    pub(super) fn send(&mut self, now: Instant, connection: ConnectionId, re: Option<u64>, message: ServerMessage) {
        if let Some(link) = self.connections.get(&connection) {
            self.server.send(now, *link, re, message);
        }
    }

    pub(super) fn close(&mut self, now: Instant, connection: ConnectionId, code: CloseCode) {
        if let Some(link) = self.connections.remove(&connection) {
            self.server.close(now, link, code);
        }
    }
}

impl Focus {
    /// An event of this device, decrypted.
    pub fn handle_to_device(&mut self, now: Instant, from: Address, content: Content) {
        let bytes = content.to_json().len();
        self.desk.server.handle_content(now, from, content, bytes);
        self.pump_desk(now);
        self.settle(now);
    }

    pub(super) fn pump_desk(&mut self, now: Instant) {
        loop {
            match self.desk.server.poll_output() {
                Output::Transmit { to, content } => self.effects.push(Effect::ToDevice { to, content }),
                Output::Join { link, id, from, claims } => {
                    if self.desk.strangers.contains(&from.user_id) {
                        let error = (Errcode::Forbidden, "not in the room");
                        self.desk.server.refuse(now, link, id, error, CloseCode::Forbidden);
                        continue;
                    }
                    // As with Matrix, a member is a user and what it calls its membership: nobody can be another's.
                    let own = format!("member of {}", from.user_id);
                    let identity = match claims.member_id == own {
                        true => from.user_id.clone(),
                        false => format!("{} as {}", from.user_id, claims.member_id),
                    };
                    let digits = claims.room_id.trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
                    let token = self.mint(now, &identity, &format!("conference {digits}"), true);
                    self.desk.joined.push(identity);
                    let hello = Hello { v: VERSION, token: Some(token), resume: None, client: None };
                    let connection = self.connection_of(link);
                    self.control.handle_message(now, connection, id, ClientMessage::Hello(hello));
                }
                Output::Request { link, id, message } => {
                    let connection = self.connection_of(link);
                    self.control.handle_message(now, connection, id, message);
                }
                Output::Closed { link } => {
                    let connection = ConnectionId(FIRST + link.0);
                    if self.desk.connections.remove(&connection).is_some() {
                        self.control.handle_closed(now, connection);
                    }
                }
                Output::Timeout(at) => {
                    self.desk.deadline = at;
                    return;
                }
            }
        }
    }

    fn connection_of(&mut self, link: LinkId) -> ConnectionId {
        let connection = ConnectionId(FIRST + link.0);
        self.desk.connections.insert(connection, link);
        connection
    }
}
