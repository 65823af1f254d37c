//! The machine: its state, its doors, and what all of its parts use.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use confirm::Waiting;
use focus_signaling::wire::{ClientMessage, ErrorBody, ServerMessage};
use focus_signaling::{CloseCode, Errcode};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use sfu_core::{Command, CommandError, ConferenceId, Event, ParticipantId, Reply, TrackId};

use crate::bounds::ControlBounds;
use crate::channel::DataChannel;
use crate::conference::Conference;
use crate::counters::{Counters, Gauges};
use crate::denied::Denied;
use crate::id::{ConnectionId, Private, RequestId, SessionId, WorkerId};
use crate::io::{ControlConfig, DelegationRequest, Output, Sign, WallClock};
use crate::participant::Participant;
use crate::pending::{Asker, Pending, What};
use crate::session::subscribed;
use crate::tally::Tally;
use crate::timers::{Deadline, Timers};
use crate::token::Verifier;
use crate::used_tokens::UsedTokens;

mod channel;
#[cfg(any(test, debug_assertions))]
mod check;
mod confirm;
mod delegation;
mod drain;
mod hello;
mod kick;
mod leave;
mod offer;
mod publish;
mod reply;
mod status;
mod subscribe;

/// The control plane of one focus.
///
/// Contract: any number of `handle_*` and plain verbs, then [`poll_output`](Self::poll_output) until it returns
/// [`Output::Timeout`]; [`handle_timeout`](Self::handle_timeout) at that time. What one input makes is bounded by the
/// participants of one conference (by all sessions for [`drain`](Self::drain)), so the output queue is.
pub struct Control {
    focus: String,
    spread_at: usize,
    verifier: Option<Verifier>,
    clock: WallClock,
    /// Of the call under way.
    now: Instant,
    bounds: ControlBounds,
    rng: ChaCha20Rng,

    participants: BTreeMap<ParticipantId, Participant>,
    conferences: BTreeMap<ConferenceId, Conference>,
    /// Where to find them: by socket, by session, by the outside's word, by track.
    connections: BTreeMap<ConnectionId, ParticipantId>,
    sessions: BTreeMap<SessionId, ParticipantId>,
    conference_names: BTreeMap<Private, ConferenceId>,
    tracks: BTreeMap<TrackId, ParticipantId>,
    /// Data channels on which something came.
    channels: BTreeMap<ParticipantId, DataChannel>,
    /// Those that have something to say, or whose deadline may have moved.
    channels_changed: BTreeSet<ParticipantId>,
    /// Connections over them that are open.
    channel_owners: BTreeMap<ConnectionId, ParticipantId>,
    next_channel: u64,

