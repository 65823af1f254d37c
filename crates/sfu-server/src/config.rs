//! The configuration: one typed tree. Its doc comments and defaults are also the text of `deploy/config.example.toml`
//! ([`example()`]), and its shape is what unknown keys are measured against ([`load()`]).
//!
//! Few knobs, by rule: a number that an operator cannot judge is a constant beside the code that needs it.

mod example;
mod load;
mod matrix;
mod schema;
mod validate;
mod values;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use example::example;
pub use load::{ConfigError, load};
pub use matrix::{Homeserver, MatrixDevice, MatrixMode};
pub use values::{Advertise, LogFormat, Period};

use schema::{section, tree};

pub use crate::matrix::fetch::Network;

tree! {
    /// Everything that an operator can set.
    Config {
        http: Http,
        tls: Tls,
        media: Media,
        metrics: Metrics,
        log: Log,
        focus: Focus,
        auth: Auth,
        state: State,
        matrix: Matrix,
        limits: Limits,
        drain: Drain,
    }
}

section! {
    /// The call page, the signalling WebSocket, and health checks.
    Http {
        /// Where to listen. Put a reverse proxy in front, or set tls.cert, before you open it to the network:
        /// browsers give a page no camera without HTTPS, except on localhost.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        /// Web pages on other hosts that may connect, as origins. Pages from the same host always may.
        allowed_origins: Vec<String> = Vec::new(), example r#"["https://call.example.org"]"#;
    }
}

section! {
    /// TLS for the page and signalling without a reverse proxy: both files, or neither. They are read at start.
    Tls {
        /// Certificate chain, PEM, the server's own certificate first.
        cert: Option<PathBuf> = None, example r#""/etc/sfu-server/tls/fullchain.pem""#;
        /// Private key, PEM.
        key: Option<PathBuf> = None, example r#""/etc/sfu-server/tls/privkey.pem""#;
    }
}

section! {
    /// Audio and video: one UDP port for everybody.
    Media {
        /// Where to listen: at most one IPv4 and one IPv6 address, with the same port. A machine without IPv6 is fine.
        listen: Vec<SocketAddr> = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7882)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 7882))];
        /// Addresses that clients are told instead of the machine's own: IP, or IP:port if the router maps another
        /// port. Needed behind NAT. List a private address as well if clients in the same network shall use it.
        advertise: Vec<Advertise> = Vec::new(), example r#"["203.0.113.7"]"#;
        /// Threads that forward media. 0: one for each processor core.
        workers: usize = 0;
        /// From so many participants on, a conference is spread over several workers.
        spread_at: usize = 32;
    }
}

section! {
    /// Prometheus metrics. They hold no names, rooms or addresses.
    Metrics {
        /// Whether `/metrics` is served at all.
        enabled: bool = true;
        /// Where to serve them. Not set: on 127.0.0.1:9478, or with --dev on http.listen itself.
        listen: Option<SocketAddr> = None, example r#""127.0.0.1:9478""#;
    }
}

section! {
    /// The log goes to standard error. It holds no names, rooms, addresses or tokens.
    Log {
        /// text or json.
        format: LogFormat = LogFormat::Text;
        /// error, warn, info, debug or trace; or tracing directives such as "warn,sfu_server=debug".
        level: String = "info".to_owned();
    }
}

section! {
    /// Who this server is.
    Focus {
        /// Its public name. Tokens are bound to it.
        name: String = "localhost".to_owned();
    }
}

section! {
    /// Who is let in.
    Auth {
        /// File with the key (an Ed25519 seed) that signs tokens. Made, readable by the owner only, if it is missing.
        /// Not set: signing.key in state.dir; with neither the key lives in memory.
        signing_key_file: Option<PathBuf> = None, example r#""/var/lib/sfu-server/signing.key""#;
    }
}

