//! One socket of one client, without the socket.
//!
//! Owns what is the same for every client: the first message, the limits, liveness, and the refusal of what is
//! malformed. It passes on what remains as [`Output::Request`], and never decides what a request means, whether a
//! token is good, or which session a resume belongs to.

mod queue;
pub(crate) mod rate;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use self::{
    queue::Queue,
    rate::{Rate, RefusalWindow},
};
use crate::{
    close_code::CloseCode,
    envelope::{self, Envelope, ParseError},
    errcode::Errcode,
    limits::*,
    wire::{ClientMessage, ErrorBody, Limits, Ping, ServerMessage},
};

pub use self::queue::Queued;

/// The machine for one socket.
///
/// Contract: any number of `handle_*` and verbs, then [`poll_output`](Self::poll_output) until it returns
/// [`Output::Timeout`]. A socket that cannot take more is not polled until it can; what then piles up is bounded
/// (see [`queued`](Self::queued)), and a reader that lets it fill is closed with [`CloseCode::Timeout`].
///
/// What holds for whoever drives it:
/// - The first request is a `hello`. Nothing else but it is passed on until `welcome` was sent in answer.
/// - `ping` is never passed on, and neither is anything after `leave`.
/// - Requests that arrived before the end of the socket are passed on even after it.
/// - At most one [`Output::Close`] comes, as the last output, and none after [`handle_closed`](Self::handle_closed).
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    /// The other side is known, so that its `hello` needs no token.
    known: bool,
    state: State,
    last_heard: Instant,
    rate: Rate,
    refusals: RefusalWindow,
    malformed: u32,
    requests: VecDeque<(Option<u64>, ClientMessage)>,
    queue: Queue,
}

/// What the machine asks for.
#[derive(Clone, PartialEq)]
pub enum Output {
    /// Send this text frame.
    Text(String),
    /// Do this; what answers it is sent with `re` = `id`.
    Request { id: Option<u64>, message: ClientMessage },
    /// Close the socket with this code. Nothing comes after it.
    Close { code: CloseCode },
    /// Nothing now. Call [`Connection::handle_timeout`] at that time, if there is one.
    Timeout(Option<Instant>, Reason),
}

/// What the machine waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The client's `hello`.
    Hello,
    /// Any message of the client.
    Silence,
    /// Our own side's answer to `leave`.
    Leave,
    /// Nothing: the socket is closed.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitingHello {
        until: Instant,
    },
    /// `hello` was passed on and is not yet answered.
    AwaitingWelcome,
    Open,
    /// The client said `leave`; the focus has yet to close.
    Left,
    /// What is queued is still sent.
    Closing(CloseCode),
    Closed,
}

impl Connection {
    /// A socket that was accepted just now, with what the client will be told in `welcome`.
    pub fn new(now: Instant, limits: Limits) -> Self {
        Self {
            limits,
            known: false,
            state: State::AwaitingHello { until: now + HELLO_TIMEOUT },
            last_heard: now,
            rate: Rate::new(now, limits.messages_per_second),
            refusals: RefusalWindow::new(now),
            malformed: 0,
            requests: VecDeque::new(),
            queue: Queue::default(),
        }
    }

    /// As [`new`](Self::new), for a client that is known by other means: its `hello` needs no token.
    pub(crate) fn of_known(now: Instant, limits: Limits) -> Self {
        Self { known: true, ..Self::new(now, limits) }
    }

    /// A text frame arrived.
    pub fn handle_text(&mut self, now: Instant, text: &str) {
        if !self.is_listening() {
            return;
        }
        self.last_heard = now;
        let stranger = matches!(self.state, State::AwaitingHello { .. } | State::AwaitingWelcome);
        let most = if stranger { HELLO_BYTES_MAX.min(self.limits.message_bytes) } else { self.limits.message_bytes };
        if text.len() > most {
            let detail = format!("{} bytes, at most {most} are allowed", text.len());
            self.fail(now, None, Errcode::TooLarge.body(detail), CloseCode::TooLarge);
            return;
        }
        if let Err(wait) = self.rate.take(now, text.len()) {
            self.refuse_excess(now, envelope::read_id(text), wait);
            return;
        }
        match Envelope::<ClientMessage>::parse(text, &self.limits) {
            Ok(Some(envelope)) => self.handle_message(now, envelope),
            Ok(None) if self.is_awaiting_hello() => self.refuse_first(now, None),
            Ok(None) => {}
            Err(error) => self.refuse_malformed(now, error),
        }
    }

