//! Values of `[matrix]`, and how they fit together.

use std::path::PathBuf;

use ruma::ServerName;
use serde::{Deserialize, Serialize};

use super::Config;

/// The step of the ladder; what it means is [`focus_matrix::authorize::Mode`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatrixMode {
    #[default]
    Off,
    Appservice,
    Openid,
}

/// A homeserver that the operator named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Homeserver {
    /// As in its users' ids, with the port if they have one.
    pub server_name: String,
    /// Where this server reaches its client API.
    pub url: String,
    /// One line each, as in the registration of the application service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hs_token_file: Option<PathBuf>,
    /// Access token of an account there that is in the rooms, where there is no application service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_token_file: Option<PathBuf>,
    /// The registration makes the homeserver push all events: rooms are then swept every 15 s instead of every 1.2 s.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pushes_events: bool,
}

/// The account that is the focus's own Matrix device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixDevice {
    /// On one of `homeservers`. It need not be in any room.
    pub user_id: String,
    /// One line: a token of that account. It must not be used by anything else, for its device is this server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_file: Option<PathBuf>,
    /// Or its password, with which the server logs in once; it keeps the token in `state.dir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Of a login with the password.
    #[serde(default = "default_device_id")]
    pub device_id: String,
}

fn default_device_id() -> String {
    "RUSTSFU".to_owned()
}

impl MatrixDevice {
    fn mistake(&self, homeservers: &[Homeserver]) -> Option<String> {
        let Ok(user) = ruma::UserId::parse(&self.user_id) else {
            return Some(format!("`{}` is no user id", self.user_id));
        };
        if !homeservers.iter().any(|homeserver| homeserver.server_name == user.server_name().as_str()) {
            return Some("user_id must be on one of matrix.homeservers".to_owned());
        }
        if self.access_token_file.is_some() == self.password_file.is_some() {
            return Some("needs one of access_token_file and password_file".to_owned());
        }
        self.device_id.is_empty().then(|| "device_id is empty".to_owned())
    }
}

/// Whether `text` is an address without a path, and with TLS unless it is this machine's.
fn is_public(text: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(text) else { return false };
    let is_loopback = match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => return false,
    };
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    is_bare && (url.scheme() == "https" || url.scheme() == "http" && is_loopback)
}

/// The first mistake: option and message.
pub(super) fn validate(config: &Config) -> Result<(), (&'static str, String)> {
    let matrix = &config.matrix;
    if matrix.mode == MatrixMode::Off {
        return Ok(());
    }
    if config.dev {
        return Err(("matrix.mode", "lets in Matrix users only, and --dev everybody: take one of them".into()));
    }
    match &matrix.public_url {
        None if matrix.device.is_some() => {}
        None => return Err(("matrix.public_url", "is needed: clients are sent there".into())),
        Some(url) if !is_public(url) => {
            return Err(("matrix.public_url", format!("`{url}` is no address like https://sfu.example.org")));
        }
        Some(_) => {}
    }
    if matrix.homeservers.is_empty() {
        return Err(("matrix.homeservers", "needs at least one: nobody else's users may begin a call".into()));
    }
    for (n, homeserver) in matrix.homeservers.iter().enumerate() {
        let name = &homeserver.server_name;
        let wrong = |message: &str| Err(("matrix.homeservers", format!("{name}: {message}")));
        if ServerName::parse(name).is_err() {
            return wrong("is no server name");
        }
        if matrix.homeservers[..n].iter().any(|other| other.server_name == *name) {
            return wrong("is there twice");
        }
        let url = reqwest::Url::parse(&homeserver.url);
        if !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some()) {
            return wrong("url is no address like http://127.0.0.1:8008");
        }
        let tokens = homeserver.as_token_file.is_some() && homeserver.hs_token_file.is_some();
        if matrix.mode == MatrixMode::Appservice && !tokens {
            return wrong("mode appservice needs as_token_file and hs_token_file");
        }
    }
    if let Some(mistake) = matrix.device.as_ref().and_then(|device| device.mistake(&matrix.homeservers)) {
        return Err(("matrix.device", mistake));
    }
    if matrix.device.is_some() && config.state.dir.is_none() {
        return Err(("matrix.device", "needs state.dir: clients refuse a device whose keys have changed".into()));
    }
    if matrix.open && matrix.mode != MatrixMode::Openid {
        return Err(("matrix.open", "is for mode openid only: an application service sees who is in a room".into()));
    }
    Ok(())
}
