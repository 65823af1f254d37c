//! The focus's own Matrix device: whoever cannot reach its HTTPS reaches it by Olm-encrypted to-device messages.
//!
//! One task: it syncs (nothing but to-device messages), decrypts, hands what came from a known device to the desk
//! ([`desk`]), and encrypts what the desk answers for exactly that device. Clear text, and what claims to come from a device that the
//! sender's homeserver does not list, is dropped and counted. The private keys are in a file of their own in `state.dir`.

mod account;
mod client;
mod counters;
mod desk;
mod lookups;
mod olm;

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use focus_control::ConnectionId;
use focus_matrix::authorize::Refusal;
use focus_matrix::request::Request;
use focus_signaling::todevice::{Address, Claims};
use focus_signaling::{CloseCode, Errcode};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

use account::{Account, AccountError};
use client::{Client, Failure};
pub(crate) use counters::Counters;
use counters::count;
use desk::{Desk, Told};
use olm::{Olm, Received};

use super::fetch::Fetcher;
use super::gate::{Gate, Proof};
use crate::config::MatrixDevice;
use crate::control::FromSocket;
use crate::random;

/// Directory of the keys, in `state.dir`.
const DIR: &str = "device";
/// How long the homeserver holds a sync that has nothing to tell. A request ends after 8 s.
const SYNC_HOLD: Duration = Duration::from_secs(6);
/// After a sync that failed: doubles up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// What connections tell the desk, on its way.
const TOLD_MAX: usize = 1024;

/// Whether this member may join: a token, or what it is told.
pub(crate) type Authorise = Arc<dyn Fn(Address, Claims) -> BoxFuture<'static, Result<String, Refused>> + Send + Sync>;

/// Why a member may not join.
pub(crate) struct Refused {
    errcode: Errcode,
    text: String,
    code: CloseCode,
}

impl Refused {
    fn new(errcode: Errcode, text: String) -> Self {
        let code = if errcode == Errcode::Unknown { CloseCode::Internal } else { CloseCode::Forbidden };
        Self { errcode, text, code }
    }
}

/// What the device needs of the node.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) settings: MatrixDevice,
    pub(crate) fetcher: Arc<Fetcher>,
    /// Without one there is no device: clients refuse one whose keys have changed.
    pub(crate) state_dir: PathBuf,
    pub(crate) control: mpsc::Sender<FromSocket>,
    pub(crate) next_connection: Arc<dyn Fn() -> ConnectionId + Send + Sync>,
    pub(crate) authorise: Authorise,
    pub(crate) counters: Arc<Counters>,
}

/// Keeps the device running until the node stops: whatever fails is tried again.
pub(crate) async fn keep(parts: Parts, mut stop: watch::Receiver<bool>) {
    let mut wait = RETRY.0;
    while !*stop.borrow() {
        match Device::start(&parts).await {
            Ok(device) => {
                tracing::info!("Matrix device is ready");
                parts.counters.ready.store(1, Ordering::Relaxed);
                wait = RETRY.0;
                if device.run(&mut stop).await {
                    return;
                }
                parts.counters.ready.store(0, Ordering::Relaxed);
                tracing::warn!("the homeserver does not know the Matrix device's access token any more");
            }
            Err(error) => tracing::warn!(%error, "the Matrix device cannot start"),
        }
        let _ = tokio::time::timeout(wait, stopped(&mut stop)).await;
        wait = (wait * 2).min(RETRY.1);
    }
}