section! {
    /// What must survive a restart: who was removed from a call, leave events that are sent for members, keys.
    State {
        /// Directory for it, of this server alone. Made, for the owner only, if it is missing.
        /// Not set: in memory, so that somebody who was removed can come back after a restart.
        dir: Option<PathBuf> = None, example r#""/var/lib/sfu-server""#;
    }
}

section! {
    /// Which Matrix users may call here: docs/matrix.md. `sfu-server matrix init` prints most of what is needed.
    Matrix {
        /// off: nobody. appservice: homeservers pass their users' requests on and tell who is in a room.
        /// openid: users prove themselves by OpenID; for homeservers without application services of that kind.
        mode: MatrixMode = MatrixMode::Off;
        /// Address of this server for clients, without a path.
        public_url: Option<String> = None, example r#""https://sfu.example.org""#;
        /// Homeservers whose users may begin calls and publish. Users of all others may listen to calls in rooms that
        /// one of these sees. In mode openid the tokens of the application service are not needed, but who is in a room
        /// is then only known where an account of this server is (account_token_file).
        homeservers: Vec<Homeserver> = Vec::new(), example r#"[{ server_name = "example.org", url = "http://127.0.0.1:8008", as_token_file = "/etc/sfu-server/as_token", hs_token_file = "/etc/sfu-server/hs_token" }]"#;
        /// With mode openid: let in also where nobody can tell whether somebody is in the room. Whoever knows the id of
        /// a room can then listen to what is sent in its calls, which is encrypted, and see who is there.
        open: bool = false;
        /// Networks, such as 10.0.0.0/8, that servers whose names come from outside may be found in. Without it only the
        /// internet is asked, so that nobody can make this server ask its neighbours. Not needed for homeservers.
        allow_private: Vec<Network> = Vec::new(), example r#"["10.0.0.0/8"]"#;
        /// The Matrix device of this server: clients that cannot reach public_url reach it by encrypted to-device messages,
        /// and public_url is not needed then. An account of its own, on one of the homeservers.
        device: Option<MatrixDevice> = None, example r#"{ user_id = "@rtc:example.org", password_file = "/etc/sfu-server/device_password" }"#;
        /// Certificates (PEM) that homeservers may have besides those that the system trusts.
        ca_file: Option<PathBuf> = None, example r#""/etc/sfu-server/ca.pem""#;
        /// Participants of one user: devices, in all calls.
        user_participants: usize = 8;
        /// Participants of one server that is not in homeservers.
        foreign_participants: usize = 500;
        /// Calls of one room at once.
        room_conferences: usize = 8;
    }
}

section! {
    /// What the machine shall bear. What is beyond is refused with an error that the client understands.
    Limits {
        /// TCP connections to http.listen at once, idle ones included.
        connections: usize = 4096;
        /// Participants on this server at once.
        participants: usize = 2000;
        /// Participants of one conference.
        conference_participants: usize = 500;
    }
}

section! {
    /// What happens on SIGTERM.
    Drain {
        /// Calls may go on for so long; clients are told at once to connect elsewhere. A second signal ends it.
        timeout: Period = Period::from_secs(60);
    }
}

/// Where metrics are served if nothing is configured.
const METRICS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9478);

/// Where `/metrics` is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsPlace {
    Nowhere,
    OnHttp,
    Own(SocketAddr),
}

impl Config {
    /// The defaults of `--dev`: everybody is let in, so HTTP stays on loopback unless it is told otherwise.
    pub fn dev() -> Self {
        Self { dev: true, ..Self::default() }
    }

    pub fn metrics_place(&self) -> MetricsPlace {
        match (self.metrics.enabled, self.metrics.listen) {
            (false, _) => MetricsPlace::Nowhere,
            (true, Some(address)) => MetricsPlace::Own(address),
            (true, None) if self.dev => MetricsPlace::OnHttp,
            (true, None) => MetricsPlace::Own(METRICS_LISTEN),
        }
    }

    /// The number of workers, with 0 resolved.
    pub fn worker_count(&self) -> usize {
        match self.media.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(validate::WORKERS_MAX),
            workers => workers,
        }
    }
}
