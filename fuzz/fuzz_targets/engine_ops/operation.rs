//! What may happen to an engine. Ids are small, so that operations meet.

use libfuzzer_sys::arbitrary::{self, Arbitrary};

use crate::offer::OfferedLine;

#[derive(Debug, Arbitrary)]
pub enum Operation {
    // Commands of the control plane.
    Connect {
        peer: u8,
        conference: u8,
    },
    /// An offer by its parts, of a peer that has no client behind it.
    Offer {
        peer: u8,
        lines: Vec<OfferedLine>,
        published: Vec<Published>,
    },
    /// A browser's or any other text.
    OfferText {
        peer: u8,
        text: Text,
    },
    Candidate {
        peer: u8,
        text: Text,
    },
    Subscribe {
        peer: u8,
        track: u8,
        line: u8,
        width: u16,
        height: u16,
        fps: u8,
    },
    Unsubscribe {
        peer: u8,
        track: u8,
    },
    Mute {
        track: u8,
        muted: bool,
    },
    RequestKeyframe {
        peer: u8,
        track: u8,
    },
    SendData {
        peer: u8,
        length: u16,
    },
    Disconnect {
        peer: u8,
    },
    AddRemoteTrack {
        conference: u8,
        link: u8,
        track: u8,
        video: bool,
    },
    RemoveRemoteTrack {
        track: u8,
    },
    // From other engines.
    RelayMedia {
        link: u8,
        track: u8,
        layer: u8,
        codec: u8,
        keyframe: bool,
        step: u8,
        payload: Vec<u8>,
    },
    RelayLayers {
        link: u8,
        track: u8,
        layers: Vec<RelayedLayer>,
        muted: bool,
    },
    RelayWant {
        link: u8,
        track: u8,
        layers: Option<u8>,
    },
    RelayKeyframeRequest {
        link: u8,
        track: u8,
        layer: u8,
    },
    // From the network.
    Datagram {
        from: u8,
        contents: Vec<u8>,
    },
    /// The last datagram of a client once more, with one byte changed; from elsewhere perhaps.
    Replay {
        client: u8,
        at: u16,
        xor: u8,
        from: u8,
    },
    // Through the stack of a connected client.
    Rtp {
        client: u8,
        video: bool,
        step: u8,
        keyframe: bool,
        payload: Vec<u8>,
    },
    KeyframeRequest {
        client: u8,
    },
    Data {
        client: u8,
        length: u16,
    },
    Reoffer {
        client: u8,
        restart: bool,
        video: bool,
        sends: bool,
    },
    Close {
        client: u8,
    },
    Lose {
        client: u8,
        datagrams: u8,
    },
    Time {
        ms: u16,
    },
}

#[derive(Debug, Arbitrary)]
pub struct Published {
    pub line: u8,
    pub track: u8,
    pub video: bool,
    pub width: u16,
    pub height: u16,
    pub muted: bool,
}

#[derive(Debug, Arbitrary)]
pub struct RelayedLayer {
    pub rid: Option<u8>,
    pub width: u16,
    pub height: u16,
    pub active: bool,
}

/// A well-formed text with a change in it, or any.
#[derive(Debug, Arbitrary)]
pub enum Text {
    Changed { at: u16, length: u8, insert: String },
    Any(String),
}

impl Text {
    pub fn apply(self, good: &str) -> String {
        match self {
            Self::Any(text) => text,
            Self::Changed { at, length, insert } => {
                let start = good.floor_char_boundary(usize::from(at) % (good.len() + 1));
                let end = good.floor_char_boundary((start + usize::from(length)).min(good.len()));
                format!("{}{insert}{}", &good[..start], &good[end..])
            }
        }
    }
}
