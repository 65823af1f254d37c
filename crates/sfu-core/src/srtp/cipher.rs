//! Sealing and opening of one direction, for RTP or for RTCP.

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

use super::kdf::{Label, derive};
use super::{KeyingError, OpenError, Profile};

/// Which of the two protocols a cipher is for: they have keys of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Rtp,
    Rtcp,
}

/// What makes a packet's nonce.
#[derive(Debug, Clone, Copy)]
pub(super) struct Index {
    pub ssrc: u32,
    /// RTP: roll-over count and sequence number, 48 bits. RTCP: the SRTCP index, 31 bits.
    pub index: u64,
}

pub(super) enum Cipher {
    Gcm {
        key: LessSafeKey,
        salt: [u8; 12],
    },
    /// Apart, for it is three times as large and hardly used.
    Counter(Box<Counter>),
}

/// AES in counter mode and HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1).
pub(super) struct Counter {
    key: EncryptingKey,
    authentication: hmac::Key,
    salt: [u8; 14],
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gcm { .. } => "Gcm",
            Self::Counter(_) => "Counter",
        })
    }
}

impl Cipher {
    pub(super) fn new(profile: Profile, protocol: Protocol, key: &[u8], salt: &[u8]) -> Result<Self, KeyingError> {
        let (key_label, authentication_label, salt_label) = match protocol {
            Protocol::Rtp => (Label::RtpKey, Label::RtpAuthentication, Label::RtpSalt),
            Protocol::Rtcp => (Label::RtcpKey, Label::RtcpAuthentication, Label::RtcpSalt),
        };
        let mut session_key = [0; 32];
        let session_key = &mut session_key[..profile.key_length()];
        derive(key, salt, key_label, session_key)?;
        let refused = |_| KeyingError::Refused;
        Ok(match profile {
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => {
                let algorithm = if profile == Profile::AeadAes128Gcm { &AES_128_GCM } else { &AES_256_GCM };
                let mut session_salt = [0; 12];
                derive(key, salt, salt_label, &mut session_salt)?;
                let key = LessSafeKey::new(UnboundKey::new(algorithm, session_key).map_err(refused)?);
                Self::Gcm { key, salt: session_salt }
            }
            Profile::Aes128CmSha1_80 => {
                let mut session_salt = [0; 14];
                derive(key, salt, salt_label, &mut session_salt)?;
                let mut authentication = [0; 20];
                derive(key, salt, authentication_label, &mut authentication)?;
                let key = UnboundCipherKey::new(&AES_128, session_key).map_err(refused)?;
                Self::Counter(Box::new(Counter {
                    key: EncryptingKey::ctr(key).map_err(refused)?,
                    authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &authentication),
                    salt: session_salt,
                }))
            }
        })
    }

    /// Encrypts `payload` into `out` and puts the tag behind it. `header` is authenticated; `trailer` is too, but is
    /// not part of the output (the roll-over count, or the SRTCP index).
    ///
    /// # Panics
    /// If `out` is not as long as the payload and the tag.
    pub(super) fn seal(&self, index: Index, header: &[u8], trailer: &[u8], payload: &[u8], out: &mut [u8]) {
        let (text, tag) = out.split_at_mut(payload.len());
        match self {
            Self::Gcm { key, salt } => {
                let mut joined = None;
                let aad = authenticated(header, trailer, &mut joined);
                let nonce = Nonce::assume_unique_for_key(gcm_nonce(*salt, index));
                let sealed = key.seal_out_of_place_scatter(nonce, Aad::from(aad), payload, text, &[], tag);
                assert!(sealed.is_ok(), "lengths fit and GCM seals");
            }
            Self::Counter(counter) => {
                let Counter { key, authentication, salt } = &**counter;
                text.copy_from_slice(payload);
                counter_mode(key, *salt, index, text);
                tag.copy_from_slice(&hmac_tag(authentication, header, text, trailer));
            }
        }
    }

    /// As [`Cipher::seal`], for a payload that stands at the beginning of `body`; the tag takes its last bytes.
    pub(super) fn seal_in_place(&self, index: Index, header: &[u8], trailer: &[u8], body: &mut [u8]) {
        let tag_length = if matches!(self, Self::Gcm { .. }) { GCM_TAG } else { COUNTER_TAG };
        let (text, tag) = body.split_at_mut(body.len() - tag_length);
        match self {
            Self::Gcm { key, salt } => {
                let mut joined = None;
                let aad = authenticated(header, trailer, &mut joined);
                let nonce = Nonce::assume_unique_for_key(gcm_nonce(*salt, index));
                let sealed = key.seal_in_place_separate_tag(nonce, Aad::from(aad), text);
                assert!(sealed.is_ok(), "lengths fit and GCM seals");
                if let Ok(made) = sealed {
                    tag.copy_from_slice(made.as_ref());
                }
            }
            Self::Counter(counter) => {
                let Counter { key, authentication, salt } = &**counter;
                counter_mode(key, *salt, index, text);
                tag.copy_from_slice(&hmac_tag(authentication, header, text, trailer));
            }
        }
    }

    /// Checks and decrypts `sealed` (payload and tag) where it stands; answers the payload's length.
    pub(super) fn open(
        &self,
        index: Index,
        header: &[u8],
        trailer: &[u8],
        sealed: &mut [u8],
    ) -> Result<usize, OpenError> {
        match self {
            Self::Gcm { key, salt } => {
                let mut joined = None;
                let aad = authenticated(header, trailer, &mut joined);
                let nonce = Nonce::assume_unique_for_key(gcm_nonce(*salt, index));
                let payload = key.open_in_place(nonce, Aad::from(aad), sealed).map_err(|_| OpenError::Forged)?;
                Ok(payload.len())
            }
            Self::Counter(counter) => {
                let Counter { key, authentication, salt } = &**counter;
                let length = sealed.len().checked_sub(COUNTER_TAG).ok_or(OpenError::Short)?;
                let (text, tag) = sealed.split_at_mut(length);
                verify_slices_are_equal(&hmac_tag(authentication, header, text, trailer), tag)
                    .map_err(|_| OpenError::Forged)?;
                counter_mode(key, *salt, index, text);
                Ok(length)
            }
        }
    }
}

