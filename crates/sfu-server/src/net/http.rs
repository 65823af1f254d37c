//! The HTTP listener: connections with bounds (how many, in all and of one address, how long, how large a request's head
//! is), with or without TLS. What is served is a [`Router`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::sources::{Place, Sources};

/// Until a request's head is complete, also on a connection that was used before: an idle connection ends then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection takes no further request after this time. The one under way is still answered, so that a proxy that keeps
/// its connections never meets a closed one.
const LAST_REQUEST: Duration = Duration::from_secs(20);
/// And this is its end, whatever it is doing: a request whose body never comes, or an answer that nobody reads, would hold
/// its place for ever. The whole page has 100 KiB. A WebSocket has left HTTP by then, and has limits of its own.
const HTTP_MAX: Duration = Duration::from_secs(30);
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
    /// How many connections there may be at once, WebSockets included.
    pub(crate) connections: usize,
    /// Counts those that were closed because their address had too many.
    pub(crate) refused: metrics::Counter,
}

/// The place of a connection among those that there may be. Every request has it as an extension: what outlives its
/// request, as a WebSocket does, keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    _places: Arc<(OwnedSemaphorePermit, Place)>,
}

impl Listener {
    /// Serves until `stop` says so. Connections that are upgraded to WebSockets live on, as others see fit.
    pub(crate) async fn serve(self, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(self.connections));
        let sources = Arc::new(Sources::default());
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
            let (stream, source) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = sources.enter(source.ip()) else {
                self.refused.increment(1);
                continue;
            };
            let held = Held { _places: Arc::new((permit, place)) };
            tokio::spawn(serve_connection(stream, self.tls.clone(), self.router.clone(), held, stop.clone()));
        }
    }
}

/// Binds, so that a port that is taken is an error at start.
pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn serve_connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    held: Held,
    stop: watch::Receiver<bool>,
) {
    // Signalling messages are small and wanted at once.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve_http(stream, router, held, stop).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                serve_http(stream, router, held, stop).await;
            }
        }
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    held: Held,
    mut stop: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(held.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    // Its errors are the client's: a broken connection or a broken request.
    let serve = async {
        tokio::select! {
            _ = &mut connection => return,
            () = stopped(&mut stop) => {}
            () = tokio::time::sleep(LAST_REQUEST) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    };
    let _ = tokio::time::timeout(HTTP_MAX, serve).await;
}

/// Waits until the node stops. (What `wait_for` returns holds a lock, and must not live across an await.)
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests;
