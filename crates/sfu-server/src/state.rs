//! What the HTTP side knows of the node.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use focus_control::token::Minter;
use tokio::sync::{Semaphore, mpsc};

use crate::control::{FromSocket, SharedStats};
use crate::matrix::device;
use crate::matrix::fetch::Fetcher;
use crate::matrix::gate::Gate;
use crate::matrix::homeserver::Reach;
use crate::matrix::openid::OpenId;
use crate::matrix::watching::{Hint, SharedCounts};
use crate::metrics::{MatrixStats, Metrics, Snapshot};
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
    /// Lets Matrix users in, if it is configured.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Asks other servers.
    pub(crate) fetch: Arc<Fetcher>,
    pub(crate) openid: OpenId,
    /// To those who watch who may stay.
    pub(crate) hints: mpsc::Sender<Hint>,
    pub(crate) device: Arc<device::Counters>,
    /// There is a Matrix device, or there will be.
    pub(crate) has_device: bool,
    pub(crate) watch_counts: SharedCounts,
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
        if self.dev_minter.is_none() && self.gate.is_none() {
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

    fn matrix_stats(&self) -> MatrixStats {
        let watch = *self.watch_counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(gate) = &self.gate else { return MatrixStats::default() };
        let reach = gate.reach();
        let homeservers_up = reach.iter().filter(|(_, reach)| *reach == Reach::Up).count();
        let homeservers_down = reach.len() - homeservers_up;
        let device = self.device.stats();
        MatrixStats { outcomes: gate.outcomes(), watch, homeservers_up, homeservers_down, device }
    }

    pub(crate) fn render_metrics(&self) -> String {
        let control = *self.control_stats.lock().unwrap_or_else(PoisonError::into_inner);
        let matrix = self.matrix_stats();
        let health = self.store.health();
        self.metrics.render(&Snapshot {
            control,
            matrix,
            workers: self.workers.read(),
            ring_dropped: self.workers.dropped(),
            state_failures: health.failures(),
            state_dropped: health.dropped(),
            state_degraded: health.is_degraded(),
            questions: self.fetch.counts(),
        })
    }
}
