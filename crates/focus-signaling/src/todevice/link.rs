//! An ordered stream of messages over events that may be lost, repeated, late, or overtaken.
//!
//! Both ends are the same. Each message has a number and is sent again until it is acknowledged; what comes is passed on in
//! order, once. Each end names the link by an id of its own, so that an end that lost its memory, and events of another
//! link, are noticed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::value::RawValue;

use super::content::{Claims, Content};
use super::{ACK_DELAY, CONTENT_BYTES_MAX, GIVE_UP, RETRANSMIT, WINDOW};

/// One end of a link.
///
/// Contract: any number of `handle_*` and verbs, then [`poll_output`](Self::poll_output) until it returns
/// [`Output::Timeout`]. After [`Output::Closed`] or [`Output::Lost`] nothing more is passed on, but what the other side
/// repeats is still acknowledged.
#[derive(Debug)]
pub struct Link {
    claims: Claims,
    mine: String,
    theirs: Option<String>,
    /// This end spoke first, so that the other side knows this end's id from the start.
    first: bool,
    next_seq: u64,
    unacknowledged: VecDeque<Sent>,
    /// All up to this one were passed on.
    delivered: u64,
    /// Came before an earlier one.
    early: BTreeMap<u64, Body>,
    ack_at: Option<Instant>,
    ended: bool,
    outputs: VecDeque<Output>,
    /// Events that fit nothing: of another link, far ahead, or repeated.
    ignored: u64,
    resent: u64,
}

#[derive(Debug, Clone)]
enum Body {
    Message(Box<RawValue>),
    Close(u16),
}

#[derive(Debug)]
struct Sent {
    seq: u64,
    body: Body,
    first: Instant,
    /// When it is sent again; `None`: not any more.
    again: Option<Instant>,
    times: usize,
}

/// What a link asks for.
#[derive(Debug)]
pub enum Output {
    /// Encrypt and send it.
    Transmit(Content),
    /// The next message of the other side, as JSON.
    Message(Box<RawValue>),
    /// The other side ended the link.
    Closed(u16),
    /// The other side does not answer.
    Lost,
    /// Nothing now. Call [`Link::handle_timeout`] at that time, if there is one.
    Timeout(Option<Instant>),
}

/// The message cannot be sent this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the link has ended")]
    Ended,
    #[error("the message is not JSON")]
    Json,
    #[error("the message is too large")]
    TooLarge,
    #[error("{WINDOW} messages are on their way already")]
    Full,
}

impl Link {
    /// `mine`: this end's id of the link; `theirs`: the other's, if that spoke first.
    pub fn new(claims: Claims, mine: String, theirs: Option<String>) -> Self {
        Self {
            claims,
            mine,
            first: theirs.is_none(),
            theirs,
            next_seq: 1,
            unacknowledged: VecDeque::new(),
            delivered: 0,
            early: BTreeMap::new(),
            ack_at: None,
            ended: false,
            outputs: VecDeque::new(),
            ignored: 0,
            resent: 0,
        }
    }

    /// An event of the other side's device.
    pub fn handle_content(&mut self, now: Instant, content: Content) {
        let to_me = content.dest_session.as_deref().map(|to| to == self.mine);
        let from_them = self.theirs.as_deref().is_none_or(|theirs| theirs == content.session);
        // Who knows nothing of this link says so under an id that this end cannot know.
        if let (None, Some(true), Some(code)) = (content.seq, to_me, content.close) {
            return self.end(Output::Closed(code));
        }
        // Only the side that began the link may not know the other's id yet.
        if !from_them || !content.is_about(&self.claims) || to_me == Some(false) || (to_me.is_none() && self.first) {
            self.ignored += 1;
            return;
        }
        self.theirs.get_or_insert(content.session);
        if let Some(ack) = content.ack.filter(|ack| *ack < self.next_seq) {
            while self.unacknowledged.front().is_some_and(|sent| sent.seq <= ack) {
                self.unacknowledged.pop_front();
            }
        }
        let body = match (content.m, content.close) {
            (Some(m), _) => Body::Message(m),
            (None, Some(code)) => Body::Close(code),
            (None, None) => return,
        };
        if let Some(seq) = content.seq {
            self.take(now, seq, body);
        }
    }

