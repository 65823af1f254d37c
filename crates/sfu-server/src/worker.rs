//! One worker: an OS thread that owns an [`Engine`] with all its peers, and sockets of its own on the one media port.
//!
//! A turn of its loop takes in a bounded amount of everything that waits (commands, the mailbox, datagrams), tells the
//! engine the time, and carries out what the engine wants. It waits for nothing but its poll: what the control task has
//! no room for is kept in an outbox that is bounded by what one engine can hold.
//!
//! The kernel decides by a hash of the addresses which worker's socket a client's datagrams reach, for the whole call,
//! and that is rarely the worker that has its peer. Such a datagram goes once through the owner's [`mailbox`], found in
//! the [`directory`]; the answer leaves from the owner's own socket.

pub(crate) mod directory;
pub(crate) mod mailbox;
mod nap;
mod spawn;
mod stats;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use focus_control::{RequestId, WorkerId};
use mio::{Events, Poll, Token};
use sfu_core::{Command, CommandError, Datagram, Disposition, Engine, Event, LinkId, Output, Reason, Reply, demux};
use tokio::sync::mpsc;

use crate::net::addresses::MediaAddresses;
use crate::net::udp::{ReceiveBuffers, Udp};

use directory::Registrar;
use mailbox::{Letter, Mailboxes};
pub use spawn::WorkersError;
pub(crate) use spawn::{Ended, WorkerHandle, Workers, WorkersStats};
use stats::Publisher;
pub(crate) use stats::{DriverCounters, WorkerStats};

/// Receive calls per socket and turn, each of up to 32 buffers: a burst is taken in one turn, and what it causes is sent
/// before the next one is read.
const RECEIVE_CALLS: usize = 2;
/// Commands and letters per turn, so that neither keeps the sockets waiting.
const COMMANDS: usize = 64;
const LETTERS: usize = 1024;
/// The loop turns at least this often, to publish its counters.
const TURN_MAX: Duration = Duration::from_secs(1);
/// How long until a full control task is tried again.
const OUTBOX_RETRY: Duration = Duration::from_millis(5);
/// Outbox length from which passing news (speakers, quality) is dropped rather than kept.
const OUTBOX_NEWS_MAX: usize = 1024;

const WAKER: Token = Token(0);
const FIRST_SOCKET: usize = 1;

/// From the control task.
#[derive(Debug)]
pub(crate) enum ToWorker {
    Command { request: RequestId, command: Command },
    Stop,
}

/// To the control task.
#[derive(Debug)]
pub(crate) enum FromWorker {
    Reply { worker: WorkerId, request: RequestId, reply: Result<Reply, CommandError> },
    Event { worker: WorkerId, event: Event },
}

pub(crate) struct Worker {
    id: WorkerId,
    engine: Engine,
    deadline: Instant,
    /// The engine holds packets back until then, for more that may be here any moment.
    holds: bool,
    poll: Poll,
    sockets: Vec<Udp>,
    buffers: ReceiveBuffers,
    addresses: MediaAddresses,
    registrar: Registrar,
    mailboxes: Mailboxes,
    commands: mpsc::Receiver<ToWorker>,
    control: mpsc::Sender<FromWorker>,
    outbox: VecDeque<FromWorker>,
    counters: DriverCounters,
    publisher: Publisher,
    /// Something was left over for the next turn.
    more: bool,
}

