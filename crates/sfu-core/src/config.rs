//! What the driver decides once, and the bounds of everything that a peer can grow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use str0m::crypto::CryptoProvider;

/// Configuration of one engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Addresses to advertise as host candidates, with the local address that datagrams for them come to.
    pub candidates: Vec<LocalCandidate>,
    /// Where all randomness of the engine comes from.
    pub seed: [u8; 32],
    /// DTLS and SRTP. The simulation puts a seeded stand-in for the DTLS here.
    pub crypto: Arc<CryptoProvider>,
    pub bounds: Bounds,
}

/// One ICE host candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalCandidate {
    /// What clients are told.
    pub advertised: SocketAddr,
    /// What [`Datagram::destination`](crate::io::Datagram) says when one arrives. Differs behind NAT.
    pub bound: SocketAddr,
}

/// Named bounds. The defaults are what the documents promise.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Peers in one engine. At 100 KB an idle and 600 KB a busy one, 4096 stay under 2.5 GB (`benches/scoreboard.md`: 101 KB, and 248 KB a video).
    pub peers: usize,
    /// m-lines of one peer: one per published and subscribed track. str0m walks them, so they cost time as well.
    pub m_lines: usize,
    pub published_tracks: usize,
    /// Largest SDP, in bytes.
    pub sdp_bytes: usize,
    /// Addresses of one peer that proved themselves; the oldest gives way.
    pub addresses: usize,
    /// Trickled candidates of one peer.
    pub candidates: usize,
    /// Simulcast layers of one track.
    pub layers: usize,
    /// Bytes that wait for a slow reader of the signalling data channel. The `welcome` of a conference of 1000 has 1 MiB.
    pub data_bytes: usize,
    /// A peer that sends nothing for so long is gone. ICE consent expires after 30 s (RFC 7675).
    pub silence: Duration,
    /// A peer that has never been up for so long is gone.
    pub connect_timeout: Duration,
    /// A track's publisher is asked for a key frame again after this if none came, whoever asks, and after twice this if
    /// one did.
    pub keyframe_interval: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            peers: 4096,
            m_lines: 256,
            published_tracks: 16,
            sdp_bytes: 1024 * 1024,
            addresses: 8,
            candidates: 64,
            layers: 4,
            data_bytes: 4 * 1024 * 1024,
            silence: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            keyframe_interval: Duration::from_millis(300),
        }
    }
}
