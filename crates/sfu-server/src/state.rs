//! What the HTTP side knows of the node.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use focus_control::token::Minter;
use tokio::sync::{Semaphore, mpsc};

use crate::control::{FromSocket, SharedStats};
use crate::metrics::{Metrics, Snapshot};
use crate::store::Store;
use crate::worker::WorkersStats;

pub(crate) struct NodeState {
    pub(crate) control: mpsc::Sender<FromSocket>,
    pub(crate) next_connection: AtomicU64,
    /// Places for sockets that were not welcomed yet: strangers cannot take all connections.
    pub(crate) unwelcomed: Arc<Semaphore>,
    /// Each socket holds one; when the last is dropped, none is left.
    pub(crate) alive: mpsc::Sender<()>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) metrics_on_http: bool,
    pub(crate) control_stats: SharedStats,
    pub(crate) workers: WorkersStats,
    pub(crate) store: Store,
    /// With `--dev`: mints tokens for anybody.
    pub(crate) dev_minter: Option<Minter>,
    pub(crate) allowed_origins: Vec<String>,
    /// With `--dev` on a loopback address: other host names are refused.
    pub(crate) only_loopback: bool,
    pub(crate) has_candidates: bool,
    /// The node drains.
    pub(crate) draining: AtomicBool,
    /// The last sessions have ended: no socket is opened any more.
    pub(crate) stopping: AtomicBool,
}

impl NodeState {
    /// Why this node should get no clients. Empty: it should.
    pub(crate) fn unready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.dev_minter.is_none() {
            reasons.push("no authoriser configured");
        }
        if !self.has_candidates {
            reasons.push("no address that clients could reach: set media.advertise");
        }
        if self.draining.load(Ordering::Relaxed) {
            reasons.push("draining");
        }
        reasons
    }

    /// What does not work as it should, although calls go on.
    pub(crate) fn degraded(&self) -> Vec<&'static str> {
        match self.store.health().is_degraded() {
            true => vec!["state.dir cannot be written"],
            false => Vec::new(),
        }
    }

    pub(crate) fn render_metrics(&self) -> String {
        let control = *self.control_stats.lock().unwrap_or_else(PoisonError::into_inner);
        let health = self.store.health();
        self.metrics.render(&Snapshot {
            control,
            workers: self.workers.read(),
            ring_dropped: self.workers.dropped(),
            state_failures: health.failures(),
            state_dropped: health.dropped(),
            state_degraded: health.is_degraded(),
        })
    }
}
