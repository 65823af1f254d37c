//! What the arguments mean: who publishes, who receives, how much.

use std::time::Duration;

use anyhow::{Result, ensure};
use str0m::crypto::dtls::SrtpProfile;

use crate::cli::FanoutArgs;
use crate::client::Plan;
use crate::client::publisher::MediaShape;
use crate::limit;
use crate::payload::SIZE_MIN;

/// The bare loop costs the same all the time; it need not run as long as a server.
const LIMIT_DURATION: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub publishers: usize,
    pub subscribers: usize,
    pub mesh: bool,
    pub shape: MediaShape,
    pub duration: Duration,
}

impl Room {
    pub fn new(args: &FanoutArgs) -> Result<Self> {
        let shape = args.media.shape();
        ensure!(args.publishers > 0 && args.subscribers > 0, "at least one of each");
        ensure!(shape.size >= SIZE_MIN + shape.jitter, "a packet needs {} bytes at least", SIZE_MIN + shape.jitter);
        ensure!(shape.size <= 1200, "1200 bytes at most: with headers it must fit an Ethernet frame");
        let (publishers, subscribers) = (args.publishers, args.subscribers);
        let mesh = publishers == subscribers && publishers > 1;
        Ok(Self { publishers, subscribers, mesh, shape, duration: args.duration.into() })
    }

    /// Receivers of each publisher.
    pub fn receivers(&self) -> usize {
        if self.mesh { self.subscribers - 1 } else { self.subscribers }
    }

    pub fn subscriptions(&self) -> usize {
        self.publishers * self.receivers()
    }

    pub fn clients(&self) -> usize {
        if self.mesh { self.publishers } else { self.publishers + self.subscribers }
    }

    pub fn plan(&self, index: usize) -> Plan {
        let publishes = index < self.publishers;
        let slots = match (self.mesh, publishes) {
            (true, _) => self.publishers - 1,
            (false, true) => 0,
            (false, false) => self.publishers,
        };
        let (audio_slots, video_slots) = if self.shape.audio { (slots, 0) } else { (0, slots) };
        Plan { id: index as u16, publish: publishes.then_some(self.shape), audio_slots, video_slots }
    }

    pub fn limit(&self, profile: SrtpProfile) -> limit::Load {
        let (publishers, receivers) = (self.publishers, self.receivers());
        limit::Load { publishers, receivers, shape: self.shape, profile, duration: LIMIT_DURATION.min(self.duration) }
    }
}
