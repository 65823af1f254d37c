//! SRTP and SRTCP (RFC 3711, RFC 7714): one [`Outbound`] and one [`Inbound`] per association, made from the keying
//! material of its DTLS handshake (RFC 5764 §4.2).
//!
//! Key schedules are expanded once per key. Nothing here allocates per packet. Whoever seals must never give one
//! (SSRC, index) two different packets: the nonce would be used twice (RFC 7714 §8.4).

mod cipher;
mod inbound;
mod kdf;
mod outbound;
pub(crate) mod replay;

pub use inbound::Inbound;
pub(crate) use inbound::{SOURCES_MAX, extend};
pub use outbound::Outbound;

/// A protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    AeadAes128Gcm,
    AeadAes256Gcm,
    /// For clients that offer nothing better; costs some 700 ns more per 1100-byte packet (HMAC-SHA1).
    Aes128CmSha1_80,
}

impl Profile {
    /// Bytes that sealing an RTP packet adds.
    #[must_use]
    pub const fn rtp_overhead(self) -> usize {
        self.tag_length()
    }

    /// Bytes that sealing an RTCP packet adds: the tag, and the index with its E bit.
    #[must_use]
    pub const fn rtcp_overhead(self) -> usize {
        self.tag_length() + INDEX_LENGTH
    }

    const fn tag_length(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::Aes128CmSha1_80 => 10,
        }
    }

    const fn key_length(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::Aes128CmSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    const fn salt_length(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::Aes128CmSha1_80 => 14,
        }
    }
}

/// SRTCP index with the E bit (RFC 3711 §3.4).
const INDEX_LENGTH: usize = 4;
/// Smallest RTCP packet: header and sender SSRC.
const RTCP_HEADER: usize = 8;

/// Both directions of one association.
#[derive(Debug)]
pub struct Session {
    pub outbound: Outbound,
    pub inbound: Inbound,
}

/// Why keying material makes no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyingError {
    #[error("keying material is shorter than the profile needs")]
    Short,
    #[error("the crypto library refused a key")]
    Refused,
}

/// Why a packet was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("shorter than its header and tag")]
    Short,
    #[error("sealed wrongly, or changed on its way")]
    Forged,
    #[error("opened before, or older than the replay window")]
    Replayed,
    #[error("more sources than one association may have")]
    TooManySources,
}

impl Session {
    /// `material` is laid out as client key, server key, client salt, server salt. `client`: we were the DTLS client.
    pub fn new(profile: Profile, material: &[u8], client: bool) -> Result<Self, KeyingError> {
        let (key, salt) = (profile.key_length(), profile.salt_length());
        let part = |at: usize, length: usize| material.get(at..at + length).ok_or(KeyingError::Short);
        let of_client = (part(0, key)?, part(2 * key, salt)?);
        let of_server = (part(key, key)?, part(2 * key + salt, salt)?);
        let (ours, theirs) = if client { (of_client, of_server) } else { (of_server, of_client) };
        Ok(Self {
            outbound: Outbound::new(profile, ours.0, ours.1)?,
            inbound: Inbound::new(profile, theirs.0, theirs.1)?,
        })
    }
}

#[cfg(test)]
mod tests;
