//! The right to resume a session. Only a hash of each secret is kept, so that a memory dump resumes nothing.

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;

const SECRET_BYTES: usize = 32;

/// SHA-256 of a secret. The secret has 256 random bits, so neither salt nor stretching would add anything.
struct Hash(digest::Digest);

impl Hash {
    fn of(secret: &[u8]) -> Self {
        Self(digest::digest(&digest::SHA256, secret))
    }

    fn matches(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }
}

/// The secrets that one session can be resumed with.
///
/// Each is single use: `welcome` carries the next one. But a `welcome` can be lost with its socket, and then the client has
/// only the secret that it has just used. So that one stays good until the client is heard on the new socket.
#[derive(Default)]
pub(crate) struct ResumeSecrets {
    current: Option<Hash>,
    previous: Option<Hash>,
}

impl ResumeSecrets {
    /// Makes the next secret, as text for `welcome`.
    pub(crate) fn issue(&mut self, rng: &mut impl RngCore) -> String {
        let mut secret = [0; SECRET_BYTES];
        rng.fill_bytes(&mut secret);
        self.current = Some(Hash::of(&secret));
        URL_SAFE_NO_PAD.encode(secret)
    }

    /// Whether the secret is good; it has then been used, and the next is to be issued.
    pub(crate) fn redeem(&mut self, secret: &str) -> bool {
        let Ok(secret) = URL_SAFE_NO_PAD.decode(secret) else { return false };
        let used = Hash::of(&secret);
        // Both are compared, whichever matches: time tells nothing.
        let current = self.current.as_ref().is_some_and(|hash| hash.matches(&used));
        let previous = self.previous.as_ref().is_some_and(|hash| hash.matches(&used));
        if !(current || previous) {
            return false;
        }
        self.previous = Some(used);
        true
    }

    /// The client has been heard after its `welcome`, so it has the current secret.
    pub(crate) fn confirm(&mut self) {
        self.previous = None;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn a_secret_is_single_use_once_the_next_has_arrived() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let mut secrets = ResumeSecrets::default();
        assert!(!secrets.redeem(""), "nothing was issued");
        let first = secrets.issue(&mut rng);
        assert!(!secrets.redeem("AAAA") && !secrets.redeem("not base64!"));

        assert!(secrets.redeem(&first));
        let lost = secrets.issue(&mut rng);
        assert!(secrets.redeem(&first), "the welcome was lost");
        let second = secrets.issue(&mut rng);
        assert!(!secrets.redeem(&lost), "a secret that was replaced unseen");
        secrets.confirm();
        assert!(!secrets.redeem(&first), "the client is known to have the second");
        assert!(secrets.redeem(&second));
        assert_ne!(first, second);
    }
}
