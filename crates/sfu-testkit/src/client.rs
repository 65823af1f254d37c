//! A simulated participant: an independent WebRTC stack (str0m as a full-ICE offerer, where the focus uses it as an
//! ICE-lite answerer) that speaks the native dialect in real JSON.
//!
//! Sans-IO like the machines under test: `handle_*` for what comes in, plain verbs for what a story wants, and
//! [`Client::take_effects`] for what goes out.

pub mod call;
pub mod carriage;
mod hostile;
pub mod publisher;
pub mod received;
pub mod signal;
pub mod slots;
pub mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use focus_signaling::todevice::Content;
use focus_signaling::wire::{self, ClientMessage, ServerMessage, Source};
use sfu_core::srtp::Session;
use str0m::crypto::CryptoProvider;

pub use self::call::Stray;
use self::call::{Call, CallEvent};
pub use self::carriage::{Carriage, Way};
pub use self::publisher::Publisher;
pub use self::received::{Received, RtpIn, Tally};
use self::signal::Signal;
pub use self::slots::Slot;
use self::slots::Slots;
pub use self::view::View;
use crate::dtls::tapped_provider;
use crate::random::{Random, mix};

/// One source that a client publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    pub source: Source,
    /// Simulcast layers of a video, 1 to 3. 1 is sent without a rid.
    pub layers: usize,
    pub muted: bool,
}

impl Publish {
    pub const MICROPHONE: Self = Self { source: Source::Microphone, layers: 1, muted: false };
    pub const CAMERA: Self = Self { source: Source::Camera, layers: 3, muted: false };
    pub const CAMERA_SINGLE: Self = Self { source: Source::Camera, layers: 1, muted: false };
    pub const SCREEN: Self = Self { source: Source::Screen, layers: 1, muted: false };
}

/// What a client wants of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// Everything, videos in this size.
    All { width: u32, height: u32 },
    /// Nothing but what a story asks for.
    Nothing,
}

#[derive(Debug, Clone)]
pub struct ClientSetup {
    pub identity: String,
    /// Number of the conference; its name follows from it.
    pub conference: u32,
    pub publish: Vec<Publish>,
    pub wants: Wants,
    /// Receiving m-lines in the first offer: audio, video. More are negotiated when they are needed.
    pub slots: (usize, usize),
    /// Comes back to its session this long after its socket was lost.
    pub resumes_after: Option<Duration>,
    /// Goes where it is told to when the focus drains.
    pub moves: bool,
    pub data_channel: bool,
    /// Has no socket: it begins by to-device messages, and goes on over its data channel.
    pub to_device: bool,
    /// Where RTP sequence numbers begin; random below 2^15 if not given (RFC 3711 §3.3.1 wants that).
    pub first_sequence: Option<u16>,
    /// Sends as much video as a browser does, where otherwise it is little: some 120, 500 and 1500 kbit/s.
    pub heavy: bool,
    /// Says that its media are end-to-end encrypted, so that they have a key index.
    pub encrypted: bool,
}

impl ClientSetup {
    /// A browser with microphone and camera that wants to see everybody.
    pub fn caller(identity: &str) -> Self {
        Self {
            identity: identity.to_owned(),
            conference: 1,
            publish: vec![Publish::MICROPHONE, Publish::CAMERA],
            wants: Wants::All { width: 1280, height: 720 },
            slots: (2, 2),
            resumes_after: Some(Duration::from_millis(500)),
            moves: true,
            data_channel: false,
            to_device: false,
            first_sequence: None,
            heavy: false,
            encrypted: false,
        }
    }

    /// Reaches the focus by to-device messages only.
    pub fn to_device(identity: &str) -> Self {
        Self { to_device: true, ..Self::caller(identity) }
    }

    /// Publishes nothing.
    pub fn viewer(identity: &str) -> Self {
        Self { publish: Vec::new(), ..Self::caller(identity) }
    }

    pub fn publishing(self, publish: &[Publish]) -> Self {
        Self { publish: publish.to_vec(), ..self }
    }

    pub fn in_conference(self, conference: u32) -> Self {
        Self { conference, ..self }
    }

    pub fn wanting(self, wants: Wants) -> Self {
        Self { wants, ..self }
    }
}

