//! A canary: an HTTPS server on loopback with pages, which writes down who came. And a fetcher whose names resolve as a test
//! says, and whose connections all end at the canary.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::super::services::Service;
use super::super::{Dialer, Fetcher, Network, Policy, Resolver};

#[derive(Clone)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn json(body: &str) -> Self {
        Self(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    pub(super) fn redirect(to: &str) -> Self {
        Self(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"))
    }
}

pub(super) struct Request {
    pub(super) host: String,
}

/// Ends with the test.
pub(super) struct Canary {
    address: SocketAddr,
    /// Trusts the canary. Made once: the system's store is slow to read.
    trust: rustls::ClientConfig,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
    requests: Arc<Mutex<Vec<Request>>>,
    _task: tokio::task::JoinSet<()>,
}

/// Names that the canary's certificate is for: an attacker has good certificates for all his names.
const NAMES: [&str; 14] = [
    "localhost",
    "hs.example",
    "other.example",
    "evil.example",
    "inside.example",
    "rebind.example",
    "mixed.example",
    "metadata.google.internal",
    "slow-dial.example",
    "slow-services.example",
    "no-address.example",
    "slow-name.example",
    "localhost.localdomain",
    "a.localhost",
];

impl Canary {
    pub(super) async fn start() -> Self {
        let names = NAMES.map(str::to_owned).to_vec();
        let mut parameters = rcgen::CertificateParams::new(names).expect("names");
        let ips = super::attacks::ADDRESSES.iter().chain(&["93.184.215.14", "93.184.215.16", "2606:4700::1"]);
        let ips = ips.map(|ip| rcgen::SanType::IpAddress(ip.parse().expect("an address")));
        parameters.subject_alt_names.extend(ips);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], private).expect("fits");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let (pages, requests) = (Arc::default(), Arc::default());
        let mut task = tokio::task::JoinSet::new();
        task.spawn(serve(listener, acceptor, Arc::clone(&pages), Arc::clone(&requests)));
        Self { address, trust: trust(&certificate.pem()), pages, requests, _task: task }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// For everybody who asks for that path, by whatever name. Others get 404.
    pub(super) fn serve(&self, path: &str, page: Page) {
        self.pages.lock().expect("no panic").insert(path.to_owned(), page);
    }

    /// Who has come since.
    pub(super) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().expect("no panic"))
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
    requests: Arc<Mutex<Vec<Request>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, pages, requests) = (acceptor.clone(), pages.clone(), requests.clone());
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).await.is_err() {
                    return;
                }
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let host =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("host: ").map(str::to_owned));
            let page = pages.lock().expect("no panic").get(&path).cloned();
            requests.lock().expect("no panic").push(Request { host: host.unwrap_or_default() });
            let page = page.unwrap_or(Page("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into()));
            let _ = stream.write_all(page.0.as_bytes()).await;
            let _ = stream.shutdown().await;
        });
    }
}

/// As from an operator's file.
fn trust(pem: &str) -> rustls::ClientConfig {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("sfu-canary-{}-{n}.pem", std::process::id()));
    std::fs::write(&path, pem).expect("written");
    let config = super::super::roots::client_config(Some(&path)).expect("good");
    std::fs::remove_file(path).expect("own file");
    config
}

#[derive(Default)]
struct World {
    /// What each name resolves to, the first time, the second time, …; the last answer stays.
    names: BTreeMap<String, VecDeque<Vec<IpAddr>>>,
    resolved: Vec<String>,
    services: BTreeMap<String, Vec<Service>>,
    dialed: Vec<SocketAddr>,
}

struct Shared {
    world: Mutex<World>,
    canary: SocketAddr,
}

/// Ask for one of its names and it never ends.
fn is_slow(name: &str) -> bool {
    name.starts_with("slow-name")
}

impl Resolver for Shared {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            if is_slow(name) {
                std::future::pending::<()>().await;
            }
            let mut world = self.world.lock().expect("no panic");
            world.resolved.push(name.to_owned());
            let answers = world.names.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
            let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
            Ok(next.unwrap_or_default())
        })
    }

    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<Service>>> {
        Box::pin(async move {
            if name.contains("slow-services") {
                std::future::pending::<()>().await;
            }
            Ok(self.world.lock().expect("no panic").services.get(name).cloned().unwrap_or_default())
        })
    }
}

impl Dialer for Shared {
    fn dial(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            if to.ip() == "93.184.215.98".parse::<IpAddr>().expect("an address") {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            if to.ip() == "93.184.215.99".parse::<IpAddr>().expect("an address") {
                std::future::pending::<()>().await;
            }
            self.world.lock().expect("no panic").dialed.push(to);
            TcpStream::connect(self.canary).await
        })
    }
}

pub(super) struct Rig {
    pub(super) fetcher: Fetcher,
    shared: Arc<Shared>,
}

impl Rig {
    pub(super) fn new(canary: &Canary, policy: Policy) -> Self {
        let shared = Arc::new(Shared { world: Mutex::default(), canary: canary.address });
        let fetcher = Fetcher::with(policy, canary.trust.clone(), shared.clone(), shared.clone()).expect("a fetcher");
        Self { fetcher, shared }
    }

    /// One that is not guarded.
    pub(super) fn unguarded(canary: &Canary) -> Self {
        let allow_private: Vec<Network> = ["0.0.0.0/0", "::/0"].map(|all| all.parse().expect("a network")).to_vec();
        Self::new(canary, Policy { allow_private, ..Policy::default() })
    }

    pub(super) fn resolve(&self, name: &str, answers: &[&[IpAddr]]) {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        self.shared.world.lock().expect("no panic").names.insert(name.to_owned(), answers);
    }

    /// Priority, port and target.
    pub(super) fn services(&self, name: &str, records: &[(u16, u16, &str)]) {
        let service = |(priority, port, target): &(u16, u16, &str)| Service {
            priority: *priority,
            weight: 0,
            port: *port,
            target: (*target).to_owned(),
        };
        let services = records.iter().map(service).collect();
        self.shared.world.lock().expect("no panic").services.insert(name.to_owned(), services);
    }

    pub(super) fn dialed(&self) -> Vec<SocketAddr> {
        self.shared.world.lock().expect("no panic").dialed.clone()
    }

    pub(super) fn resolved(&self) -> Vec<String> {
        self.shared.world.lock().expect("no panic").resolved.clone()
    }
}
