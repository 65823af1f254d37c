//! Whose OpenID token it is: asked of the homeserver that it names
//! (<https://spec.matrix.org/v1.16/server-server-api/#openid>).
//!
//! A token can be used by whoever has seen it, for an hour, anywhere. So it is never logged, kept only as its hash, and
//! once it was used, it is good for the same user and device only. What the homeserver says about users of *other*
//! homeservers does not count.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use ruma::OwnedUserId;
use serde::Deserialize;
use tokio::time::Instant;

use super::fetch::{Fetcher, segment};

#[cfg(test)]
mod tests;

/// Tokens that are remembered, some 300 bytes each. When all are in use, the one that expires first makes room.
const REMEMBERED_MAX: usize = 8192;
/// What homeservers give is good for an hour. One that claims more is asked again after that.
const LIFETIME_MAX: Duration = Duration::from_secs(3600);
/// Homeservers make short ones.
const TOKEN_BYTES_MAX: usize = 4096;

/// What a client shows: the answer of `/openid/request_token`, as it is.
#[derive(Clone, Deserialize)]
pub(crate) struct OpenIdToken {
    pub(crate) access_token: String,
    pub(crate) matrix_server_name: String,
    /// Seconds, counted from when it was made.
    #[serde(default)]
    pub(crate) expires_in: u64,
}

/// Why nobody was found. The client is told the same for all of them, or it could tell what answers in our network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the OpenID token was not accepted")]
pub(crate) enum OpenIdError {
    /// Too long, or not of the user's own homeserver.
    Form,
    /// The homeserver could not be asked.
    Unasked,
    /// It does not know the token, or names somebody else.
    Unknown,
    /// Somebody else, or another device, has used it.
    Reused,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
}

#[derive(Clone, PartialEq, Eq)]
struct Use {
    user: OwnedUserId,
    device: String,
    expires: Instant,
}

/// Verifies OpenID tokens, and remembers which were used by whom.
#[derive(Default)]
pub(crate) struct OpenId {
    /// By the SHA-256 of server name and token.
    used: Mutex<BTreeMap<[u8; 32], Use>>,
}

impl OpenId {
    /// The user, if the token is his and his homeserver says so.
    pub(crate) async fn verify(
        &self,
        fetcher: &Fetcher,
        token: &OpenIdToken,
        claimed_user: &str,
        device: &str,
    ) -> Result<OwnedUserId, OpenIdError> {
        let claimed = OwnedUserId::try_from(claimed_user).map_err(|_| OpenIdError::Form)?;
        let server = token.matrix_server_name.as_str();
        if claimed.server_name().as_str() != server || token.access_token.len() > TOKEN_BYTES_MAX {
            return Err(OpenIdError::Form);
        }
        let mut hash = digest::Context::new(&digest::SHA256);
        // No server name has a space.
        for part in [server, " ", &token.access_token] {
            hash.update(part.as_bytes());
        }
        let hash: [u8; 32] = hash.finish().as_ref().try_into().map_err(|_| OpenIdError::Form)?;
        if let Some(used) = self.recall(&hash) {
            return if used.user == claimed && used.device == device { Ok(claimed) } else { Err(OpenIdError::Reused) };
        }
        let asked = Instant::now();
        let path = format!("/_matrix/federation/v1/openid/userinfo?access_token={}", segment(&token.access_token));
        let answer = fetcher.federation_get(server, &path).await.map_err(|_| OpenIdError::Unasked)?;
        if !answer.is_success() {
            return Err(OpenIdError::Unknown);
        }
        let info: UserInfo = answer.json().map_err(|_| OpenIdError::Unknown)?;
        if info.sub != claimed.as_str() {
            return Err(OpenIdError::Unknown);
        }
        let lifetime = Duration::from_secs(token.expires_in).min(LIFETIME_MAX);
        let mine = Use { user: claimed.clone(), device: device.to_owned(), expires: asked + lifetime };
        self.remember(hash, mine)?;
        Ok(claimed)
    }

    fn recall(&self, hash: &[u8; 32]) -> Option<Use> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.get(hash).filter(|used| Instant::now() < used.expires).cloned()
    }

    fn remember(&self, hash: [u8; 32], mine: Use) -> Result<(), OpenIdError> {
        let now = Instant::now();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // While the homeserver was asked, somebody else may have come with the same token.
        if let Some(other) = used.get(&hash).filter(|other| now < other.expires)
            && (other.user != mine.user || other.device != mine.device)
        {
            return Err(OpenIdError::Reused);
        }
        if used.len() >= REMEMBERED_MAX {
            used.retain(|_, used| now < used.expires);
        }
        if used.len() >= REMEMBERED_MAX {
            let first = used.iter().min_by_key(|(_, used)| used.expires).map(|(hash, _)| *hash);
            first.map(|hash| used.remove(&hash));
        }
        used.insert(hash, mine);
        Ok(())
    }
}
