//! The world around one [`Control`]: clients, workers that answer as an engine does, and a clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use focus_signaling::CloseCode;
use focus_signaling::wire::{
    ClientMessage, Hello, Offer, PublishedTrack, Resume, ServerMessage, Source, Subscribe, Want, Welcome,
};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use sfu_core::{Event, ParticipantId, PeerId};

use super::worker::Worker;
use crate::control::Control;
use crate::token::{LIFETIME_DEFAULT, Mint, Minter};
use crate::{
    ConnectionId, ControlBounds, ControlConfig, DelegationAsker, DelegationRequest, Origin, Output, Presence, Sign,
    WallClock, WorkerId,
};

pub(super) const UNIX: Duration = Duration::from_secs(1_800_000_000);

#[expect(clippy::disallowed_methods, reason = "virtual time begins somewhere; nothing depends on where")]
fn epoch() -> Instant {
    Instant::now()
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A client that was welcomed.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) connection: ConnectionId,
    pub(super) welcome: Welcome,
}

impl Client {
    pub(super) fn id(&self) -> &str {
        &self.welcome.participant
    }

    pub(super) fn participant(&self) -> ParticipantId {
        ParticipantId::parse(self.id()).unwrap()
    }

    pub(super) fn peer(&self) -> PeerId {
        PeerId(self.participant().0)
    }
}

