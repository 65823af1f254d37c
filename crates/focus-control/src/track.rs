//! One published track, as the others are told of it.

use std::collections::BTreeMap;

use focus_signaling::wire;
use sfu_core::{Kind, Mid, TrackId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    /// The publisher's m-line.
    pub(crate) mid: Mid,
    pub(crate) source: wire::Source,
    pub(crate) muted: bool,
    pub(crate) enc: Option<wire::Encryption>,
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
}

pub(crate) type Tracks = BTreeMap<TrackId, Track>;

impl Track {
    /// `None` if the mid is not one.
    pub(crate) fn new(published: wire::PublishedTrack) -> Option<Self> {
        let wire::PublishedTrack { mid, source, muted, enc, width, height } = published;
        Some(Self { mid: Mid::new(&mid)?, source, muted, enc, width, height })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.source {
            wire::Source::Microphone | wire::Source::ScreenAudio => Kind::Audio,
            wire::Source::Camera | wire::Source::Screen => Kind::Video,
        }
    }

    /// The end-to-end key that it is under. An engine takes a new track to be under 0.
    pub(crate) fn key_index(&self) -> u32 {
        self.enc.as_ref().map_or(0, |enc| enc.key_index)
    }

    /// Whether it is one track, perhaps changed: the same source on the same m-line.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.mid == other.mid && self.source == other.source
    }

    /// For the engine.
    pub(crate) fn published(&self, track: TrackId) -> sfu_core::PublishedTrack {
        sfu_core::PublishedTrack {
            mid: self.mid,
            track,
            kind: self.kind(),
            width: self.width.unwrap_or(0),
            height: self.height.unwrap_or(0),
            muted: self.muted,
        }
    }

    /// For the others.
    pub(crate) fn to_wire(&self, track: TrackId) -> wire::Track {
        wire::Track {
            track: track.to_string(),
            kind: match self.kind() {
                Kind::Audio => wire::Kind::Audio,
                Kind::Video => wire::Kind::Video,
            },
            source: self.source,
            muted: self.muted,
            enc: self.enc.clone(),
            width: self.width,
            height: self.height,
        }
    }
}

/// Puts all encrypted tracks under another key.
pub(crate) fn set_key_index(tracks: &mut Tracks, key_index: u32) {
    for enc in tracks.values_mut().filter_map(|track| track.enc.as_mut()) {
        enc.key_index = key_index;
    }
}
