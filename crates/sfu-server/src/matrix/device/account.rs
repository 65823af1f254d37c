//! Which account the device belongs to: an access token that the operator made, or a password with which one is made once.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::json;

use crate::config::MatrixDevice;
use crate::matrix::fetch::{Configured, Method};

/// The token that a login gave, in the directory of the keys.
const TOKEN_FILE: &str = "access_token";

/// Who the device is, for the homeserver.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) user_id: OwnedUserId,
    pub(super) device_id: OwnedDeviceId,
    pub(super) token: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error("its homeserver does not answer")]
    Unreachable,
    #[error("its homeserver refuses the token or the password")]
    Refused,
    #[error("the token is that of another user")]
    OtherUser,
    #[error("the token belongs to no device")]
    NoDevice,
    #[error("user_id: {0}")]
    Name(#[from] ruma::IdParseError),
    #[error("access_token_file or password_file: {0}")]
    Read(std::io::Error),
    #[error("cannot keep the token: {0}")]
    Keep(#[from] std::io::Error),
}

#[derive(Deserialize)]
struct WhoAmI {
    user_id: OwnedUserId,
    device_id: Option<OwnedDeviceId>,
}

#[derive(Deserialize)]
struct LoggedIn {
    access_token: String,
}

impl Account {
    /// Finds out which device a token belongs to; logs in if there is none. `dir`: where the token of a login is kept, so that
    /// the next start is the same device.
    pub(super) async fn open(
        homeserver: &Configured,
        settings: &MatrixDevice,
        dir: &Path,
    ) -> Result<Self, AccountError> {
        let user_id = UserId::parse(&settings.user_id)?;
        let read =
            |path: &PathBuf| fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(AccountError::Read);
        if let Some(path) = &settings.access_token_file {
            return Self::of_token(homeserver, &user_id, read(path)?).await;
        }
        let password = settings.password_file.as_ref().map(read).transpose()?.unwrap_or_default();
        let kept = dir.join(TOKEN_FILE);
        if let Ok(token) = fs::read_to_string(&kept) {
            match Self::of_token(homeserver, &user_id, token.trim().to_owned()).await {
                Err(AccountError::Refused) => {}
                found => return found,
            }
        }
        let body = json!({
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user_id},
            "password": password,
            "device_id": settings.device_id,
            "initial_device_display_name": "sfu-server",
        });
        let server = user_id.server_name().as_str();
        let path = "/_matrix/client/v3/login";
        let answer = homeserver.call(server, Method::Post, path, None, Some(&body)).await;
        let answer = answer.map_err(|_| AccountError::Unreachable)?;
        if !answer.is_success() {
            return Err(if answer.status < 500 { AccountError::Refused } else { AccountError::Unreachable });
        }
        let LoggedIn { access_token } = answer.json().map_err(|_| AccountError::Unreachable)?;
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(kept)?;
        std::io::Write::write_all(&mut file, access_token.as_bytes())?;
        Self::of_token(homeserver, &user_id, access_token).await
    }

    async fn of_token(homeserver: &Configured, user_id: &OwnedUserId, token: String) -> Result<Self, AccountError> {
        let server = user_id.server_name().as_str();
        let path = "/_matrix/client/v3/account/whoami";
        let answer = homeserver.call(server, Method::Get, path, Some(&token), None).await;
        let answer = answer.map_err(|_| AccountError::Unreachable)?;
        if !answer.is_success() {
            return Err(if answer.status < 500 { AccountError::Refused } else { AccountError::Unreachable });
        }
        let found: WhoAmI = answer.json().map_err(|_| AccountError::Unreachable)?;
        if found.user_id != *user_id {
            return Err(AccountError::OtherUser);
        }
        let device_id = found.device_id.ok_or(AccountError::NoDevice)?;
        Ok(Self { user_id: found.user_id, device_id, token })
    }
}
