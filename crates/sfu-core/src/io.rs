//! Everything that goes into an [`Engine`](crate::Engine) and comes out of it. Plain values, all of them.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::Codec;
use crate::id::{ConferenceId, LinkId, Mid, ParticipantId, PeerId, Rid, TrackId};
use crate::rtp::vp8;

/// A received UDP datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    pub source: SocketAddr,
    /// The local address that it came to: one of the engine's candidates.
    pub destination: SocketAddr,
    pub contents: &'a [u8],
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It belonged to a peer here, whatever it then did with it.
    Taken,
    /// No peer here knows its source. If it is a STUN request for somebody, its local ufrag tells whom:
    /// [`demux::stun_local_ufrag`](crate::demux::stun_local_ufrag).
    Unknown,
    /// Not STUN, DTLS, RTP or RTCP (RFC 7983).
    Junk,
}

/// What the control plane tells the engine to do. All but `Connect` and `Offer` answer [`Reply::Done`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Command {
    /// Makes a peer that waits for an offer. Answers [`Reply::Done`].
    Connect { peer: PeerId, conference: ConferenceId, participant: ParticipantId },
    /// The client's offer. `published` is everything that it publishes now, by m-line; a track that is no longer
    /// named, or whose m-line no longer sends, ends. Answers [`Reply::Answer`].
    Offer { peer: PeerId, sdp: String, published: Vec<PublishedTrack> },
    /// A trickled candidate of the client (RFC 8839 attribute without `a=`).
    Candidate { peer: PeerId, candidate: String },
    /// Carries `track` on the client's receiving m-line `mid`; changes what is wanted if it is carried there already.
    Subscribe { peer: PeerId, track: TrackId, mid: Mid, want: Want },
    /// Ends a subscription and frees its m-line.
    Unsubscribe { peer: PeerId, track: TrackId },
    /// The publisher muted or unmuted; while muted nothing is forwarded.
    Mute { track: TrackId, muted: bool },
    /// The publisher of `track`, which may be a remote one, encrypts under another end-to-end key from now on. A key frame
    /// that came before is of no use to a newcomer: only those who were there have the key. Every track begins with 0.
    SetKeyIndex { track: TrackId, index: u32 },
    /// Asks the publisher of `track` for a key frame on behalf of `peer`'s subscription.
    RequestKeyframe { peer: PeerId, track: TrackId },
    /// Sends on the peer's signalling data channel.
    SendData { peer: PeerId, data: Vec<u8> },
    /// Ends a peer, its tracks and its subscriptions.
    Disconnect { peer: PeerId },
    /// A track whose publisher is reached by `link`: another worker, or another focus.
    AddRemoteTrack { conference: ConferenceId, link: LinkId, track: TrackId, participant: ParticipantId, kind: Kind },
    /// Ends a remote track and the subscriptions to it.
    RemoveRemoteTrack { track: TrackId },
    /// Test only: what is done for the peer next panics.
    #[cfg(feature = "fault-injection")]
    InjectPanic { peer: PeerId, at: Fault },
}

/// Where a panic is injected.
#[cfg(feature = "fault-injection")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// At its next datagram.
    Datagram,
    /// When a packet that it publishes is forwarded.
    FanOut,
    /// In what is done by the clock.
    Housekeeping,
}

/// What a [`Command`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Done,
    Answer { sdp: String },
}

/// Why a [`Command`] was not done. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("no such peer")]
    UnknownPeer,
    #[error("no such track")]
    UnknownTrack,
    #[error("peer exists already")]
    PeerExists,
    #[error("track exists already")]
    TrackExists,
    #[error("track belongs to another conference")]
    WrongConference,
    #[error("m-line {0} does not exist, or does not receive this kind of media")]
    WrongMid(Mid),
    #[error("no more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    /// The text is str0m's or ours and tells a developer what is wrong with it.
    #[error("SDP refused: {0}")]
    Sdp(String),
    #[error("candidate refused")]
    Candidate,
    #[error("data channel is not open, or full")]
    DataChannel,
    #[error("the peer failed and is gone")]
    PeerFailed,
}

