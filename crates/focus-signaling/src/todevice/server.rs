//! The focus's end: the links of all devices, each with a [`Connection`] as a socket has one.
//!
//! Owns which device has which link, the pace of each device, and what may be said this way. Whether a member may join is
//! for the driver to find out ([`Output::Join`]); what a message means, as everywhere, for whoever is behind it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::content::{Address, Claims, Content};
use super::link::{self, Link};
use super::{
    DEVICES_MAX, ENDED_PER_DEVICE_MAX, EVENTS_PER_SECOND, GOING_AWAY, LINKS_PER_DEVICE_MAX, MESSAGE_BYTES_MAX,
};
use crate::connection::rate::Rate;
use crate::connection::{self, Connection};
use crate::wire::{ClientMessage, Limits, ServerMessage};
use crate::{CloseCode, Errcode};

/// One link, as the driver knows it. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// The links of a focus. Contract as of [`Link`].
#[derive(Debug)]
pub struct Server {
    /// Random, so that the ids of a focus that began anew are others.
    prefix: String,
    next: u64,
    devices: BTreeMap<Address, Device>,
    links: BTreeMap<LinkId, Entry>,
    /// Links to look at before the next `Timeout`.
    outputs: VecDeque<Output>,
    counters: Counters,
}

/// What became of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Beyond the pace of their device, or when too many devices or links are there.
    pub refused: u64,
    /// Late and repeated events of links that have ended.
    pub late: u64,
    /// Events of links that this focus does not know.
    pub unknown: u64,
    /// Links that ended because the device did not answer.
    pub lost: u64,
    /// Messages sent again.
    pub resent: u64,
}

#[derive(Debug)]
struct Device {
    rate: Rate,
    /// By the device's own id of the link.
    links: BTreeMap<String, LinkId>,
    /// Device's ids of links that are over, oldest first.
    ended: VecDeque<String>,
    heard: Instant,
}

#[derive(Debug)]
struct Entry {
    address: Address,
    session: String,
    claims: Claims,
    link: Link,
    connection: Connection,
    /// Took a session up, so that it may restart the ICE of what that negotiated.
    resumed: bool,
    /// The driver was told that it is over.
    closed: bool,
}

/// What the focus's end asks for.
#[derive(Debug)]
pub enum Output {
    /// Encrypt it for this device, and send it.
    Transmit {
        to: Address,
        content: Content,
    },
    /// The device wants in as this member; answered by [`Server::send`], or refused by [`Server::refuse`].
    Join {
        link: LinkId,
        id: Option<u64>,
        from: Address,
        claims: Claims,
    },
    /// As of [`connection::Output::Request`].
    Request {
        link: LinkId,
        id: Option<u64>,
        message: ClientMessage,
    },
    /// The link is gone.
    Closed {
        link: LinkId,
    },
    Timeout(Option<Instant>),
}

