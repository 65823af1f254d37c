//! What is known of one participant. Its tap writes it, the sampler and the report read it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::crypt::Crypt;
use super::histogram::Histogram;
use super::receive::Stream;

/// See the module.
#[derive(Debug)]
pub struct Person {
    /// Number in the run.
    pub number: usize,
    pub name: String,
    /// Opens and seals its media, which otherwise are not encrypted.
    pub crypt: Option<Arc<dyn Crypt>>,
    record: Mutex<Record>,
}

/// Of the life of the participant; what is measured in the window only says so.
#[derive(Debug, Default)]
pub struct Record {
    /// When its member event went out, of a user of a homeserver.
    #[cfg_attr(not(feature = "matrix"), expect(dead_code, reason = "nobody else has one"))]
    pub announced_at: Option<Instant>,
    /// When the WebSocket request went out.
    pub opened_at: Option<Instant>,
    pub connected_at: Option<Instant>,
    pub first_media_at: Option<Instant>,
    /// Somebody published already when it came, so that there was a first packet to wait for.
    pub had_company: bool,
    /// Why it did not join, or why it was thrown out.
    pub failed: Option<String>,
    pub sent: Traffic,
    /// The last packet of any kind.
    pub heard_at: Option<Instant>,
    /// Everything received, repairs and padding included.
    pub received: Traffic,
    /// That reached this publisher, in its life.
    pub keyframe_requests: u64,
    /// That its viewer made, in its life.
    pub keyframe_requests_sent: u64,
    /// Times that the server paused a subscription for want of bandwidth.
    pub pauses: u64,
    pub latency: Histogram,
    /// By SSRC of the slot.
    pub streams: BTreeMap<u32, Stream>,
    /// The window of `sent`, `received` and `latency`.
    window: Option<Window>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    pub packets: u64,
    /// RTP with its header, before SRTP.
    pub bytes: u64,
}

impl Traffic {
    pub fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    fn since(self, earlier: Self) -> Self {
        Self { packets: self.packets - earlier.packets, bytes: self.bytes - earlier.bytes }
    }
}

/// What was when the window began, and then what was in it.
#[derive(Debug, Clone, Default)]
pub struct Window {
    pub sent: Traffic,
    pub received: Traffic,
    pub latency: Histogram,
    pub lasted: Duration,
}

impl Person {
    pub fn new(number: usize, name: String, crypt: Option<Arc<dyn Crypt>>) -> Self {
        Self { number, name, crypt, record: Mutex::default() }
    }

    pub fn record(&self) -> MutexGuard<'_, Record> {
        // Counters are whole after each step.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes why it failed; the first reason counts.
    pub fn fail(&self, why: impl Into<String>) {
        self.record().failed.get_or_insert_with(|| why.into());
    }
}

impl Record {
    /// The way into the call has ended, well or not.
    pub fn is_settled(&self) -> bool {
        self.connected_at.is_some() || self.failed.is_some()
    }

    pub fn begin(&mut self, now: Instant) {
        let latency = self.latency.clone();
        self.window = Some(Window { sent: self.sent, received: self.received, latency, lasted: Duration::ZERO });
        self.streams.values_mut().for_each(|stream| stream.begin(now));
    }

    /// What was in the window, which lasted so long.
    pub fn end(&mut self, now: Instant, lasted: Duration) -> Window {
        self.streams.values_mut().for_each(|stream| stream.end(now));
        let began = self.window.take().unwrap_or_default();
        Window {
            sent: self.sent.since(began.sent),
            received: self.received.since(began.received),
            latency: self.latency.since(&began.latency),
            lasted,
        }
    }
}
