//! Where a homeserver is: <https://spec.matrix.org/v1.16/server-server-api/#resolving-server-names>.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Deserialize;

use super::exchange::{Target, origin_of};
use super::name::{Host, ServerName};
use super::services::{Service, in_order};
use super::{Fetcher, REDIRECTS_MAX, Refused};
use crate::random;

/// Where homeservers listen if nothing else is said.
const FEDERATION_PORT: u16 = 8448;
const WELL_KNOWN: &str = "/.well-known/matrix/server";
/// Asked for in this order; the second is deprecated.
const SERVICES: [&str; 2] = ["_matrix-fed._tcp", "_matrix._tcp"];
/// For both of them. Without an answer there are none.
const SERVICES_TIMEOUT: Duration = Duration::from_secs(2);
/// Of the places that one server has, so many are tried.
const PLACES_MAX: usize = 3;

#[derive(Deserialize)]
struct WellKnown {
    #[serde(rename = "m.server")]
    server: String,
}

impl Fetcher {
    /// Its places, best first; one at least.
    pub(super) async fn discover(&self, name: &ServerName) -> Result<Vec<Target>, Refused> {
        if name.port.is_some() || matches!(name.host, Host::Ip(_)) {
            return Ok(vec![federation(name)]);
        }
        match self.well_known(&name.host).await {
            Ok(delegated) => self.places_of(&delegated).await,
            // One that may not be asked is not asked in another way either.
            Err(refused @ (Refused::NotGlobal | Refused::Timeout)) => Err(refused),
            Err(_) => self.places_of(name).await,
        }
    }

    /// By SRV records, if the name has no port, and else where homeservers usually are.
    async fn places_of(&self, name: &ServerName) -> Result<Vec<Target>, Refused> {
        let usual = vec![federation(name)];
        let (Host::Dns(host), None) = (&name.host, name.port) else { return Ok(usual) };
        let services = tokio::time::timeout(SERVICES_TIMEOUT, self.services_of(host)).await.unwrap_or_default();
        if services.is_empty() {
            return Ok(usual);
        }
        // Without randomness the order is the same each time, which is no worse.
        let mut rng = StdRng::from_seed(random::seed().unwrap_or_default());
        let places = in_order(services, &mut rng).into_iter().filter_map(|service| place(&name.host, &service));
        let places: Vec<Target> = places.take(PLACES_MAX).collect();
        // There are records, and none of a place that could be asked.
        if places.is_empty() { Err(Refused::Unresolved) } else { Ok(places) }
    }

    async fn services_of(&self, host: &str) -> Vec<Service> {
        for service in SERVICES {
            let found = self.resolver.services(&format!("{service}.{host}.")).await.unwrap_or_default();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    async fn well_known(&self, host: &Host) -> Result<ServerName, Refused> {
        let mut target = Target { host: host.clone(), at: None, port: 443, host_header: host.to_text() };
        let mut path = WELL_KNOWN.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let (answer, location) = self.exchange_once(&target, &path).await?;
            match (answer.status, location) {
                (200, _) => {
                    let found: WellKnown = answer.json()?;
                    return ServerName::parse(&found.server).ok_or(Refused::BadAnswer);
                }
                (301 | 302 | 303 | 307 | 308, Some(location)) => {
                    (target, path) = origin_of(&target, &path, &location)?;
                }
                _ => return Err(Refused::BadAnswer),
            }
        }
        Err(Refused::BadAnswer)
    }
}

fn federation(name: &ServerName) -> Target {
    let host = name.host.to_text();
    let host_header = name.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    Target { host: name.host.clone(), at: None, port: name.port.unwrap_or(FEDERATION_PORT), host_header }
}

/// The server is still the one of that name: its certificate says so. Where the record points to is a DNS name by the same
/// grammar as all others, and no address.
fn place(name: &Host, service: &Service) -> Option<Target> {
    let at = ServerName::parse(service.target.strip_suffix('.')?)?;
    let is_good = at.port.is_none() && matches!(at.host, Host::Dns(_)) && service.port != 0;
    is_good.then(|| Target { host: name.clone(), at: Some(at.host), port: service.port, host_header: name.to_text() })
}
