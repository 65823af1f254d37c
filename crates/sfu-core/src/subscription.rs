//! One subscriber's hold on one track: what is wanted, which layer it gets, and under which numbers.

use std::time::{Duration, Instant};

use crate::codec::Codec;
use crate::forward::rewriter::{Numbers, Rewriter};
use crate::id::{Mid, Rid};
use crate::io::{Head, Kind, Pause, Want};

/// What became of a packet that was offered to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    Forward(Numbers),
    /// The first packet of another layer: forward it, and report the layer.
    Switched(Numbers),
    Drop,
}

/// See the module. The numbers belong to the m-line, which outlives its subscriptions: see [`Subscription::into_rewriter`].
#[derive(Debug)]
pub struct Subscription {
    /// Key of the subscriber's peer, and of the track.
    pub peer: usize,
    pub track: usize,
    pub mid: Mid,
    pub kind: Kind,
    pub want: Want,
    /// The layer that suits `want`, of those that are sent.
    pub wanted: Option<u8>,
    /// What the subscriber's path has room for.
    pub granted: Grant,
    /// The layer to get to, at its next key frame.
    pub target: Option<u8>,
    pub current: Option<u8>,
    /// Payload type at the subscriber for the codec that came last.
    payload_type: Option<(Codec, Option<u8>)>,
    rewriter: Rewriter,
    /// Of each layer: the source, and the highest of its numbers that was sent.
    sent: [Option<(u32, u64)>; LAYERS_MAX],
    /// The peer's sender for the m-line.
    pub sender: u16,
    reported: Option<(Option<Rid>, Option<Pause>)>,
    /// When; it is told at most once in [`REPORT_INTERVAL`].
    pub reported_at: Option<Instant>,
    /// What came last had a codec that it lacked, and this has not been made good.
    pub lacked: bool,
    /// The last key frame that its subscriber asked for and may have got.
    asked: Option<Instant>,
}

/// What a subscriber's path has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    Unlimited,
    /// This layer at most.
    Layer(u8),
    Paused,
}

/// Layers whose replay can be told from a repetition: all that a track may have.
const LAYERS_MAX: usize = 4;
/// What a publisher does packet by packet must not become a message each.
pub const REPORT_INTERVAL: Duration = Duration::from_millis(200);
/// Key-frame requests of one subscriber that has a picture, at most so often.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

impl Subscription {
    pub fn new(
        (peer, track, mid): (usize, usize, Mid),
        kind: Kind,
        want: Want,
        (sender, rewriter): (u16, Rewriter),
    ) -> Self {
        Self {
            peer,
            track,
            mid,
            kind,
            want,
            wanted: None,
            granted: Grant::Unlimited,
            target: None,
            current: None,
            payload_type: None,
            rewriter,
            sent: [None; LAYERS_MAX],
            sender,
            reported: None,
            reported_at: None,
            lacked: false,
            asked: None,
        }
    }

    /// Offers a packet of `layer`. `may_switch`: it begins a key frame and nothing newer of its layer came before it, or
    /// its codec needs no key frames.
    pub fn offer(&mut self, now: Instant, layer: u8, packet: &Head, may_switch: bool) -> Offered {
        if self.current == Some(layer) && !self.rewriter.follows(packet) {
            // The publisher began anew, or left too much out: so must we.
            self.current = None;
        }
        if self.current == Some(layer) {
            return self.rewrite(now, layer, packet).map_or(Offered::Drop, Offered::Forward);
        }
        if self.target == Some(layer) && may_switch {
            self.rewriter.switch(now, packet, Duration::ZERO);
            self.current = Some(layer);
            return self.rewrite(now, layer, packet).map_or(Offered::Drop, Offered::Switched);
        }
        Offered::Drop
    }

    /// Goes over to `layer` with packets that came before: `first` and what follows it, over `behind` of media time.
    pub fn begin_replay(&mut self, now: Instant, layer: u8, first: &Head, behind: Duration) {
        self.rewriter.switch(now, first, behind);
        self.current = Some(layer);
    }

    /// Numbers for the next packet of a replay.
    pub fn replay(&mut self, now: Instant, layer: u8, packet: &Head) -> Option<Numbers> {
        self.rewrite(now, layer, packet)
    }

    fn rewrite(&mut self, now: Instant, layer: u8, packet: &Head) -> Option<Numbers> {
        let numbers = self.rewriter.rewrite(now, packet)?;
        if let Some(sent) = self.sent.get_mut(usize::from(layer)) {
            let same = sent.filter(|(source, _)| *source == packet.source);
            *sent = Some((packet.source, same.map_or(packet.sequence, |(_, highest)| highest.max(packet.sequence))));
        }
        Some(numbers)
    }

    /// Whether nothing of this source from `first` on was sent to it.
    pub fn has_seen_nothing_since(&self, layer: u8, source: u32, first: u64) -> bool {
        let sent = self.sent.get(usize::from(layer)).copied().flatten();
        sent.is_none_or(|(of, highest)| of != source || highest < first)
    }

    /// Stops until the next key frame: the track was muted, or its source went away.
    pub fn pause(&mut self) {
        self.current = None;
    }

    /// It waits for a key frame of its target.
    pub fn waits(&self) -> bool {
        self.kind == Kind::Video && self.target.is_some() && self.target != self.current && !self.lacks_codec()
    }

    /// Whether its subscriber may ask for a key frame now. One that always asks costs the publisher, and so everybody.
    pub fn may_ask(&mut self, now: Instant) -> bool {
        let may = self.waits() || self.asked.is_none_or(|asked| now >= asked + ASK_INTERVAL);
        if may {
            self.asked = Some(now);
        }
        may
    }

    /// The subscriber's payload type for `codec`; `look_up` is asked once per change of codec.
    pub fn payload_type(&mut self, codec: Codec, look_up: impl FnOnce() -> Option<u8>) -> Option<u8> {
        match self.payload_type {
            Some((known, payload_type)) if known == codec => payload_type,
            _ => {
                let payload_type = look_up();
                self.payload_type = Some((codec, payload_type));
                payload_type
            }
        }
    }

    /// The subscriber negotiated again: its payload types may have changed.
    pub fn forget_payload_type(&mut self) {
        self.payload_type = None;
    }

    /// A codec came that the subscriber cannot take.
    pub fn lacks_codec(&self) -> bool {
        matches!(self.payload_type, Some((_, None)))
    }

    /// `true` if this is news to the subscriber.
    pub fn report(&mut self, rid: Option<Rid>, pause: Option<Pause>) -> bool {
        let news = Some((rid, pause));
        std::mem::replace(&mut self.reported, news) != news
    }

    /// The m-line's numbers, for the next subscription on it.
    pub fn into_rewriter(self) -> Rewriter {
        self.rewriter
    }
}
