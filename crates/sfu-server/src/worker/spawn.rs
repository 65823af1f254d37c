//! Starts the workers: sockets first, so that a port that is taken is an error at start, then a thread each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use focus_control::{RequestId, WorkerId};
use mio::{Poll, Token, Waker};
use sfu_core::{Bounds, Command, Engine, EngineConfig};
use socket2::Socket;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::directory::{Directory, Registrar};
use super::mailbox::{Dropped, Mailbox, Mailboxes};
use super::stats::{self, DriverCounters, Publisher, Shared, WorkerStats};
use super::{FIRST_SOCKET, FromWorker, ToWorker, WAKER, Worker};
use crate::config::Config;
use crate::net::addresses::{Interface, MediaAddresses, interfaces};
use crate::net::udp::{ReceiveBuffers, Udp, bind, kernel_buffers};

/// Commands that wait at one worker; the control task waits when it is full. Workers never wait for the control task,
/// so this cannot lock up.
const COMMANDS_MAX: usize = 1024;

#[derive(Debug, thiserror::Error)]
pub enum WorkersError {
    #[error("media.listen {address}: {error}")]
    Bind { address: SocketAddr, error: io::Error },
    #[error("media: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Random(#[from] crate::random::OsError),
}

/// A worker thread has ended. While the node runs none should: what its peers had is lost, and the process with it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) worker: WorkerId,
}

/// How to reach one worker.
#[derive(Clone)]
pub(crate) struct WorkerHandle {
    commands: mpsc::Sender<ToWorker>,
    mailboxes: Arc<[Mailbox]>,
    id: WorkerId,
}

impl WorkerHandle {
    /// Waits while the worker has no room. `false`: it is gone.
    pub(crate) async fn command(&self, request: RequestId, command: Command) -> bool {
        self.send(ToWorker::Command { request, command }).await
    }

    async fn send(&self, message: ToWorker) -> bool {
        let sent = self.commands.send(message).await.is_ok();
        self.mailboxes[self.id.0].wake();
        sent
    }
}

/// All workers.
pub(crate) struct Workers {
    pub(crate) handles: Vec<WorkerHandle>,
    pub(crate) media: Vec<SocketAddr>,
    /// Something that a client can reach.
    pub(crate) candidates: usize,
    pub(crate) stats: WorkersStats,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// Read by the metrics.
#[derive(Clone)]
pub(crate) struct WorkersStats {
    shared: Vec<Shared>,
    dropped: Arc<Dropped>,
}

impl WorkersStats {
    pub(crate) fn read(&self) -> Vec<WorkerStats> {
        self.shared.iter().map(stats::read).collect()
    }

    /// Letters dropped: datagrams, media, steering, nowhere.
    pub(crate) fn dropped(&self) -> [u64; 4] {
        let d = &self.dropped;
        [&d.datagrams, &d.media, &d.steering, &d.nowhere].map(|counter| counter.load(Ordering::Relaxed))
    }
}

impl Workers {
    pub(crate) fn start(
        config: &Config,
        control: &mpsc::Sender<FromWorker>,
        ended: &mpsc::UnboundedSender<Ended>,
    ) -> Result<Self, WorkersError> {
        let count = config.worker_count();
        let (sockets, media) = bind_all(&config.media.listen, count)?;
        let machine: Vec<Interface> = interfaces()?;
        let addresses = MediaAddresses::new(&media, &config.media.advertise, &machine, config.dev);
        let polls: Vec<Poll> = (0..count).map(|_| Poll::new()).collect::<Result<_, _>>()?;
        let mailboxes: Arc<[Mailbox]> = polls
            .iter()
            .map(|poll| {
                let waker = Waker::new(poll.registry(), WAKER)?;
                // Nothing to do if it fails: the owner turns once a second anyway.
                Ok(Mailbox::new(move || drop(waker.wake())))
            })
            .collect::<io::Result<Vec<_>>>()?
            .into();
        let (directory, dropped) = (Arc::new(Directory::default()), Arc::new(Dropped::default()));
        let mut workers = Self {
            handles: Vec::new(),
            media,
            candidates: addresses.candidates().len(),
            stats: WorkersStats { shared: Vec::new(), dropped: dropped.clone() },
            threads: Vec::new(),
        };
        for (n, (poll, sockets)) in polls.into_iter().zip(sockets).enumerate() {
            let id = WorkerId(n);
            let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
            let shared = Shared::default();
            workers.handles.push(WorkerHandle { commands, mailboxes: mailboxes.clone(), id });
            workers.stats.shared.push(shared.clone());
            let worker = Worker::new(Parts {
                id,
                poll,
                sockets,
                addresses: addresses.clone(),
                registrar: Registrar::new(directory.clone(), id),
                mailboxes: Mailboxes::new(mailboxes.clone(), id, dropped.clone()),
                commands: receiver,
                control: control.clone(),
                shared,
            })?;
            let notice = Notice { worker: id, ended: ended.clone() };
            let thread = std::thread::Builder::new().name(format!("media-{n}")).spawn(move || {
                let _notice = notice;
                if let Err(error) = worker.run() {
                    tracing::error!(worker = n, %error, "a worker cannot wait for its sockets");
                }
            })?;
            workers.threads.push(thread);
        }
        info!(workers = count, port = workers.media.first().map(SocketAddr::port), "media");
        Ok(workers)
    }

