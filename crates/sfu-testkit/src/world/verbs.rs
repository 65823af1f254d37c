//! What stories do to a world.

use std::net::SocketAddr;
use std::time::Duration;

use focus_signaling::wire::{ClientMessage, Source};

use sfu_core::{ParticipantId, PeerId};

use super::World;
use super::wire::{Hello, Meddling};
use crate::client::{Client, ClientSetup, Publish};
use crate::network::{Node, Path, Tally};

impl World {
    /// A client of focus 0 that does nothing yet.
    pub fn add(&mut self, setup: ClientSetup) -> usize {
        self.add_at(0, setup)
    }

    pub fn add_at(&mut self, focus: usize, setup: ClientSetup) -> usize {
        let index = self.clients.len();
        let client = Client::new(index, self.seed, setup, self.base);
        let local = client.local;
        self.clients.push(client);
        self.homes.push(focus);
        self.route(index, local);
        index
    }

    /// A client that joins now.
    pub fn join(&mut self, setup: ClientSetup) -> usize {
        let client = self.add(setup);
        self.rejoin(client);
        client
    }

    /// `count` callers that join one after the other, a quarter of a second apart.
    pub fn join_many(&mut self, count: usize, setup: impl Fn(usize) -> ClientSetup) -> Vec<usize> {
        (0..count)
            .map(|ordinal| {
                let client = self.join(setup(ordinal));
                self.run_for(Duration::from_millis(250));
                client
            })
            .collect()
    }

    /// Begins a session of its own, whatever was before.
    pub fn rejoin(&mut self, client: usize) {
        self.checkers.forget_mutes(client);
        self.clients[client].join();
        self.flush_client(client);
    }

    /// Does something to a client, and sends what it then wants sent.
    pub fn with<R>(&mut self, client: usize, act: impl FnOnce(&mut Client, std::time::Instant) -> R) -> R {
        let now = self.instant();
        let result = act(&mut self.clients[client], now);
        self.flush_client(client);
        result
    }

    pub fn say(&mut self, client: usize, message: ClientMessage) -> u64 {
        self.with(client, |client, _| client.say(message))
    }

    pub fn leave(&mut self, client: usize) {
        self.with(client, |client, _| client.leave());
    }

    /// The process is killed: its operating system closes the socket, and nothing more comes.
    pub fn crash(&mut self, client: usize) {
        self.clients[client].die();
        self.close_socket(client);
    }

    /// The power is gone: nothing more comes, not even the end of the socket.
    pub fn vanish(&mut self, client: usize) {
        self.clients[client].die();
        self.current.remove(&client);
    }

    /// The socket breaks; both ends learn of it.
    pub fn cut_socket(&mut self, client: usize) {
        self.close_socket(client);
        self.with(client, |client, now| client.handle_closed(now, None));
    }

    /// Neither media nor signalling gets through for a while; nobody is told.
    pub fn black_out(&mut self, client: usize, lasts: Duration) {
        let until = self.now + lasts;
        self.dark.insert(client, until);
        self.network.set_outage(Node::Client(client), until);
    }

    pub fn set_muted(&mut self, client: usize, source: Source, muted: bool) {
        let ordinal = self.ordinal(client, source);
        self.checkers.set_muted(self.now, client, ordinal, muted);
        self.with(client, |client, _| client.set_muted(source, muted));
    }

    /// Position of a source among those that a client publishes.
    pub fn ordinal(&self, client: usize, source: Source) -> u8 {
        let position = self.clients[client].setup.publish.iter().position(|publish| publish.source == source);
        position.unwrap_or_else(|| panic!("client {client} publishes no {source:?}")) as u8
    }

    pub fn publish(&mut self, client: usize, publish: Publish) {
        self.clients[client].setup.publish.push(publish);
        self.with(client, |client, now| client.publish(now, publish));
    }

    pub fn set_path(&mut self, client: usize, path: &Path) {
        for focus in 0..self.foci.len() {
            self.network.set_path(Node::Client(client), Node::Focus(focus), path.clone());
            self.network.set_path(Node::Focus(focus), Node::Client(client), path.clone());
        }
        self.be_lenient(path);
    }

    /// The client comes into another network: it has another address, and knows.
    pub fn change_network(&mut self, client: usize, restart: bool) -> SocketAddr {
        let before = self.clients[client].local;
        let address = SocketAddr::new([172, 16, client as u8, before.port() as u8].into(), before.port() + 1);
        self.nat.remove(&client);
        self.route(client, address);
        self.with(client, |client, now| client.move_to(now, address, restart));
        address
    }

