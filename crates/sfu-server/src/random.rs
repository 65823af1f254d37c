//! Randomness from the operating system, for whoever needs a secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore as _;
use rand::rngs::OsRng;

/// The system has no randomness to give.
#[derive(Debug, thiserror::Error)]
#[error("no random numbers from the system: {0}")]
pub struct OsError(String);

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], OsError> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| OsError(error.to_string()))?;
    Ok(bytes)
}

pub(crate) fn seed() -> Result<[u8; 32], OsError> {
    bytes()
}

/// `N` random bytes as text that fits into an address.
pub(crate) fn text<const N: usize>() -> Result<String, OsError> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<N>()?))
}