/// What a client wants done.
#[derive(Debug)]
pub enum Effect {
    Datagram {
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Open a socket. `token`: get one from the authoriser first.
    Open {
        token: bool,
    },
    Text(String),
    /// To the focus's device.
    ToDevice(Content),
    /// Close the socket.
    Close,
    /// Media arrived.
    Received(RtpIn),
    /// The focus wants it to go elsewhere.
    Move(wire::Move),
}

pub struct Client {
    pub index: usize,
    pub setup: ClientSetup,
    /// The address of its network interface.
    pub local: SocketAddr,
    pub signal: Signal,
    pub view: View,
    pub received: Received,
    pub publishers: Vec<Publisher>,
    pub slots: Slots,
    pub call: Option<Call>,
    /// How its messages travel, where that is no socket.
    pub carriage: Carriage,
    /// Peer connections made.
    pub lives: u32,
    /// Opened a data channel, and what came over it.
    pub data: Vec<Vec<u8>>,
    pub data_open: bool,
    /// Never makes an offer of its own.
    pub says_only_hello: bool,
    crypto: Arc<CryptoProvider>,
    /// Keying material of its handshakes, and what story-made packets are sealed with.
    keys: Receiver<Vec<u8>>,
    srtp: Option<Session>,
    random: Random,
    effects: Vec<Effect>,
    reconnect_at: Option<Instant>,
    /// Does nothing any more, as if its power had gone.
    dead: bool,
    /// Where the world's time begins.
    epoch: Instant,
}

impl Client {
    pub fn new(index: usize, seed: u64, setup: ClientSetup, epoch: Instant) -> Self {
        let host = index as u32 + 1;
        let local = ([10, (host >> 8) as u8, host as u8, 1], 50_000).into();
        let key = mix(seed, &[0xc11e, index as u64]);
        let (crypto, keys) = tapped_provider(key);
        Self {
            index,
            setup,
            local,
            signal: Signal::default(),
            view: View::default(),
            received: Received::default(),
            publishers: Vec::new(),
            slots: Slots::default(),
            call: None,
            carriage: Carriage::default(),
            lives: 0,
            data: Vec::new(),
            data_open: false,
            says_only_hello: false,
            crypto,
            keys,
            srtp: None,
            random: Random::stream(key, &[1]),
            effects: Vec::new(),
            reconnect_at: None,
            dead: false,
            epoch,
        }
    }

    /// Begins a session of its own.
    pub fn join(&mut self) {
        self.dead = false;
        self.signal.forget();
        self.effects.push(Effect::Open { token: true });
    }

    /// Says goodbye; hangs up when the focus has closed the socket.
    pub fn leave(&mut self) {
        self.reconnect_at = None;
        if self.signal.is_open() {
            self.say(ClientMessage::Leave(wire::Leave { code: "left".into(), reason: None }));
        } else {
            self.hang_up();
        }
        self.signal.forget();
    }

    /// Ends the peer connection as a page that closes it: with a DTLS alert.
    pub fn hang_up(&mut self) {
        if let Some(mut call) = self.call.take() {
            call.close(&mut self.effects);
        }
        self.slots = Slots::default();
        self.publishers.clear();
    }

    /// Stops in the middle of whatever it did.
    pub fn die(&mut self) {
        self.dead = true;
        self.call = None;
        self.reconnect_at = None;
        self.signal.forget();
        self.slots = Slots::default();
        self.publishers.clear();
    }

    pub fn is_connected(&self) -> bool {
        self.call.as_ref().is_some_and(Call::is_connected)
    }

    // ---- signalling

    /// The socket that [`Effect::Open`] asked for is there. `token` if one was wanted.
    pub fn handle_open(&mut self, now: Instant, token: Option<String>) {
        let hello = self.signal.open(now, token);
        self.say(ClientMessage::Hello(hello));
    }

    pub fn handle_text(&mut self, now: Instant, text: &str) {
        if self.dead {
            return;
        }
        let envelope = match focus_signaling::Envelope::<ServerMessage>::parse(text) {
            Ok(Some(envelope)) => envelope,
            other => panic!("client {} was sent what it cannot read: {other:?}\n{text}", self.index),
        };
        self.handle_message(now, envelope);
    }

    fn handle_message(&mut self, now: Instant, envelope: focus_signaling::Envelope<ServerMessage>) {
        self.view.log.push(envelope.message.clone());
        match envelope.message {
            ServerMessage::Welcome(welcome) => self.handle_welcome(now, welcome),
            ServerMessage::Answer(answer) => self.handle_answer(now, &answer),
            ServerMessage::Error(error) => {
                if self.call.as_mut().is_some_and(|call| call.handle_refusal(envelope.re)) {
                    self.view.refused_offers += 1;
                }
                self.view.errors.push(error);
            }
            ServerMessage::Move(go) => self.effects.push(Effect::Move(go)),
            other => {
                self.view.handle(other);
                self.sync(now);
            }
        }
    }

