//! SRTP and SRTCP with AEAD-GCM (RFC 3711 key derivation, RFC 7714 packets): just what a well-behaved client needs.
//!
//! Independent of the server's code on purpose, so that the two can disagree.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, UnboundCipherKey};
use str0m::crypto::dtls::SrtpProfile;

use super::tap::Material;

/// Bytes that GCM adds.
pub const TAG: usize = 16;
const SALT: usize = 12;
/// The index that follows a sealed RTCP packet, with the bit that says it is encrypted.
const SRTCP_INDEX: usize = 4;
const ENCRYPTED: u32 = 1 << 31;
/// Fixed part of an RTCP packet: header and SSRC stay in clear.
const RTCP_CLEAR: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum SrtpError {
    #[error("the server chose {0:?}; this client speaks AEAD-GCM only")]
    Profile(SrtpProfile),
    #[error("the keying material has {0} bytes")]
    Material(usize),
    #[error("crypto library refused")]
    Crypto,
    #[error("too short to be SRTP or SRTCP")]
    Short,
    #[error("does not authenticate")]
    Forged,
}

impl From<aws_lc_rs::error::Unspecified> for SrtpError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Crypto
    }
}

/// Both directions of one association, seen from one end.
pub struct Srtp {
    pub send: Direction,
    pub receive: Direction,
}

/// The keys of one direction.
pub struct Direction {
    rtp: Half,
    rtcp: Half,
    /// Of the next SRTCP packet sealed: 31 bits, one count for all SSRCs.
    rtcp_index: u32,
}

struct Half {
    key: LessSafeKey,
    salt: [u8; SALT],
}

impl Srtp {
    /// `client`: this end was the DTLS client.
    pub fn new(material: &Material, client: bool) -> Result<Self, SrtpError> {
        let key_len = match material.profile {
            SrtpProfile::AEAD_AES_128_GCM => 16,
            SrtpProfile::AEAD_AES_256_GCM => 32,
            other => return Err(SrtpError::Profile(other)),
        };
        let bytes = &material.bytes;
        if bytes.len() < 2 * (key_len + SALT) {
            return Err(SrtpError::Material(bytes.len()));
        }
        let (keys, salts) = bytes.split_at(2 * key_len);
        let direction =
            |index: usize| Direction::new(&keys[index * key_len..][..key_len], &salts[index * SALT..][..SALT]);
        let (own, other) = if client { (0, 1) } else { (1, 0) };
        Ok(Self { send: direction(own)?, receive: direction(other)? })
    }
}

impl Direction {
    pub fn new(master: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        Ok(Self { rtp: Half::derive(master, salt, [0, 2])?, rtcp: Half::derive(master, salt, [3, 5])?, rtcp_index: 0 })
    }

    /// Seals `packet[header..]` in place and appends the tag. `index`: sequence number extended by the roll-over count.
    pub fn seal_rtp(&self, packet: &mut Vec<u8>, start: usize, header: usize, index: u64) -> Result<(), SrtpError> {
        let packet_start = packet.get(start..).ok_or(SrtpError::Short)?;
        let ssrc = ssrc_at(packet_start, 8)?;
        let (head, body) = packet[start..].split_at_mut_checked(header).ok_or(SrtpError::Short)?;
        let nonce = self.rtp.rtp_nonce(ssrc, index);
        let tag = self.rtp.key.seal_in_place_separate_tag(nonce, Aad::from(&*head), body)?;
        packet.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens a packet into `out`; answers the payload.
    pub fn open_rtp<'a>(
        &self,
        packet: &[u8],
        header: usize,
        index: u64,
        out: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], SrtpError> {
        let (head, body) = packet.split_at_checked(header).ok_or(SrtpError::Short)?;
        let nonce = self.rtp.rtp_nonce(ssrc_at(packet, 8)?, index);
        out.clear();
        out.extend_from_slice(body);
        let clear = self.rtp.key.open_in_place(nonce, Aad::from(head), out).map_err(|_| SrtpError::Forged)?;
        Ok(clear)
    }

