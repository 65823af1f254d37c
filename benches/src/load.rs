//! The load: all clients with their sockets in one loop on one core.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use focus_signaling::wire::{self, ClientMessage, ServerMessage};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::client::outbox::Outbox;
use crate::client::subscription::Faults;
use crate::client::{Client, Plan};
use crate::signalling::{News, Signalling, What};
use crate::stamps::{self, Stamps};

const WAKER: Token = Token(usize::MAX);
/// Receive buffer of a client: what a room of 25 sends it in 200 ms.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
const WARM_TIMEOUT: Duration = Duration::from_secs(30);
/// Datagrams taken from one socket before the others have their turn.
const READ_AT_ONCE: usize = 256;

/// One client with all that hangs on it.
pub struct Member {
    pub client: Client,
    pub socket: UdpSocket,
    /// When the WebSocket request went out.
    pub opened_at: Option<Instant>,
    /// The ids of what it publishes, once the answer has come.
    pub tracks: Vec<String>,
    /// Its signalling socket is closed.
    pub closed: bool,
    pub answered: bool,
    /// Taken as soon as the answer is there: a track, and the publisher behind it.
    pub subscribe_to: Option<(String, u16)>,
    offer: Option<wire::Offer>,
    scheduled: Option<Instant>,
    left: bool,
}

/// See the module.
pub struct Load {
    pub members: Vec<Member>,
    /// Datagrams that the kernel did not take: the load lost them, not the server.
    pub send_failures: u64,
    /// Never sleeps: the server is not charged for waking us (on a virtual machine, microseconds each).
    pub busy: bool,
    epoch: Instant,
    local: IpAddr,
    signalling: Signalling,
    poll: Poll,
    events: Events,
    deadlines: BTreeSet<(Instant, usize)>,
    outbox: Outbox,
    buffer: Vec<u8>,
    stamps: Option<Stamps>,
}

impl Load {
    pub fn new(server: SocketAddr) -> Result<Self> {
        // Which of our addresses faces the server; nothing is sent for this.
        let probe = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
        probe.connect(server)?;
        Self::at(server, probe.local_addr()?.ip())
    }

