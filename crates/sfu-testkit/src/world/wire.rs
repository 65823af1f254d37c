//! What lies between nodes: datagrams through the network and a NAT, texts through ordered sockets.

use std::net::SocketAddr;
use std::time::Duration;

use focus_control::ConnectionId;
use focus_signaling::wire;

use super::{Event, World};
use crate::client;
use crate::focus::{self, Focus};
use crate::network::Node;
use crate::random::mix;

/// A signalling socket: reliable and ordered as long as it lives.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) client: usize,
    pub(super) focus: usize,
    /// When the last text in each direction arrives.
    to_focus: Duration,
    to_client: Duration,
}

/// What somebody on the way does to a client's datagrams.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meddling {
    Tamper,
    Replay(Duration),
}

/// What is said first on a new socket.
pub(super) enum Hello {
    None,
    /// With a token that the authoriser mints now.
    Fresh,
    Token(String),
    Resume,
}

impl World {
    pub(super) fn with_socket(&mut self, connection: ConnectionId, act: impl FnOnce(&mut Focus, usize)) {
        let Some(socket) = self.sockets.get(&connection) else { return };
        let (focus, client) = (socket.focus, socket.client);
        act(&mut self.foci[focus], client);
        self.flush_focus(focus);
    }

    /// Whose socket it is, if it still is.
    pub(super) fn client_of(&self, connection: ConnectionId) -> Option<usize> {
        let client = self.sockets.get(&connection)?.client;
        (self.current.get(&client) == Some(&connection)).then_some(client)
    }

    pub(super) fn is_dark(&self, client: usize) -> bool {
        self.dark.get(&client).is_some_and(|until| self.now < *until)
    }

    pub(super) fn flush_focus(&mut self, focus: usize) {
        for effect in self.foci[focus].take_effects() {
            match effect {
                focus::Effect::Datagram { source, destination, bytes } => {
                    let Some(client) = self.addresses.get(&destination).copied() else { continue };
                    self.checkers.send(self.now, focus, (client, self.clients[client].lives), &bytes);
                    if let Some(seen) = self.wiretaps.get_mut(&client) {
                        seen.push((self.now, bytes.clone()));
                    }
                    let local = self.clients[client].local;
                    for at in self.network.send(self.now, Node::Focus(focus), Node::Client(client), &bytes) {
                        let bytes = bytes.clone();
                        self.post(at, Event::ToClient { client, source, destination: local, bytes });
                    }
                }
                focus::Effect::Text { connection, text } => {
                    if let Some(at) = self.socket_arrival(connection, false) {
                        self.post(at, Event::ClientText(connection, text));
                    }
                }
                focus::Effect::Close { connection, code } => {
                    if let Some(at) = self.socket_arrival(connection, false) {
                        self.post(at, Event::ClientClosed(connection, Some(code.code())));
                    }
                }
                focus::Effect::ToDevice { to, content } => self.post_to_client(&to, &content),
                focus::Effect::Drained => self.drained.push(focus),
            }
        }
        self.reschedule(Node::Focus(focus));
    }

    /// When a text that is sent now arrives; never, if the client is in the dark.
    fn socket_arrival(&mut self, connection: ConnectionId, to_focus: bool) -> Option<Duration> {
        let client = self.sockets.get(&connection)?.client;
        if self.is_dark(client) {
            return None;
        }
        let at = self.now + self.setup.signal_delay;
        let socket = self.sockets.get_mut(&connection)?;
        let last = if to_focus { &mut socket.to_focus } else { &mut socket.to_client };
        *last = at.max(*last);
        Some(*last)
    }

