//! A published media source, its layers, and who gets it.

use std::time::{Duration, Instant};

use crate::forward::ring::Ring;
use crate::id::{ConferenceId, LinkId, Mid, ParticipantId, Rid, TrackId};
use crate::io::{Kind, LayerInfo, PublishedTrack, SourceClock};
use crate::keyframe::KeyframeGate;

/// A layer without packets for so long is not sent (any more). Screens at rest still send about once a second.
pub const LAYER_IDLE: Duration = Duration::from_millis(2_500);
/// A wanted mask that is not repeated for so long is void; it is repeated every second.
pub const WANT_EXPIRES: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub struct Track {
    pub id: TrackId,
    pub conference: ConferenceId,
    pub participant: ParticipantId,
    pub kind: Kind,
    pub origin: Origin,
    pub muted: bool,
    /// Which media key its publisher says that it uses now.
    pub key_index: u32,
    pub width: u32,
    pub height: u32,
    /// Smallest first.
    pub layers: Vec<Layer>,
    /// Keys of the engine's subscriptions.
    pub subscribers: Vec<usize>,
    /// Other engines that want it.
    pub links: Vec<LinkWant>,
}

/// Where a track's packets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A peer here (its key), on this m-line.
    Peer { peer: usize, mid: Mid },
    /// Another engine. `wanted` is what we last asked it for.
    Link { link: LinkId, wanted: Option<u8> },
}

#[derive(Debug)]
pub struct Layer {
    pub rid: Option<Rid>,
    pub last_packet: Option<Instant>,
    /// The SSRC that it comes from, and the highest sequence number seen of that.
    pub highest: Option<(u32, u64)>,
    pub gate: KeyframeGate,
    pub ring: Ring,
    /// The present frame comes piece by piece.
    pub trickles: bool,
    pub meter: Meter,
    /// What the publisher's engine measured, of a layer that does not come here.
    pub told_bitrate: u32,
    /// Of a remote track; a publisher's own peer has it of ours.
    pub clock: Option<SourceClock>,
}

#[derive(Debug, Clone, Copy)]
pub struct LinkWant {
    pub link: LinkId,
    pub layers: u8,
    pub expires: Instant,
}

impl Track {
    pub fn published(
        (conference, participant): (ConferenceId, ParticipantId),
        peer: usize,
        published: &PublishedTrack,
        rids: &[Rid],
    ) -> Self {
        let mut track = Self {
            id: published.track,
            conference,
            participant,
            kind: published.kind,
            origin: Origin::Peer { peer, mid: published.mid },
            muted: published.muted,
            key_index: 0,
            width: published.width,
            height: published.height,
            layers: Vec::new(),
            subscribers: Vec::new(),
            links: Vec::new(),
        };
        track.set_rids(rids);
        track
    }

    pub fn remote(
        (conference, participant): (ConferenceId, ParticipantId),
        track: TrackId,
        kind: Kind,
        link: LinkId,
    ) -> Self {
        Self {
            id: track,
            conference,
            participant,
            kind,
            origin: Origin::Link { link, wanted: None },
            muted: false,
            key_index: 0,
            width: 0,
            height: 0,
            layers: Vec::new(),
            subscribers: Vec::new(),
            links: Vec::new(),
        }
    }

    /// Takes the layers of a new offer; those that stay keep their state.
    pub fn set_rids(&mut self, rids: &[Rid]) {
        let names: Vec<Option<Rid>> =
            if rids.is_empty() { vec![None] } else { rids.iter().map(|rid| Some(*rid)).collect() };
        self.keep_layers(&names);
    }

    /// Makes the layers those of `rids`; what is known of each stays.
    pub fn keep_layers(&mut self, rids: &[Option<Rid>]) {
        let mut old = std::mem::take(&mut self.layers);
        let kind = self.kind;
        let take = |rid: &Option<Rid>| match old.iter().position(|layer| layer.rid == *rid) {
            Some(place) => old.swap_remove(place),
            None => Layer::new(*rid, kind),
        };
        self.layers = rids.iter().map(take).collect();
    }

    /// The publisher encrypts with another media key now. One who joins could not read what came before.
    pub fn set_key_index(&mut self, key_index: u32) {
        if std::mem::replace(&mut self.key_index, key_index) != key_index {
            self.layers.iter_mut().for_each(|layer| layer.ring.forget_keyframe());
        }
    }

    /// A packet without a rid belongs to the only layer, or to none.
    pub fn layer_of(&self, rid: Option<Rid>) -> Option<usize> {
        self.layers.iter().position(|layer| layer.rid == rid)
    }

    /// The layers as the selector wants them. Each is taken for half as wide and high as the next larger one
    /// (`docs/signalling.md`).
    pub fn layer_infos(&self, now: Instant) -> Vec<LayerInfo> {
        let top = self.layers.len().saturating_sub(1);
        let info = |(index, layer): (usize, &Layer)| LayerInfo {
            rid: layer.rid,
            width: self.width >> (top - index).min(31),
            height: self.height >> (top - index).min(31),
            active: layer.is_active(now),
            bitrate: layer.bitrate(),
        };
        self.layers.iter().enumerate().map(info).collect()
    }
}

impl Layer {
    fn new(rid: Option<Rid>, kind: Kind) -> Self {
        let ring = Ring::new(kind);
        Self {
            rid,
            last_packet: None,
            highest: None,
            gate: KeyframeGate::default(),
            ring,
            trickles: false,
            meter: Meter::default(),
            told_bitrate: 0,
            clock: None,
        }
    }

    /// Bits per second lately; 0: unknown.
    pub fn bitrate(&self) -> u32 {
        if self.meter.bitrate == 0 { self.told_bitrate } else { self.meter.bitrate }
    }

    pub fn is_active(&self, now: Instant) -> bool {
        self.last_packet.is_some_and(|last| now < last + LAYER_IDLE)
    }
}

/// What a layer sends, in bits per second.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: u32,
    bitrate: u32,
}

impl Meter {
    pub fn note(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u32);
    }

    /// An interval is over.
    pub fn roll(&mut self, interval: Duration) {
        let now = u64::from(std::mem::take(&mut self.bytes)) * 8 * 1000 / interval.as_millis() as u64;
        let now = u32::try_from(now).unwrap_or(u32::MAX);
        // A second of memory: key frames are no new rate.
        self.bitrate = if self.bitrate == 0 { now } else { self.bitrate - self.bitrate / 5 + now / 5 };
    }
}
