//! One signalling socket: tungstenite's WebSocket on one side, the control task on the other, and between them the machine
//! that holds the limits ([`Connection`]). axum does the handshake; the socket itself is made here, so that its frames can
//! be counted beneath it ([`Metered`]).

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use focus_control::ConnectionId;
use focus_signaling::wire::{Limits, SUBPROTOCOL, ServerMessage};
use focus_signaling::{CloseCode, Connection, Errcode, Output};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Bytes, Utf8Bytes};

use super::error::ApiError;
use super::frames::Metered;
use super::http::Held;
use super::origin;
use super::routes::host;
use crate::control::{FromSocket, TO_SOCKET_MAX, ToSocket};
use crate::state::NodeState;

/// The machine answers a message that is too large with an error; this is where we stop reading one that is absurd.
const FRAME_BYTES_MAX: usize = focus_signaling::limits::MESSAGE_BYTES_MAX + 64 * 1024;
/// What is read at once; each socket has so much for as long as it lives. A larger message gets a buffer of its length.
const READ_BUFFER: usize = 1024;
/// So many bytes go to the kernel at once. Longer texts are sent in fragments (RFC 6455 §5.4), as tungstenite keeps room for
/// the most that it ever held back.
const FRAGMENT: usize = 2 * 1024;
/// Of a frame that is not masked, at most (RFC 6455 §5.2).
const FRAME_HEADER: usize = 10;
/// Messages that are taken from the control plane at once: when many join, each tells all others, and a system call for each
/// of these is most of what that costs.
const TAKEN_MAX: usize = 16;
/// Bytes that tungstenite buffers when the kernel takes no more; a single message may be larger.
const WRITE_BUFFER_MAX: usize = 8 * 1024 * 1024;
/// A client that takes nothing for so long is gone, or reads too slowly to be in a call.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages that the machine answers itself, such as pings, are told of this often: twice in a ping's interval.
const HEARD_INTERVAL: Duration = Duration::from_secs(5);
/// After our close frame the client gets a moment to answer it (RFC 6455 §7.1.1).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// `GET /rtc/v1`.
pub(super) async fn upgrade(State(state): State<Arc<NodeState>>, request: Request) -> Response {
    let counters = &state.metrics.sockets;
    let (mut parts, _) = request.into_parts();
    let text = |name| parts.headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    // A member's page may be that of another focus, or of a chat application. No page has the right to join by itself, as a cookie
    // would give it: the token decides.
    let is_for_members = state.gate.is_some();
    if !is_for_members && !origin::may_connect(text(header::ORIGIN), host(&parts.headers), &state.allowed_origins) {
        counters.refused_origin.increment(1);
        let text = "pages from this origin may not connect; list it in http.allowed_origins";
        return ApiError::new(StatusCode::FORBIDDEN, Errcode::Forbidden, text).into_response();
    }
    if state.stopping.load(Ordering::Relaxed) {
        counters.refused_draining.increment(1);
        let error =
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, Errcode::ResourceLimitExceeded, "the server is draining");
        return ([(header::RETRY_AFTER, "2")], error).into_response();
    }
    // The connection's own upgrade is taken out; axum gets one that never happens, and makes the answer.
    let on_upgrade = parts.extensions.get::<OnUpgrade>().cloned();
    if on_upgrade.is_some() {
        parts.extensions.insert(hyper::upgrade::on(axum::http::Request::new(())));
    }
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &state).await {
        Ok(upgrade) => upgrade.protocols([SUBPROTOCOL]),
        Err(rejection) => {
            return ApiError::new(rejection.status(), Errcode::Unrecognized, rejection.body_text()).into_response();
        }
    };
    if upgrade.selected_protocol().is_none() {
        counters.refused_subprotocol.increment(1);
        let text = format!("the WebSocket subprotocol {SUBPROTOCOL} is required");
        return ApiError::new(StatusCode::BAD_REQUEST, Errcode::Unrecognized, text).into_response();
    }
    let Ok(unwelcomed) = state.unwelcomed.clone().try_acquire_owned() else {
        counters.refused_waiting.increment(1);
        let text = "too many sockets wait for their welcome";
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, Errcode::ResourceLimitExceeded, text);
        return ([(header::RETRY_AFTER, "2")], error).into_response();
    };
    counters.opened.increment(1);
    let held = parts.extensions.remove::<Held>();
    if let Some(on_upgrade) = on_upgrade {
        tokio::spawn(async move {
            if let Ok(upgraded) = on_upgrade.await {
                let socket = Box::new(Socket::open(upgraded, unwelcomed, &state).await);
                // A task of its own: this one has room for both futures, 5 KB, for as long as it lives.
                tokio::spawn(socket.run(held));
            }
        });
    }
    upgrade.on_upgrade(|_| std::future::ready(()))
}

struct Socket {
    id: ConnectionId,
    socket: WebSocketStream<Metered<TokioIo<Upgraded>>>,
    /// Told when the client sends too many frames.
    excess: Arc<Notify>,
    /// Among the sockets that were not welcomed yet.
    unwelcomed: Option<OwnedSemaphorePermit>,
    machine: Connection,
    control: mpsc::Sender<FromSocket>,
    outgoing: mpsc::Receiver<ToSocket>,
    /// Bytes that tungstenite holds back until the next flush.
    unflushed: usize,
    /// When the control plane is told next that the client says something.
    next_heard: Instant,
    /// Held while the socket lives: a node that stops waits for it.
    _alive: mpsc::Sender<()>,
}

/// The socket has ended.
struct Gone;