pub(super) struct World {
    pub(super) control: Control,
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) workers: Vec<Worker>,
    pub(super) inboxes: BTreeMap<ConnectionId, Vec<(Option<u64>, ServerMessage)>>,
    pub(super) closed: BTreeMap<ConnectionId, CloseCode>,
    pub(super) drained: usize,
    /// Who arrived (`true`) or departed, of those whose tokens told their origin.
    pub(super) watched: Vec<(bool, Presence)>,
    /// Joins that somebody is asked about.
    pub(super) knocks: Vec<(ConnectionId, Origin)>,
    /// Workers take their commands, but answer none until `release`.
    pub(super) delegations: Vec<(DelegationAsker, DelegationRequest)>,
    pub(super) signs: Vec<(ParticipantId, Sign)>,
    pub(super) hold: bool,
    pub(super) minter: Minter,
    pub(super) rng: ChaCha20Rng,
    next_connection: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(1, usize::MAX, ControlBounds::default())
    }

    pub(super) fn with(workers: usize, spread_at: usize, bounds: ControlBounds) -> Self {
        let minter = Minter::from_seed(&[3; 32], "focus.example").unwrap();
        let (now, focus) = (epoch(), "focus.example".to_owned());
        let clock = WallClock { instant: now, unix: UNIX };
        let verifier = Some(minter.verifier());
        let config = ControlConfig { focus, workers, spread_at, seed: [5; 32], verifier, clock, bounds };
        Self {
            control: Control::new(now, config),
            now,
            start: now,
            workers: (0..workers).map(|_| Worker::default()).collect(),
            inboxes: BTreeMap::new(),
            closed: BTreeMap::new(),
            drained: 0,
            delegations: Vec::new(),
            signs: Vec::new(),
            watched: Vec::new(),
            knocks: Vec::new(),
            hold: false,
            minter,
            rng: ChaCha20Rng::from_seed([9; 32]),
            next_connection: 0,
        }
    }

    // Time and the machine's effects.

    /// Does everything that is to be done now.
    pub(super) fn settle(&mut self) {
        loop {
            match self.control.poll_output() {
                Output::Send { connection, re, message } => {
                    assert!(!self.closed.contains_key(&connection), "nothing follows a close");
                    self.inboxes.entry(connection).or_default().push((re, message));
                }
                Output::Close { connection, code } => {
                    assert_eq!(self.closed.insert(connection, code), None, "closed once");
                }
                Output::Command { worker, request, command } => {
                    self.workers[worker.0].inbox.push_back((request, command));
                }
                Output::Delegate { asker, request } => self.delegations.push((asker, request)),
                Output::Presence { participant, sign } => self.signs.push((participant, sign)),
                Output::Arrived(presence) => self.watched.push((true, presence)),
                Output::Departed(presence) => self.watched.push((false, presence)),
                Output::Confirm { connection, origin } => self.knocks.push((connection, origin)),
                Output::Drained => self.drained += 1,
                Output::Timeout(..) => {
                    self.control.check();
                    let next = (0..self.workers.len()).find(|worker| !self.workers[*worker].inbox.is_empty());
                    match next.filter(|_| !self.hold) {
                        Some(worker) => self.work(worker),
                        None => return,
                    }
                }
            }
        }
    }

    /// One worker takes all of its commands: first the answers go out, then the events.
    fn work(&mut self, worker: usize) {
        let mut events = Vec::new();
        while let Some((request, command)) = self.workers[worker].inbox.pop_front() {
            let reply = self.workers[worker].take(command, &mut events);
            self.control.handle_reply(self.now, WorkerId(worker), request, reply);
        }
        for event in events {
            self.control.handle_event(self.now, WorkerId(worker), event);
        }
    }

    /// The workers answer what they held back.
    pub(super) fn release(&mut self) {
        self.hold = false;
        self.settle();
    }

    pub(super) fn event(&mut self, worker: usize, event: Event) {
        self.control.handle_event(self.now, WorkerId(worker), event);
        self.settle();
    }

    pub(super) fn next_timeout(&mut self) -> Option<Instant> {
        match self.control.poll_output() {
            Output::Timeout(at, _) => at,
            other => panic!("not settled: {other:?}"),
        }
    }

    /// Lets time pass, deadline by deadline.
    pub(super) fn pass(&mut self, time: Duration) {
        self.settle();
        let end = self.now + time;
        while let Some(at) = self.next_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now);
            self.now = at;
            self.control.handle_timeout(at);
            self.settle();
        }
        self.now = end;
    }

    // What clients do.

    pub(super) fn connect(&mut self) -> ConnectionId {
        self.next_connection += 1;
        ConnectionId(self.next_connection)
    }

    pub(super) fn token(&mut self, identity: &str, conference: &str) -> String {
        let mint = Mint { identity, conference, name: identity, publish: true, lifetime: LIFETIME_DEFAULT };
        self.mint(&mint)
    }

    pub(super) fn mint(&mut self, mint: &Mint<'_>) -> String {
        let unix = UNIX + (self.now - self.start);
        self.minter.mint(mint, unix, &mut self.rng).unwrap()
    }

    pub(super) fn say(&mut self, connection: ConnectionId, id: u64, message: ClientMessage) {
        self.control.handle_message(self.now, connection, Some(id), message);
        self.settle();
    }

    pub(super) fn hello(&mut self, token: String) -> ConnectionId {
        let connection = self.connect();
        self.say(connection, 1, ClientMessage::Hello(Hello { v: 1, token: Some(token), resume: None, client: None }));
        connection
    }

    pub(super) fn join(&mut self, identity: &str, conference: &str) -> Client {
        let token = self.token(identity, conference);
        let connection = self.hello(token);
        self.welcomed(connection)
    }

    pub(super) fn try_resume(&mut self, session: &str, secret: &str) -> ConnectionId {
        let connection = self.connect();
        let resume = Some(Resume { session: session.to_owned(), secret: secret.to_owned() });
        self.say(connection, 1, ClientMessage::Hello(Hello { v: 1, token: None, resume, client: None }));
        connection
    }

    pub(super) fn resume(&mut self, client: &Client) -> Client {
        let connection = self.try_resume(&client.welcome.session, &client.welcome.secret);
        self.welcomed(connection)
    }

    /// Takes the `welcome`, which comes first.
    pub(super) fn welcomed(&mut self, connection: ConnectionId) -> Client {
        let inbox = self.inboxes.entry(connection).or_default();
        match (!inbox.is_empty()).then(|| inbox.remove(0)) {
            Some((Some(1), ServerMessage::Welcome(welcome))) => Client { connection, welcome },
            other => panic!("no welcome, but {other:?}, {:?}", self.closed.get(&connection)),
        }
    }

    pub(super) fn drop_socket(&mut self, client: &Client) {
        self.control.handle_closed(self.now, client.connection);
        self.settle();
    }

    pub(super) fn leave(&mut self, client: &Client) {
        let leave = focus_signaling::wire::Leave { code: "left".into(), reason: None };
        self.say(client.connection, 9, ClientMessage::Leave(leave));
    }

    pub(super) fn offer(&mut self, client: &Client, seq: u64, tracks: &[(&str, Source)]) {
        let track = |(mid, source): &(&str, Source)| PublishedTrack {
            mid: (*mid).to_owned(),
            source: *source,
            muted: false,
            enc: Some(focus_signaling::wire::Encryption { format: "sframe".into(), key_index: 0 }),
            width: None,
            height: None,
        };
        let tracks = tracks.iter().map(track).collect();
        self.say(client.connection, 100 + seq, ClientMessage::Offer(Offer { sdp: "sdp".into(), seq, tracks }));
    }

    /// Publishes and returns the ids that the answer gives.
    pub(super) fn publish(&mut self, client: &Client, seq: u64, tracks: &[(&str, Source)]) -> Vec<String> {
        self.offer(client, seq, tracks);
        let inbox = self.read(client);
        match inbox.into_iter().find(|message| matches!(message, ServerMessage::Answer(answer) if answer.seq == seq)) {
            Some(ServerMessage::Answer(answer)) => {
                let id = |mid: &str| answer.tracks.iter().find(|t| t.mid == mid).unwrap().track.clone();
                tracks.iter().map(|(mid, _)| id(mid)).collect()
            }
            other => panic!("no answer, but {other:?}"),
        }
    }

    pub(super) fn subscribe(&mut self, client: &Client, wants: &[(&str, &str)]) {
        let want = |(track, mid): &(&str, &str)| Want {
            track: (*track).to_owned(),
            mid: (!mid.is_empty()).then(|| (*mid).to_owned()),
            width: None,
            height: None,
            fps: None,
            off: mid.is_empty(),
        };
        let tracks = wants.iter().map(want).collect();
        self.say(client.connection, 7, ClientMessage::Subscribe(Subscribe { tracks }));
    }

    // What clients hear.

    /// Everything that came since the last time.
    pub(super) fn read(&mut self, client: &Client) -> Vec<ServerMessage> {
        self.read_with_re(client).into_iter().map(|(_, message)| message).collect()
    }

    pub(super) fn read_with_re(&mut self, client: &Client) -> Vec<(Option<u64>, ServerMessage)> {
        self.inboxes.remove(&client.connection).unwrap_or_default()
    }

    /// In short words, for what is compared at a glance.
    pub(super) fn heard(&mut self, client: &Client) -> Vec<String> {
        self.read_with_re(client).iter().map(|(re, message)| words(*re, message)).collect()
    }

    /// How a socket that was turned away ended.
    pub(super) fn refused(&mut self, connection: ConnectionId) -> (String, CloseCode) {
        let said = self.inboxes.remove(&connection).unwrap_or_default();
        let [(Some(_), ServerMessage::Error(error))] = &said[..] else { panic!("not an error: {said:?}") };
        (error.errcode.clone(), self.closed[&connection])
    }
}

