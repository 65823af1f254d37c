//! The HTTP listener: connections with bounds (how many, how long until a request, how large its head), with or
//! without TLS. What is served is a [`Router`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// Until a request's head is complete, also on a connection that was used before: an idle connection ends then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A request's head with its headers. A browser sends about 1 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// After the system refused to accept (usually: no more files), it is given a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One listener.
pub(crate) struct Listener {
    pub(crate) tcp: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) router: Router,
    /// How many connections there may be at once.
    pub(crate) connections: usize,
}

impl Listener {
    /// Serves until `stop` says so. Connections that are upgraded to WebSockets live on, as others see fit.
    pub(crate) async fn serve(self, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(self.connections));
        loop {
            let accepted = async {
                // Beyond the bound, the kernel's queue holds them, and then their own patience.
                let permit = permits.clone().acquire_owned().await.ok()?;
                Some((permit, self.tcp.accept().await))
            };
            let (permit, accepted) = tokio::select! {
                () = stopped(&mut stop) => return,
                accepted = accepted => match accepted {
                    Some(accepted) => accepted,
                    None => return,
                },
            };
            let (stream, _) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (tls, router, stop) = (self.tls.clone(), self.router.clone(), stop.clone());
            tokio::spawn(async move {
                serve_connection(stream, tls, router, stop).await;
                drop(permit);
            });
        }
    }
}

/// Binds, so that a port that is taken is an error at start.
pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn serve_connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router, stop: watch::Receiver<bool>) {
    // Signalling messages are small and wanted at once.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve_http(stream, router, stop).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                serve_http(stream, router, stop).await;
            }
        }
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(connection);
    // Its errors are the client's: a broken connection or a broken request.
    tokio::select! {
        _ = &mut connection => {}
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Waits until the node stops. (What `wait_for` returns holds a lock, and must not live across an await.)
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
