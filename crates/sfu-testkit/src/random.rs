//! Seeded randomness. Every user draws from a stream of its own, named by a key, so that one more draw here never
//! shifts a decision there.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One stream of random values.
#[derive(Debug, Clone)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream that `key` names under `seed`.
    pub fn stream(seed: u64, key: &[u64]) -> Self {
        Self(ChaCha8Rng::seed_from_u64(mix(seed, key)))
    }

    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// In 0..bound; 0 if bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.u64() % bound }
    }

    /// In 0.0..1.0.
    pub fn unit(&mut self) -> f64 {
        unit(self.u64())
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// For interfaces that want the generator itself.
    pub fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.0
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// One number out of a seed and a key: SplitMix64's finaliser, folded over the parts.
pub fn mix(seed: u64, key: &[u64]) -> u64 {
    key.iter().fold(finish(seed), |state, part| finish(state ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// In 0.0..1.0, from the 53 bits that an f64 holds exactly.
pub fn unit(value: u64) -> f64 {
    (value >> 11) as f64 / (1u64 << 53) as f64
}

fn finish(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a over bytes: for fingerprints in traces and canaries, never for secrets.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