    fn take(&mut self, now: Instant, seq: u64, body: Body) {
        if seq > self.delivered + WINDOW as u64 {
            self.ignored += 1;
            return;
        }
        // Also when it is known: the acknowledgement was lost.
        self.ack_at.get_or_insert(now + ACK_DELAY);
        if seq <= self.delivered || self.early.insert(seq, body).is_some() {
            self.ignored += 1;
        }
        while let Some(body) = self.early.remove(&(self.delivered + 1)) {
            self.delivered += 1;
            match body {
                _ if self.ended => {}
                Body::Message(message) => self.outputs.push_back(Output::Message(message)),
                Body::Close(code) => self.end(Output::Closed(code)),
            }
        }
    }

    /// Sends a message of the dialect, which is one JSON object.
    pub fn send(&mut self, now: Instant, text: String) -> Result<(), SendError> {
        if text.len() + CONTENT_OVERHEAD_MAX > CONTENT_BYTES_MAX {
            return Err(SendError::TooLarge);
        }
        let message = RawValue::from_string(text).map_err(|_| SendError::Json)?;
        self.push(now, Body::Message(message))
    }

    /// Ends the link; what was sent before still arrives before that.
    pub fn close(&mut self, now: Instant, code: u16) {
        // A link that is full ends by silence.
        let _ = self.push(now, Body::Close(code));
        self.ended = true;
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.unacknowledged.front().is_some_and(|sent| sent.first + GIVE_UP <= now) {
            self.unacknowledged.clear();
            self.end(Output::Lost);
        }
        let due: Vec<usize> = (0..self.unacknowledged.len())
            .filter(|at| self.unacknowledged[*at].again.is_some_and(|again| again <= now))
            .collect();
        for at in due {
            let sent = &mut self.unacknowledged[at];
            sent.times += 1;
            sent.again = RETRANSMIT.get(sent.times).map(|wait| now + *wait);
            let (seq, body) = (sent.seq, sent.body.clone());
            self.resent += 1;
            self.transmit(Some(seq), Some(body));
        }
        if self.ack_at.is_some_and(|at| at <= now) {
            self.transmit(None, None);
        }
    }

    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Timeout(self.deadline()))
    }

    /// Nothing is on its way any more, after the end.
    pub fn is_over(&self) -> bool {
        self.ended && self.unacknowledged.is_empty() && self.ack_at.is_none()
    }

    /// Events that fitted nothing, and messages that were sent again.
    pub fn tallies(&self) -> (u64, u64) {
        (self.ignored, self.resent)
    }

    fn push(&mut self, now: Instant, body: Body) -> Result<(), SendError> {
        if self.ended {
            return Err(SendError::Ended);
        }
        if self.unacknowledged.len() >= WINDOW {
            return Err(SendError::Full);
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let again = RETRANSMIT.first().map(|wait| now + *wait);
        self.unacknowledged.push_back(Sent { seq, body: body.clone(), first: now, again, times: 0 });
        self.transmit(Some(seq), Some(body));
        Ok(())
    }

    fn transmit(&mut self, seq: Option<u64>, body: Option<Body>) {
        self.ack_at = None;
        let (m, close) = match body {
            Some(Body::Message(message)) => (Some(message), None),
            Some(Body::Close(code)) => (None, Some(code)),
            None => (None, None),
        };
        let Claims { room_id, slot_id, member_id } = self.claims.clone();
        self.outputs.push_back(Output::Transmit(Content {
            room_id,
            slot_id,
            member_id,
            session: self.mine.clone(),
            dest_session: self.theirs.clone(),
            seq,
            ack: (self.delivered > 0).then_some(self.delivered),
            m,
            close,
        }));
    }

    fn end(&mut self, how: Output) {
        if !self.ended {
            self.ended = true;
            self.outputs.push_back(how);
        }
        self.early.clear();
        if !matches!(self.outputs.back(), Some(Output::Lost)) {
            // Whoever closed does not listen any more.
            self.unacknowledged.clear();
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let oldest = self.unacknowledged.front().map(|sent| sent.first + GIVE_UP);
        let again = self.unacknowledged.iter().filter_map(|sent| sent.again).min();
        [oldest, again, self.ack_at].into_iter().flatten().min()
    }
}

/// What a content has beside its message: three words, two sessions, two numbers and their names.
const CONTENT_OVERHEAD_MAX: usize = 1200;

#[cfg(test)]
mod tests;
