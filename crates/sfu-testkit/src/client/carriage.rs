//! A client without a socket: to-device messages until its data channel is open, then the channel; and to-device messages
//! again when the channel is lost.

use std::collections::VecDeque;
use std::time::Instant;

use focus_signaling::channel::{self, Assembly, Frame};
use focus_signaling::limits::QUEUED_BYTES_MAX;
use focus_signaling::todevice::{self, Claims, Content, client};
use focus_signaling::wire::ClientMessage;

use super::call::Call;
use super::{Client, Effect};

/// Which way messages go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// A socket, or nothing.
    #[default]
    Socket,
    Link,
    Channel,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Carriage {
    pub way: Way,
    link: Option<todevice::Client>,
    /// When the link wants to be woken.
    pub(super) deadline: Option<Instant>,
    /// Frames that the data channel has not taken.
    pub(super) queue: VecDeque<Vec<u8>>,
    assembly: Option<Assembly>,
    /// The focus has yet to say that the connection over the channel begins.
    begins: bool,
    /// Media m-lines were added to the peer connection.
    pub(super) has_media: bool,
    /// Links that were begun.
    pub links: u32,
    /// The largest message that went over the data channel, and the largest that came.
    pub largest: (usize, usize),
}

impl Carriage {
    pub(super) fn feed(&mut self, call: &mut Call) {
        while self.queue.front().is_some_and(|frame| call.send_data(frame)) {
            self.queue.pop_front();
        }
    }
}

impl Client {
    /// Whose member it says that it is.
    pub fn claims(&self) -> Claims {
        Claims {
            room_id: format!("!conference{}:test", self.setup.conference),
            slot_id: "m.call#ROOM".into(),
            member_id: format!("member of {}", self.setup.identity),
        }
    }

    /// Begins a link: to join, or to take its session up.
    pub fn open_link(&mut self, now: Instant, session: String, joins: bool) {
        self.carriage.links += 1;
        self.carriage.link = Some(todevice::Client::new(self.claims(), session));
        self.carriage.way = Way::Link;
        if joins {
            self.signal.forget();
        }
        let hello = self.signal.open(now, None);
        self.say(ClientMessage::Hello(hello));
    }

    /// A decrypted event of the focus's device.
    pub fn handle_to_device(&mut self, now: Instant, content: Content) {
        if let Some(link) = self.carriage.link.as_mut().filter(|_| !self.dead) {
            link.handle_content(now, content);
            self.pump_link(now);
        }
    }

    pub(super) fn handle_link_timeout(&mut self, now: Instant) {
        if let Some(link) = &mut self.carriage.link {
            link.handle_timeout(now);
            self.pump_link(now);
        }
    }

    fn pump_link(&mut self, now: Instant) {
        while let Some(link) = &mut self.carriage.link {
            match link.poll_output() {
                client::Output::Transmit(content) => self.effects.push(Effect::ToDevice(content)),
                // What the channel has told since is newer.
                client::Output::Message(_) if self.carriage.way != Way::Link => {}
                client::Output::Message(envelope) => self.handle_message(now, envelope),
                client::Output::Closed(code) if self.carriage.way == Way::Link => self.handle_closed(now, Some(code)),
                client::Output::Lost if self.carriage.way == Way::Link => self.handle_closed(now, None),
                client::Output::Closed(_) | client::Output::Lost => {}
                client::Output::Timeout(at) => {
                    self.carriage.deadline = at;
                    return;
                }
            }
        }
    }

    /// Takes a text that is to be sent, unless it is for a socket.
    pub fn carry(&mut self, now: Instant, text: String) -> Option<String> {
        match self.carriage.way {
            Way::Socket if self.setup.to_device => None,
            Way::Socket => Some(text),
            Way::Link => {
                if let Some(link) = &mut self.carriage.link {
                    link.send_text(now, text).expect("what a link carries");
                }
                self.pump_link(now);
                None
            }
            Way::Channel => {
                self.carriage.largest.0 = self.carriage.largest.0.max(text.len());
                self.carriage.queue.extend(channel::frames(&text));
                self.drain(now);
                None
            }
        }
    }

    /// The data channel is open: the session goes on there.
    pub(super) fn move_to_channel(&mut self, now: Instant) {
        self.carriage.way = Way::Channel;
        self.carriage.begins = true;
        self.carriage.queue.push_back(channel::begin_frame());
        let hello = self.signal.open(now, None);
        self.say(ClientMessage::Hello(hello));
    }

    /// The data channel is there again, after a while on a link.
    pub fn return_to_channel(&mut self, now: Instant) {
        if self.data_open {
            self.move_to_channel(now);
        }
    }

    pub(super) fn read_channel(&mut self, now: Instant) {
        for data in std::mem::take(&mut self.data) {
            let assembly = self.carriage.assembly.get_or_insert_with(|| Assembly::new(2 * QUEUED_BYTES_MAX));
            let frame = assembly.handle_data(&data).expect("the focus sends frames");
            if self.carriage.way != Way::Channel {
                continue;
            }
            match frame {
                Some(Frame::Begin) => self.carriage.begins = false,
                _ if self.carriage.begins => {}
                Some(Frame::Text(text)) => {
                    self.carriage.largest.1 = self.carriage.largest.1.max(text.len());
                    self.handle_text(now, &text);
                }
                Some(Frame::Close(code)) => self.handle_closed(now, Some(code)),
                None => {}
            }
        }
    }

    /// It has come in, and its media have yet to be negotiated.
    pub(super) fn begins_media(&self) -> bool {
        self.setup.to_device && self.carriage.way == Way::Channel && !self.carriage.has_media && self.call.is_some()
    }
}
