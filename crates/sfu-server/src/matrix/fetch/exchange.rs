//! One guarded request and its answer, over a connection of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{HOST, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper_util::rt::TokioIo;
use rustls::pki_types;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::address::is_global;
use super::name::Host;
use super::services::{Dns, Service};
use super::{Answer, CONNECT_TIMEOUT, Fetcher, GUARDED_BYTES_MAX, Refused};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;
/// Head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
pub(super) const AGENT: &str = concat!("sfu-server/", env!("CARGO_PKG_VERSION"));

/// Finds the addresses of a name.
pub(crate) trait Resolver: Send + Sync {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;

    /// Its SRV records, of a whole name with a dot at the end. None is no error.
    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<Service>>>;
}

/// Connects to an address.
pub(crate) trait Dialer: Send + Sync {
    fn dial(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>>;
}

/// The machine's own: addresses as all its programs find them, SRV records from its name servers.
#[derive(Default)]
pub(super) struct System {
    dns: Dns,
}

impl Resolver for System {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) })
    }

    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<Service>>> {
        Box::pin(self.dns.services(name))
    }
}

impl Dialer for System {
    fn dial(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(to))
    }
}

/// Whom to ask: always by https.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Whose certificate is wanted.
    pub(super) host: Host,
    /// Where it is, if elsewhere.
    pub(super) at: Option<Host>,
    pub(super) port: u16,
    pub(super) host_header: String,
}

impl Fetcher {
    /// `GET`. A redirect is an answer like any other.
    pub(super) async fn exchange(&self, target: &Target, path: &str) -> Result<Answer, Refused> {
        Ok(self.exchange_once(target, path).await?.0)
    }

    /// Also gives the `Location` of the answer.
    pub(super) async fn exchange_once(&self, target: &Target, path: &str) -> Result<(Answer, Option<String>), Refused> {
        let connect = async { self.secure(target, self.connect(target).await?).await };
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| Refused::Timeout)??;
        let mut http = hyper::client::conn::http1::Builder::new();
        http.max_buf_size(HEAD_BYTES_MAX);
        let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(|_| Refused::BadAnswer)?;
        // Ends with this function, however that ends.
        let mut driver = tokio::task::JoinSet::new();
        driver.spawn(connection);
        let host = HeaderValue::from_str(&target.host_header).map_err(|_| Refused::Name)?;
        let request = hyper::Request::get(path).header(HOST, host).header(USER_AGENT, AGENT);
        let request = request.body(Empty::<Bytes>::new()).map_err(|_| Refused::Name)?;
        let response = sender.send_request(request).await.map_err(|_| Refused::BadAnswer)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (location, status) = (header(LOCATION), response.status().as_u16());
        let retry_after = header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let body = Limited::new(response.into_body(), GUARDED_BYTES_MAX).collect().await;
        let body = body.map_err(|_| Refused::BadAnswer)?.to_bytes();
        Ok((Answer { status, body, retry_after }, location))
    }

    /// To the very addresses that were found good: nothing is resolved a second time.
    async fn connect(&self, target: &Target) -> Result<TcpStream, Refused> {
        let found = match target.at.as_ref().unwrap_or(&target.host) {
            Host::Ip(ip) => vec![*ip],
            Host::Dns(name) => self.resolver.resolve(name).await.map_err(|_| Refused::Unresolved)?,
        };
        if found.is_empty() {
            return Err(Refused::Unresolved);
        }
        let good: Vec<_> = found.into_iter().filter(|ip| self.may_connect(*ip)).take(ADDRESSES_MAX).collect();
        if good.is_empty() {
            return Err(Refused::NotGlobal);
        }
        for ip in good {
            if let Ok(stream) = self.dialer.dial(SocketAddr::new(ip, target.port)).await {
                return Ok(stream);
            }
        }
        Err(Refused::Unreachable)
    }

    fn may_connect(&self, ip: IpAddr) -> bool {
        is_global(ip) || self.allow_private.iter().any(|network| network.contains(ip))
    }

    async fn secure(&self, target: &Target, stream: TcpStream) -> Result<TlsStream<TcpStream>, Refused> {
        let name = match &target.host {
            Host::Ip(ip) => pki_types::ServerName::from(*ip),
            Host::Dns(name) => pki_types::ServerName::try_from(name.clone()).map_err(|_| Refused::Name)?,
        };
        self.tls.connect(name, stream).await.map_err(|_| Refused::Unreachable)
    }
}

/// Where a redirect leads: https, and nothing in it but a host, a port and a path.
pub(super) fn origin_of(from: &Target, path: &str, location: &str) -> Result<(Target, String), Refused> {
    let base = format!("https://{}:{}{path}", from.host.to_text(), from.port);
    let base = reqwest::Url::parse(&base).map_err(|_| Refused::Name)?;
    let url = base.join(location).map_err(|_| Refused::BadAnswer)?;
    if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::Name);
    }
    let (host, port) = (url.host_str().ok_or(Refused::Name)?, url.port());
    // By the same grammar: the parser of URLs is more generous.
    let host = super::ServerName::parse(host).ok_or(Refused::Name)?.host;
    let text = host.to_text();
    let host_header = port.map_or_else(|| text.clone(), |port| format!("{text}:{port}"));
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Ok((Target { host, at: None, port: port.unwrap_or(443), host_header }, path))
}
