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

/// Tracks that one client publishes without sending: as many as a server lets it (`PUBLISHED_TRACKS_MAX`).
const IDLE_TRACKS_EACH: usize = focus_signaling::limits::PUBLISHED_TRACKS_MAX;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub publishers: usize,
    pub subscribers: usize,
    pub mesh: bool,
    pub shape: MediaShape,
    pub duration: Duration,
    /// Subscriptions of each receiver to tracks that send nothing.
    pub idle_streams: usize,
}

impl Room {
    /// One publisher, for whom all others have come.
    pub fn one_to_many(subscribers: usize, shape: MediaShape, duration: Duration) -> Self {
        Self { publishers: 1, subscribers, mesh: false, shape, duration, idle_streams: 0 }
    }

    pub fn new(args: &FanoutArgs) -> Result<Self> {
        let shape = args.media.shape();
        ensure!(args.publishers > 0 && args.subscribers > 0, "at least one of each");
        ensure!(shape.size >= SIZE_MIN + shape.jitter, "a packet needs {} bytes at least", SIZE_MIN + shape.jitter);
        ensure!(shape.size <= 1200, "1200 bytes at most: with headers it must fit an Ethernet frame");
        let (publishers, subscribers) = (args.publishers, args.subscribers);
        let mesh = publishers == subscribers && publishers > 1;
        Ok(Self {
            publishers,
            subscribers,
            mesh,
            shape,
            duration: args.duration.into(),
            idle_streams: args.idle_streams,
        })
    }

    /// Receivers of each publisher.
    pub fn receivers(&self) -> usize {
        if self.mesh { self.subscribers - 1 } else { self.subscribers }
    }

    pub fn subscriptions(&self) -> usize {
        self.publishers * self.receivers()
    }

    /// Those that send or receive.
    fn active(&self) -> usize {
        if self.mesh { self.publishers } else { self.publishers + self.subscribers }
    }

    /// Those that send or receive, then those that publish the idle tracks.
    pub fn clients(&self) -> usize {
        self.active() + self.idle_streams.div_ceil(IDLE_TRACKS_EACH)
    }

    /// All subscriptions of all receivers, idle ones included.
    pub fn all_subscriptions(&self) -> usize {
        self.subscriptions() + self.subscribers * self.idle_streams
    }

    /// What a client subscribes to: its slot, the publisher, the number of that one's track.
    pub fn wants(&self, index: usize) -> Vec<(usize, usize, usize)> {
        if self.plan(index).audio_slots + self.plan(index).video_slots == 0 {
            return Vec::new();
        }
        let others = (0..self.publishers).filter(|publisher| *publisher != index);
        let idle = (0..self.idle_streams).map(|n| (self.active() + n / IDLE_TRACKS_EACH, n % IDLE_TRACKS_EACH));
        let all = others.map(|publisher| (publisher, 0)).chain(idle);
        all.enumerate().map(|(slot, (publisher, number))| (slot, publisher, number)).collect()
    }

    pub fn plan(&self, index: usize) -> Plan {
        if let Some(idle) = index.checked_sub(self.active()) {
            let idle_tracks = (self.idle_streams - idle * IDLE_TRACKS_EACH).min(IDLE_TRACKS_EACH);
            return Plan { idle_tracks, ..Plan::bare(index as u16) };
        }
        let publishes = index < self.publishers;
        let slots = match (self.mesh, publishes) {
            (true, _) => self.publishers - 1,
            (false, true) => 0,
            (false, false) => self.publishers,
        };
        let (audio_slots, video_slots) = if self.shape.audio { (slots, 0) } else { (0, slots) };
        let idle_slots = if slots > 0 { self.idle_streams } else { 0 };
        Plan {
            publish: publishes.then_some(self.shape),
            audio_slots,
            video_slots: video_slots + idle_slots,
            idle_slots,
            ..Plan::bare(index as u16)
        }
    }

    pub fn limit(&self, profile: SrtpProfile) -> limit::Load {
        let (publishers, receivers) = (self.publishers, self.receivers());
        limit::Load { publishers, receivers, shape: self.shape, profile, duration: LIMIT_DURATION.min(self.duration) }
    }
}
