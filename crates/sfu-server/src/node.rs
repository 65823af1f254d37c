//! The whole server in one value: starts everything, and ends it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use focus_control::{ConnectionId, Control, ControlBounds, ControlConfig};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::auth::{self, AuthError};
use crate::config::{Config, MetricsPlace};
use crate::control::{
    ControlTask, DrainOrder, FROM_SOCKETS_MAX, FROM_WORKERS_MAX, Inlets, ORDERS_MAX, SharedStats, wall_clock,
};
use crate::matrix::device;
use crate::matrix::gate::Gate;
use crate::matrix::openid::OpenId;
use crate::matrix::watching::{HINTS_MAX, SharedCounts, WatchTask};
use crate::matrix::wills::Wills;
use crate::matrix::{self, MatrixError};
use crate::metrics::Metrics;
use crate::net::http::{self, Listener};
use crate::net::{routes, tls};
use crate::random::{self, OsError};
use crate::state::NodeState;
use crate::store::{Store, StoreError};
use crate::worker::{Ended, Workers, WorkersError};

/// After the last session, sockets get so long for their last words, and then requests for theirs.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Connections to the metrics listener: a scraper or two.
const METRICS_CONNECTIONS: usize = 16;
/// One in so many connections may be a socket that was not welcomed yet. It is one for a round trip, or for the 10 s of
/// `focus_signaling::limits::HELLO_TIMEOUT` if its client says nothing.
const UNWELCOMED_SHARE: usize = 4;
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Why a node does not start. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{option} {address}: {error}")]
    Listen { option: &'static str, address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Workers(#[from] WorkersError),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Random(#[from] OsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Matrix(#[from] MatrixError),
}

/// Part of a running node has died. What it held is lost, and the rest is of no use without it: the process should end
/// with an error and be started again.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("media worker {0} has ended")]
    Worker(usize),
    #[error("the control task has ended")]
    Control,
    #[error("the task that watches who may stay has ended")]
    Watch,
    #[error("the HTTP listener has ended")]
    Http,
}

/// A running server. [`join`](Self::join) tells when it breaks; [`shutdown`](Self::shutdown) ends it.
pub struct Node {
    http: SocketAddr,
    metrics: Option<SocketAddr>,
    media: Vec<SocketAddr>,
    call_page: Option<String>,
    drain_timeout: Duration,
    /// A drain has come to its end.
    drained: bool,
    state: Arc<NodeState>,
    store: Store,
    drain: mpsc::Sender<DrainOrder>,
    stop: watch::Sender<bool>,
    sockets_gone: mpsc::Receiver<()>,
    workers: Workers,
    workers_ended: mpsc::UnboundedReceiver<Ended>,
    control_task: JoinHandle<()>,
    /// Watches who may stay, if somebody decides that.
    watch_task: Option<JoinHandle<()>>,
    http_task: JoinHandle<()>,
}

impl Node {
    /// Starts everything, or nothing. Ports that are 0 are chosen by the system.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // Reads from the disk, before anything runs that could mind.
        let (store, saved) = Store::open(config.state.dir.as_deref())?;
        let minter = auth::minter(&config)?;
        let fetch = matrix::fetcher(&config)?;
        let homeservers = matrix::homeservers(&config, &fetch)?;
        let tls = tls::acceptor(&config.tls)?;
        let is_tls = tls.is_some();
        let (http, http_address) = listen("http.listen", config.http.listen).await?;
        let metrics_listener = match config.metrics_place() {
            MetricsPlace::Own(address) => Some(listen("metrics.listen", address).await?),
            MetricsPlace::Nowhere | MetricsPlace::OnHttp => None,
        };

        let (to_control_from_workers, from_workers) = mpsc::channel(FROM_WORKERS_MAX);
        // One message for each worker, at its end.
        let (ended, workers_ended) = mpsc::unbounded_channel();
        let workers = Workers::start(&config, &to_control_from_workers, &ended)?;

