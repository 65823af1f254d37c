//! What must hold in every story, whatever it is about. A violation fails the story at the next step.
//!
//! At once, for each packet that reaches an application:
//! - its payload is what was sent, byte for byte, but for the fields of VP8's descriptor that a switch rewrites;
//! - it belongs to the receiver's conference, and does not come from the receiver itself;
//! - its source is not muted (with a second of grace);
//! - its sequence number has not been used for anything else.
//!
//! And for each datagram that a focus sends: no nonce seals two different packets (see `checkers/nonces.rs`).
//!
//! Later, in order of sequence numbers (see `checkers/order.rs`): what a decoder may assume.

mod nonces;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::nonces::Nonces;
use self::order::{Entry, Stream};
use crate::client::RtpIn;
use crate::random::hash;

/// Packets of a muted source that may still be on their way.
const MUTE_GRACE: Duration = Duration::from_secs(1);
/// When a packet has been there for so long, retransmissions before it have come, or never will.
const SETTLED: Duration = Duration::from_secs(4);
/// A packet is asked for again after some 50 ms and a round trip, and a few times if need be.
const TAIL: Duration = Duration::from_secs(1);
/// Streams are looked through whenever they have grown by so many packets.
const BATCH: usize = 4096;
/// One bug gives thousands of violations; a few say it all.
const VIOLATIONS_MAX: usize = 20;

/// Where a packet arrived: client, its life, m-line, SSRC.
type Place = (usize, u32, usize, u32);

#[derive(Debug, Default)]
pub struct Checkers {
    pub violations: Vec<String>,
    pub leniency: Leniency,
    pub totals: Totals,
    streams: BTreeMap<Place, Stream>,
    muted: BTreeMap<(usize, u8), Duration>,
    /// Clients that publish nonsense on purpose: nothing of theirs is held against anyone.
    hostile: BTreeSet<usize>,
    /// Streams that carry what hostile clients send: what of it is no canary leaves gaps here.
    spoilt: BTreeSet<Place>,
    nonces: Nonces,
}

/// What a bad network excuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leniency {
    /// Gaps in sequence numbers are no violation: the network loses more than can be recovered.
    pub gaps: bool,
    pub reordering: bool,
}

/// Over all streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub packets: u64,
    pub duplicates: u64,
    /// Sequence numbers that never came.
    pub missing: u64,
    /// Of which of video.
    pub missing_video: u64,
    pub video: u64,
    /// Changes of layer or track on one m-line.
    pub switches: u64,
}

impl Checkers {
    pub fn receive(&mut self, now: Duration, client: usize, life: u32, conference: u32, packet: &RtpIn) {
        self.totals.packets += 1;
        self.totals.video += u64::from(packet.video);
        let Some((canary, descriptor)) = packet.read() else {
            if self.hostile.is_empty() {
                self.report(now, format!("client {client} got a payload that nobody sent: {packet:?}"));
            }
            self.spoilt.insert((client, life, packet.line, packet.ssrc));
            return;
        };
        let publisher = canary.publisher as usize;
        if self.hostile.contains(&publisher) {
            self.spoilt.insert((client, life, packet.line, packet.ssrc));
        }
        if canary.conference != conference {
            self.report(now, format!("client {client} of conference {conference} got {canary:?}"));
        }
        if publisher == client {
            self.report(now, format!("client {client} got its own {canary:?}"));
        }
        if let Some(since) = self.muted.get(&(publisher, canary.source))
            && now > *since + MUTE_GRACE
        {
            self.report(now, format!("client {client} got a packet of a source muted at {since:?}: {canary:?}"));
        }
        if let Some(descriptor) = descriptor {
            let fits = descriptor.start == (canary.index == 0)
                && descriptor.keyframe == (canary.keyframe && descriptor.start)
                && descriptor.tid == canary.tid;
            if !fits {
                self.report(now, format!("client {client}: descriptor {descriptor:?} does not fit {canary:?}"));
            }
        }
        let entry = Entry {
            at: now,
            canary,
            descriptor,
            timestamp: packet.timestamp,
            marker: packet.marker,
            hash: hash(&packet.payload),
        };
        let stream = self.streams.entry((client, life, packet.line, packet.ssrc)).or_default();
        match stream.insert(packet.sequence, entry) {
            Ok(true) => {}
            Ok(false) => self.totals.duplicates += 1,
            Err(problem) => self.report(now, format!("client {client}, m-line {}: {problem}", packet.line)),
        }
        let place = (client, life, packet.line, packet.ssrc);
        if self.streams.get(&place).is_some_and(|stream| stream.len() >= BATCH) {
            self.look_through(now, place, now.saturating_sub(SETTLED));
        }
    }

    /// A focus sends a datagram to a client in one of its lives.
    pub fn send(&mut self, now: Duration, focus: usize, (client, life): (usize, u32), datagram: &[u8]) {
        if let Some(problem) = self.nonces.judge((focus, client, life), datagram) {
            self.report(now, format!("to client {client}: {problem}"));
        }
    }

    /// The story said so.
    pub fn set_muted(&mut self, now: Duration, publisher: usize, source: u8, muted: bool) {
        if muted {
            self.muted.insert((publisher, source), now);
        } else {
            self.muted.remove(&(publisher, source));
        }
    }

    /// A new session of the same client begins unmuted.
    pub fn forget_mutes(&mut self, publisher: usize) {
        self.muted.retain(|(muted, _), _| *muted != publisher);
    }

    /// `client` publishes what no canary is in.
    pub fn allow_garbage(&mut self, client: usize) {
        self.hostile.insert(client);
    }

    /// Looks at all that has come but the last second's, of which something may still be on its way.
    pub fn finish(&mut self, now: Duration) {
        let places: Vec<_> = self.streams.keys().copied().collect();
        for place in places {
            self.look_through(now, place, now.saturating_sub(TAIL));
        }
    }

    fn look_through(&mut self, now: Duration, place: Place, before: Duration) {
        let Some(stream) = self.streams.get_mut(&place) else { return };
        let leniency = Leniency { gaps: self.leniency.gaps || self.spoilt.contains(&place), ..self.leniency };
        let found = stream.settle(before, leniency, &mut self.totals);
        let (client, _, line, _) = place;
        for problem in found {
            self.report(now, format!("client {client}, m-line {line}: {problem}"));
        }
    }

    pub fn report(&mut self, now: Duration, violation: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(format!("{:.6} s: {violation}", now.as_secs_f64()));
        }
    }
}

#[cfg(test)]
mod tests;
