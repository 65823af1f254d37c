//! `serve`: runs a node until a signal ends it.
//!
//! SIGTERM and SIGINT drain, and the process exits with 0; a second one ends it now. SIGHUP is noted and does nothing
//! yet. If a part of the node dies, the process exits with 1 at once rather than limp: its supervisor starts it again,
//! and clients come back by themselves.

use std::io::Write as _;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::ServeArgs;
use crate::node::Node;
use crate::notify::{READY, STOPPING, notify};
use crate::telemetry;

/// Beside the media threads: one for the control task, one for sockets and HTTP.
const RUNTIME_THREADS: usize = 2;

pub(super) fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let config = args.source.load(args.dev)?;
    telemetry::init(&config.log).context("log.level")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build()?;
    runtime.block_on(async {
        // Before anything runs: a signal during the start must not be lost.
        let mut signals = Signals::new()?;
        let mut node = Node::start(config).await?;
        if let Some(page) = node.call_page() {
            // Programs read this line, so it comes at once and alone.
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "open: {page}").and_then(|()| out.flush());
        }
        notify(READY);
        tokio::select! {
            () = signals.end() => info!("draining"),
            failure = node.join() => {
                error!(%failure, "giving up");
                return Err(failure.into());
            }
        }
        notify(STOPPING);
        tokio::select! {
            () = node.drain() => info!("drained"),
            () = signals.end() => warn!("second signal: not waiting for anybody"),
        }
        node.stop().await;
        Ok(())
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt?, hangup: hangup? })
    }

    /// Waits for a signal that ends the server.
    async fn end(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => info!("SIGHUP: nothing can be loaded anew yet; restart to apply a change"),
            }
        }
    }
}
