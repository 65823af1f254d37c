//! What a worker tells of itself: plain numbers, copied out once a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::net::udp::UdpCounters;

const INTERVAL: Duration = Duration::from_secs(1);

/// What happened around the engine. All only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DriverCounters {
    pub(crate) udp: UdpCounters,
    /// Datagrams of another worker's clients, sent on to it.
    pub(crate) misrouted_sent: u64,
    pub(crate) misrouted_received: u64,
    /// Received so, but the peer was gone.
    pub(crate) misrouted_late: u64,
    /// Datagrams of nobody's clients.
    pub(crate) misrouted_unowned: u64,
    /// News that the control task had no room for.
    pub(crate) events_dropped: u64,
    /// Data-channel messages, which nothing here speaks yet.
    pub(crate) data_ignored: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WorkerStats {
    pub(crate) engine: sfu_core::Counters,
    pub(crate) driver: DriverCounters,
    /// Letters that wait.
    pub(crate) mailbox: u64,
}

/// Where the last copy lies. The lock is held to copy some hundred bytes, once a second.
pub(crate) type Shared = Arc<Mutex<WorkerStats>>;

pub(super) struct Publisher {
    shared: Shared,
    next: Option<Instant>,
}

impl Publisher {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared, next: None }
    }

    pub(super) fn publish(&mut self, now: Instant, stats: impl FnOnce() -> WorkerStats) {
        if self.next.is_none_or(|next| next <= now) {
            self.next = Some(now + INTERVAL);
            *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = stats();
        }
    }
}

pub(crate) fn read(shared: &Shared) -> WorkerStats {
    *shared.lock().unwrap_or_else(PoisonError::into_inner)
}
