//! Where a homeserver is: <https://spec.matrix.org/v1.16/server-server-api/#resolving-server-names>, but for its steps
//! by SRV records: the standard library resolves none. A homeserver that is found by them alone is not found here.

use serde::Deserialize;

use super::exchange::{Target, origin_of};
use super::name::{Host, ServerName};
use super::{Fetcher, REDIRECTS_MAX, Refused};

/// Where homeservers listen if nothing else is said.
const FEDERATION_PORT: u16 = 8448;
const WELL_KNOWN: &str = "/.well-known/matrix/server";

#[derive(Deserialize)]
struct WellKnown {
    #[serde(rename = "m.server")]
    server: String,
}

impl Fetcher {
    pub(super) async fn discover(&self, name: &ServerName) -> Result<Target, Refused> {
        if name.port.is_some() || matches!(name.host, Host::Ip(_)) {
            return Ok(federation(name));
        }
        match self.well_known(&name.host).await {
            Ok(delegated) => Ok(federation(&delegated)),
            // One that may not be asked is not asked in another way either.
            Err(refused @ (Refused::NotGlobal | Refused::Unresolved | Refused::Timeout)) => Err(refused),
            Err(_) => Ok(federation(name)),
        }
    }

    async fn well_known(&self, host: &Host) -> Result<ServerName, Refused> {
        let mut target = Target { host: host.clone(), port: 443, host_header: host.to_text() };
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
    Target { host: name.host.clone(), port: name.port.unwrap_or(FEDERATION_PORT), host_header }
}