    pub(super) fn flush_client(&mut self, client: usize) {
        loop {
            let effects = self.clients[client].take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.perform(client, effect);
            }
        }
        self.reschedule(Node::Client(client));
    }

    fn perform(&mut self, client: usize, effect: client::Effect) {
        match effect {
            client::Effect::Datagram { source, destination, bytes } => {
                // An interface that is no more sends nothing.
                if source == self.clients[client].local {
                    let source = self.nat.get(&client).copied().unwrap_or(source);
                    self.meddle(client, source, destination, &bytes);
                    self.send_to_focus(client, source, destination, bytes);
                }
            }
            client::Effect::Open { token } if self.clients[client].setup.to_device => {
                self.opened += 1;
                let (now, session) = (self.instant(), format!("c{}", self.opened));
                self.clients[client].open_link(now, session, token);
            }
            client::Effect::ToDevice(content) => self.post_to_focus(client, content),
            client::Effect::Open { token } => {
                self.open_socket(client, if token { Hello::Fresh } else { Hello::Resume });
            }
            client::Effect::Text(text) => {
                let now = self.instant();
                let Some(text) = self.clients[client].carry(now, text) else { return };
                if let Some(connection) = self.current.get(&client).copied()
                    && let Some(at) = self.socket_arrival(connection, true)
                {
                    self.post(at, Event::FocusText(connection, text));
                }
            }
            client::Effect::Close => self.close_socket(client),
            client::Effect::Received(packet) => {
                let (life, conference) = (self.clients[client].lives, self.clients[client].setup.conference);
                self.checkers.receive(self.now, client, life, conference, &packet);
                self.trace.record(self.now, client, &packet);
            }
            client::Effect::Move(go) => self.follow(client, &go),
        }
    }

    fn meddle(&mut self, client: usize, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        match self.meddling.get(&client).copied() {
            None => {}
            Some(Meddling::Tamper) => {
                let mut changed = bytes.to_vec();
                // Somewhere else in each, but never in the first byte: it says what the datagram is.
                let bit = 8 + mix(self.steps, &[]) as usize % (changed.len() * 8 - 8);
                changed[bit / 8] ^= 1 << (bit % 8);
                self.send_to_focus(client, source, destination, changed);
            }
            Some(Meddling::Replay(later)) => {
                let Some(focus) = self.foci.iter().position(|focus| focus.address == destination) else { return };
                let at = self.now + self.setup.path.delay + later;
                self.post(at, Event::ToFocus { focus, source, bytes: bytes.to_vec() });
            }
        }
    }

    /// A datagram from anywhere, also from where the sender is not.
    pub fn send_to_focus(&mut self, client: usize, source: SocketAddr, destination: SocketAddr, bytes: Vec<u8>) {
        let Some(focus) = self.foci.iter().position(|focus| focus.address == destination) else { return };
        for at in self.network.send(self.now, Node::Client(client), Node::Focus(focus), &bytes) {
            self.post(at, Event::ToFocus { focus, source, bytes: bytes.clone() });
        }
    }

    pub(super) fn open_socket(&mut self, client: usize, hello: Hello) {
        if self.is_dark(client) {
            // A browser would try again; so does the client's own timer.
            return;
        }
        self.close_socket(client);
        let (now, home) = (self.instant(), self.homes[client]);
        self.opened += 1;
        let connection = ConnectionId(self.opened);
        self.sockets
            .insert(connection, Socket { client, focus: home, to_focus: Duration::ZERO, to_client: Duration::ZERO });
        self.current.insert(client, connection);
        if let Some(at) = self.socket_arrival(connection, true) {
            self.post(at, Event::FocusOpen(connection));
        }
        let token = match hello {
            Hello::None => return,
            Hello::Resume => None,
            Hello::Token(token) => Some(token),
            Hello::Fresh => {
                let setup = &self.clients[client].setup;
                let (identity, conference) = (setup.identity.clone(), format!("conference {}", setup.conference));
                Some(self.foci[home].mint(now, &identity, &conference, true))
            }
        };
        self.clients[client].handle_open(now, token);
    }

    /// The client closes its socket, or it breaks: the focus hears of it later.
    pub(super) fn close_socket(&mut self, client: usize) {
        if let Some(connection) = self.current.remove(&client)
            && let Some(at) = self.socket_arrival(connection, true)
        {
            self.post(at, Event::FocusClosed(connection));
        }
    }

    fn follow(&mut self, client: usize, go: &wire::Move) {
        if self.clients[client].setup.moves {
            // Without an address it is the same name, behind which the next process is by then.
            let focus = (self.homes[client] + 1) % self.foci.len();
            self.post(self.now + Duration::from_millis(go.after_ms), Event::Move { client, focus });
        }
    }

    /// Learns that `address` leads to `client`, and nowhere else does.
    pub(super) fn route(&mut self, client: usize, address: SocketAddr) {
        self.addresses.retain(|_, owner| *owner != client);
        self.addresses.insert(address, client);
    }
}
