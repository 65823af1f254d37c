//! What types cannot say: how options fit together.

use super::{Config, ConfigError};

/// More threads than this never help one UDP port, and each costs buffers.
pub(super) const WORKERS_MAX: usize = 64;

impl Config {
    /// The first mistake, in a line.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |option: &str, message: String| Err(ConfigError::Value { option: option.to_owned(), message });
        match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => return wrong("tls.key", "is needed beside tls.cert".into()),
            (None, Some(_)) => return wrong("tls.cert", "is needed beside tls.key".into()),
            _ => {}
        }
        for origin in &self.http.allowed_origins {
            if !crate::net::origin::is_origin(origin) {
                return wrong("http.allowed_origins", format!("`{origin}` is no origin like https://call.example.org"));
            }
        }
        let listen = &self.media.listen;
        if listen.is_empty() {
            return wrong("media.listen", "needs an address, such as 0.0.0.0:7882".into());
        }
        let v4 = listen.iter().filter(|a| a.is_ipv4()).count();
        if v4 > 1 || listen.len() - v4 > 1 {
            return wrong("media.listen", "takes at most one IPv4 and one IPv6 address".into());
        }
        if listen.iter().any(|a| a.port() != listen[0].port()) {
            return wrong("media.listen", "takes one port for both addresses".into());
        }
        for address in &self.media.advertise {
            if address.ip.is_unspecified() || address.ip.is_multicast() || address.port == Some(0) {
                return wrong("media.advertise", format!("no client can reach {}", String::from(*address)));
            }
            if !listen.iter().any(|a| a.is_ipv4() == address.ip.is_ipv4()) {
                let message = format!("{} needs an address of its family in media.listen", String::from(*address));
                return wrong("media.advertise", message);
            }
        }
        if self.media.workers > WORKERS_MAX {
            return wrong("media.workers", format!("can be {WORKERS_MAX} at most"));
        }
        for (option, value) in [
            ("media.spread_at", self.media.spread_at),
            ("limits.connections", self.limits.connections),
            ("limits.participants", self.limits.participants),
            ("limits.conference_participants", self.limits.conference_participants),
            ("matrix.user_participants", self.matrix.user_participants),
            ("matrix.room_conferences", self.matrix.room_conferences),
        ] {
            if value == 0 {
                return wrong(option, "cannot be 0".into());
            }
        }
        if let Err((option, message)) = super::matrix::validate(self) {
            return wrong(option, message);
        }
        if self.focus.name.is_empty() {
            return wrong("focus.name", "cannot be empty".into());
        }
        crate::telemetry::filter(&self.log.level)
            .map(|_| ())
            .or_else(|_| wrong("log.level", format!("`{}` is neither a level nor tracing directives", self.log.level)))
    }
}