    /// The socket is gone. `code`: what the focus's close frame said, if it closed it.
    pub fn handle_closed(&mut self, now: Instant, code: Option<u16>) {
        if self.dead {
            return;
        }
        self.signal.handle_closed();
        self.carriage.way = Way::Socket;
        self.view.closed = code;
        let ended = code.and_then(focus_signaling::CloseCode::from_code).is_some_and(|code| code.ends_session());
        if ended {
            self.signal.forget();
            self.hang_up();
        } else if self.signal.can_resume() {
            self.reconnect_at = self.setup.resumes_after.map(|after| now + after);
        }
    }

    /// Comes back to the session now.
    pub fn resume(&mut self) {
        self.reconnect_at = None;
        self.effects.push(Effect::Open { token: false });
    }

    fn handle_welcome(&mut self, now: Instant, welcome: wire::Welcome) {
        self.signal.handle_welcome(now, &welcome);
        self.view.handle_welcome(&welcome);
        if welcome.resumed && self.begins_media() {
            return self.begin_media(now);
        }
        if welcome.resumed {
            // What was on the way when the socket broke may be lost: an offer without an answer is made again.
            if let Some(offer) = self.call.as_mut().and_then(Call::repeat_offer) {
                let id = self.say(ClientMessage::Offer(offer));
                if let Some(call) = &mut self.call {
                    call.offer_sent_as(id);
                }
            }
            self.sync(now);
            self.resubscribe();
            return;
        }
        if self.says_only_hello {
            return;
        }
        // Whatever was before is over, and nobody need be told.
        self.slots = Slots::default();
        self.publishers.clear();
        self.carriage.has_media = false;
        self.data_open = false;
        self.lives += 1;
        let mut call = Call::new(self.crypto.clone(), self.local, now);
        if self.setup.data_channel || self.setup.to_device {
            call.add_data_channel();
        }
        self.call = Some(call);
        // A media offer is too large for to-device messages.
        match self.setup.to_device {
            true => self.negotiate(now),
            false => self.begin_media(now),
        }
    }

    /// Adds what it sends and receives to its peer connection.
    fn begin_media(&mut self, now: Instant) {
        let Some(mut call) = self.call.take() else { return };
        self.carriage.has_media = true;
        let origin = (self.index, self.lives, self.epoch);
        for (ordinal, publish) in self.setup.publish.iter().enumerate() {
            let publisher = Publisher::new(&self.setup, *publish, ordinal, &mut call, &mut self.random, origin);
            self.publishers.push(publisher);
        }
        self.slots.add(&mut call, self.setup.slots);
        self.call = Some(call);
        self.negotiate(now);
        self.sync(now);
    }

    /// Makes an offer of whatever changed.
    fn negotiate(&mut self, now: Instant) {
        let described = self.publishers.iter().map(Publisher::describe).collect();
        let Some(call) = &mut self.call else { return };
        if let Some(offer) = call.offer(described) {
            let id = self.say(ClientMessage::Offer(offer));
            if let Some(call) = &mut self.call {
                call.offer_sent_as(id);
            }
        }
        self.drain(now);
    }

    fn handle_answer(&mut self, now: Instant, answer: &wire::Answer) {
        let Some(call) = &mut self.call else { return };
        if !call.handle_answer(answer) {
            return;
        }
        for publisher in &mut self.publishers {
            publisher.handle_answer(now, call, answer);
        }
        self.slots.handle_answer(call);
        let again = call.again;
        self.drain(now);
        if self.carriage.way == Way::Link {
            self.return_to_channel(now);
        }
        if again {
            self.negotiate(now);
        }
        self.sync(now);
    }

    /// Brings subscriptions in line with what is there and what is wanted.
    fn sync(&mut self, now: Instant) {
        // The rest is told over the data channel, and asked there.
        if self.carriage.way == Way::Link {
            return;
        }
        self.slots.free_ended(&self.view);
        let Wants::All { width, height } = self.setup.wants else { return };
        let (wants, missing) = self.slots.assign(&self.view, width, height);
        if !wants.is_empty() {
            self.say(ClientMessage::Subscribe(wire::Subscribe { tracks: wants }));
        }
        if missing != (0, 0)
            && let Some(call) = self.call.as_mut()
        {
            self.slots.add(call, missing);
            self.negotiate(now);
        }
    }

    /// Says again what it wants: after a resume nobody knows what was lost.
    fn resubscribe(&mut self) {
        let wants = self.slots.wants();
        if !wants.is_empty() && self.carriage.way != Way::Link {
            self.say(ClientMessage::Subscribe(wire::Subscribe { tracks: wants }));
        }
    }

    /// Sends a message as it is; answers its id.
    pub fn say(&mut self, message: ClientMessage) -> u64 {
        let (id, text) = self.signal.write(message);
        self.effects.push(Effect::Text(text));
        id
    }

    /// Sends any text.
    pub fn say_raw(&mut self, text: String) {
        self.effects.push(Effect::Text(text));
    }