impl Server {
    /// `prefix`: random, at most 22 bytes.
    pub fn new(prefix: String) -> Self {
        Self {
            prefix,
            next: 0,
            devices: BTreeMap::new(),
            links: BTreeMap::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// An event that was decrypted, and came from this device for certain. `bytes`: its size.
    pub fn handle_content(&mut self, now: Instant, from: Address, content: Content, bytes: usize) {
        let Some(device) = self.device(now, &from) else {
            self.counters.refused += 1;
            return;
        };
        device.heard = now;
        if device.rate.take(now, bytes).is_err() {
            self.counters.refused += 1;
            return;
        }
        let id = match device.links.get(&content.session) {
            Some(id) => *id,
            None if device.ended.contains(&content.session) => {
                self.counters.late += 1;
                return;
            }
            // Without a number it begins nothing; with an id of ours it goes on with something that is no more.
            None if content.seq.is_none() || content.dest_session.is_some() => {
                self.counters.unknown += 1;
                if content.seq.is_some() {
                    self.outputs.push_back(Output::Transmit { to: from, content: unknown(content) });
                }
                return;
            }
            None if device.links.len() >= LINKS_PER_DEVICE_MAX => {
                self.counters.refused += 1;
                return;
            }
            None => self.begin(now, &from, &content),
        };
        if let Some(entry) = self.links.get_mut(&id) {
            entry.link.handle_content(now, content);
            self.work(now, id);
        }
    }

    /// Sends a message, as far as this way carries it; the rest is told again when the session is taken up over its data
    /// channel. `re` is the id of the request that it answers.
    pub fn send(&mut self, now: Instant, link: LinkId, re: Option<u64>, message: ServerMessage) {
        let message = match message {
            ServerMessage::Welcome(mut welcome) => {
                welcome.participants.clear();
                ServerMessage::Welcome(welcome)
            }
            ServerMessage::Participant(_)
            | ServerMessage::Subscribed(_)
            | ServerMessage::Mute(_)
            | ServerMessage::Speakers(_)
            | ServerMessage::Quality(_) => return,
            message => message,
        };
        if let Some(entry) = self.links.get_mut(&link) {
            entry.connection.send(now, re, message);
            self.work(now, link);
        }
    }

    /// Ends a link, with what was sent before.
    pub fn close(&mut self, now: Instant, link: LinkId, code: CloseCode) {
        if let Some(entry) = self.links.get_mut(&link) {
            entry.connection.close(now, code);
            self.work(now, link);
        }
    }

    /// The member may join: what stands for its `hello` from here on, as a request of the link that asked.
    pub fn admit(&mut self, link: LinkId, id: Option<u64>, message: ClientMessage) {
        if self.links.get(&link).is_some_and(|entry| !entry.closed) {
            self.outputs.push_back(Output::Request { link, id, message });
        }
    }

    /// The member may not join.
    pub fn refuse(
        &mut self,
        now: Instant,
        link: LinkId,
        re: Option<u64>,
        (errcode, text): (Errcode, &str),
        code: CloseCode,
    ) {
        self.send(now, link, re, ServerMessage::Error(errcode.body(text)));
        self.close(now, link, code);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<LinkId> =
            self.links.iter().filter(|(_, e)| e.deadline().is_some_and(|at| at <= now)).map(|(id, _)| *id).collect();
        for id in due {
            if let Some(entry) = self.links.get_mut(&id) {
                entry.link.handle_timeout(now);
                entry.connection.handle_timeout(now);
                self.work(now, id);
            }
        }
    }

    pub fn poll_output(&mut self) -> Output {
        self.outputs
            .pop_front()
            .unwrap_or_else(|| Output::Timeout(self.links.values().filter_map(Entry::deadline).min()))
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Devices that are remembered, and links that are not over.
    pub fn sizes(&self) -> (usize, usize) {
        (self.devices.len(), self.links.len())
    }

    /// The device, remembered from now on; `None` when there are too many.
    fn device(&mut self, now: Instant, address: &Address) -> Option<&mut Device> {
        if !self.devices.contains_key(address) && self.devices.len() >= DEVICES_MAX {
            let idle = self.devices.iter().filter(|(_, device)| device.links.is_empty());
            let oldest = idle.min_by_key(|(_, device)| device.heard).map(|(address, _)| address.clone())?;
            self.devices.remove(&oldest);
        }
        let new = || Device {
            rate: Rate::new(now, EVENTS_PER_SECOND),
            links: BTreeMap::new(),
            ended: VecDeque::new(),
            heard: now,
        };
        Some(self.devices.entry(address.clone()).or_insert_with(new))
    }

    fn begin(&mut self, now: Instant, from: &Address, content: &Content) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        let (session, claims) = (content.session.clone(), content.claims());
        let mine = format!("{}.{}", self.prefix, id.0);
        let limits = Limits { message_bytes: MESSAGE_BYTES_MAX, ..Limits::default() };
        self.links.insert(
            id,
            Entry {
                address: from.clone(),
                link: Link::new(claims.clone(), mine, Some(session.clone())),
                session: session.clone(),
                claims,
                connection: Connection::of_known(now, limits),
                resumed: false,
                closed: false,
            },
        );
        if let Some(device) = self.devices.get_mut(from) {
            device.links.insert(session, id);
        }
        id
    }

    /// Carries what a link and its connection have for each other, and for the driver.
    fn work(&mut self, now: Instant, id: LinkId) {
        let Some(entry) = self.links.get_mut(&id) else { return };
        loop {
            let linked = match entry.link.poll_output() {
                link::Output::Transmit(content) => {
                    self.outputs.push_back(Output::Transmit { to: entry.address.clone(), content });
                    true
                }
                link::Output::Message(message) => {
                    entry.connection.handle_text(now, message.get());
                    true
                }
                link::Output::Closed(_) => {
                    entry.connection.handle_closed(now);
                    entry.report_closed(id, &mut self.outputs);
                    true
                }
                link::Output::Lost => {
                    self.counters.lost += 1;
                    entry.connection.handle_closed(now);
                    entry.report_closed(id, &mut self.outputs);
                    true
                }
                link::Output::Timeout(_) => false,
            };
            let connected = match entry.connection.poll_output() {
                connection::Output::Text(text) => {
                    // A message that this way cannot carry ends it; the session is kept.
                    if entry.link.send(now, text).is_err() {
                        entry.connection.handle_closed(now);
                        entry.end(now, id, CloseCode::TooLarge, &mut self.outputs);
                    }
                    true
                }
                connection::Output::Request { id: request, message } => {
                    if let Some(output) = entry.admit(now, id, request, message) {
                        self.outputs.push_back(output);
                    }
                    true
                }
                connection::Output::Close { code } => {
                    entry.end(now, id, code, &mut self.outputs);
                    true
                }
                connection::Output::Timeout(..) => false,
            };
            if !linked && !connected {
                break;
            }
        }
        if entry.closed && entry.link.is_over() {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: LinkId) {
        let Some(entry) = self.links.remove(&id) else { return };
        self.counters.resent += entry.link.tallies().1;
        let Some(device) = self.devices.get_mut(&entry.address) else { return };
        device.links.remove(&entry.session);
        if device.ended.len() >= ENDED_PER_DEVICE_MAX {
            device.ended.pop_front();
        }
        device.ended.push_back(entry.session);
    }
}

impl Entry {
    /// What of a client's requests goes further.
    fn admit(&mut self, now: Instant, link: LinkId, id: Option<u64>, message: ClientMessage) -> Option<Output> {
        let refusal = match &message {
            ClientMessage::Hello(hello) if hello.token.is_some() => {
                let error = Errcode::BadJson.body("here the device takes the place of a token");
                self.connection.send(now, id, ServerMessage::Error(error));
                self.connection.close(now, CloseCode::ProtocolError);
                return None;
            }
            ClientMessage::Hello(hello) if hello.resume.is_some() => {
                self.resumed = true;
                None
            }
            ClientMessage::Hello(_) => {
                return Some(Output::Join { link, id, from: self.address.clone(), claims: self.claims.clone() });
            }
            ClientMessage::Offer(offer) if !self.resumed && has_media(&offer.sdp) => {
                Some(Errcode::InvalidParam.body("only a data channel is negotiated here; media follow over it"))
            }
            ClientMessage::Offer(_) | ClientMessage::Candidate(_) | ClientMessage::Leave(_) => None,
            _ => Some(Errcode::BadState.body("to be said over the data channel")),
        };
        match refusal {
            Some(error) => {
                self.connection.send(now, id, ServerMessage::Error(error));
                None
            }
            None => Some(Output::Request { link, id, message }),
        }
    }

    fn end(&mut self, now: Instant, id: LinkId, code: CloseCode, outputs: &mut VecDeque<Output>) {
        self.link.close(now, code.code());
        self.report_closed(id, outputs);
    }

    fn report_closed(&mut self, id: LinkId, outputs: &mut VecDeque<Output>) {
        if !self.closed {
            self.closed = true;
            outputs.push_back(Output::Closed { link: id });
        }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.link.deadline(), self.connection.next_deadline()].into_iter().flatten().min()
    }
}

fn has_media(sdp: &str) -> bool {
    sdp.split('\n').any(|line| line.starts_with("m=") && !line.starts_with("m=application"))
}

/// Says that there is no such link, under the words of whoever thinks that there is.
fn unknown(content: Content) -> Content {
    Content {
        session: content.dest_session.unwrap_or_default(),
        dest_session: Some(content.session),
        seq: None,
        ack: None,
        m: None,
        close: Some(GOING_AWAY),
        ..content
    }
}

#[cfg(test)]
mod tests;
