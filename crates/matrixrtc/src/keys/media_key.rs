//! A key itself, and its ratchet.

use std::fmt;

use aws_lc_rs::hkdf;
use rand::CryptoRng;

/// Of a ratcheted key: the hash's.
const RATCHETED_BYTES: usize = 32;

/// 16 or 32 secret bytes: the base key of SFrame (RFC 9605 §4.4.2). `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaKey(Box<[u8]>);

impl MediaKey {
    /// `None` unless it has 16 or 32 bytes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        matches!(bytes.len(), 16 | 32).then(|| Self(bytes.into()))
    }

    pub(super) fn random(bytes: KeyBytes, rng: &mut impl CryptoRng) -> Self {
        let mut key = vec![0; bytes as usize];
        rng.fill_bytes(&mut key);
        Self(key.into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key of the next ratchet step (RFC 9605 §5.1). It tells nothing about this one.
    #[must_use]
    pub fn ratchet(&self) -> Self {
        let mut next = vec![0; RATCHETED_BYTES];
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.0);
        // HKDF fails only beyond 255 times the hash's length.
        let filled = secret.expand(&[b"SFrame 1.0 Ratchet"], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut next));
        debug_assert!(filled.is_ok());
        Self(next.into())
    }
}

impl fmt::Debug for MediaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaKey({} bytes)", self.0.len())
    }
}

/// How long new keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyBytes {
    /// What deployed clients send.
    Interop = 16,
    /// What MSC4143 asks for.
    Spec = 32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another implementation (Node's `crypto.hkdfSync`); the web client ratchets alike.
    #[test]
    fn ratchet_vector() {
        let key = MediaKey::new(&(0..16).collect::<Vec<u8>>()).expect("16 bytes");
        let hex: String = key.ratchet().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "fb75d8d5782da6c6cbf18ac43eca5da9e47f7e6ac7926a78e486226bd2af0f87");
    }

    #[test]
    fn only_two_lengths() {
        for length in 0..64 {
            assert_eq!(MediaKey::new(&vec![7; length]).is_some(), length == 16 || length == 32, "{length}");
        }
    }

    #[test]
    fn debug_tells_nothing() {
        assert_eq!(format!("{:?}", MediaKey::new(&[7; 16]).expect("16 bytes")), "MediaKey(16 bytes)");
    }
}
