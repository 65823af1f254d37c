//! What became of the device's events, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::DeviceStats;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// 1: its homeserver has its keys, and answered its last sync.
    pub(crate) ready: AtomicU64,
    /// Decrypted, of our type, and from a device that its homeserver lists.
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) clear_text: AtomicU64,
    pub(crate) undecryptable: AtomicU64,
    /// Encrypted by keys that are not those of the device that it says that it is.
    pub(crate) unknown_device: AtomicU64,
    pub(crate) malformed: AtomicU64,
    /// Encrypted, and too many of one user or server.
    pub(crate) unopened: AtomicU64,
    /// Answers that could not be encrypted or sent.
    pub(crate) unsent: AtomicU64,
    pub(crate) failed_syncs: AtomicU64,
    /// Dropped by the carriage: too many, late, of unknown links.
    pub(crate) refused: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> DeviceStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let events = [
            &self.received,
            &self.sent,
            &self.unsent,
            &self.clear_text,
            &self.undecryptable,
            &self.unknown_device,
            &self.malformed,
            &self.refused,
            &self.unopened,
        ];
        DeviceStats { ready: of(&self.ready) == 1, events: events.map(of), failed_syncs: of(&self.failed_syncs) }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
