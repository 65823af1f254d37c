//! The client's side of the wire: any texts, at any times, into the envelope parser and the machine for one socket.
//!
//! The input is records, separated by RS (0x1e), so that a seed is readable. A record is a text frame, unless it begins
//! with `@`: see [`Socket::act`].

#![no_main]

use std::time::{Duration, Instant};

use focus_signaling::{
    CloseCode, Connection, Envelope, Errcode, Output, Reason,
    limits::{ERROR_BYTES_MAX, QUEUED_MESSAGES_MAX},
    wire::{ClientMessage, Limits, ServerMessage, Speakers, Welcome},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut socket = Socket::new();
    for record in text.split('\x1e').take(256) {
        match record.strip_prefix('@') {
            Some(action) => socket.act(action),
            None => {
                parse(record, &socket.limits);
                socket.text(record);
            }
        }
    }
    socket.drain();
});

/// What parses is written such that it parses to the same.
fn parse(text: &str, limits: &Limits) {
    if let Ok(Some(envelope)) = Envelope::<ClientMessage>::parse(text, limits) {
        assert_eq!(Envelope::<ClientMessage>::parse(&envelope.to_text(), limits), Ok(Some(envelope)));
    }
    if let Ok(Some(envelope)) = Envelope::<ServerMessage>::parse(text) {
        assert_eq!(Envelope::<ServerMessage>::parse(&envelope.to_text()), Ok(Some(envelope)));
    }
}

/// The machine, and what its contract promises.
struct Socket {
    now: Instant,
    limits: Limits,
    connection: Connection,
    last_text: String,
    hello_seen: bool,
    welcomed: bool,
    left: bool,
    ended: bool,
}

impl Socket {
    fn new() -> Self {
        let now = Instant::now();
        let limits = Limits::default();
        Self {
            now,
            limits,
            connection: Connection::new(now, limits),
            last_text: String::new(),
            hello_seen: false,
            welcomed: false,
            left: false,
            ended: false,
        }
    }

    /// One letter, perhaps a number.
    fn act(&mut self, action: &str) {
        let mut chars = action.chars();
        let verb = chars.next();
        let number = chars.as_str().parse::<u32>().unwrap_or_default();
        match verb {
            // Time passes, in milliseconds.
            Some('t') => {
                self.now += Duration::from_millis(u64::from(number % 100_000));
                self.connection.handle_timeout(self.now);
                self.deadline_is_ahead();
            }
            // The driver gets round to polling.
            Some('p') => self.drain(),
            // The last text, again and again.
            Some('r') => (0..number % 512).for_each(|_| self.text(&self.last_text.clone())),
            // A driver answers only what it has polled.
            Some('w') => {
                self.drain();
                self.welcomed |= self.hello_seen;
                self.connection.send(self.now, Some(1), welcome(self.limits));
            }
            Some('s') => {
                let speakers = ServerMessage::Speakers(Speakers { speakers: Vec::new() });
                (0..number % 5000).for_each(|_| self.connection.send(self.now, None, speakers.clone()));
            }
            Some('x') => {
                let index = number as usize % CloseCode::ALL.len();
                self.connection.close(self.now, CloseCode::ALL[index]);
            }
            Some('b') => self.connection.handle_binary(self.now),
            Some('c') => {
                self.connection.handle_closed(self.now);
                self.drain();
                self.ended = true;
            }
            // Another socket with tighter limits.
            Some('l') => {
                *self = Self::new();
                self.limits.message_bytes = number as usize;
                self.limits.messages_per_second = number % 8;
                self.limits.published_tracks = number as usize % 8;
                self.limits.m_lines = number as usize % 8;
                self.connection = Connection::new(self.now, self.limits);
            }
            _ => {}
        }
        assert!(self.connection.queued().messages <= QUEUED_MESSAGES_MAX);
    }

    fn text(&mut self, text: &str) {
        self.connection.handle_text(self.now, text);
        self.last_text = text.to_owned();
    }

    fn drain(&mut self) {
        loop {
            let output = self.connection.poll_output();
            let _ = format!("{output:?}");
            assert!(!self.ended || matches!(output, Output::Timeout(None, Reason::Closed)), "{output:?} after the end");
            match output {
                Output::Text(text) => sane(&text),
                Output::Request { message, .. } => self.allowed(&message),
                Output::Close { .. } => self.ended = true,
                Output::Timeout(..) => return,
            }
        }
    }

    fn allowed(&mut self, message: &ClientMessage) {
        assert!(!self.left, "{message:?} after leave");
        match message {
            ClientMessage::Hello(hello) => {
                assert!(!self.hello_seen, "a second hello");
                assert!(hello.token.is_some() != hello.resume.is_some());
                self.hello_seen = true;
            }
            ClientMessage::Ping(_) => panic!("a ping was passed on"),
            _ => assert!(self.welcomed, "{message:?} before welcome"),
        }
        self.left = matches!(message, ClientMessage::Leave(_));
    }

    /// A driver that waits for a deadline which has passed would spin.
    fn deadline_is_ahead(&mut self) {
        self.drain();
        if let Output::Timeout(Some(deadline), _) = self.connection.poll_output() {
            assert!(deadline > self.now);
        }
    }
}

fn sane(text: &str) {
    let envelope = Envelope::<ServerMessage>::parse(text).expect("it parses").expect("its type is known");
    if let ServerMessage::Error(body) = envelope.message {
        assert!(body.error.len() <= ERROR_BYTES_MAX);
        assert!(Errcode::ALL.iter().any(|code| code.as_str() == body.errcode));
    }
}

fn welcome(limits: Limits) -> ServerMessage {
    ServerMessage::Welcome(Welcome {
        v: 1,
        session: "s-1".into(),
        secret: "x".into(),
        participant: "p-1".into(),
        identity: None,
        focus: "sfu.example.org".into(),
        resumed: false,
        ping_ms: 10_000,
        resume_ms: 30_000,
        limits,
        participants: Vec::new(),
    })
}