    /// With clients at this address of ours.
    pub fn at(server: SocketAddr, local: IpAddr) -> Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self {
            members: Vec::new(),
            send_failures: 0,
            busy: false,
            epoch: Instant::now(),
            local,
            signalling: Signalling::start(server, waker)?,
            poll,
            events: Events::with_capacity(1024),
            deadlines: BTreeSet::new(),
            outbox: Outbox::default(),
            buffer: vec![0; 2048],
            stamps: None,
        })
    }

    /// Begins to join a client; answers its number.
    pub fn join(&mut self, conference: &str, plan: Plan) -> Result<usize> {
        let socket = bind(self.local)?;
        let (client, sdp, tracks) = Client::new(Instant::now(), self.epoch, socket.local_addr()?, plan)?;
        let member = self.add(client, socket, Some(wire::Offer { sdp, seq: 1, tracks }))?;
        self.signalling.join(member, conference);
        Ok(member)
    }

    /// A client that offers to a server of another kind: its number and the offer. The caller does the signalling.
    pub fn offer(&mut self, plan: Plan) -> Result<(usize, String)> {
        let socket = bind(self.local)?;
        let (client, sdp, _) = Client::new(Instant::now(), self.epoch, socket.local_addr()?, plan)?;
        Ok((self.add(client, socket, None)?, sdp))
    }

    /// The answer to [`Self::offer`].
    pub fn handle_answer(&mut self, member: usize, sdp: &str) -> Result<()> {
        self.members[member].client.handle_answer(Instant::now(), sdp, &mut self.outbox)?;
        self.after(member)
    }

    /// A client that answers a server's offer: its number and the answer.
    pub fn answer(&mut self, plan: Plan, offer: &str) -> Result<(usize, String)> {
        let socket = bind(self.local)?;
        let local = socket.local_addr()?;
        let (client, sdp) = Client::answering(Instant::now(), self.epoch, local, plan, offer, &mut self.outbox)?;
        let member = self.add(client, socket, None)?;
        self.after(member)?;
        Ok((member, sdp))
    }

    fn add(&mut self, client: Client, mut socket: UdpSocket, offer: Option<wire::Offer>) -> Result<usize> {
        let member = self.members.len();
        self.poll.registry().register(&mut socket, Token(member), Interest::READABLE)?;
        self.members.push(Member {
            client,
            socket,
            opened_at: None,
            tracks: Vec::new(),
            closed: false,
            answered: false,
            subscribe_to: None,
            offer,
            scheduled: None,
            left: false,
        });
        Ok(member)
    }

    /// Lets a client of each kind come and go, so that what the server sets up once is not counted as a peer's.
    pub fn warm_up(server: SocketAddr, plans: &[Plan]) -> Result<()> {
        let mut load = Self::new(server)?;
        for plan in plans {
            let member = load.join("warm-up", *plan)?;
            load.run_until("warming up", WARM_TIMEOUT, |load| load.members[member].client.connected_at.is_some())?;
            load.leave(member);
        }
        load.run_for(Duration::from_secs(1))
    }

    /// Subscribes slots to tracks of publishers: a slot, a publisher, the number of its track.
    pub fn subscribe(&mut self, member: usize, wants: &[(usize, usize, usize)]) -> Result<()> {
        let mut tracks = Vec::new();
        for &(slot, publisher, number) in wants {
            let from = &self.members[publisher];
            let track = from.tracks.get(number).context("the publisher has no such track")?.clone();
            let id = from.client.plan.id;
            let client = &mut self.members[member].client;
            if !client.subscriptions[slot].idle {
                client.expect(slot, id);
            }
            tracks.push(want(track, &client.subscriptions[slot]));
        }
        self.signalling.send(member, ClientMessage::Subscribe(wire::Subscribe { tracks }));
        Ok(())
    }

    /// Leaves for good; what it still gets counts for nothing.
    pub fn leave(&mut self, member: usize) {
        self.signalling.send(member, ClientMessage::Leave(wire::Leave { code: "left".to_owned(), reason: None }));
        self.members[member].left = true;
        if let Some(at) = self.members[member].scheduled.take() {
            self.deadlines.remove(&(at, member));
        }
        let _ = self.poll.registry().deregister(&mut self.members[member].socket);
    }

    pub fn publish_from(&mut self, member: usize, at: Instant) {
        self.members[member].client.start_publishing(at);
        self.schedule(member);
    }

    /// Runs until `done`, or fails after `timeout`.
    pub fn run_until(&mut self, what: &str, timeout: Duration, mut done: impl FnMut(&Self) -> bool) -> Result<()> {
        let end = Instant::now() + timeout;
        while !done(self) {
            if Instant::now() > end {
                bail!("{what}: not within {timeout:?}");
            }
            self.turn(end)?;
        }
        Ok(())
    }

    pub fn run_for(&mut self, time: Duration) -> Result<()> {
        self.run_to(Instant::now() + time)
    }

    pub fn run_to(&mut self, end: Instant) -> Result<()> {
        while Instant::now() < end {
            self.turn(end)?;
        }
        Ok(())
    }

    /// All that receivers hold against the server.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        for member in &self.members {
            faults += member.client.faults;
        }
        faults
    }

    fn turn(&mut self, until: Instant) -> Result<()> {
        let now = Instant::now();
        while let Some(&(at, member)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            self.members[member].scheduled = None;
            self.members[member].client.handle_timeout(Instant::now(), &mut self.outbox);
            self.after(member)?;
        }
        let next = self.deadlines.first().map_or(until, |(at, _)| until.min(*at));
        let wait = if self.busy { Duration::ZERO } else { next.saturating_duration_since(Instant::now()) };
        if let Err(error) = self.poll.poll(&mut self.events, Some(wait))
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        let ready: Vec<Token> = self.events.iter().map(|event| event.token()).collect();
        for token in ready {
            match token {
                WAKER => {
                    while let Some(news) = self.signalling.poll() {
                        self.handle_news(news)?;
                    }
                }
                Token(member) => self.read(member)?,
            }
        }
        Ok(())
    }

    /// Arrivals are told by the kernel from now on: what waits in our own queue is not the server's latency. The kernel's
    /// stamping is on the server's account, so this is not for runs that measure its CPU.
    pub fn stamp_arrivals(&mut self) -> Result<()> {
        for member in &self.members {
            stamps::enable(&member.socket)?;
        }
        self.stamps = Some(Stamps::new(self.epoch));
        Ok(())
    }

    /// Edge-triggered: everything there is, or another turn is asked for.
    fn read(&mut self, member: usize) -> Result<()> {
        for _ in 0..READ_AT_ONCE {
            let socket = &self.members[member].socket;
            let received = match &mut self.stamps {
                None => socket.recv_from(&mut self.buffer).map(|(length, source)| (length, source, None)),
                Some(stamps) => stamps.receive(socket, &mut self.buffer),
            };
            match received {
                Ok((length, source, arrived_at)) => {
                    let datagram = &self.buffer[..length];
                    let client = &mut self.members[member].client;
                    client.arrived_at = arrived_at;
                    client.handle_datagram(Instant::now(), source, datagram, &mut self.outbox);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.after(member),
                // ICMP about something that was sent before.
                Err(_) => {}
            }
        }
        self.after(member)?;
        self.poll.registry().reregister(&mut self.members[member].socket, Token(member), Interest::READABLE)?;
        Ok(())
    }

    /// Sends what a client has to send and takes its next deadline.
    fn after(&mut self, member: usize) -> Result<()> {
        let of = &self.members[member];
        for (destination, datagram) in self.outbox.datagrams() {
            if of.socket.send_to(datagram, destination).is_err() {
                self.send_failures += 1;
            }
        }
        self.outbox.clear();
        if let (Some(failure), false) = (&of.client.failed, of.left) {
            bail!("client {member}: {failure}");
        }
        self.schedule(member);
        Ok(())
    }

    fn schedule(&mut self, member: usize) {
        let of = &mut self.members[member];
        let deadline = if of.left { None } else { of.client.deadline() };
        if of.scheduled == deadline {
            return;
        }
        if let Some(old) = std::mem::replace(&mut of.scheduled, deadline) {
            self.deadlines.remove(&(old, member));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, member));
        }
    }

    fn handle_news(&mut self, News { member, what }: News) -> Result<()> {
        let of = &mut self.members[member];
        match what {
            What::Opening(at) => of.opened_at = Some(at),
            What::Closed(_) if of.left => of.closed = true,
            What::Closed(why) => bail!("client {member}: {why}"),
            What::Message(ServerMessage::Welcome(_)) => {
                let offer = of.offer.take().context("welcome twice")?;
                self.signalling.send(member, ClientMessage::Offer(offer));
            }
            What::Message(ServerMessage::Answer(answer)) => {
                of.answered = true;
                of.tracks = answer.tracks.iter().map(|track| track.track.clone()).collect();
                of.client.handle_answer(Instant::now(), &answer.sdp, &mut self.outbox)?;
                if let Some((track, publisher)) = of.subscribe_to.take() {
                    of.client.expect(0, publisher);
                    let tracks = vec![want(track, &of.client.subscriptions[0])];
                    self.signalling.send(member, ClientMessage::Subscribe(wire::Subscribe { tracks }));
                }
                self.after(member)?;
            }
            What::Message(ServerMessage::Error(error)) => bail!("client {member}: {} {}", error.errcode, error.error),
            What::Message(ServerMessage::Leave(leave)) if !of.left => {
                bail!("client {member} was sent away: {}", leave.code)
            }
            What::Message(_) => {}
        }
        Ok(())
    }
}

fn want(track: String, slot: &crate::client::subscription::Subscription) -> wire::Want {
    let size = |pixels| (!slot.audio).then_some(pixels);
    wire::Want { track, mid: Some(slot.mid.clone()), width: size(640), height: size(360), fps: None, off: false }
}

/// A client's socket. No GRO: a sink that takes segments whole would hide what it costs to split them.
pub fn bind(local: IpAddr) -> Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((local, 0))?;
    socket.set_nonblocking(true)?;
    // The kernel caps this at net.core.rmem_max.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    Ok(UdpSocket::from_std(socket))
}