impl Socket {
    async fn open(upgraded: Upgraded, unwelcomed: OwnedSemaphorePermit, state: &NodeState) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_write_buffer_size(WRITE_BUFFER_MAX)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let excess = Arc::new(Notify::new());
        let stream = Metered::new(TokioIo::new(upgraded), excess.clone());
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        let id = ConnectionId(state.next_connection.fetch_add(1, Ordering::Relaxed));
        let (sender, outgoing) = mpsc::channel(TO_SOCKET_MAX);
        let control = state.control.clone();
        // Fails only when the node has stopped; then the first message will find that out.
        let _ = control.send(FromSocket::Opened { connection: id, outgoing: sender }).await;
        let machine = Connection::new(Instant::now(), Limits::default());
        let unwelcomed = Some(unwelcomed);
        let (next_heard, _alive) = (Instant::now(), state.alive.clone());
        Self { id, socket, excess, unwelcomed, machine, control, outgoing, unflushed: 0, next_heard, _alive }
    }

    /// Until it ends. `_held`: the place of the connection is that of the socket.
    async fn run(mut self: Box<Self>, _held: Option<Held>) {
        let mut last = None;
        while let Ok(deadline) = self.carry_out().await {
            let now = tokio::select! {
                message = next(&mut self.socket, &mut last) => {
                    let now = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            self.machine.handle_text(now, &text);
                            if now >= self.next_heard {
                                self.next_heard = now + HEARD_INTERVAL;
                                // Fails when the node has stopped, as the next request will.
                                let _ = self.control.send(FromSocket::Heard { connection: self.id }).await;
                            }
                            last = Some(text);
                        }
                        Some(Ok(Message::Binary(_))) => self.machine.handle_binary(now),
                        // tungstenite answers pings itself. They do not count as a sign of life: a browser cannot send
                        // them, and a proxy may.
                        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                        Some(Ok(Message::Close(_)) | Err(_)) | None => {
                            // Until now somebody was there: the one who closed it, or his system when he died. If we close
                            // it ourselves, that says nothing about him.
                            let _ = self.control.send(FromSocket::Heard { connection: self.id }).await;
                            break;
                        }
                    }
                    now
                }
                told = self.outgoing.recv() => {
                    let now = Instant::now();
                    self.handle_told(now, told);
                    for _ in 1..TAKEN_MAX {
                        let Ok(told) = self.outgoing.try_recv() else { break };
                        self.handle_told(now, Some(told));
                    }
                    now
                }
                () = self.excess.notified() => {
                    let now = Instant::now();
                    self.machine.close(now, CloseCode::RateLimited);
                    now
                }
                () = sleep_until(deadline) => Instant::now(),
            };
            self.machine.handle_timeout(now);
        }
        self.machine.handle_closed(Instant::now());
        let _ = self.control.send(FromSocket::Closed { connection: self.id }).await;
    }

    fn handle_told(&mut self, now: Instant, told: Option<ToSocket>) {
        match told {
            Some(ToSocket::Send { re, message }) => {
                if matches!(*message, ServerMessage::Welcome(_)) {
                    self.unwelcomed = None;
                }
                self.machine.send(now, re, *message);
            }
            Some(ToSocket::Close { code }) => self.machine.close(now, code),
            None => self.machine.close(now, CloseCode::Timeout),
        }
    }

    /// Does what the machine wants; says when it wants to be called again.
    async fn carry_out(&mut self) -> Result<Option<Instant>, Gone> {
        loop {
            match self.machine.poll_output() {
                Output::Text(text) => self.write(Message::Text(text.into())).await?,
                Output::Request { id, message } => {
                    let message = FromSocket::Message { connection: self.id, id, message };
                    self.control.send(message).await.map_err(|_| Gone)?;
                }
                Output::Close { code } => {
                    let frame = CloseFrame { code: code.code().into(), reason: code.reason().into() };
                    self.write(Message::Close(Some(frame))).await?;
                    self.flush().await?;
                    let answer = async { while let Some(Ok(_)) = self.socket.next().await {} };
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, answer).await;
                    return Err(Gone);
                }
                Output::Timeout(at, _) => {
                    self.flush().await?;
                    return Ok(at);
                }
            }
        }
    }

    /// What is small may wait for the next flush.
    async fn write(&mut self, message: Message) -> Result<(), Gone> {
        match message {
            Message::Text(text) if text.len() > FRAGMENT => {
                let (text, mut code) = (Bytes::from(text), Data::Text);
                for start in (0..text.len()).step_by(FRAGMENT) {
                    let end = text.len().min(start + FRAGMENT);
                    let frame = Frame::message(text.slice(start..end), OpCode::Data(code), end == text.len());
                    self.feed(Message::Frame(frame)).await?;
                    code = Data::Continue;
                }
                Ok(())
            }
            message => self.feed(message).await,
        }
    }

    async fn feed(&mut self, message: Message) -> Result<(), Gone> {
        let bytes = message.len() + FRAME_HEADER;
        if self.unflushed + bytes > FRAGMENT {
            self.flush().await?;
        }
        self.unflushed += bytes;
        in_time(self.socket.feed(message)).await
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        if std::mem::take(&mut self.unflushed) == 0 {
            return Ok(());
        }
        in_time(self.socket.flush()).await
    }
}

async fn in_time(sent: impl Future<Output = Result<(), tungstenite::Error>>) -> Result<(), Gone> {
    match tokio::time::timeout(WRITE_TIMEOUT, sent).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

/// The next message. The memory of the `last` one is let go of only when tungstenite has made itself another buffer: if
/// it were free at once, tungstenite would read into it again, and each socket would keep the room of its longest offer.
fn next(
    socket: &mut WebSocketStream<Metered<TokioIo<Upgraded>>>,
    last: &mut Option<Utf8Bytes>,
) -> impl Future<Output = Option<Result<Message, tungstenite::Error>>> {
    poll_fn(move |context| {
        let polled = socket.poll_next_unpin(context);
        *last = None;
        polled
    })
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
