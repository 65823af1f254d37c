//! What may happen to an engine. Ids are small, so that operations meet.

use libfuzzer_sys::arbitrary::{self, Arbitrary};

use crate::offer::OfferedLine;

#[derive(Debug, Arbitrary)]
pub struct Input {
    pub beginning: Beginning,
    pub operations: Vec<Operation>,
}

/// States that a fuzzer would not find in a night.
#[derive(Debug, Arbitrary)]
pub enum Beginning {
    Call,
    /// Client 1 receives two tracks of another engine, 10 and 11.
    Remote,
    /// Another engine receives tracks 0 and 1.
    Relaying,
    /// Everybody has more m-lines, client 2 asks for what is not for it, and media flows.
    Grown,
}

impl Beginning {
    pub fn operations(&self) -> Vec<Operation> {
        let rtp = |video| Operation::Rtp { client: 0, video, step: 1, keyframe: true, payload: vec![1, 2, 3] };
        let reoffer = |client, video| Operation::Reoffer { client, restart: false, video, sends: false };
        let remote = |video| {
            let (link, track, line) = (0, 10 + u8::from(video), u8::from(video));
            let rids: &[Option<u8>] = if video { &[Some(0), Some(1), Some(2)] } else { &[None] };
            let layer = |rid: &Option<u8>| RelayedLayer { rid: *rid, width: 640, height: 360, active: true };
            let media = |layer| Operation::RelayMedia {
                link,
                track,
                layer,
                codec: u8::from(video),
                keyframe: true,
                step: 1,
                payload: vec![0x90, 0x80, 0x01, 0x00],
            };
            [
                Operation::AddRemoteTrack { conference: 0, link, track, video },
                Operation::RelayLayers { link, track, layers: rids.iter().map(layer).collect(), muted: false },
                Operation::Subscribe { peer: 1, track, line, width: 640, height: 360, fps: 0 },
                media(0),
                media(1),
                media(2),
            ]
        };
        match self {
            Self::Call => vec![],
            Self::Remote => remote(false).into_iter().chain(remote(true)).collect(),
            Self::Relaying => {
                let want = |track| Operation::RelayWant { link: 1, track, layers: Some(1) };
                vec![want(0), want(1), rtp(false), rtp(true)]
            }
            Self::Grown => {
                let foreign = |track| Operation::Subscribe { peer: 2, track, line: track, width: 0, height: 0, fps: 0 };
                let grow = [reoffer(0, true), reoffer(1, true), reoffer(1, false)];
                grow.into_iter().chain([foreign(0), foreign(1), rtp(false), rtp(true)]).collect()
            }
        }
    }
}

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