fn words(re: Option<u64>, message: &ServerMessage) -> String {
    use focus_signaling::wire::ParticipantEvent::*;
    match message {
        ServerMessage::Participant(Joined { participant }) => format!("joined {}", participant.name),
        ServerMessage::Participant(Updated { participant }) => {
            format!("updated {} {}", participant.name, participant.tracks.len())
        }
        ServerMessage::Participant(Left { reason, .. }) => format!("left {reason:?}"),
        ServerMessage::Answer(answer) => format!("answer {} re {re:?}", answer.seq),
        ServerMessage::Error(error) => format!("{} re {re:?}", error.errcode),
        ServerMessage::Leave(leave) => format!("leave {}", leave.code),
        ServerMessage::Mute(mute) => format!("mute {}", mute.muted),
        ServerMessage::Subscribed(subscribed) => {
            let one = |s: &focus_signaling::wire::Subscription| match s.paused {
                Some(pause) => format!(" {}:{pause:?}", s.mid),
                None => format!(" {}", s.mid),
            };
            let mut tracks: Vec<String> = subscribed.tracks.iter().map(one).collect();
            tracks.sort();
            format!("subscribed{}", tracks.concat())
        }
        ServerMessage::Speakers(speakers) => {
            format!("speakers {:?}", speakers.speakers.iter().map(|s| s.level).collect::<Vec<_>>())
        }
        ServerMessage::Quality(quality) => {
            format!("quality {:?}", quality.participants.iter().map(|p| p.score).collect::<Vec<_>>())
        }
        ServerMessage::Move(_) => "move".into(),
        ServerMessage::Welcome(_) => "welcome".into(),
        other => format!("{other:?}"),
    }
}