/// One published m-line of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTrack {
    pub mid: Mid,
    /// Given by the control plane; unique over all engines of the process.
    pub track: TrackId,
    pub kind: Kind,
    /// Pixels of the largest layer. 0: unknown.
    pub width: u32,
    pub height: u32,
    pub muted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Audio,
    Video,
}

/// What a subscriber wants of a video track. Audio has no choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Want {
    /// Pixels; 0: the smallest layer.
    pub width: u32,
    pub height: u32,
    /// Frames per second; 0: as many as there are.
    pub fps: u32,
}

/// One effect of the engine.
#[derive(Debug)]
pub enum Output<'a> {
    Transmit(Transmit<'a>),
    Relay {
        link: LinkId,
        message: RelayMessage,
    },
    Event(Event),
    /// Nothing more to do before this time, unless something comes in.
    Timeout(Instant, Reason),
}

/// Datagrams for one destination, laid end to end: each `segment_size` bytes long, the last one perhaps shorter (UDP GSO).
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub segment_size: usize,
    pub contents: &'a [u8],
}

impl<'a> Transmit<'a> {
    /// The single datagrams.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.contents.chunks(self.segment_size.max(1))
    }
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Some peer's ICE, DTLS, SCTP or RTP timer.
    Peer,
    /// The rest of a frame is waited for, so that it leaves in whole: at most [`HOLD`](crate::engine::HOLD) ahead. Look at
    /// the sockets again before then.
    Coalesce,
    /// A key-frame request that was held back or not answered.
    Keyframe,
    /// Speakers, quality, stale layers, refresh of relayed wants.
    Housekeeping,
}

/// What happened, for the control plane.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// ICE and DTLS are up.
    Connected {
        peer: PeerId,
    },
    /// The peer is gone: every track and subscription of it has ended.
    Disconnected {
        peer: PeerId,
        reason: DisconnectReason,
    },
    /// Local ICE user fragments by which STUN requests for the peer can be known, now. For the directory.
    LocalUfrags {
        peer: PeerId,
        ufrags: Vec<String>,
    },
    /// The peer proved that it receives at this address. For the directory.
    AddressAdded {
        peer: PeerId,
        address: SocketAddr,
    },
    AddressRemoved {
        peer: PeerId,
        address: SocketAddr,
    },
    TrackPublished {
        peer: PeerId,
        track: TrackId,
        kind: Kind,
    },
    TrackEnded {
        track: TrackId,
    },
    /// What a subscription gets now.
    Subscribed {
        peer: PeerId,
        track: TrackId,
        mid: Mid,
        rid: Option<Rid>,
        paused: Option<Pause>,
    },
    /// Who speaks, loudest first; only tracks published at this engine.
    Speakers {
        conference: ConferenceId,
        speakers: Vec<Speaker>,
    },
    Quality {
        peer: PeerId,
        quality: Quality,
    },
    /// A message on the signalling data channel.
    Data {
        peer: PeerId,
        data: Vec<u8>,
    },
    /// The client closed the signalling data channel; what waited to be sent on it is lost.
    DataClosed {
        peer: PeerId,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectReason {
    /// `Command::Disconnect`.
    Commanded,
    /// The other side closed DTLS.
    Closed,
    /// No sign of life for [`Bounds::silence`](crate::config::Bounds).
    Silent,
    /// Never connected within [`Bounds::connect_timeout`](crate::config::Bounds).
    NeverConnected,
    /// str0m gave it up (a DTLS failure, a wrong fingerprint).
    Failed,
    /// Our code panicked while it handled this peer.
    Panicked,
}

/// Why nothing is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    Muted,
    /// The publisher sends nothing, or no codec that the subscriber negotiated.
    NoSource,
    Bandwidth,
    /// The subscription ended.
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker {
    pub participant: ParticipantId,
    /// -dBov, smoothed: 0 loudest, 127 silence (RFC 6464).
    pub level: u8,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Share of packets lost on the way from and to the peer, 0.0–1.0, over the last interval.
    pub uplink_loss: f32,
    pub downlink_loss: f32,
    pub rtt: Option<Duration>,
    /// Nothing at all has arrived for some seconds.
    pub silent: bool,
    /// How long ago the last datagram arrived.
    pub quiet: Duration,
}

/// What passes between engines: another core is a nearer focus.
#[derive(Debug, Clone)]
pub enum RelayMessage {
    /// From the publisher's side: one packet of one layer, as it came.
    Media { track: TrackId, layer: u8, packet: Packet },
    /// From the publisher's side: the layers that exist, smallest first. Sent before their first packet and on change.
    Layers { track: TrackId, layers: Vec<LayerInfo>, muted: bool },
    /// From the subscriber's side: the layers wanted now, bit by bit; `None`: nothing of it any more. An empty mask still
    /// asks for `Layers`. Soft state: repeated each second, forgotten after five.
    Want { track: TrackId, layers: Option<u8> },
    /// From the subscriber's side.
    KeyframeRequest { track: TrackId, layer: u8 },
    /// From the publisher's side: a sender report of one layer.
    Clock { track: TrackId, layer: u8, clock: SourceClock },
}

/// One encoding of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerInfo {
    pub rid: Option<Rid>,
    /// Pixels; 0: unknown.
    pub width: u32,
    pub height: u32,
    /// Packets came lately.
    pub active: bool,
    /// Bits per second lately; 0: unknown.
    pub bitrate: u32,
}

