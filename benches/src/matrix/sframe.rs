//! SFrame (RFC 9605) with AES_128_GCM_SHA256_128: one key, its header, sealing and opening. Written from the RFC alone, so that
//! it checks what browsers and others send.

use anyhow::{Result, anyhow};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

/// Of RFC 9605 §8.1.
const CIPHER_SUITE: u16 = 4;
const KEY: usize = 16;
const SALT: usize = 12;

/// A length for HKDF.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// What frames of one key id are sealed and opened with.
pub struct Key {
    kid: u64,
    cipher: LessSafeKey,
    salt: [u8; SALT],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Key {
    /// RFC 9605 §4.4.2.
    pub fn derive(base_key: &[u8], kid: u64) -> Result<Self> {
        let (mut key, mut salt) = ([0; KEY], [0; SALT]);
        expand(base_key, "SFrame 1.0 Secret key ", kid, &mut key)?;
        expand(base_key, "SFrame 1.0 Secret salt ", kid, &mut salt)?;
        let cipher = UnboundKey::new(&AES_128_GCM, &key).map_err(|_| anyhow!("no AES key"))?;
        Ok(Self { kid, cipher: LessSafeKey::new(cipher), salt })
    }

    /// RFC 9605 §4.4.3. A counter must not come twice.
    pub fn seal(&self, counter: u64, metadata: &[u8], plaintext: &[u8]) -> Option<Vec<u8>> {
        let header = header(self.kid, counter);
        let aad = Aad::from([&header, metadata].concat());
        let mut body = plaintext.to_vec();
        self.cipher.seal_in_place_append_tag(self.nonce(counter), aad, &mut body).ok()?;
        Some([header, body].concat())
    }

    /// RFC 9605 §4.4.4; `None` if the tag does not fit.
    pub fn open(&self, header: Header, metadata: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
        let (head, body) = ciphertext.split_at_checked(header.length)?;
        let aad = Aad::from([head, metadata].concat());
        let mut body = body.to_vec();
        let opened = self.cipher.open_in_place(self.nonce(header.counter), aad, &mut body).ok()?.len();
        body.truncate(opened);
        Some(body)
    }

    fn nonce(&self, counter: u64) -> Nonce {
        let mut nonce = self.salt;
        nonce[SALT - 8..].iter_mut().zip(counter.to_be_bytes()).for_each(|(byte, counter)| *byte ^= counter);
        Nonce::assume_unique_for_key(nonce)
    }
}

fn expand(base_key: &[u8], label: &str, kid: u64, out: &mut [u8]) -> Result<()> {
    let (kid, suite) = (kid.to_be_bytes(), CIPHER_SUITE.to_be_bytes());
    let secret = Salt::new(HKDF_SHA256, &[]).extract(base_key);
    let info = [label.as_bytes(), &kid, &suite];
    let filled = secret.expand(&info, Length(out.len())).and_then(|okm| okm.fill(out));
    filled.map_err(|_| anyhow!("no HKDF"))
}

/// RFC 9605 §4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kid: u64,
    pub counter: u64,
    pub length: usize,
}

impl Header {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let config = *bytes.first()?;
        let mut length = 1;
        let mut number = |nibble: u8| -> Option<u64> {
            if nibble & 8 == 0 {
                return Some(u64::from(nibble));
            }
            let bytes = bytes.get(length..length + usize::from(nibble & 7) + 1)?;
            length += bytes.len();
            Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
        };
        let (kid, counter) = (number(config >> 4)?, number(config & 15)?);
        Some(Self { kid, counter, length })
    }
}

fn header(kid: u64, counter: u64) -> Vec<u8> {
    let bytes = |value: u64| -> Vec<u8> {
        if value < 8 {
            return Vec::new();
        }
        value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
    };
    let (kid_bytes, counter_bytes) = (bytes(kid), bytes(counter));
    let nibble = |value: u64, bytes: &[u8]| match bytes.len() {
        0 => value as u8,
        length => 8 | (length - 1) as u8,
    };
    let config = nibble(kid, &kid_bytes) << 4 | nibble(counter, &counter_bytes);
    [vec![config], kid_bytes, counter_bytes].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// RFC 9605 Appendix C, as the web client's tests have it.
    fn vectors() -> Value {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/web/test/unit/vectors.json");
        serde_json::from_str(&std::fs::read_to_string(file).expect("the vectors")).expect("JSON")
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).filter_map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
    }

    #[test]
    fn headers_of_the_rfc() {
        let vectors = vectors();
        let rows = vectors["header"].as_array().expect("rows");
        assert!(rows.len() > 60);
        for row in rows {
            let text = |at: usize| row[at].as_str().expect("text");
            let (kid, counter) = (text(0).parse().expect("a key id"), text(1).parse().expect("a counter"));
            let encoded = hex(text(2));
            assert_eq!(header(kid, counter), encoded, "{row}");
            assert_eq!(Header::parse(&encoded), Some(Header { kid, counter, length: encoded.len() }), "{row}");
            assert_eq!(Header::parse(&encoded[..encoded.len() - 1]), None, "{row}");
        }
    }

    #[test]
    fn a_frame_of_the_rfc() {
        let vector = &vectors()["sframe"];
        let bytes = |field: &str| hex(vector[field].as_str().expect("text"));
        let number = |field: &str| vector[field].as_str().and_then(|text| text.parse().ok()).expect("a number");
        let key = Key::derive(&bytes("base_key"), number("kid")).expect("a key");
        assert_eq!(key.salt[..], bytes("sframe_salt"));
        let sealed = key.seal(number("ctr"), &bytes("metadata"), &bytes("pt")).expect("sealed");
        assert_eq!(sealed, bytes("ct"));
        let header = Header::parse(&sealed).expect("a header");
        assert_eq!(key.open(header, &bytes("metadata"), &sealed), Some(bytes("pt")));
        assert_eq!(key.open(header, b"other metadata", &sealed), None);
        let mut forged = sealed;
        *forged.last_mut().expect("a byte") ^= 1;
        assert_eq!(key.open(header, &bytes("metadata"), &forged), None);
    }
}