    /// Seals an RTCP packet that begins at `start` and ends where `packet` does.
    pub fn seal_rtcp(&mut self, packet: &mut Vec<u8>, start: usize) -> Result<(), SrtpError> {
        let clear = packet.get(start..).ok_or(SrtpError::Short)?;
        let ssrc = ssrc_at(clear, 4)?;
        let head: [u8; RTCP_CLEAR] = clear.first_chunk().copied().ok_or(SrtpError::Short)?;
        let index = self.rtcp_index;
        self.rtcp_index = (self.rtcp_index + 1) % ENCRYPTED;
        let trailer = (index | ENCRYPTED).to_be_bytes();
        let nonce = self.rtcp.rtcp_nonce(ssrc, index);
        let body = &mut packet[start + RTCP_CLEAR..];
        let tag = self.rtcp.key.seal_in_place_separate_tag(nonce, Aad::from(aad(&head, &trailer)), body)?;
        packet.extend_from_slice(tag.as_ref());
        packet.extend_from_slice(&trailer);
        Ok(())
    }

    /// Opens an SRTCP packet; answers the whole compound packet in clear.
    pub fn open_rtcp(&self, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
        let (sealed, trailer) = packet.split_last_chunk::<SRTCP_INDEX>().ok_or(SrtpError::Short)?;
        let head: [u8; RTCP_CLEAR] = sealed.first_chunk().copied().ok_or(SrtpError::Short)?;
        let index = u32::from_be_bytes(*trailer);
        if index & ENCRYPTED == 0 {
            // We never negotiate unencrypted SRTCP.
            return Err(SrtpError::Forged);
        }
        let nonce = self.rtcp.rtcp_nonce(ssrc_at(sealed, 4)?, index & !ENCRYPTED);
        let mut body = sealed[RTCP_CLEAR..].to_vec();
        let clear = self.rtcp.key.open_in_place(nonce, Aad::from(aad(&head, trailer)), &mut body);
        let clear = clear.map_err(|_| SrtpError::Forged)?;
        Ok([&head[..], clear].concat())
    }
}

impl Half {
    /// Session key and salt by AES counter mode (RFC 3711 §4.3.3), with the labels for both.
    fn derive(master: &[u8], salt: &[u8], [key_label, salt_label]: [u8; 2]) -> Result<Self, SrtpError> {
        let (cipher, aead): (_, &'static Algorithm) =
            if master.len() == 16 { (&AES_128, &AES_128_GCM) } else { (&AES_256, &AES_256_GCM) };
        let prf = EncryptingKey::ecb(UnboundCipherKey::new(cipher, master)?)?;
        let expand = |label: u8, out: &mut [u8]| -> Result<(), SrtpError> {
            for (round, chunk) in (0u16..).zip(out.chunks_mut(16)) {
                let mut block = [0; 16];
                block[..SALT].copy_from_slice(salt);
                block[7] ^= label;
                block[14..].copy_from_slice(&round.to_be_bytes());
                prf.encrypt(&mut block)?;
                chunk.copy_from_slice(&block[..chunk.len()]);
            }
            Ok(())
        };
        let mut key = vec![0; master.len()];
        expand(key_label, &mut key)?;
        let mut session_salt = [0; SALT];
        expand(salt_label, &mut session_salt)?;
        Ok(Self { key: LessSafeKey::new(UnboundKey::new(aead, &key)?), salt: session_salt })
    }

    /// RFC 7714 §8.1: zeros, SSRC, roll-over count, sequence number.
    fn rtp_nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let mut iv = [0; SALT];
        iv[2..6].copy_from_slice(&ssrc.to_be_bytes());
        iv[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        self.nonce(iv)
    }

    /// RFC 7714 §9.1: zeros, SSRC, zeros, index.
    fn rtcp_nonce(&self, ssrc: u32, index: u32) -> Nonce {
        let mut iv = [0; SALT];
        iv[2..6].copy_from_slice(&ssrc.to_be_bytes());
        iv[8..].copy_from_slice(&index.to_be_bytes());
        self.nonce(iv)
    }

    fn nonce(&self, mut iv: [u8; SALT]) -> Nonce {
        for (byte, salt) in iv.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        Nonce::assume_unique_for_key(iv)
    }
}

/// Associated data of SRTCP (RFC 7714 §9.2).
fn aad(head: &[u8; RTCP_CLEAR], trailer: &[u8; SRTCP_INDEX]) -> [u8; RTCP_CLEAR + SRTCP_INDEX] {
    let mut aad = [0; RTCP_CLEAR + SRTCP_INDEX];
    aad[..RTCP_CLEAR].copy_from_slice(head);
    aad[RTCP_CLEAR..].copy_from_slice(trailer);
    aad
}

fn ssrc_at(packet: &[u8], at: usize) -> Result<u32, SrtpError> {
    let bytes = packet.get(at..).and_then(<[u8]>::first_chunk).ok_or(SrtpError::Short)?;
    Ok(u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
