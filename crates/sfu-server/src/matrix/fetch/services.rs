//! Where a server says by DNS that its services are: SRV records (RFC 2782). Names that come out are as little to be trusted as
//! those that went in.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use rand::Rng;

/// Records of one name that are looked at.
const RECORDS_MAX: usize = 16;
/// Names whose records are kept for as long as they say, at most an hour.
const CACHED_MAX: u64 = 256;
const CACHED_FOR: Duration = Duration::from_secs(3600);
/// One question to one name server, which is asked twice at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    /// Ends with a dot. `.` alone: there is decidedly no such service.
    pub(crate) target: String,
}

/// The machine's name servers, as `/etc/resolv.conf` has them. Looked up with the first question: most nodes never have one.
#[derive(Default)]
pub(super) struct Dns(OnceLock<Option<TokioResolver>>);

impl Dns {
    fn system() -> Option<TokioResolver> {
        match TokioResolver::builder_tokio() {
            Ok(builder) => bounded(builder),
            Err(_) => {
                tracing::warn!("no name servers are configured: homeservers are not found by SRV records");
                None
            }
        }
    }

    /// `name` is a whole one, with a dot at the end. Empty: there are none.
    pub(super) async fn services(&self, name: &str) -> io::Result<Vec<Service>> {
        let Some(resolver) = self.0.get_or_init(Self::system) else { return Ok(Vec::new()) };
        let found = match resolver.srv_lookup(name).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => return Ok(Vec::new()),
            Err(error) => return Err(io::Error::other(error)),
        };
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii(),
            }),
            _ => None,
        });
        Ok(records.take(RECORDS_MAX).collect())
    }
}

fn bounded(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Option<TokioResolver> {
    let options = builder.options_mut();
    (options.timeout, options.attempts) = (ANSWER_TIMEOUT, 1);
    (options.cache_size, options.positive_max_ttl) = (CACHED_MAX, Some(CACHED_FOR));
    options.negative_max_ttl = Some(CACHED_FOR);
    builder.build().ok()
}

/// In the order in which they are tried: by priority, and within one by lot, in proportion to their weights.
pub(super) fn in_order(services: Vec<Service>, rng: &mut impl Rng) -> Vec<Service> {
    let lot = |weight: u16, rng: &mut dyn rand::RngCore| -rng.random::<f64>().ln() / f64::from(weight).max(0.01);
    let mut drawn: Vec<_> = services.into_iter().map(|service| (lot(service.weight, rng), service)).collect();
    drawn.sort_by(|(a, one), (b, other)| one.priority.cmp(&other.priority).then(a.total_cmp(b)));
    drawn.into_iter().map(|(_, service)| service).collect()
}

#[cfg(test)]
mod tests;
