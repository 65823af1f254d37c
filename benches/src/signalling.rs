//! The native dialect over real WebSockets, on a thread of its own. The load loop gives orders and takes news.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use focus_signaling::Envelope;
use focus_signaling::wire::{self, ClientMessage, ServerMessage};
use futures_util::{SinkExt as _, StreamExt as _};
use mio::Waker;
use tokio::net::TcpStream;
use tokio::sync::mpsc as channel;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::http;

/// Handle of the thread. It ends when this is dropped.
pub struct Signalling {
    orders: channel::UnboundedSender<Order>,
    news: mpsc::Receiver<News>,
}

enum Order {
    Join { member: usize, conference: String },
    Send { member: usize, message: ClientMessage },
}

/// What happened on a member's socket.
#[derive(Debug)]
pub struct News {
    pub member: usize,
    pub what: What,
}

#[derive(Debug)]
pub enum What {
    /// The token is there, and the WebSocket request goes out now.
    Opening(Instant),
    Message(ServerMessage),
    /// The socket is gone.
    Closed(String),
}

impl Signalling {
    pub fn start(server: SocketAddr, waker: Arc<Waker>) -> Result<Self> {
        let (orders, receiver) = channel::unbounded_channel();
        let (sender, news) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let reporter = Reporter { sender, waker };
        std::thread::Builder::new().name("signalling".into()).spawn(move || {
            runtime.block_on(tokio::task::LocalSet::new().run_until(serve(server, receiver, reporter)))
        })?;
        Ok(Self { orders, news })
    }

    /// Says hello for `member` with a token for `conference`.
    pub fn join(&self, member: usize, conference: &str) {
        let _ = self.orders.send(Order::Join { member, conference: conference.to_owned() });
    }

    pub fn send(&self, member: usize, message: ClientMessage) {
        let _ = self.orders.send(Order::Send { member, message });
    }

    pub fn poll(&self) -> Option<News> {
        self.news.try_recv().ok()
    }
}

#[derive(Clone)]
struct Reporter {
    sender: mpsc::Sender<News>,
    waker: Arc<Waker>,
}

impl Reporter {
    fn report(&self, member: usize, what: What) {
        if self.sender.send(News { member, what }).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

async fn serve(server: SocketAddr, mut orders: channel::UnboundedReceiver<Order>, reporter: Reporter) {
    let mut sockets: Vec<Option<channel::UnboundedSender<ClientMessage>>> = Vec::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Join { member, conference } => {
                let (sender, messages) = channel::unbounded_channel();
                if sockets.len() <= member {
                    sockets.resize(member + 1, None);
                }
                sockets[member] = Some(sender);
                let reporter = reporter.clone();
                tokio::task::spawn_local(async move {
                    let end = socket(server, member, &conference, messages, &reporter).await;
                    let why = end.map_or_else(|error| format!("{error:#}"), |()| "closed by the server".to_owned());
                    reporter.report(member, What::Closed(why));
                });
            }
            Order::Send { member, message } => {
                if let Some(Some(socket)) = sockets.get(member) {
                    let _ = socket.send(message);
                }
            }
        }
    }
}

async fn socket(
    server: SocketAddr,
    member: usize,
    conference: &str,
    mut messages: channel::UnboundedReceiver<ClientMessage>,
    reporter: &Reporter,
) -> Result<()> {
    let access = http::dev_token(server, conference, &format!("bench {member}")).await?;
    reporter.report(member, What::Opening(Instant::now()));
    let mut request = format!("ws://{server}{}", access.url).into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(wire::SUBPROTOCOL));
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    let hello =
        wire::Hello { v: wire::VERSION, token: Some(access.token), resume: None, client: Some("sfu-bench".to_owned()) };
    let mut id = 0;
    let mut text = |message: ClientMessage| {
        id += 1;
        Message::text(Envelope { id: Some(id), re: None, message }.to_text())
    };
    socket.send(text(ClientMessage::Hello(hello))).await?;
    // `welcome` says how often; until then a ping would be refused.
    let mut ping = tokio::time::interval(Duration::from_secs(3600));
    ping.reset();
    let mut pings = 0;
    loop {
        tokio::select! {
            message = messages.recv() => {
                // The load has ended.
                let Some(message) = message else { return Ok(()) };
                socket.send(text(message)).await?;
            }
            _ = ping.tick() => {
                pings += 1;
                socket.send(text(ClientMessage::Ping(wire::Ping { n: pings }))).await?;
            }
            frame = socket.next() => match frame {
                None => return Ok(()),
                Some(frame) => match frame? {
                    Message::Text(frame) => {
                        let envelope = Envelope::<ServerMessage>::parse(&frame).context("from the server")?;
                        let Some(Envelope { message, .. }) = envelope else { continue };
                        if let ServerMessage::Welcome(welcome) = &message {
                            ping = tokio::time::interval(Duration::from_millis(welcome.ping_ms));
                            ping.reset();
                        }
                        reporter.report(member, What::Message(message));
                    }
                    Message::Close(frame) => bail!("closed by the server: {frame:?}"),
                    _ => {}
                },
            },
        }
    }
}
