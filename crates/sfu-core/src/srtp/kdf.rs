//! Session keys from a master key (RFC 3711 §4.3): AES in counter mode over salt and label, key derivation rate 0.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::KeyingError;

/// Labels of RFC 3711 §4.3.1.
#[derive(Debug, Clone, Copy)]
pub(super) enum Label {
    RtpKey = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpKey = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Fills `out` with the derived key.
pub(super) fn derive(master_key: &[u8], master_salt: &[u8], label: Label, out: &mut [u8]) -> Result<(), KeyingError> {
    let algorithm = if master_key.len() == 32 { &AES_256 } else { &AES_128 };
    let key = UnboundCipherKey::new(algorithm, master_key).map_err(|_| KeyingError::Refused)?;
    let key = EncryptingKey::ctr(key).map_err(|_| KeyingError::Refused)?;
    // The salt is 112 bits; GCM's 96 are padded with zeros behind (RFC 7714 §11).
    let mut iv = [0; 16];
    iv[..master_salt.len()].copy_from_slice(master_salt);
    iv[7] ^= label as u8;
    out.fill(0);
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(out, context).map_err(|_| KeyingError::Refused)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::tests::hex;

    /// RFC 3711 appendix B.3.
    #[test]
    fn published_vectors() {
        let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        for (label, expected) in [
            (Label::RtpKey, "C61E7A93744F39EE10734AFE3FF7A087"),
            (Label::RtpSalt, "30CBBC08863D8C85D49DB34A9AE1"),
            (Label::RtpAuthentication, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
        ] {
            let expected = hex(expected);
            let mut out = vec![0xff; expected.len()];
            derive(&key, &salt, label, &mut out).expect("derived");
            assert_eq!(out, expected, "{label:?}");
        }
    }
}