    /// Stops all threads and waits for them. Each stops at the end of its turn.
    pub(crate) async fn stop(self) {
        for handle in &self.handles {
            handle.send(ToWorker::Stop).await;
        }
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        let _ = joined.await;
    }
}

/// Tells that a thread ended, however it did: it is sent when the thread's stack is unwound.
struct Notice {
    worker: WorkerId,
    ended: mpsc::UnboundedSender<Ended>,
}

impl Drop for Notice {
    fn drop(&mut self) {
        let _ = self.ended.send(Ended { worker: self.worker });
    }
}

/// What a worker is made of.
pub(super) struct Parts {
    pub(super) id: WorkerId,
    pub(super) poll: Poll,
    pub(super) sockets: Vec<Socket>,
    pub(super) addresses: MediaAddresses,
    pub(super) registrar: Registrar,
    pub(super) mailboxes: Mailboxes,
    pub(super) commands: mpsc::Receiver<ToWorker>,
    pub(super) control: mpsc::Sender<FromWorker>,
    pub(super) shared: Shared,
}

impl Worker {
    pub(super) fn new(parts: Parts) -> Result<Self, WorkersError> {
        let now = Instant::now();
        let engine = Engine::new(
            now,
            EngineConfig {
                candidates: parts.addresses.candidates().to_vec(),
                seed: crate::random::seed()?,
                crypto: sfu_core::default_crypto(),
                bounds: Bounds::default(),
            },
        );
        let mut sockets = Vec::new();
        for (n, socket) in parts.sockets.into_iter().enumerate() {
            sockets.push(Udp::new(socket, parts.poll.registry(), Token(FIRST_SOCKET + n))?);
        }
        Ok(Self {
            id: parts.id,
            engine,
            deadline: now,
            holds: false,
            poll: parts.poll,
            sockets,
            buffers: ReceiveBuffers::default(),
            addresses: parts.addresses,
            registrar: parts.registrar,
            mailboxes: parts.mailboxes,
            commands: parts.commands,
            control: parts.control,
            outbox: std::collections::VecDeque::new(),
            counters: DriverCounters::default(),
            publisher: Publisher::new(parts.shared),
            more: false,
        })
    }
}

/// Sockets for each worker, and the addresses that they are bound to. All have one port, also if it was asked for as 0.
fn bind_all(listen: &[SocketAddr], workers: usize) -> Result<(Vec<Vec<Socket>>, Vec<SocketAddr>), WorkersError> {
    let shared = workers > 1;
    let mut sockets: Vec<Vec<Socket>> = (0..workers).map(|_| Vec::new()).collect();
    let mut bound: Vec<SocketAddr> = Vec::new();
    for address in listen {
        let port = bound.first().map_or(address.port(), SocketAddr::port);
        let mut address = SocketAddr::new(address.ip(), port);
        let asked = address;
        let failed = |error| WorkersError::Bind { address: asked, error };
        // Sharing a port with other workers would also mean sharing it with another server that is still running, which
        // would get half of our datagrams. So a socket that shares with nobody must fit first.
        match bind(address, false) {
            Err(error) if has_no_ipv6(&address, &error) && listen.len() > 1 => continue,
            Err(error) => return Err(failed(error)),
            Ok(probe) if port == 0 => address.set_port(port_of(&probe)?),
            Ok(_) => {}
        }
        for (n, own) in sockets.iter_mut().enumerate() {
            let socket = bind(address, shared).map_err(failed)?;
            let (receive, send, short) = kernel_buffers(&socket)?;
            if n == 0 && short {
                warn!(
                    receive,
                    send, "small UDP buffers: raise net.core.rmem_max and net.core.wmem_max to 4194304 or more"
                );
            }
            own.push(socket);
        }
        bound.push(address);
    }
    match bound.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no address to listen on").into()),
        false => Ok((sockets, bound)),
    }
}

fn port_of(socket: &Socket) -> io::Result<u16> {
    socket.local_addr()?.as_socket().map(|address| address.port()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// The machine knows no IPv6, or has switched it off.
fn has_no_ipv6(address: &SocketAddr, error: &io::Error) -> bool {
    /// `EAFNOSUPPORT` on Linux, for which the standard library has no kind.
    const NOT_SUPPORTED: i32 = 97;
    address.is_ipv6()
        && (error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(NOT_SUPPORTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_dies_is_noticed() {
        let (ended, mut notices) = mpsc::unbounded_channel();
        let notice = Notice { worker: WorkerId(3), ended };
        let thread = std::thread::spawn(move || {
            let _notice = notice;
            std::panic::resume_unwind(Box::new("a bug outside the engine's own containment"));
        });
        assert!(thread.join().is_err());
        assert_eq!(notices.try_recv().map(|ended| ended.worker), Ok(WorkerId(3)));
    }

    #[test]
    fn all_workers_get_one_port_and_nobody_else_does() {
        let listen = ["127.0.0.1:0".parse().expect("address"), "[::1]:0".parse().expect("address")];
        let (sockets, bound) = bind_all(&listen, 3).expect("bound");
        assert_eq!(sockets.len(), 3);
        assert!(sockets.iter().all(|s| s.len() == bound.len()));
        assert!(bound.iter().all(|a| a.port() == bound[0].port() && a.port() != 0));
        let error = bind_all(&bound[..1], 2).expect_err("taken");
        assert!(error.to_string().starts_with("media.listen 127.0.0.1:"), "{error}");
    }
}
