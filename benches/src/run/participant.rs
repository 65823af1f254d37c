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

use super::door::{Door, Entry};
use super::peer::Peer;
use super::person::Person;
use super::plan::Plan;
use super::target;
use super::wants::Wants;

/// From the way in to the connection.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// For the last message of a socket.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// What all participants share.
pub struct Shared {
    pub plan: Plan,
    pub door: Arc<dyn Door>,
    pub local: IpAddr,
    /// Of the clock that stamps packets.
    pub epoch: Instant,
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
    let _ = timeout(LEAVE_TIMEOUT, shared.door.left(&person)).await;
}

/// The signalling socket.
struct Socket {
    socket: WebSocketStream<Box<dyn target::Stream>>,
    id: u64,
}

impl Socket {
    /// Connects and says hello.
    async fn open(Entry { stream, url, token }: Entry) -> Result<Self> {
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(wire::SUBPROTOCOL));
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.context("the WebSocket")?;
        let mut socket = Self { socket, id: 0 };
        let client = Some(concat!("sfu-bench/", env!("CARGO_PKG_VERSION")).to_owned());
        let hello = wire::Hello { v: wire::VERSION, token: Some(token), resume: None, client };
        socket.send(ClientMessage::Hello(hello)).await?;
        Ok(socket)
    }

    async fn send(&mut self, message: ClientMessage) -> Result<()> {
        self.id += 1;
        let text = Envelope { id: Some(self.id), re: None, message }.to_text();
        self.socket.send(Message::text(text)).await.context("cannot send")
    }

    async fn ask(&mut self, tracks: Vec<wire::Want>) -> Result<()> {
        match tracks.is_empty() {
            true => Ok(()),
            false => self.send(ClientMessage::Subscribe(wire::Subscribe { tracks })).await,
        }
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

/// Connects, only to see whether it is let in, and for how long it stays if nobody throws it out before `limit`.
#[cfg(feature = "matrix")]
pub async fn stay(entry: Entry, limit: Duration) -> Option<Duration> {
    let welcomed = async {
        let mut socket = Socket::open(entry).await?;
        let is_in = matches!(socket.next().await?, Some(ServerMessage::Welcome(_)));
        Ok::<_, anyhow::Error>(is_in.then_some(socket))
    };
    let mut socket = timeout(JOIN_TIMEOUT, welcomed).await.ok()?.ok()??;
    let began = Instant::now();
    let thrown_out = async {
        while let Ok(Some(message)) = socket.next().await {
            if let ServerMessage::Leave(_) = message {
                break;
            }
        }
    };
    if timeout(limit, thrown_out).await.is_ok() {
        return Some(began.elapsed());
    }
    let leave = ClientMessage::Leave(wire::Leave { code: "left".to_owned(), reason: None });
    let _ = timeout(LEAVE_TIMEOUT, socket.send(leave)).await;
    Some(limit)
}

async fn call(shared: &Shared, person: &Person, peer: &Peer, place: &mut Option<Socket>) -> Result<()> {
    let entry = shared.door.enter(person).await?;
    person.record().opened_at = Some(Instant::now());
    let socket = place.insert(Socket::open(entry).await?);
    let mut wants = Wants::new(shared, person);
    // `welcome` says how often; until then a ping would be refused.
    let mut ping = tokio::time::interval(Duration::from_secs(3600));
    ping.reset();
    let mut pings = 0;
    let mut key = person.crypt.as_ref().map(|crypt| crypt.index());
    let mut news = shared.door.news(person.number);
    loop {
        let message = tokio::select! {
            index = changed(&mut key) => {
                // The secrets go another way: the focus only hears that there is a new one.
                socket.send(ClientMessage::Announce(wire::Announce { keys: Vec::new(), key_index: index })).await?;
                continue;
            }
            _ = ping.tick() => {
                pings += 1;
                socket.send(ClientMessage::Ping(wire::Ping { n: pings })).await?;
                continue;
            }
            _ = changed(&mut news) => None,
            message = socket.next() => match message? {
                None => return Ok(()),
                message => message,
            },
        };
        let Some(message) = message else {
            wants.meet();
            socket.ask(wants.take()).await?;
            continue;
        };
        match message {
            ServerMessage::Welcome(welcome) => {
                ping = tokio::time::interval(Duration::from_millis(welcome.ping_ms.max(1)));
                ping.reset();
                welcome.participants.iter().for_each(|other| wants.learn(other));
                person.record().had_company = wants.is_waiting();
                let mut tracks = peer.tracks.clone();
                if let Some(key) = &mut key {
                    let key_index = *key.borrow_and_update();
                    let enc = wire::Encryption { format: "sframe".to_owned(), key_index };
                    tracks.iter_mut().for_each(|track| track.enc = Some(enc.clone()));
                }
                let offer = wire::Offer { sdp: peer.offer.clone(), seq: 1, tracks };
                socket.send(ClientMessage::Offer(offer)).await?;
            }
            ServerMessage::Answer(answer) => {
                wants.slots(&answer.sdp);
                peer.accept(answer.sdp).await?;
            }
            ServerMessage::Participant(
                wire::ParticipantEvent::Joined { participant } | wire::ParticipantEvent::Updated { participant },
            ) => wants.learn(&participant),
            ServerMessage::Participant(wire::ParticipantEvent::Left { id, .. }) => wants.forget(&id),
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
        socket.ask(wants.take()).await?;
    }
}

/// The next value; never if there is nothing to watch.
async fn changed<T: Copy>(watched: &mut Option<watch::Receiver<T>>) -> T {
    if let Some(watched) = watched
        && watched.changed().await.is_ok()
    {
        return *watched.borrow_and_update();
    }
    std::future::pending().await
}
