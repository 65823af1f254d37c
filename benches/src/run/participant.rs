//! The life of one participant: token, WebSocket, offer and answer, subscriptions, and leaving.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use focus_signaling::Envelope;
use focus_signaling::wire::{self, ClientMessage, Pause, ServerMessage};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::media;
use super::peer::{self, Peer};
use super::person::Person;
use super::plan::{Plan, Source};
use super::receive::{Expected, Stream};
use super::target::{self, Target};

/// From the token to the connection.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// For the last message of a socket.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// What all participants share.
pub struct Shared {
    pub plan: Plan,
    pub target: Target,
    pub local: IpAddr,
    /// Of the clock that stamps packets.
    pub epoch: Instant,
    /// The conferences, by room.
    pub conferences: Vec<String>,
    /// Becomes true when all shall leave.
    pub stop: watch::Receiver<bool>,
}

/// Joins at `at` and stays until all leave. Whatever goes wrong stands in the person's record.
pub async fn live(shared: Arc<Shared>, person: Arc<Person>, at: tokio::time::Instant) {
    let mut stop = shared.stop.clone();
    tokio::select! {
        () = tokio::time::sleep_until(at) => {}
        _ = stop.wait_for(|stop| *stop) => return,
    }
    let peer = match Peer::new(&shared.plan, &person, shared.epoch, shared.local).await {
        Ok(peer) => peer,
        Err(error) => return person.fail(format!("no peer connection: {error:#}")),
    };
    let overdue = async {
        tokio::time::sleep(JOIN_TIMEOUT).await;
        if person.record().connected_at.is_none() {
            person.fail(format!("not connected within {} s", JOIN_TIMEOUT.as_secs()));
        } else {
            std::future::pending::<()>().await;
        }
    };
    let mut socket = None;
    tokio::select! {
        end = call(&shared, &person, &peer, &mut socket) => {
            let why = end.map_or_else(|error| format!("{error:#}"), |()| "the server closed the socket".to_owned());
            person.fail(why);
        }
        () = overdue => {}
        // The sender is only dropped at the end of the run.
        _ = stop.wait_for(|stop| *stop) => {}
    }
    if let Some(socket) = &mut socket {
        let leave = ClientMessage::Leave(wire::Leave { code: "left".to_owned(), reason: None });
        let _ = timeout(LEAVE_TIMEOUT, socket.send(leave)).await;
    }
    peer.close().await;
}

/// The signalling socket.
struct Socket {
    socket: WebSocketStream<Box<dyn target::Stream>>,
    id: u64,
}

impl Socket {
    async fn send(&mut self, message: ClientMessage) -> Result<()> {
        self.id += 1;
        let text = Envelope { id: Some(self.id), re: None, message }.to_text();
        self.socket.send(Message::text(text)).await.context("cannot send")
    }

    /// The next message; `None` at the end.
    async fn next(&mut self) -> Result<Option<ServerMessage>> {
        while let Some(frame) = self.socket.next().await {
            match frame.context("the socket")? {
                Message::Text(frame) => {
                    if let Some(envelope) = Envelope::<ServerMessage>::parse(&frame).context("from the server")? {
                        return Ok(Some(envelope.message));
                    }
                }
                Message::Close(Some(frame)) => bail!("closed by the server: {} {}", frame.code, frame.reason),
                _ => {}
            }
        }
        Ok(None)
    }
}

