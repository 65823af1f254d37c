//! Requests to other servers, through two doors.
//!
//! *Configured*: homeservers that the operator named, by the address that he gave. They may be anywhere.
//!
//! *Guarded*: everything whose address comes from somebody else, such as the server name in an OpenID token. A server in
//! the operator's own network must never be reached that way (server-side request forgery). So: https only, names by the
//! strict grammar, names resolved once and connected to by that very address, which must be a global one; the same
//! again for each redirect; little is read, little time is given, few at once, and whoever asked learns nothing of why
//! it failed.

mod address;
mod configured;
mod discovery;
mod exchange;
mod name;
mod places;
mod roots;
mod services;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio_rustls::TlsConnector;

pub use address::Network;
pub(crate) use configured::{Configured, Method, segment};
pub(crate) use exchange::{Dialer, Resolver};
pub(crate) use name::ServerName;

use places::Places;

/// Until a connection to another server is up, its name resolved.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For all that one question to another server takes: discovery, redirects, the answer.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(8);
/// What is read of an answer by a server that the operator did not name.
const GUARDED_BYTES_MAX: usize = 64 * 1024;
/// Redirects that are followed while a server is looked for.
const REDIRECTS_MAX: usize = 3;

/// Why a question was not answered. For our counters: whoever caused it is told the same for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server could not be asked")]
pub(crate) enum Refused {
    /// Not a server name, or not an https address.
    Name,
    /// Too many questions to that server, or to all, are on their way.
    Busy,
    /// It failed a moment ago.
    Recently,
    /// The name has no address.
    Unresolved,
    /// It has, but not in the internet.
    NotGlobal,
    /// No TCP or no trusted TLS.
    Unreachable,
    Timeout,
    /// Not HTTP, too large, redirected too often, or nonsense.
    BadAnswer,
}

impl Refused {
    pub(crate) const ALL: [(Self, &'static str); 8] = [
        (Self::Name, "name"),
        (Self::Busy, "busy"),
        (Self::Recently, "failed_recently"),
        (Self::Unresolved, "unresolved"),
        (Self::NotGlobal, "not_global"),
        (Self::Unreachable, "unreachable"),
        (Self::Timeout, "timeout"),
        (Self::BadAnswer, "bad_answer"),
    ];
}

/// An answer of any status.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// The header of that name, in seconds.
    pub(crate) retry_after: Option<Duration>,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        serde_json::from_slice(&self.body).map_err(|_| Refused::BadAnswer)
    }

    /// Of a Matrix error.
    pub(crate) fn errcode(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(body.get("errcode")?.as_str()?.to_owned())
    }

    /// How long a server that had too many requests wants to be left alone (429, Matrix body or HTTP header).
    pub(crate) fn pause(&self) -> Option<Duration> {
        let in_body = || {
            let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
            body.get("retry_after_ms")?.as_u64().map(Duration::from_millis)
        };
        (self.status == 429).then(|| in_body().or(self.retry_after).unwrap_or(Duration::from_secs(1)))
    }
}

/// What the operator says about requests to others.
#[derive(Default)]
pub(crate) struct Policy {
    /// The homeservers that he named: where clients reach them, by server name.
    pub(crate) homeservers: BTreeMap<String, reqwest::Url>,
    /// Networks that others may send us to although they are not in the internet. For tests and closed networks.
    pub(crate) allow_private: Vec<Network>,
    /// Certificates (PEM) that are trusted besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("matrix.ca_file {path}: {error}")]
    CaFile { path: PathBuf, error: rustls::pki_types::pem::Error },
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// Asks other servers. One for the whole node.
pub(crate) struct Fetcher {
    configured: Configured,
    allow_private: Vec<Network>,
    resolver: Arc<dyn Resolver>,
    dialer: Arc<dyn Dialer>,
    tls: TlsConnector,
    places: Places,
    counts: [AtomicU64; Refused::ALL.len()],
    asked: AtomicU64,
}

impl Fetcher {
    pub(crate) fn new(policy: Policy) -> Result<Self, FetchError> {
        let tls = roots::client_config(policy.ca_file.as_deref())?;
        let system = Arc::new(exchange::System::default());
        Self::with(policy, tls, system.clone(), system)
    }

    /// With other roots of trust, and another way to resolve and to connect.
    fn with(
        policy: Policy,
        tls: rustls::ClientConfig,
        resolver: Arc<dyn Resolver>,
        dialer: Arc<dyn Dialer>,
    ) -> Result<Self, FetchError> {
        Ok(Self {
            configured: Configured::new(policy.homeservers, tls.clone())?,
            allow_private: policy.allow_private,
            resolver,
            dialer,
            tls: TlsConnector::from(Arc::new(tls)),
            places: Places::default(),
            counts: Default::default(),
            asked: AtomicU64::new(0),
        })
    }

    /// The homeservers that the operator named.
    pub(crate) fn configured(&self) -> &Configured {
        &self.configured
    }

    /// `GET` from the homeserver of that name as a federation peer would: one that is configured at its configured
    /// address, any other where it says that it is. `path` has the query.
    pub(crate) async fn federation_get(&self, server_name: &str, path: &str) -> Result<Answer, Refused> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = if self.configured.knows(server_name) {
            self.configured.call(server_name, Method::Get, path, None, None).await
        } else {
            self.ask_stranger(server_name, path).await
        };
        answer.inspect_err(|why| self.count(*why))
    }

    async fn ask_stranger(&self, server_name: &str, path: &str) -> Result<Answer, Refused> {
        let name = ServerName::parse(server_name).ok_or(Refused::Name)?;
        let mut place = self.places.enter(&name)?;
        let question = async {
            let mut answer = Err(Refused::Unresolved);
            for target in self.discover(&name).await? {
                answer = self.exchange(&target, path).await;
                // Another place may still be up.
                if !matches!(answer, Err(Refused::Unresolved | Refused::Unreachable | Refused::Timeout)) {
                    break;
                }
            }
            answer
        };
        let answer = tokio::time::timeout(TOTAL_TIMEOUT, question).await.unwrap_or(Err(Refused::Timeout));
        if answer.is_err() {
            place.has_failed();
        }
        answer
    }

    fn count(&self, why: Refused) {
        if let Some(at) = Refused::ALL.iter().position(|(refused, _)| *refused == why) {
            self.counts[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Questions to other servers, and of these those that were not answered, by reason.
    pub(crate) fn counts(&self) -> (u64, Vec<(&'static str, u64)>) {
        let reasons = Refused::ALL.iter().zip(&self.counts);
        let failed = reasons.map(|((_, reason), count)| (*reason, count.load(Ordering::Relaxed))).collect();
        (self.asked.load(Ordering::Relaxed), failed)
    }
}