/// The rules of the gate, for a member that its device speaks for.
pub(crate) fn by_gate(gate: Arc<Gate>) -> Authorise {
    Arc::new(move |from, claims| {
        let gate = gate.clone();
        Box::pin(async move {
            let Claims { room_id, slot_id, member_id } = &claims;
            let request = Request::parse(room_id, slot_id, member_id, &from.user_id, Some(&from.device_id));
            let request = request.map_err(|error| Refused::new(Errcode::InvalidParam, error.to_string()))?;
            let proof = Proof::Device { user: request.user.clone() };
            let granted = gate.grant(&request, proof).await.map_err(|refusal| {
                let errcode = match refusal {
                    Refusal::Forbidden => Errcode::Forbidden,
                    Refusal::Unavailable => Errcode::Unknown,
                    Refusal::Limited(_) => Errcode::LimitExceeded,
                };
                Refused::new(errcode, refusal.to_string())
            })?;
            Ok(granted.into_token())
        })
    })
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    #[error("its account: {0}")]
    Account(#[from] AccountError),
    #[error("its keys: {0}")]
    Store(String),
    #[error("its homeserver does not take its keys")]
    Keys,
    #[error("its homeserver has other keys for it, as if state.dir had been lost: it needs another device_id")]
    OtherKeys,
}

/// A device whose keys its homeserver has.
pub(crate) struct Device {
    olm: Olm,
    client: Client,
    /// Where its sync goes on.
    since: Option<String>,
    desk: Desk,
    told: mpsc::Receiver<Told>,
    counters: Arc<Counters>,
}

impl Device {
    async fn start(parts: &Parts) -> Result<Self, DeviceError> {
        let Parts { settings, fetcher, state_dir, control, next_connection, authorise, counters } = parts.clone();
        let prefix = random::text::<12>().map_err(|error| DeviceError::Store(error.to_string()))?;
        let dir = state_dir.join(DIR);
        make_private(&dir).map_err(|error| DeviceError::Store(error.to_string()))?;
        let account = Account::open(fetcher.configured(), &settings, &dir).await?;
        let client = Client::of(fetcher, &account);
        let (olm, since) = Olm::open(client.clone(), &account, &dir, counters.clone()).await?;
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let desk = Desk::new(prefix, control, next_connection, authorise, tell);
        Ok(Self { olm, client, since, desk, told, counters })
    }

    /// Runs until the node stops; `false`: until its access token is no more.
    pub(crate) async fn run(mut self, stop: &mut watch::Receiver<bool>) -> bool {
        let (synced, mut syncs) = mpsc::channel(1);
        let syncing = tokio::spawn(sync(self.client.clone(), self.since.take(), self.counters.clone(), synced));
        let stopped = loop {
            let deadline = self.carry_out().await;
            tokio::select! {
                () = stopped(stop) => break true,
                response = syncs.recv() => match response {
                    Some(response) => {
                        let received = self.olm.receive(Instant::now(), response).await;
                        self.handle_received(received).await;
                    }
                    None => break false,
                },
                Some(done) = self.olm.done() => {
                    let received = self.olm.handle_done(done).await;
                    self.handle_received(received).await;
                }
                Some(told) = self.told.recv() => self.desk.handle_told(Instant::now(), told),
                () = sleep_until(deadline) => self.desk.server.handle_timeout(Instant::now()),
            }
        };
        syncing.abort();
        stopped
    }

    async fn handle_received(&mut self, received: Vec<Received>) {
        for (from, content, bytes) in received {
            count(&self.counters.received);
            self.desk.server.handle_content(Instant::now(), from, content, bytes);
            self.carry_out().await;
        }
    }

    async fn carry_out(&mut self) -> Option<Instant> {
        let deadline = loop {
            match self.desk.poll_output().await {
                desk::Output::Transmit { to, content } => self.olm.send(&to, &content).await,
                desk::Output::Timeout(at) => break at,
            }
        };
        let counters = self.desk.server.counters();
        self.counters.refused.store(counters.refused + counters.late + counters.unknown, Ordering::Relaxed);
        deadline
    }
}

/// Asks the homeserver for as long as the access token is good, and hands on what comes.
async fn sync(
    client: Client,
    mut since: Option<String>,
    counters: Arc<Counters>,
    synced: mpsc::Sender<client::Synced>,
) {
    let mut wait = RETRY.0;
    loop {
        match client.sync(since.as_deref(), SYNC_HOLD).await {
            Ok(response) => {
                counters.ready.store(1, Ordering::Relaxed);
                wait = RETRY.0;
                since = Some(response.next_batch.clone());
                if synced.send(response).await.is_err() {
                    return;
                }
            }
            Err(failure) => {
                counters.ready.store(0, Ordering::Relaxed);
                count(&counters.failed_syncs);
                if failure == Failure::Unauthorized {
                    return;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
            }
        }
    }
}

/// For the owner only, whatever the mode of the files is that SQLite makes in it: they have the private keys.
fn make_private(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(0o700))
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Also when nobody is left who could say so.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
