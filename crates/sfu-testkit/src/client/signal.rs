//! The client's end of its socket: numbers, the right to resume, pings.

use std::time::{Duration, Instant};

use focus_signaling::Envelope;
use focus_signaling::wire::{ClientMessage, Hello, Ping, Resume, VERSION, Welcome};

#[derive(Debug, Default)]
pub struct Signal {
    open: bool,
    next_id: u64,
    pub resume: Option<Resume>,
    /// The last token that it showed.
    pub token: Option<String>,
    pings: u64,
    ping_every: Duration,
    ping_at: Option<Instant>,
}

impl Signal {
    pub(super) fn open(&mut self, now: Instant, token: Option<String>) -> Hello {
        self.open = true;
        self.ping_at = Some(now + Duration::from_secs(10));
        self.ping_every = Duration::from_secs(10);
        let resume = if token.is_some() { None } else { self.resume.clone() };
        if token.is_some() {
            self.token.clone_from(&token);
        }
        Hello { v: VERSION, token, resume, client: Some("sfu-testkit".into()) }
    }

    pub(super) fn handle_welcome(&mut self, now: Instant, welcome: &Welcome) {
        self.resume = Some(Resume { session: welcome.session.clone(), secret: welcome.secret.clone() });
        self.ping_every = Duration::from_millis(welcome.ping_ms);
        self.ping_at = Some(now + self.ping_every);
    }

    pub(super) fn handle_closed(&mut self) {
        self.open = false;
        self.ping_at = None;
    }

    /// Gives up the session.
    pub(super) fn forget(&mut self) {
        self.resume = None;
        self.ping_at = None;
    }

    pub(super) fn can_resume(&self) -> bool {
        self.resume.is_some()
    }

    pub fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn write(&mut self, message: ClientMessage) -> (u64, String) {
        self.next_id += 1;
        (self.next_id, Envelope { id: Some(self.next_id), re: None, message }.to_text())
    }

    pub(super) fn ping(&mut self, now: Instant) -> Option<Ping> {
        self.ping_at.filter(|at| *at <= now)?;
        self.ping_at = Some(now + self.ping_every);
        self.pings += 1;
        Some(Ping { n: self.pings })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ping_at
    }
}