impl Worker {
    /// Runs until it is told to stop, or nobody is left to tell it.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(16);
        nap::without_slack();
        loop {
            let now = Instant::now();
            let mut wait = self.deadline.saturating_duration_since(now).min(TURN_MAX);
            if !self.outbox.is_empty() {
                wait = wait.min(OUTBOX_RETRY);
            }
            if self.more || self.sockets.iter().any(|socket| socket.readable) {
                wait = Duration::ZERO;
            } else if self.holds {
                nap::nap(now, self.deadline);
                wait = Duration::ZERO;
            }
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                if event.token() != WAKER
                    && let Some(socket) = self.sockets.get_mut(event.token().0 - FIRST_SOCKET)
                {
                    socket.readable |= event.is_readable();
                    if event.is_writable() {
                        socket.flush(&mut self.counters.udp);
                    }
                }
            }
            if !self.turn(Instant::now()) {
                return Ok(());
            }
        }
    }

    /// Takes in, lets time pass, carries out. `false`: it was told to stop.
    fn turn(&mut self, now: Instant) -> bool {
        self.more = false;
        let go_on = self.take_commands(now);
        self.take_letters(now);
        self.take_datagrams(now);
        if self.deadline <= now {
            self.engine.handle_timeout(now);
        }
        self.carry_out();
        self.empty_outbox();
        self.publisher.publish(now, || WorkerStats {
            engine: self.engine.counters(),
            driver: self.counters,
            mailbox: self.mailboxes.own_length() as u64,
        });
        go_on
    }

    fn take_commands(&mut self, now: Instant) -> bool {
        for _ in 0..COMMANDS {
            match self.commands.try_recv() {
                Ok(ToWorker::Command { request, command }) => {
                    let reply = self.engine.handle_command(now, command);
                    self.outbox.push_back(FromWorker::Reply { worker: self.id, request, reply });
                }
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Ok(ToWorker::Stop) | Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
        self.more = true;
        true
    }

    fn take_letters(&mut self, now: Instant) {
        self.mailboxes.begin_reading();
        for _ in 0..LETTERS {
            match self.mailboxes.read() {
                None => return,
                Some(Letter::Relay { from, message }) => {
                    self.engine.handle_relay(now, LinkId(from.0 as u64), message);
                }
                Some(Letter::Datagram { source, destination, contents }) => {
                    self.counters.misrouted_received += 1;
                    let datagram = Datagram { source, destination, contents: &contents };
                    // It has been forwarded once. If its peer has gone meanwhile, so has its use.
                    if self.engine.handle_datagram(now, datagram) == Disposition::Unknown {
                        self.counters.misrouted_late += 1;
                    }
                }
            }
        }
        self.more = true;
    }

    fn take_datagrams(&mut self, now: Instant) {
        let Self { engine, registrar, mailboxes, counters, addresses, buffers, .. } = self;
        for socket in &mut self.sockets {
            let local = socket.local();
            for _ in 0..RECEIVE_CALLS {
                if !socket.readable {
                    break;
                }
                let mut udp = counters.udp;
                socket.receive(buffers, &mut udp, |received| {
                    let (source, contents) = (received.source, received.contents);
                    let destination = addresses.destination(local, received.destination);
                    let datagram = Datagram { source, destination, contents };
                    if engine.handle_datagram(now, datagram) != Disposition::Unknown {
                        return;
                    }
                    match registrar.owner_of(source, demux::stun_local_ufrag(contents)) {
                        None => counters.misrouted_unowned += 1,
                        Some(owner) => {
                            counters.misrouted_sent += 1;
                            mailboxes.send(owner, Letter::Datagram { source, destination, contents: contents.into() });
                        }
                    }
                });
                counters.udp = udp;
            }
        }
    }

    fn carry_out(&mut self) {
        loop {
            match self.engine.poll_output() {
                Output::Transmit(transmit) => {
                    let v4 = transmit.destination.is_ipv4();
                    match self.sockets.iter_mut().find(|s| s.local().is_ipv4() == v4) {
                        Some(socket) => socket.send(&transmit, &mut self.counters.udp),
                        None => self.counters.udp.dropped_unsendable += transmit.datagrams().count() as u64,
                    }
                }
                Output::Relay { link, message } => {
                    let to = WorkerId(usize::try_from(link.0).unwrap_or(usize::MAX));
                    self.mailboxes.send(to, Letter::Relay { from: self.id, message });
                }
                Output::Event(event) => {
                    self.registrar.note(&event);
                    if let Some(event) = self.for_control(event) {
                        self.outbox.push_back(FromWorker::Event { worker: self.id, event });
                    }
                }
                Output::Timeout(at, reason) => {
                    self.deadline = at;
                    self.holds = reason == Reason::Coalesce;
                    return;
                }
            }
        }
    }

    /// What the control plane hears of. Addresses and ufrags end in the directory. The rest changes something for good,
    /// and there is at most so much of it as peers and tracks; but news that comes again must not pile up.
    fn for_control(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::LocalUfrags { .. } | Event::AddressAdded { .. } | Event::AddressRemoved { .. } => None,
            // A client may send a lot, and one whose message is left out must not think that it was heard.
            Event::Data { peer, .. } if self.outbox.len() >= OUTBOX_NEWS_MAX => {
                self.counters.data_ignored += 1;
                let told =
                    |last| matches!(last, &FromWorker::Event { event: Event::DataClosed { peer: p }, .. } if p == peer);
                (!self.outbox.back().is_some_and(told)).then_some(Event::DataClosed { peer })
            }
            Event::Speakers { .. } | Event::Quality { .. } if self.outbox.len() >= OUTBOX_NEWS_MAX => {
                self.counters.events_dropped += 1;
                None
            }
            event => Some(event),
        }
    }

    fn empty_outbox(&mut self) {
        while let Ok(permit) = self.control.try_reserve() {
            match self.outbox.pop_front() {
                Some(message) => permit.send(message),
                None => return,
            }
        }
        if self.control.is_closed() {
            self.outbox.clear();
        }
    }
}

#[cfg(test)]
mod tests;