    /// A NAT on the way gives the client another public address, and nobody knows.
    pub fn rebind_nat(&mut self, client: usize) -> SocketAddr {
        let before = self.nat.get(&client).map_or(40_000, SocketAddr::port);
        let address = SocketAddr::new([203, 0, 113, client as u8 + 1].into(), before + 1);
        self.nat.insert(client, address);
        self.route(client, address);
        address
    }

    /// Where the focus sees a client's datagrams come from.
    pub fn public_address(&self, client: usize) -> SocketAddr {
        self.nat.get(&client).copied().unwrap_or(self.clients[client].local)
    }

    /// The focus's id of a source, as its publisher knows it.
    pub fn track(&self, client: usize, source: Source) -> String {
        let publisher = self.clients[client].publishers.iter().find(|publisher| publisher.source == source);
        publisher.and_then(|publisher| publisher.track.clone()).unwrap_or_else(|| panic!("no track of {client} yet"))
    }

    /// The engine's id of a client's peer connection.
    pub fn peer_of(&self, client: usize) -> PeerId {
        let participant = ParticipantId::parse(self.clients[client].view.me()).expect("it has joined");
        PeerId(participant.0)
    }

    /// A token for a conference of a focus, as its authoriser mints one now.
    pub fn mint(&mut self, focus: usize, identity: &str, conference: u32, publish: bool) -> String {
        let now = self.instant();
        self.foci[focus].mint(now, identity, &format!("conference {conference}"), publish)
    }

    /// Joins with this token and no other.
    pub fn open_with(&mut self, client: usize, token: &str) {
        self.open_socket(client, Hello::Token(token.to_owned()));
        self.flush_client(client);
    }

    /// Opens a socket and says nothing.
    pub fn open_silently(&mut self, client: usize) {
        self.open_socket(client, Hello::None);
        self.flush_client(client);
    }

    /// A box on the way repeats each of the client's datagrams with a bit turned over.
    pub fn tamper(&mut self, client: usize) {
        self.meddling.insert(client, Meddling::Tamper);
    }

    /// A box on the way repeats each of the client's datagrams, so much later.
    pub fn replay(&mut self, client: usize, later: Duration) {
        self.meddling.insert(client, Meddling::Replay(later));
    }

    /// Begins to record what a focus sends to this client, whether it arrives or not.
    pub fn tap(&mut self, client: usize) {
        self.wiretaps.insert(client, Vec::new());
    }

    /// What was recorded since the last call.
    pub fn tapped(&mut self, client: usize) -> Vec<(Duration, Vec<u8>)> {
        self.wiretaps.get_mut(&client).map(std::mem::take).unwrap_or_default()
    }

    /// RTCP of the story's own making, whatever stands in it, sealed with this client's keys.
    pub fn send_rtcp(&mut self, client: usize, packet: &[u8]) {
        let sealed = self.clients[client].seal_rtcp(packet);
        let (source, focus) = (self.public_address(client), self.foci[self.homes[client]].address);
        self.send_to_focus(client, source, focus, sealed);
    }

    /// The same for RTP: a header as it is, and its sequence number with the roll-over count.
    pub fn send_rtp(&mut self, client: usize, header: &[u8], sequence: u64, payload: &[u8]) {
        let sealed = self.clients[client].seal_rtp(header, sequence, payload);
        let (source, focus) = (self.public_address(client), self.foci[self.homes[client]].address);
        self.send_to_focus(client, source, focus, sealed);
    }

    /// What the network did so far to packets on the way to a client.
    pub fn downlink(&self, client: usize) -> Tally {
        self.network.tally_of(Node::Focus(self.homes[client]), Node::Client(client))
    }

    /// Only the way to a client.
    pub fn set_downlink(&mut self, client: usize, path: &Path) {
        self.network.set_path(Node::Focus(self.homes[client]), Node::Client(client), path.clone());
        self.be_lenient(path);
    }

    /// Only the way from it.
    pub fn set_uplink(&mut self, client: usize, path: &Path) {
        self.network.set_path(Node::Client(client), Node::Focus(self.homes[client]), path.clone());
        self.be_lenient(path);
    }

    fn be_lenient(&mut self, path: &Path) {
        self.checkers.leniency.gaps |= path.loss > 0.0 || path.bandwidth.is_some();
        self.checkers.leniency.reordering |= path.reorder > 0.0;
    }

    /// Drains a focus.
    pub fn drain(&mut self, focus: usize, deadline: Duration) {
        let now = self.instant();
        self.foci[focus].control(now, |control| control.drain(now, deadline));
        self.flush_focus(focus);
    }

    /// Does something to one engine, past the control plane.
    pub fn command(&mut self, focus: usize, worker: usize, command: sfu_core::Command) {
        let now = self.instant();
        self.foci[focus].command(now, worker, command).expect("a command that can be done");
        self.flush_focus(focus);
    }
}