const GCM_TAG: usize = 16;
const COUNTER_TAG: usize = 10;
/// RTP header with 15 CSRCs and the longest extension block that we take, and an SRTCP index.
const AUTHENTICATED_MAX: usize = 512;

/// Header and trailer as one slice: usually the header itself, else a copy in `joined`. GCM authenticates the roll-over
/// count through the nonce, so RTP has no trailer here (RFC 7714 §8.2, §9.2).
fn authenticated<'a>(header: &'a [u8], trailer: &[u8], joined: &'a mut Option<[u8; AUTHENTICATED_MAX]>) -> &'a [u8] {
    if trailer.is_empty() {
        return header;
    }
    let length = header.len() + trailer.len();
    let joined = joined.insert([0; AUTHENTICATED_MAX]);
    joined[..header.len()].copy_from_slice(header);
    joined[header.len()..length].copy_from_slice(trailer);
    &joined[..length]
}

/// RFC 7714 §8.1 (two zero bytes, SSRC, roll-over count, sequence) and §9.1 (…, SSRC, two zero bytes, index): the same layout.
fn gcm_nonce(salt: [u8; 12], index: Index) -> [u8; 12] {
    let mut nonce = salt;
    let ssrc = index.ssrc.to_be_bytes();
    let number = index.index.to_be_bytes();
    for place in 0..4 {
        nonce[2 + place] ^= ssrc[place];
    }
    for place in 0..6 {
        nonce[6 + place] ^= number[2 + place];
    }
    nonce
}

/// RFC 3711 §4.1.1.
fn counter_mode(key: &EncryptingKey, salt: [u8; 14], index: Index, text: &mut [u8]) {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(&salt);
    let ssrc = index.ssrc.to_be_bytes();
    let number = index.index.to_be_bytes();
    for place in 0..4 {
        iv[4 + place] ^= ssrc[place];
    }
    for place in 0..6 {
        iv[8 + place] ^= number[2 + place];
    }
    let done = key.less_safe_encrypt(text, EncryptionContext::Iv128(FixedLength::from(iv)));
    assert!(done.is_ok(), "counter mode takes any length");
}

fn hmac_tag(key: &hmac::Key, header: &[u8], text: &[u8], trailer: &[u8]) -> [u8; COUNTER_TAG] {
    let mut context = hmac::Context::with_key(key);
    context.update(header);
    context.update(text);
    context.update(trailer);
    let mut tag = [0; COUNTER_TAG];
    tag.copy_from_slice(&context.sign().as_ref()[..COUNTER_TAG]);
    tag
}
