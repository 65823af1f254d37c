//! SRTP for str0m that is none. RTP and RTCP never reach it and what it would send of them is dropped, so keys of its own
//! would only cost: 9 KB of each peer, time at each handshake and report, and a second place where nonces are used.

use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

/// See the module. What it "encrypts" comes out as zeros, what it is to decrypt is refused.
#[derive(Debug)]
pub(super) struct Unkeyed;

fn refused() -> CryptoError {
    CryptoError::Other("SRTP is not str0m's".to_owned())
}

impl SrtpProvider for Unkeyed {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Self
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Self
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Self
    }

    fn srtp_aes_128_ecb_round(&self, _: &[u8], _: &[u8], output: &mut [u8]) {
        output.fill(0);
    }

    fn srtp_aes_256_ecb_round(&self, _: &[u8], _: &[u8], output: &mut [u8]) {
        output.fill(0);
    }
}

impl SupportedAes128CmSha1_80 for Unkeyed {
    fn create_cipher(&self, _: [u8; 16], _: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(Self)
    }
}

impl SupportedAeadAes128Gcm for Unkeyed {
    fn create_cipher(&self, _: [u8; 16], _: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Self)
    }
}

impl SupportedAeadAes256Gcm for Unkeyed {
    fn create_cipher(&self, _: [u8; 32], _: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Self)
    }
}

impl Aes128CmSha1_80Cipher for Unkeyed {
    fn encrypt(&mut self, _: &[u8; 16], _: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        output.fill(0);
        Ok(())
    }

    fn decrypt(&mut self, _: &[u8; 16], _: &[u8], _: &mut [u8]) -> Result<(), CryptoError> {
        Err(refused())
    }
}

impl AeadAes128GcmCipher for Unkeyed {
    fn encrypt(&mut self, _: &[u8; 12], _: &[u8], _: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        output.fill(0);
        Ok(())
    }

    fn decrypt(&mut self, _: &[u8; 12], _: &[&[u8]], _: &[u8], _: &mut [u8]) -> Result<usize, CryptoError> {
        Err(refused())
    }
}

impl AeadAes256GcmCipher for Unkeyed {
    fn encrypt(&mut self, _: &[u8; 12], _: &[u8], _: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        output.fill(0);
        Ok(())
    }

    fn decrypt(&mut self, _: &[u8; 12], _: &[&[u8]], _: &[u8], _: &mut [u8]) -> Result<usize, CryptoError> {
        Err(refused())
    }
}
