//! The key that signs tokens, and tokens for `--dev`.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use focus_control::token::{self, Mint, MintError, Minter};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::config::Config;
use crate::control::wall_clock;
use crate::random::{self, OsError};

/// A key file is one line of base64.
const KEY_FILE_BYTES_MAX: u64 = 256;

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("signing key {path}: {error}")]
    KeyFile { path: PathBuf, error: io::Error },
    #[error("signing key {path}: not an Ed25519 seed (32 bytes as base64)")]
    NotAKey { path: PathBuf },
    #[error(transparent)]
    Random(#[from] OsError),
    #[error(transparent)]
    Mint(#[from] MintError),
}

/// Name of the key in `state.dir`, if no other file is configured.
const KEY_FILE: &str = "signing.key";

/// The minter of this focus: with the key from its file, or with one that lives as long as the process. `state.dir`, if
/// there is one, was made before.
pub(crate) fn minter(config: &Config) -> Result<Minter, AuthError> {
    let in_state_dir = config.state.dir.as_ref().map(|dir| dir.join(KEY_FILE));
    let seed = match config.auth.signing_key_file.clone().or(in_state_dir) {
        Some(path) => read_or_make(&path)?,
        None => random::seed()?,
    };
    Ok(Minter::from_seed(&seed, config.focus.name.clone())?)
}

fn read_or_make(path: &Path) -> Result<[u8; 32], AuthError> {
    let failed = |error| AuthError::KeyFile { path: path.to_owned(), error };
    let mut text = String::new();
    match std::fs::File::open(path) {
        Ok(file) => {
            file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
            let seed = STANDARD.decode(text.trim()).ok().and_then(|seed| seed.try_into().ok());
            seed.ok_or_else(|| AuthError::NotAKey { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let seed = random::seed()?;
            write_new(path, &STANDARD.encode(seed)).map_err(failed)?;
            Ok(seed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Readable by the owner only from the first moment on; an existing file is never overwritten.
fn write_new(path: &Path, line: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{line}")?;
    file.sync_all()
}

/// A token for anybody who asks (`--dev`). Each gets an identity of its own.
pub(crate) fn dev_token(minter: &Minter, conference: &str, name: &str) -> Result<String, AuthError> {
    let identity = random::text::<16>()?;
    let mint = Mint { identity: &identity, conference, name, publish: true, lifetime: token::LIFETIME_DEFAULT };
    let mut rng = StdRng::from_seed(random::seed()?);
    Ok(minter.mint(&mint, wall_clock().unix, &mut rng)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn with_key(path: &Path) -> Config {
        let mut config = Config::default();
        config.auth.signing_key_file = Some(path.to_owned());
        config
    }

    #[test]
    fn a_missing_key_is_made_once_and_for_the_owner_only() {
        let path = std::env::temp_dir().join(format!("sfu-key-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let first = minter(&with_key(&path)).expect("made");
        let second = minter(&with_key(&path)).expect("read");
        assert_eq!(first.public_key(), second.public_key());
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "not a key").expect("own file");
        let error = minter(&with_key(&path)).map(|_| ()).expect_err("refused").to_string();
        assert!(error.contains("not an Ed25519 seed"), "{error}");
        std::fs::remove_file(&path).expect("own file");
    }

    #[test]
    fn without_a_file_of_its_own_the_key_is_in_the_state_directory() {
        let dir = std::env::temp_dir().join(format!("sfu-key-dir-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("made");
        let mut config = Config::default();
        config.state.dir = Some(dir.clone());
        let [first, second] = [0, 1].map(|_| minter(&config).expect("a key").public_key().to_owned());
        assert_eq!(first, second);
        assert!(dir.join(KEY_FILE).exists());
        std::fs::remove_dir_all(&dir).expect("own directory");
    }

    #[test]
    fn a_key_that_cannot_be_kept_is_an_error() {
        let error = minter(&with_key(Path::new("/nonexistent/key"))).map(|_| ()).expect_err("refused").to_string();
        assert!(error.starts_with("signing key /nonexistent/key: "), "{error}");
    }

    #[test]
    fn a_dev_token_verifies_and_no_two_are_the_same_person() {
        let minter = minter(&Config::dev()).expect("key");
        let [a, b] = [0, 1].map(|_| dev_token(&minter, "room", "Ada").expect("minted"));
        let grants = [a, b].map(|t| minter.verifier().verify(&t, wall_clock().unix).expect("good"));
        assert_ne!(grants[0], grants[1]);
        assert!(matches!(dev_token(&minter, "", "Ada"), Err(AuthError::Mint(MintError::Conference))));
    }
}
