//! The server to be loaded, as it is reached from here: over TCP or TLS, with tokens from it or signed here.

use std::fs;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use focus_control::token::{LIFETIME_DEFAULT, Mint, Minter};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::http::{self, Access};

/// Where sfu-server has its signalling, unless the URL says otherwise.
const SIGNALLING_PATH: &str = "/rtc/v1";

/// A connection to the server, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Who signs the tokens.
enum Tokens {
    /// The server, with `--dev`.
    Server,
    /// We, with its key.
    Own(Minter),
}

/// See the module.
pub struct Target {
    /// As it is to be shown.
    pub url: String,
    /// `host:port`, for HTTP.
    authority: String,
    address: SocketAddr,
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    tokens: Tokens,
}

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Url {
    fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").context("--server wants a URL such as http://127.0.0.1:8080")?;
        let tls = match scheme {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => bail!("--server: {scheme} is none of http, https, ws, wss"),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let default = if tls { 443 } else { 80 };
        // An IPv6 address has colons of its own, in brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().context("--server: the port")?),
            _ => (authority, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            bail!("--server: no host");
        }
        let path = if path.len() > 1 { path } else { SIGNALLING_PATH };
        Ok(Self { tls, host, port, path: path.to_owned() })
    }
}

impl Target {
    /// `key`: file with the server's signing key, and the server's `focus.name`. `ca`: a certificate to trust besides
    /// the well-known ones, as PEM.
    pub fn new(url: &str, key: Option<(&Path, &str)>, ca: Option<&Path>) -> Result<Self> {
        let Url { tls, host, port, path } = Url::parse(url)?;
        let address = (host.as_str(), port).to_socket_addrs().with_context(|| format!("--server: {host}"))?.next();
        let tls = match tls {
            true => Some((connector(ca)?, ServerName::try_from(host.clone()).context("--server: the host name")?)),
            false => None,
        };
        let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let tokens = match key {
            Some((file, focus)) => Tokens::Own(minter(file, focus)?),
            None => Tokens::Server,
        };
        let address = address.with_context(|| format!("--server: {host} has no address"))?;
        Ok(Self { url: url.to_owned(), authority, address, path, tls, tokens })
    }

    /// Our own address on the way there. Nothing is sent for this.
    pub fn local(&self) -> Result<IpAddr> {
        let any: SocketAddr = if self.address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        let probe = std::net::UdpSocket::bind(any)?;
        probe.connect(self.address)?;
        Ok(probe.local_addr()?.ip())
    }

    pub async fn connect(&self) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await.context("TLS")?),
            None => Box::new(stream),
        })
    }

    /// A token for `name` in `conference`.
    pub async fn access(&self, conference: &str, name: &str) -> Result<Access> {
        match &self.tokens {
            Tokens::Server => {
                http::dev_token_over(self.connect().await?, &self.authority, conference, name).await.context(
                    "no token: the server must run with --dev, or --signing-key-file and --focus say how to sign one",
                )
            }
            Tokens::Own(minter) => {
                let unix = SystemTime::now().duration_since(UNIX_EPOCH)?;
                let identity = format!("sfu-bench-{:016x}", rand::random::<u64>());
                let mint = Mint { identity: &identity, conference, name, publish: true, lifetime: LIFETIME_DEFAULT };
                let token = minter.mint(&mint, unix, &mut StdRng::from_os_rng())?;
                Ok(Access { token, url: self.path.clone() })
            }
        }
    }

    /// The signalling socket at `path`.
    pub fn socket_url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}{path}", self.authority)
    }
}

fn minter(file: &Path, focus: &str) -> Result<Minter> {
    let text = fs::read_to_string(file).with_context(|| format!("--signing-key-file {}", file.display()))?;
    let seed = STANDARD.decode(text.trim()).ok().and_then(|seed| <[u8; 32]>::try_from(seed).ok());
    let seed = seed.with_context(|| format!("{}: not an Ed25519 seed (32 bytes as base64)", file.display()))?;
    Ok(Minter::from_seed(&seed, focus)?)
}

fn connector(ca: Option<&Path>) -> Result<TlsConnector> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = ca {
        let read = || format!("--ca {}", file.display());
        for certificate in CertificateDer::pem_file_iter(file).with_context(read)? {
            roots.add(certificate.with_context(read)?).with_context(read)?;
        }
    }
    // Named, as the tree may hold a second one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = |tls, host: &str, port, path: &str| Url { tls, host: host.to_owned(), port, path: path.to_owned() };
        let parse = |text| Url::parse(text).ok();
        assert_eq!(parse("http://127.0.0.1:8080"), Some(url(false, "127.0.0.1", 8080, "/rtc/v1")));
        assert_eq!(parse("https://sfu.example/"), Some(url(true, "sfu.example", 443, "/rtc/v1")));
        assert_eq!(parse("wss://sfu.example/live/rtc"), Some(url(true, "sfu.example", 443, "/live/rtc")));
        assert_eq!(parse("ws://[::1]:81"), Some(url(false, "::1", 81, "/rtc/v1")));
        assert_eq!(parse("ws://[::1]"), Some(url(false, "::1", 80, "/rtc/v1")));
        for bad in ["127.0.0.1:8080", "ftp://host", "http://", "http://host:port"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_own_token_is_what_the_server_accepts() {
        let file = std::env::temp_dir().join(format!("sfu-bench-key-{}", std::process::id()));
        fs::write(&file, STANDARD.encode([7; 32])).expect("written");
        let target = Target::new("http://127.0.0.1:1", Some((&file, "focus.example")), None);
        let minted = Minter::from_seed(&[7; 32], "focus.example").expect("a key");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let access = runtime.block_on(target.expect("a target").access("room", "name")).expect("a token");
        fs::remove_file(&file).expect("removed");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        assert!(minted.verifier().verify(&access.token, now).is_ok());
        assert_eq!(access.url, SIGNALLING_PATH);
    }
}