async fn call(shared: &Shared, person: &Person, peer: &Peer, place: &mut Option<Socket>) -> Result<()> {
    let conference = &shared.conferences[shared.plan.room(person.number)];
    let access = shared.target.access(conference, &person.name).await?;
    person.record().opened_at = Some(Instant::now());
    let mut request = shared.target.socket_url(&access.url).into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(wire::SUBPROTOCOL));
    let stream = shared.target.connect().await?;
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await.context("the WebSocket")?;
    let socket = place.insert(Socket { socket, id: 0 });
    let client = Some(concat!("sfu-bench/", env!("CARGO_PKG_VERSION")).to_owned());
    let hello = wire::Hello { v: wire::VERSION, token: Some(access.token), resume: None, client };
    socket.send(ClientMessage::Hello(hello)).await?;
    let mut wants = Wants::new(shared, person);
    // `welcome` says how often; until then a ping would be refused.
    let mut ping = tokio::time::interval(Duration::from_secs(3600));
    ping.reset();
    let mut pings = 0;
    loop {
        let message = tokio::select! {
            _ = ping.tick() => {
                pings += 1;
                socket.send(ClientMessage::Ping(wire::Ping { n: pings })).await?;
                continue;
            }
            message = socket.next() => message?,
        };
        let Some(message) = message else { return Ok(()) };
        match message {
            ServerMessage::Welcome(welcome) => {
                ping = tokio::time::interval(Duration::from_millis(welcome.ping_ms.max(1)));
                ping.reset();
                welcome.participants.iter().for_each(|other| wants.learn(other));
                person.record().had_company = wants.is_waiting();
                let offer = wire::Offer { sdp: peer.offer.clone(), seq: 1, tracks: peer.tracks.clone() };
                socket.send(ClientMessage::Offer(offer)).await?;
            }
            ServerMessage::Answer(answer) => {
                wants.slots(&answer.sdp);
                peer.accept(answer.sdp).await?;
            }
            ServerMessage::Participant(
                wire::ParticipantEvent::Joined { participant } | wire::ParticipantEvent::Updated { participant },
            ) => wants.learn(&participant),
            ServerMessage::Subscribed(subscribed) => {
                let paused = subscribed.tracks.iter().filter(|track| track.paused == Some(Pause::Bandwidth));
                person.record().pauses += paused.count() as u64;
            }
            ServerMessage::Leave(leave) => bail!("the server ended the session: {}", leave.code),
            // A track that ended before the request for it arrived.
            ServerMessage::Error(error) if error.errcode == "M_NOT_FOUND" => {}
            ServerMessage::Error(error) => bail!("{}: {}", error.errcode, error.error),
            _ => {}
        }
        let tracks = wants.take();
        if !tracks.is_empty() {
            socket.send(ClientMessage::Subscribe(wire::Subscribe { tracks })).await?;
        }
    }
}

/// Which tracks are still to be subscribed, and the slots that are free for them.
struct Wants<'a> {
    shared: &'a Shared,
    person: &'a Person,
    /// Mid and SSRC; `None` until the answer.
    free: Option<Vec<(Source, String, u32)>>,
    waiting: Vec<(String, Expected)>,
    known: Vec<Expected>,
}

impl<'a> Wants<'a> {
    fn new(shared: &'a Shared, person: &'a Person) -> Self {
        Self { shared, person, free: None, waiting: Vec::new(), known: Vec::new() }
    }

    /// Everything of `other` that the plan has for this participant.
    fn learn(&mut self, other: &wire::Participant) {
        let plan = &self.shared.plan;
        let Some(seat) = plan.seat_of(&other.name) else { return };
        let wanted = plan.wanted(plan.seat(self.person.number));
        let person = (seat * plan.rooms + plan.room(self.person.number)) as u32;
        for track in &other.tracks {
            let Some(source) = Source::of_wire(track.source) else { continue };
            let expected = Expected { person, source };
            if wanted.contains(&(seat, source)) && !self.known.contains(&expected) {
                self.known.push(expected);
                self.waiting.push((track.track.clone(), expected));
            }
        }
    }

    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn slots(&mut self, answer: &str) {
        let plan = &self.shared.plan;
        let seat = plan.seat(self.person.number);
        let ssrcs = peer::ssrcs(answer);
        // Behind what is published, in the order of the plan.
        let mids = plan.slots(seat).into_iter().zip(plan.published(seat).len()..);
        let free = mids.filter_map(|(source, mid)| {
            let mid = mid.to_string();
            let ssrc = ssrcs.iter().find(|(found, _)| *found == mid)?.1;
            Some((source, mid, ssrc))
        });
        self.free = Some(free.collect());
    }

    /// What can be asked for now.
    fn take(&mut self) -> Vec<wire::Want> {
        let Some(free) = &mut self.free else { return Vec::new() };
        let mut wants = Vec::new();
        for (track, expected) in std::mem::take(&mut self.waiting) {
            let audio = expected.source.is_audio();
            let Some(at) = free.iter().position(|(source, ..)| source.is_audio() == audio) else { continue };
            let (_, mid, ssrc) = free.remove(at);
            let stream = Stream::new(expected, media::fps(expected.source));
            self.person.record().streams.insert(ssrc, stream);
            let (width, height) = self.shared.plan.size(expected.source).unzip();
            wants.push(wire::Want { track, mid: Some(mid), width, height, fps: None, off: false });
        }
        wants
    }
}