        let metrics = Arc::new(Metrics::new());
        let control_stats = SharedStats::default();
        let (to_control, from_sockets) = mpsc::channel(FROM_SOCKETS_MAX);
        let (drain, drain_orders) = mpsc::channel(1);
        let (alive, sockets_gone) = mpsc::channel(1);
        let clock = wall_clock();
        let (orders, order_inlet) = mpsc::channel(ORDERS_MAX);
        let (hints, hint_inlet) = mpsc::channel(HINTS_MAX);
        let watch_counts = SharedCounts::default();
        let gate = homeservers
            .clone()
            .map(|homeservers| Arc::new(Gate::new(&config, homeservers, minter.clone(), orders.clone())));
        let mut control = Control::new(
            Instant::now(),
            ControlConfig {
                focus: config.focus.name.clone(),
                workers: workers.handles.len(),
                spread_at: config.media.spread_at,
                seed: random::seed()?,
                // Where nobody mints tokens, nobody is let in.
                verifier: (config.dev || gate.is_some()).then(|| minter.verifier()),
                clock,
                bounds: bounds(&config),
            },
        );
        for denial in saved.denials {
            let until = Duration::from_millis(denial.until_ms);
            control.deny(Instant::now(), &denial.conference, &denial.identity, until);
        }
        let state = Arc::new(NodeState {
            control: to_control,
            next_connection: AtomicU64::new(0),
            unwelcomed: Arc::new(Semaphore::new((config.limits.connections / UNWELCOMED_SHARE).max(1))),
            alive,
            metrics: metrics.clone(),
            metrics_on_http: config.metrics_place() == MetricsPlace::OnHttp,
            control_stats: control_stats.clone(),
            workers: workers.stats.clone(),
            store: store.clone(),
            gate: gate.clone(),
            fetch: fetch.clone(),
            openid: OpenId::default(),
            hints,
            device: Arc::default(),
            has_device: config.matrix.device.is_some(),
            watch_counts: watch_counts.clone(),
            dev_minter: config.dev.then_some(minter),
            allowed_origins: config.http.allowed_origins.clone(),
            only_loopback: config.dev && http_address.ip().is_loopback(),
            has_candidates: workers.candidates > 0,
            draining: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        say_who_is_let_in(&config, http_address, gate.as_deref());
        if workers.candidates == 0 {
            warn!("this machine has no address that clients could reach: set media.advertise");
        }

        let inlets = Inlets { sockets: from_sockets, workers: from_workers, drain: drain_orders, orders: order_inlet };
        let mut task = ControlTask::new(control, workers.handles.clone(), metrics.clone(), control_stats);
        if let Some(homeservers) = &homeservers {
            let servers = homeservers.names().map(ToString::to_string);
            let timing = config.delegation.clone();
            let wills = Wills::new(servers, timing, fetch.clone(), store.clone(), saved.delegations)?;
            task.looks_after(wills);
        }
        let watch_task = gate.clone().map(|gate| {
            let (watcher, attendance) = mpsc::unbounded_channel();
            task.watched_by(watcher);
            let watch = WatchTask::new(gate, orders, store.clone(), watch_counts);
            tokio::spawn(watch.run(attendance, hint_inlet))
        });
        let control_task = tokio::spawn(task.run(inlets));
        let (stop, stopped) = watch::channel(false);
        let device = (config.matrix.device.clone(), config.state.dir.clone(), gate.clone());
        if let (Some(settings), Some(state_dir), Some(gate)) = device {
            let numbers = state.clone();
            let parts = device::Parts {
                settings,
                fetcher: fetch.clone(),
                state_dir,
                control: state.control.clone(),
                next_connection: Arc::new(move || {
                    ConnectionId(numbers.next_connection.fetch_add(1, Ordering::Relaxed))
                }),
                authorise: device::by_gate(gate),
                counters: state.device.clone(),
            };
            tokio::spawn(device::keep(parts, stopped.clone()));
        }
        let refused = metrics.http_refused.clone();
        tokio::spawn(keep_house(metrics, stopped.clone()));
        let metrics_address = metrics_listener.as_ref().map(|(_, address)| *address);
        if let Some((tcp, _)) = metrics_listener {
            let router = routes::metrics_router(state.clone());
            let listener =
                Listener { tcp, tls: None, router, connections: METRICS_CONNECTIONS, refused: refused.clone() };
            tokio::spawn(listener.serve(stopped.clone()));
        }
        let router = routes::router(state.clone());
        let listener = Listener { tcp: http, tls, router, connections: config.limits.connections, refused };
        let http_task = tokio::spawn(listener.serve(stopped));
        info!(port = http_address.port(), tls = is_tls, "http");

        let call_page = match config.dev {
            true => Some(call_page(http_address, is_tls)?),
            false => None,
        };
        Ok(Self {
            http: http_address,
            metrics: metrics_address,
            media: workers.media.clone(),
            call_page,
            drain_timeout: config.drain.timeout.0,
            drained: false,
            state,
            store,
            drain,
            stop,
            sockets_gone,
            workers,
            workers_ended,
            control_task,
            watch_task,
            http_task,
        })
    }

    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where `/metrics` has a listener of its own.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// What the media sockets are bound to: the first of one or two addresses with one port.
    pub fn media_addr(&self) -> SocketAddr {
        self.media.first().copied().unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
    }

    /// With `--dev`: the address of a fresh call. What stands after the `#` is the secret of its encryption, and is
    /// never sent to the server.
    pub fn call_page(&self) -> Option<&str> {
        self.call_page.as_deref()
    }

    /// Waits until a part of the node dies. A healthy one never returns.
    pub async fn join(&mut self) -> NodeError {
        tokio::select! {
            ended = self.workers_ended.recv() => NodeError::Worker(ended.map_or(0, |ended| ended.worker.0)),
            _ = &mut self.control_task => NodeError::Control,
            () = ended(&mut self.watch_task) => NodeError::Watch,
            _ = &mut self.http_task => NodeError::Http,
        }
    }

    /// Takes no new sessions, tells clients to move, and waits until they have, at most the configured time. Call
    /// [`stop`](Self::stop) afterwards. It can be given up half-way.
    pub async fn drain(&mut self) {
        self.state.draining.store(true, Ordering::Relaxed);
        let (done, drained) = oneshot::channel();
        if self.drain.send(DrainOrder { deadline: self.drain_timeout, done }).await.is_ok() {
            let _ = drained.await;
        }
        self.drained = true;
    }

    /// Ends at once, but for some last words.
    pub async fn stop(mut self) {
        self.state.draining.store(true, Ordering::Relaxed);
        self.state.stopping.store(true, Ordering::Relaxed);
        if !self.drained {
            let (done, _) = oneshot::channel();
            let _ = self.drain.send(DrainOrder { deadline: Duration::ZERO, done }).await;
        }
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.http_task).await;
        drop(self.state);
        // The HTTP side's own hold on the state goes with its router; sockets hold one each until they have ended.
        let _ = tokio::time::timeout(LAST_WORDS, self.sockets_gone.recv()).await;
        drop(self.drain);
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.control_task).await;
        if let Some(watch_task) = &mut self.watch_task {
            let _ = tokio::time::timeout(LAST_WORDS, watch_task).await;
        }
        self.workers.stop().await;
        let _ = tokio::time::timeout(LAST_WORDS, self.store.flush()).await;
    }

    /// Drains, then stops.
    pub async fn shutdown(mut self) {
        self.drain().await;
        self.stop().await;
    }
}