/// A decrypted RTP packet on its way through: the payload is shared, never copied between engines, and never looked into
/// beyond the clear bytes that `codec` reads.
#[derive(Debug, Clone)]
pub struct Packet {
    pub head: Head,
    pub payload: Payload,
}

/// All of a [`Packet`] but its payload.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// The publisher's SSRC. Numbers of different sources have nothing to do with each other.
    pub source: u32,
    /// Extended by the roll-over count.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub codec: Codec,
    /// It begins a key frame (RFC 7741 P bit, and so on); always false for audio.
    pub keyframe: bool,
    /// What a VP8 payload begins with; its numbers are rewritten.
    pub vp8: Option<vp8::Descriptor>,
    pub extensions: Extensions,
    pub received: Instant,
}

/// The bytes of a payload, shared by all who still send them. Its memory is used again once nobody else has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload(Arc<Vec<u8>>);

/// Capacities are multiples of this, so that sizes which differ by a few bytes do not allocate.
const PAYLOAD_STEP: usize = 128;

impl Payload {
    /// Holds `bytes` from now on, in its own memory unless that is shared.
    pub fn assign(&mut self, bytes: &[u8]) {
        if Arc::get_mut(&mut self.0).is_none() {
            self.0 = Arc::default();
        }
        let Some(vec) = Arc::get_mut(&mut self.0) else { return };
        vec.clear();
        if vec.capacity() < bytes.len() {
            vec.reserve_exact(bytes.len().next_multiple_of(PAYLOAD_STEP));
        }
        vec.extend_from_slice(bytes);
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self(Arc::new(bytes.to_vec()))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// What a publisher says of the clock of one layer (RFC 3550 §6.4.1), for synchronising its media with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceClock {
    /// The SSRC whose timestamps it is about.
    pub source: u32,
    /// NTP time of the publisher, 32.32 fixed point.
    pub ntp: u64,
    /// The same moment in RTP ticks.
    pub rtp_timestamp: u32,
    /// When that was said.
    pub received: Instant,
}

/// The header extensions that are forwarded. All others end here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// -dBov and voice activity (RFC 6464).
    pub audio_level: Option<(u8, bool)>,
    /// Degrees clockwise: 0, 90, 180, 270 (3GPP TS 26.114).
    pub rotation: Option<u16>,
}
