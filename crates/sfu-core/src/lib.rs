//! The forwarding engine of the `rust_sfu` focus: encrypted media in, encrypted media out.
//!
//! Sans-IO: time, randomness and datagrams are arguments, effects are values. No socket, clock, task, thread or lock.
//! It knows no Matrix and no signalling dialect; ids are opaque numbers. It cannot decrypt what participants encrypt end
//! to end, and reads of each payload only what `codec` and `rtp` name.
//!
//! Start with [`Engine`]; what goes in and comes out is in [`io`].

pub mod allocator;
pub mod batch;
pub mod codec;
pub mod config;
pub mod demux;
pub mod engine;
pub mod feedback;
pub mod forward;
pub mod id;
pub mod io;
pub mod receive;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod send;
pub mod srtp;
pub mod stats;
pub mod timers;

mod conference;
mod dtls;
mod keyframe;
mod keys;
mod media;
mod peer;
mod speaker;
mod subscription;
mod track;

#[cfg(test)]
mod test_time;

pub use config::{Bounds, EngineConfig, LocalCandidate};
pub use engine::Engine;
pub use id::{ConferenceId, LinkId, Mid, ParticipantId, PeerId, Rid, TrackId};
#[cfg(feature = "fault-injection")]
pub use io::Fault;
pub use io::{
    Command, CommandError, Datagram, DisconnectReason, Disposition, Event, Kind, Output, Pause, PublishedTrack,
    Quality, Reason, RelayMessage, Reply, Speaker, Transmit, Want,
};
pub use peer::SIGNALLING_CHANNEL;
pub use stats::Counters;

/// DTLS and STUN on aws-lc-rs, for [`EngineConfig::crypto`].
#[must_use]
pub fn default_crypto() -> std::sync::Arc<str0m::crypto::CryptoProvider> {
    let crypto = str0m::crypto::from_feature_flags();
    std::sync::Arc::new(str0m::crypto::CryptoProvider { dtls_provider: &dtls::PROVIDER, ..crypto })
}
