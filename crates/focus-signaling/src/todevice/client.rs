//! A member's end of a link to a focus.

use std::time::Instant;

use super::content::{Claims, Content};
use super::link::{self, Link, SendError};
use crate::envelope::Envelope;
use crate::wire::{ClientMessage, ServerMessage};

/// One attempt to reach a focus by to-device messages. A new attempt is a new `Client`.
///
/// Contract as of [`Link`]. The driver encrypts each [`Output::Transmit`] for the device that the focus's transport names,
/// and hands in what came decrypted from that very device.
#[derive(Debug)]
pub struct Client {
    link: Link,
    malformed: u64,
}

/// What a client's end asks for.
#[derive(Debug)]
pub enum Output {
    Transmit(Content),
    Message(Envelope<ServerMessage>),
    /// The focus ended the link with this close code.
    Closed(u16),
    /// The focus does not answer.
    Lost,
    Timeout(Option<Instant>),
}

impl Client {
    /// `session`: random, of at most [`SESSION_BYTES_MAX`](super::SESSION_BYTES_MAX) bytes, never used before.
    pub fn new(claims: Claims, session: String) -> Self {
        Self { link: Link::new(claims, session, None), malformed: 0 }
    }

    /// Sends a message. The first is a `hello` without a token: the device that it comes from takes its place.
    pub fn send(&mut self, now: Instant, message: &Envelope<ClientMessage>) -> Result<(), SendError> {
        self.link.send(now, message.to_text())
    }

    /// As [`send`](Self::send), for a message that is a text already.
    pub fn send_text(&mut self, now: Instant, text: String) -> Result<(), SendError> {
        self.link.send(now, text)
    }

    /// A decrypted event of the focus's device.
    pub fn handle_content(&mut self, now: Instant, content: Content) {
        self.link.handle_content(now, content);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.link.handle_timeout(now);
    }

    pub fn poll_output(&mut self) -> Output {
        loop {
            return match self.link.poll_output() {
                link::Output::Transmit(content) => Output::Transmit(content),
                link::Output::Message(message) => match Envelope::<ServerMessage>::parse(message.get()) {
                    Ok(Some(envelope)) => Output::Message(envelope),
                    Ok(None) => continue,
                    Err(_) => {
                        self.malformed += 1;
                        continue;
                    }
                },
                link::Output::Closed(code) => Output::Closed(code),
                link::Output::Lost => Output::Lost,
                link::Output::Timeout(at) => Output::Timeout(at),
            };
        }
    }

    /// It has ended, and the focus has heard all that it has to hear.
    pub fn is_over(&self) -> bool {
        self.link.is_over()
    }

    /// Messages of the focus that were none.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }
}