    /// The same client begins anew, on the same way. Its pace and its faults are kept.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.state = State::AwaitingHello { until: now + HELLO_TIMEOUT };
        self.last_heard = now;
        self.requests.clear();
        self.queue.clear();
    }

    /// A message larger than any that is allowed was not even put together.
    pub(crate) fn handle_too_large(&mut self, now: Instant) {
        if self.is_listening() {
            let detail = format!("at most {} bytes are allowed", self.limits.message_bytes);
            self.fail(now, None, Errcode::TooLarge.body(detail), CloseCode::TooLarge);
        }
    }

    /// A binary frame arrived. The dialect has none.
    pub fn handle_binary(&mut self, now: Instant) {
        if self.is_listening() {
            let body = Errcode::NotJson.body("a message is a text frame");
            self.fail(now, None, body, CloseCode::ProtocolError);
        }
    }

    /// The socket is gone: closed by the client, or broken.
    pub fn handle_closed(&mut self, _now: Instant) {
        self.state = State::Closed;
        self.queue.clear();
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let (deadline, reason) = self.deadline();
        if deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let detail = match reason {
            Reason::Hello => format!("no hello within {} s", HELLO_TIMEOUT.as_secs()),
            Reason::Silence => format!("no message for {} s", SILENCE_TIMEOUT.as_secs()),
            Reason::Leave | Reason::Closed => return self.close(now, CloseCode::Normal),
        };
        self.fail(now, None, Errcode::ConnectionTimeout.body(detail), CloseCode::Timeout);
    }

    /// Sends a message. `re` is the id of the request that it answers.
    pub fn send(&mut self, now: Instant, re: Option<u64>, message: ServerMessage) {
        if matches!(self.state, State::Closing(_) | State::Closed) {
            return;
        }
        if self.state == State::AwaitingWelcome && matches!(message, ServerMessage::Welcome(_)) {
            self.state = State::Open;
        }
        let text = Envelope { id: None, re, message }.to_text();
        if self.queue.push(text).is_err() {
            self.queue.clear();
            self.close(now, CloseCode::Timeout);
        }
    }

    /// Closes the socket once what is queued was sent. The first code stays.
    pub fn close(&mut self, _now: Instant, code: CloseCode) {
        if !matches!(self.state, State::Closing(_) | State::Closed) {
            self.state = State::Closing(code);
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        if let Some((id, message)) = self.requests.pop_front() {
            return Output::Request { id, message };
        }
        if let Some(text) = self.queue.pop() {
            return Output::Text(text);
        }
        if let State::Closing(code) = self.state {
            self.state = State::Closed;
            return Output::Close { code };
        }
        let (deadline, reason) = self.deadline();
        Output::Timeout(deadline, reason)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing else happens.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadline().0
    }

    /// What waits to be sent. It grows only while a slow socket keeps its driver from polling.
    pub fn queued(&self) -> Queued {
        self.queue.queued()
    }

    fn handle_message(&mut self, now: Instant, Envelope { id, re: _, message }: Envelope<ClientMessage>) {
        match (self.state, message) {
            (State::AwaitingHello { .. }, ClientMessage::Hello(hello))
                if !self.known && hello.token.is_none() && hello.resume.is_none() =>
            {
                let detail = "b.token: exactly one of token and resume is needed".into();
                self.refuse_malformed(now, ParseError { re: id, code: Errcode::BadJson, detail });
            }
            (State::AwaitingHello { .. }, ClientMessage::Hello(hello)) => {
                self.state = State::AwaitingWelcome;
                self.requests.push_back((id, ClientMessage::Hello(hello)));
            }
            (State::AwaitingHello { .. }, _) => self.refuse_first(now, id),
            (_, ClientMessage::Ping(Ping { n })) => self.send(now, id, ServerMessage::Pong(Ping { n })),
            (_, ClientMessage::Hello(_)) => self.send_error(now, id, Errcode::BadState.body("a second hello")),
            (State::AwaitingWelcome, ClientMessage::Leave(_)) => self.close(now, CloseCode::Normal),
            (State::AwaitingWelcome, _) => {
                self.send_error(now, id, Errcode::BadState.body("wait for welcome"));
            }
            (_, _) if self.requests.len() >= QUEUED_REQUESTS_MAX => self.refuse_excess(now, id, PING_INTERVAL),
            (_, message) => {
                if matches!(message, ClientMessage::Leave(_)) {
                    self.state = State::Left;
                }
                self.requests.push_back((id, message));
            }
        }
    }

    fn refuse_first(&mut self, now: Instant, re: Option<u64>) {
        let body = Errcode::BadState.body("the first message must be hello");
        self.fail(now, re, body, CloseCode::ProtocolError);
    }

    fn refuse_malformed(&mut self, now: Instant, ParseError { re, code, detail }: ParseError) {
        let body = code.body(detail);
        // A client that insists on a newer dialect speaks this one well enough; the rate limit is all it needs.
        if code != Errcode::Unrecognized {
            self.malformed += 1;
        }
        if self.is_awaiting_hello() || self.malformed >= MALFORMED_MAX {
            self.fail(now, re, body, CloseCode::ProtocolError);
        } else {
            self.send_error(now, re, body);
        }
    }

    fn refuse_excess(&mut self, now: Instant, re: Option<u64>, wait: Duration) {
        let detail = format!("more than {} messages per second", self.limits.messages_per_second);
        let body = Errcode::LimitExceeded.body(detail).retry_after(wait);
        if self.refusals.count(now) > REFUSED_MAX {
            self.fail(now, re, body, CloseCode::RateLimited);
        } else {
            self.send_error(now, re, body);
        }
    }

    /// The last words on a socket.
    fn fail(&mut self, now: Instant, re: Option<u64>, body: ErrorBody, code: CloseCode) {
        self.send_error(now, re, body);
        self.close(now, code);
    }

    fn send_error(&mut self, now: Instant, re: Option<u64>, body: ErrorBody) {
        self.send(now, re, ServerMessage::Error(body));
    }

    fn deadline(&self) -> (Option<Instant>, Reason) {
        match self.state {
            State::AwaitingHello { until } => (Some(until), Reason::Hello),
            State::AwaitingWelcome | State::Open => (Some(self.last_heard + SILENCE_TIMEOUT), Reason::Silence),
            State::Left => (Some(self.last_heard + LEAVE_TIMEOUT), Reason::Leave),
            State::Closing(_) | State::Closed => (None, Reason::Closed),
        }
    }

    fn is_listening(&self) -> bool {
        !matches!(self.state, State::Left | State::Closing(_) | State::Closed)
    }

    fn is_awaiting_hello(&self) -> bool {
        matches!(self.state, State::AwaitingHello { .. })
    }
}

#[cfg(test)]
mod tests;