    // ---- what a story may want

    /// Wants a track in another size, or not at all.
    pub fn want(&mut self, track: &str, size: Option<(u32, u32)>) {
        let want = self.slots.want(track, size);
        self.say(ClientMessage::Subscribe(wire::Subscribe { tracks: vec![want] }));
    }

    /// Carries `track` on the m-line of `slot` from now on, whatever was there before.
    pub fn show(&mut self, slot: usize, track: &str, size: Option<(u32, u32)>) {
        let want = self.slots.show(slot, track, size);
        self.say(ClientMessage::Subscribe(wire::Subscribe { tracks: vec![want] }));
    }

    pub fn set_muted(&mut self, source: Source, muted: bool) {
        let Some(publisher) = self.publishers.iter_mut().find(|publisher| publisher.source == source) else {
            panic!("client {} publishes no {source:?}", self.index)
        };
        publisher.muted = muted;
        if let Some(track) = publisher.track.clone() {
            self.say(ClientMessage::Mute(wire::Mute { track, muted }));
        }
    }

    /// Begins to publish one more source.
    pub fn publish(&mut self, now: Instant, publish: Publish) {
        let Some(call) = &mut self.call else { return };
        let origin = (self.index, self.lives, self.epoch);
        let ordinal = self.publishers.len();
        let publisher = Publisher::new(&self.setup, publish, ordinal, call, &mut self.random, origin);
        self.publishers.push(publisher);
        self.negotiate(now);
    }

    /// Ends one.
    pub fn unpublish(&mut self, now: Instant, source: Source) {
        let Some(call) = &mut self.call else { return };
        self.publishers.retain(|publisher| {
            if publisher.source == source {
                call.stop(publisher.line);
            }
            publisher.source != source
        });
        self.negotiate(now);
    }

    pub fn publisher(&mut self, source: Source) -> &mut Publisher {
        let index = self.index;
        let found = self.publishers.iter_mut().find(|publisher| publisher.source == source);
        found.unwrap_or_else(|| panic!("client {index} publishes no {source:?}"))
    }

    /// Its network changed: it has another address, and restarts ICE to tell.
    pub fn move_to(&mut self, now: Instant, local: SocketAddr, restart: bool) {
        self.local = local;
        let Some(call) = &mut self.call else { return };
        if restart {
            call.restart_ice(local);
            self.negotiate(now);
        }
    }

    pub fn send_data(&mut self, now: Instant, data: &[u8]) {
        self.carriage.queue.push_back(data.to_vec());
        self.drain(now);
    }

    pub fn ping(&mut self, n: u64) {
        self.say(ClientMessage::Ping(wire::Ping { n }));
    }

    // ---- media

    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        if let Some(call) = &mut self.call {
            call.handle_datagram(now, source, destination, bytes);
            self.drain(now);
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.dead {
            return;
        }
        if self.reconnect_at.is_some_and(|at| at <= now) {
            self.resume();
        }
        self.handle_link_timeout(now);
        if let Some(ping) = self.signal.ping(now) {
            self.say(ClientMessage::Ping(ping));
        }
        if let Some(call) = &mut self.call {
            if call.is_connected() {
                for publisher in &mut self.publishers {
                    publisher.send_due(now, call, self.setup.conference);
                }
            }
            call.flush(now);
            self.drain(now);
        }
    }

    fn drain(&mut self, now: Instant) {
        let Some(call) = &mut self.call else { return };
        self.carriage.feed(call);
        let mut opened = false;
        for event in call.drain(&mut self.effects) {
            match event {
                CallEvent::Connected => {
                    for publisher in &mut self.publishers {
                        publisher.start(now);
                    }
                }
                CallEvent::Keyframe { line, rid } => {
                    for publisher in self.publishers.iter_mut().filter(|publisher| publisher.line == line) {
                        publisher.handle_keyframe_request(rid);
                    }
                }
                CallEvent::Rtp(mut packet) => {
                    packet.track = self.slots.track_on(packet.line);
                    self.received.count(now, &packet);
                    self.effects.push(Effect::Received(packet));
                }
                CallEvent::DataOpen => {
                    self.data_open = true;
                    opened = true;
                }
                CallEvent::Data(data) => self.data.push(data),
            }
        }
        if self.setup.to_device {
            if opened {
                self.move_to_channel(now);
            }
            self.read_channel(now);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        if self.dead {
            return None;
        }
        let link = self.carriage.deadline;
        let call = self.call.as_ref().and_then(Call::deadline);
        let publishing =
            self.is_connected().then(|| self.publishers.iter().filter_map(Publisher::deadline).min()).flatten();
        [call, link, publishing, self.reconnect_at, self.signal.deadline()].into_iter().flatten().min()
    }

    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}