    used_tokens: UsedTokens,
    denied: Denied,
    confirms_joins: bool,
    /// By the socket that waits.
    waiting: BTreeMap<ConnectionId, Waiting>,
    tally: Tally,
    /// Participants per worker.
    load: Vec<usize>,
    requests: BTreeMap<RequestId, Pending>,
    next_request: u64,
    next_conference: u64,
    timers: Timers,
    draining: Option<Drain>,
    reports_presence: bool,
    /// Participants whose clients have not been told yet what became of their subscriptions.
    subscribers_changed: BTreeSet<ParticipantId>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

struct Drain {
    deadline: Instant,
    done: bool,
}

impl Control {
    pub fn new(now: Instant, config: ControlConfig) -> Self {
        debug_assert!(now >= config.clock.instant || config.clock.instant - now < Duration::from_secs(60));
        Self {
            focus: config.focus,
            spread_at: config.spread_at,
            verifier: config.verifier,
            clock: config.clock,
            now,
            bounds: config.bounds,
            rng: ChaCha20Rng::from_seed(config.seed),
            participants: BTreeMap::new(),
            conferences: BTreeMap::new(),
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            conference_names: BTreeMap::new(),
            tracks: BTreeMap::new(),
            channels: BTreeMap::new(),
            channels_changed: BTreeSet::new(),
            channel_owners: BTreeMap::new(),
            next_channel: 0,
            used_tokens: UsedTokens::default(),
            denied: Denied::default(),
            confirms_joins: false,
            waiting: BTreeMap::new(),
            tally: Tally::default(),
            load: vec![0; config.workers.max(1)],
            requests: BTreeMap::new(),
            next_request: 0,
            next_conference: 0,
            timers: Timers::default(),
            draining: None,
            reports_presence: false,
            subscribers_changed: BTreeSet::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// A message that the connection has parsed, checked and counted. `id`: the client wants to know what became of it.
    pub fn handle_message(&mut self, now: Instant, connection: ConnectionId, id: Option<u64>, message: ClientMessage) {
        self.handle_timeout(now);
        let asker = Asker { connection, id };
        let Some(&me) = self.connections.get(&connection) else {
            // The connection lets nothing before `hello` through, so anything else was on its way when the session ended.
            match message {
                ClientMessage::Hello(hello) => self.hello(now, asker, hello),
                ClientMessage::Leave(_) if self.forget_waiting(connection).is_some() => {
                    self.close(connection, CloseCode::Normal);
                }
                _ => self.counters.late_messages += 1,
            }
            return;
        };
        if let ClientMessage::Leave(_) = message {
            return self.leave(now, me);
        }
        let Some(participant) = self.participants.get_mut(&me) else { return };
        if !participant.is_joined() {
            return self.refuse(asker, Errcode::BadState.body("wait for welcome"));
        }
        participant.session.secrets.confirm();
        self.sign(me, Sign::Heard);
        match message {
            ClientMessage::Offer(offer) => self.offer(now, me, asker, offer),
            ClientMessage::Candidate(candidate) => self.candidate(me, asker, candidate),
            ClientMessage::Subscribe(subscribe) => self.subscribe(me, asker, subscribe),
            ClientMessage::Mute(mute) => self.mute(me, asker, mute),
            ClientMessage::Announce(announce) => self.announce(now, me, asker, announce),
            ClientMessage::Keyframe(keyframe) => self.keyframe(now, me, asker, keyframe),
            ClientMessage::DelegateLeave(delegate) => self.delegate(me, asker, DelegationRequest::Delegate(delegate)),
            ClientMessage::TakeBackLeave(_) => self.delegate(me, asker, DelegationRequest::TakeBack),
            ClientMessage::Hello(_) => self.refuse(asker, Errcode::BadState.body("hello was said already")),
            // The connection answers pings.
            ClientMessage::Ping(_) => {}
            ClientMessage::Leave(_) => {}
        }
    }

    /// The socket is gone. Not called for it again, nor needed after [`Output::Close`].
    pub fn handle_closed(&mut self, now: Instant, connection: ConnectionId) {
        self.handle_timeout(now);
        self.forget_waiting(connection);
        self.socket_lost(now, connection);
    }

    /// The client on this socket has said something that the connection did not pass on, such as a ping. Need not be told
    /// of each; see [`Output::Presence`].
    pub fn handle_heard(&mut self, now: Instant, connection: ConnectionId) {
        self.handle_timeout(now);
        if let Some(&me) = self.connections.get(&connection) {
            self.sign(me, Sign::Heard);
        }
    }

    /// The answer of a worker to [`Output::Command`].
    pub fn handle_reply(
        &mut self,
        now: Instant,
        worker: WorkerId,
        request: RequestId,
        reply: Result<Reply, CommandError>,
    ) {
        self.handle_timeout(now);
        self.reply(now, worker, request, reply);
    }

    /// Something that happened in a worker's engine. A worker is heard only about peers and tracks that it hosts.
    pub fn handle_event(&mut self, now: Instant, worker: WorkerId, event: Event) {
        self.handle_timeout(now);
        match event {
            Event::Disconnected { peer, reason } => self.peer_gone(now, worker, peer, reason),
            Event::TrackEnded { track } => self.track_ended(worker, track),
            Event::Subscribed { peer, track, mid, rid, paused } => {
                self.subscription_changed(worker, peer, track, mid, rid, paused);
            }
            Event::Speakers { conference, speakers } => self.speakers_heard(now, worker, conference, speakers),
            Event::Quality { peer, quality } => self.quality_measured(now, worker, peer, &quality),
            Event::Data { peer, data } => self.data_arrived(now, worker, peer, &data),
            Event::DataClosed { peer } => self.data_closed(now, worker, peer),
            // The directory's business, or known already from the reply.
            Event::Connected { .. }
            | Event::LocalUfrags { .. }
            | Event::AddressAdded { .. }
            | Event::AddressRemoved { .. }
            | Event::TrackPublished { .. } => {}
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        while let Some(deadline) = self.timers.pop_due(now) {
            match deadline {
                Deadline::Resume(participant) => self.window_closed(now, participant),
                Deadline::Confirm(connection) => self.unconfirmed(connection),
                Deadline::Channel(participant) => self.channel_timed_out(now, participant),
                Deadline::Speakers(conference) => self.tell_speakers(now, conference),
                Deadline::Quality(conference) => self.tell_quality(now, conference),
                Deadline::Drain => self.drain_is_over(now),
                Deadline::Tokens => self.forget_tokens(now),
            }
        }
    }

    /// The time of day was set, or measured anew.
    pub fn set_clock(&mut self, clock: WallClock) {
        self.clock = clock;
    }

    pub fn poll_output(&mut self) -> Output {
        if self.outputs.is_empty() {
            self.tell_subscriptions();
        }
        while let Some(changed) = self.channels_changed.pop_first() {
            self.serve_channel(changed);
        }
        self.outputs.pop_front().unwrap_or_else(|| {
            let (at, reason) = self.timers.next();
            Output::Timeout(at, reason)
        })
    }

    pub fn gauges(&self) -> Gauges {
        Gauges {
            sessions: self.participants.len(),
            participants: self.participants.values().filter(|participant| participant.is_joined()).count(),
            conferences: self.conferences.len(),
            tracks: self.tracks.len(),
            subscriptions: self.participants.values().map(|p| p.session.subscriptions.len()).sum(),
            used_tokens: self.used_tokens.len(),
            denied: self.denied.len(),
        }
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    // What the parts share.

    fn send(&mut self, connection: ConnectionId, re: Option<u64>, message: ServerMessage) {
        match self.channel_of(connection) {
            Some(channel) => channel.machine.send(channel.now, re, message),
            None if connection.is_channel() => {}
            None => self.outputs.push_back(Output::Send { connection, re, message }),
        }
    }

    fn close(&mut self, connection: ConnectionId, code: CloseCode) {
        match self.channel_of(connection) {
            Some(channel) => channel.machine.close(channel.now, code),
            None if connection.is_channel() => {}
            None => self.outputs.push_back(Output::Close { connection, code }),
        }
    }

    /// To the participant's socket, if it has one now. Who has none is told everything when it resumes.
    fn tell(&mut self, participant: ParticipantId, message: ServerMessage) {
        let connection =
            self.participants.get(&participant).filter(|p| p.is_joined()).and_then(|p| p.session.connection);
        if let Some(connection) = connection {
            self.send(connection, None, message);
        }
    }

    fn tell_all(&mut self, conference: ConferenceId, message: &ServerMessage) {
        let Some(members) = self.conferences.get(&conference).map(|c| c.participants.clone()) else { return };
        for member in members {
            self.tell(member, message.clone());
        }
    }

    fn tell_others(&mut self, me: ParticipantId, conference: ConferenceId, message: &ServerMessage) {
        let Some(members) = self.conferences.get(&conference).map(|c| c.participants.clone()) else { return };
        for member in members.into_iter().filter(|member| *member != me) {
            self.tell(member, message.clone());
        }
    }

    /// Answers a request with an error.
    fn refuse(&mut self, asker: Asker, error: ErrorBody) {
        self.counters.errors += 1;
        self.send(asker.connection, asker.id, ServerMessage::Error(error));
    }

    /// Ends a socket that has no session.
    fn turn_away(&mut self, asker: Asker, error: ErrorBody, code: CloseCode) {
        self.send(asker.connection, asker.id, ServerMessage::Error(error));
        self.close(asker.connection, code);
        self.counters.refused_protocol += u64::from(code == CloseCode::ProtocolError);
    }

    /// A command whose answer nobody waits for.
    fn command(&mut self, worker: WorkerId, command: Command) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.outputs.push_back(Output::Command { worker, request, command });
        request
    }

    /// A command of `me`, whose answer becomes an answer to `asker`. Refused when too many are on their way.
    fn ask(&mut self, me: ParticipantId, asker: Asker, what: What, command: Command) -> bool {
        let Some(participant) = self.participants.get(&me) else { return false };
        if participant.session.pending.len() >= self.bounds.pending {
            let error = Errcode::LimitExceeded.body("too many requests are on their way");
            self.refuse(asker, error.retry_after(crate::bounds::OFFER_RETRY));
            return false;
        }
        self.ask_quietly(me, asker, what, command)
    }

    /// As [`ask`](Self::ask), and nobody is told when too many are on their way.
    fn ask_quietly(&mut self, me: ParticipantId, asker: Asker, what: What, command: Command) -> bool {
        let Some(participant) = self.participants.get(&me) else { return false };
        if participant.session.pending.len() >= self.bounds.pending {
            return false;
        }
        let request = self.command(participant.worker, command);
        self.requests.insert(request, Pending { participant: me, asker, what });
        if let Some(participant) = self.participants.get_mut(&me) {
            participant.session.pending.insert(request);
        }
        true
    }

    /// The publisher of `track`, if it is in the conference of `me`. Nobody learns of other conferences' tracks.
    fn publisher(&self, me: &Participant, track: TrackId) -> Option<&Participant> {
        let publisher = self.participants.get(self.tracks.get(&track)?)?;
        (publisher.conference == me.conference).then_some(publisher)
    }

    /// Tells clients what became of their subscriptions, one message each.
    fn tell_subscriptions(&mut self) {
        while let Some(subscriber) = self.subscribers_changed.pop_first() {
            let Some(participant) = self.participants.get_mut(&subscriber) else { continue };
            let changed = std::mem::take(&mut participant.session.changed);
            self.tell(subscriber, subscribed(&changed));
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
