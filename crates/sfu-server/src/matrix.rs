//! All IO that has to do with Matrix: requests to homeservers, what they answer, and what they and clients ask of us. The
//! rules are `focus_matrix`'s.

pub(crate) mod appservice;
pub(crate) mod device;
pub(crate) mod fetch;
pub(crate) mod gate;
pub(crate) mod homeserver;
pub(crate) mod init;
pub(crate) mod openid;
pub(crate) mod token;
pub(crate) mod watching;
pub(crate) mod wills;

use std::collections::BTreeMap;
use std::sync::Arc;

use fetch::{FetchError, Fetcher, Policy};
use homeserver::{Homeservers, TokenFileError};

use crate::config::{Config, MatrixMode};

#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    TokenFile(#[from] TokenFileError),
}

/// What asks other servers.
pub(crate) fn fetcher(config: &Config) -> Result<Arc<Fetcher>, MatrixError> {
    let matrix = &config.matrix;
    // What is no address was refused before.
    let urls = matrix.homeservers.iter().filter_map(|h| Some((h.server_name.clone(), h.url.parse().ok()?)));
    let homeservers: BTreeMap<_, _> = urls.collect();
    let policy = Policy { homeservers, allow_private: matrix.allow_private.clone(), ca_file: matrix.ca_file.clone() };
    Ok(Arc::new(Fetcher::new(policy)?))
}

/// The homeservers, if Matrix users are let in.
pub(crate) fn homeservers(config: &Config, fetch: &Arc<Fetcher>) -> Result<Option<Arc<Homeservers>>, MatrixError> {
    match config.matrix.mode {
        MatrixMode::Off => Ok(None),
        _ => Ok(Some(Arc::new(Homeservers::load(config, fetch.clone())?))),
    }
}