/// Waits for the end of a task; of none, for ever.
async fn ended(task: &mut Option<JoinHandle<()>>) {
    match task {
        Some(task) => drop(task.await),
        None => std::future::pending().await,
    }
}

fn bounds(config: &Config) -> ControlBounds {
    ControlBounds {
        sessions: config.limits.participants,
        participants: config.limits.conference_participants,
        user_participants: config.matrix.user_participants,
        foreign_participants: config.matrix.foreign_participants,
        room_participants: config.limits.conference_participants,
        room_conferences: config.matrix.room_conferences,
        ..ControlBounds::default()
    }
}

async fn listen(
    option: &'static str,
    address: SocketAddr,
) -> Result<(tokio::net::TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { option, address, error };
    let listener = http::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn say_who_is_let_in(config: &Config, http: SocketAddr, gate: Option<&Gate>) {
    if let Some(gate) = gate {
        let homeservers = config.matrix.homeservers.len();
        info!(step = gate.step(), homeservers, "users of these homeservers may begin calls");
        if config.matrix.open {
            warn!(
                "matrix.open: WHOEVER KNOWS THE ID OF A ROOM IS LET INTO ITS CALLS where nobody can tell who is in it"
            );
        }
        if config.state.dir.is_none() {
            warn!(
                "no state.dir: after a restart, removed participants can come back, and leaves that were delegated are late"
            );
        }
        if config.state.dir.is_none() && config.auth.signing_key_file.is_none() {
            warn!(
                "neither state.dir nor auth.signing_key_file: the sfu_id that homeservers announce changes with each start"
            );
        }
    } else if !config.dev {
        warn!("no authoriser is configured: nobody is let in (try --dev on your own machine)");
    } else if http.ip().is_loopback() {
        warn!("--dev: ANYBODY WHO CAN REACH THE PAGE IS LET IN, which is everybody on this machine");
    } else {
        warn!("--dev: ANYBODY WHO CAN REACH THE PAGE IS LET IN, and http.listen is open to the network");
    }
}

/// `http://localhost:8080/call/<room>#<secret>`.
fn call_page(http: SocketAddr, tls: bool) -> Result<String, OsError> {
    let scheme = if tls { "https" } else { "http" };
    let host = match http.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => "localhost".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    };
    let (room, secret) = (random::text::<12>()?, random::text::<32>()?);
    Ok(format!("{scheme}://{host}:{}/call/{room}#{secret}", http.port()))
}

async fn keep_house(metrics: Arc<Metrics>, mut stop: watch::Receiver<bool>) {
    while tokio::time::timeout(UPKEEP_INTERVAL, stop.wait_for(|stop| *stop)).await.is_err() {
        metrics.keep_house();
    }
}
