//! **INSECURE. FOR TESTS ONLY.** A seeded stand-in for DTLS.
//!
//! Real DTLS draws its randomness from the operating system, so that no two runs of a simulation are alike. This one
//! draws it from a seed and does only what str0m needs of it: both sides show a certificate, agree on SRTP keys, carry
//! application data for SCTP, and close. Its secrets travel in clear: whoever reads the wire has the keys.
//! It survives loss, reordering and duplication by retransmission, as DTLS does (RFC 6347 §4.2.4), and drops whatever
//! it cannot authenticate, as DTLS does (§4.1.2.7).
//!
//! ```text
//! client                                   server
//!   ── hello(random, certificate) ──▶               repeated until answered
//!   ◀── hello(random, echo, certificate) ──         once per client hello
//!   ── finished(tag) ──▶                            repeated until answered
//!   ◀── finished(tag) ──                            once per client finished
//! ```

mod instance;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use str0m::crypto::dtls::{DtlsCert, DtlsInstance, DtlsProvider, DtlsVersion};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};

use self::instance::Instance;
use crate::random::Random;

/// str0m's own crypto with this DTLS in the place of the real one. Every node of a world takes one with a seed of its own.
///
/// str0m wants `'static` providers, so each call leaks some 32 bytes: as long as a test runs, that is nothing.
pub fn insecure_provider(seed: u64) -> Arc<CryptoProvider> {
    tapped_provider(seed).0
}

/// The same, and the SRTP keying material of each of its handshakes: AES-128-GCM, client key, server key, client salt,
/// server salt.
pub fn tapped_provider(seed: u64) -> (Arc<CryptoProvider>, Receiver<Vec<u8>>) {
    let (keys, tap) = channel();
    let dtls: &'static Provider = Box::leak(Box::new(Provider { seed, made: AtomicU64::new(0), keys }));
    (Arc::new(CryptoProvider { dtls_provider: dtls, ..from_feature_flags() }), tap)
}

#[derive(Debug)]
struct Provider {
    seed: u64,
    /// Instances and certificates made so far: the key of the next one's stream.
    made: AtomicU64,
    keys: Sender<Vec<u8>>,
}

impl Provider {
    fn random(&self) -> Random {
        Random::stream(self.seed, &[self.made.fetch_add(1, Ordering::Relaxed)])
    }
}

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        let mut random = self.random();
        Some(DtlsCert { certificate: random.bytes::<64>().to_vec(), private_key: Vec::new() })
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        _: DtlsVersion,
        _: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        Ok(Box::new(Instance::new(cert.certificate.clone(), self.random().bytes(), (now, self.keys.clone()))))
    }
}
