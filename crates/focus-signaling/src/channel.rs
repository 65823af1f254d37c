//! The dialect over a data channel of the peer connection itself, labelled [`LABEL`]: ordered and reliable.
//!
//! Browsers and SCTP stacks carry messages of 64 to 256 KiB and no more, and an offer of 256 m-lines has up to 740 KiB, so a
//! message of the dialect goes in parts. A data channel has no close frame that says why, so there is a frame for that, too.
//! Every message on the channel is binary: one byte for its kind, then the payload.
//!
//! | first byte | payload |
//! |---|---|
//! | 0 | a part of a message, in UTF-8; more follow |
//! | 1 | the last part of a message, or all of it |
//! | 2 | the connection is closed: a close code, two bytes, most significant first, as in RFC 6455 §5.5.1 |
//! | 3 | none: a connection begins |
//!
//! A client says that a connection begins, and then `hello`; the focus says so, too, before it answers. What either side sent
//! before that is void: after a loss of the path old messages may still come, in order, ahead of new ones. This module owns the frames and
//! one focus's end of one channel ([`Channel`]). It never opens a channel, and knows no peer.

use std::collections::VecDeque;
use std::time::Instant;

use crate::close_code::CloseCode;
use crate::connection::{self, Connection};
use crate::wire::{ClientMessage, Limits, ServerMessage};

/// Label of the channel.
pub const LABEL: &str = "rust-sfu";
/// Payload of one part. 16 KiB is what every stack carries (RFC 8831 §6.6), and other streams do not wait long behind it.
pub const PART_BYTES_MAX: usize = 16 * 1024 - 1;

const MORE: u8 = 0;
const LAST: u8 = 1;
const CLOSE: u8 = 2;
const BEGIN: u8 = 3;

/// The frames of one message.
pub fn frames(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let parts = text.as_bytes().chunks(PART_BYTES_MAX);
    let count = parts.len();
    parts.enumerate().map(move |(at, part)| {
        let kind = if at + 1 == count { LAST } else { MORE };
        [&[kind], part].concat()
    })
}

/// The frame that begins a connection.
pub fn begin_frame() -> Vec<u8> {
    vec![BEGIN]
}

/// The frame that ends a connection.
pub fn close_frame(code: u16) -> Vec<u8> {
    let [high, low] = code.to_be_bytes();
    vec![CLOSE, high, low]
}

/// What arrived in whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Close(u16),
    Begin,
}

/// What is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("not a frame")]
    Malformed,
    /// Once for a message; the rest of it is passed over.
    #[error("the message is too large")]
    TooLarge,
}

/// Puts parts together.
#[derive(Debug)]
pub struct Assembly {
    most: usize,
    parts: Vec<u8>,
    /// The message under way is too large.
    skipping: bool,
}

impl Assembly {
    /// `most`: bytes of the largest message.
    pub fn new(most: usize) -> Self {
        Self { most, parts: Vec::new(), skipping: false }
    }

    /// The next message of the channel. `None`: more follows.
    pub fn handle_data(&mut self, data: &[u8]) -> Result<Option<Frame>, FrameError> {
        match data {
            [MORE, part @ ..] => self.add(part).map(|()| None),
            [LAST, part @ ..] => {
                let added = self.add(part);
                let skipped = std::mem::take(&mut self.skipping);
                let parts = std::mem::take(&mut self.parts);
                added?;
                if skipped {
                    return Ok(None);
                }
                String::from_utf8(parts).map(|text| Some(Frame::Text(text))).map_err(|_| FrameError::Malformed)
            }
            [CLOSE, high, low, ..] => {
                self.parts = Vec::new();
                self.skipping = false;
                Ok(Some(Frame::Close(u16::from_be_bytes([*high, *low]))))
            }
            [BEGIN, ..] => {
                self.parts = Vec::new();
                self.skipping = false;
                Ok(Some(Frame::Begin))
            }
            _ => Err(FrameError::Malformed),
        }
    }

    fn add(&mut self, part: &[u8]) -> Result<(), FrameError> {
        if self.skipping {
            return Ok(());
        }
        if self.parts.len() + part.len() > self.most {
            self.parts = Vec::new();
            self.skipping = true;
            return Err(FrameError::TooLarge);
        }
        self.parts.extend_from_slice(part);
        Ok(())
    }
}

/// The focus's end of one channel: a [`Connection`] after another.
///
/// Contract as of [`Connection`].
#[derive(Debug)]
pub struct Channel {
    assembly: Assembly,
    /// Its pace lasts as long as the channel: a new `hello` brings no new allowance.
    connection: Connection,
    open: bool,
    outputs: VecDeque<Output>,
}

/// What a channel asks for.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// What comes now belongs to a new connection. The one before, if it was not closed, is void.
    Began,
    /// Send this on the channel.
    Data(Vec<u8>),
    /// As of [`connection::Output::Request`].
    Request { id: Option<u64>, message: ClientMessage },
    /// The connection is over. The channel stays, for another one.
    Closed,
    /// Nothing now.
    Timeout(Option<Instant>),
}

impl Channel {
    pub fn new(now: Instant, limits: Limits) -> Self {
        Self {
            assembly: Assembly::new(limits.message_bytes),
            connection: Connection::new(now, limits),
            open: false,
            outputs: VecDeque::new(),
        }
    }

    /// A message arrived on the channel.
    pub fn handle_data(&mut self, now: Instant, data: &[u8]) {
        match self.assembly.handle_data(data) {
            Ok(Some(Frame::Text(text))) => {
                if self.open {
                    self.connection.handle_text(now, &text);
                }
            }
            Ok(Some(Frame::Begin)) => {
                self.connection.restart(now);
                self.open = true;
                self.outputs.push_back(Output::Began);
                self.outputs.push_back(Output::Data(begin_frame()));
            }
            Ok(Some(Frame::Close(_))) => self.handle_closed(now),
            Ok(None) => {}
            Err(FrameError::TooLarge) if self.open => self.connection.handle_too_large(now),
            Err(FrameError::Malformed) if self.open => self.connection.handle_binary(now),
            Err(_) => {}
        }
        self.work();
    }

    /// The connection is gone; so may be the channel.
    pub fn handle_closed(&mut self, now: Instant) {
        self.connection.handle_closed(now);
        self.work();
        if std::mem::take(&mut self.open) {
            self.outputs.push_back(Output::Closed);
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.open {
            self.connection.handle_timeout(now);
            self.work();
        }
    }

    /// As of [`Connection::send`].
    pub fn send(&mut self, now: Instant, re: Option<u64>, message: ServerMessage) {
        if self.open {
            self.connection.send(now, re, message);
            self.work();
        }
    }

    /// As of [`Connection::close`].
    pub fn close(&mut self, now: Instant, code: CloseCode) {
        if self.open {
            self.connection.close(now, code);
            self.work();
        }
    }

    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Timeout(self.deadline()))
    }

    fn work(&mut self) {
        loop {
            match self.connection.poll_output() {
                connection::Output::Text(text) => self.outputs.extend(frames(&text).map(Output::Data)),
                connection::Output::Request { id, message } => {
                    self.outputs.push_back(Output::Request { id, message });
                }
                connection::Output::Close { code } => {
                    self.outputs.push_back(Output::Data(close_frame(code.code())));
                    self.open = false;
                    self.outputs.push_back(Output::Closed);
                }
                connection::Output::Timeout(..) => return,
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.open.then(|| self.connection.next_deadline()).flatten()
    }
}

#[cfg(test)]
mod tests;
