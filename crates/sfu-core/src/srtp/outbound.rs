//! What we send.

use super::cipher::{Cipher, Index, Protocol};
use super::{INDEX_LENGTH, KeyingError, Profile, RTCP_HEADER};

/// Seals packets to one peer.
#[derive(Debug)]
pub struct Outbound {
    profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
    /// Next SRTCP index; shared by all our SSRCs, so it never repeats for any.
    rtcp_index: u32,
}

impl Outbound {
    pub(super) fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyingError> {
        Ok(Self {
            profile,
            rtp: Cipher::new(profile, Protocol::Rtp, key, salt)?,
            rtcp: Cipher::new(profile, Protocol::Rtcp, key, salt)?,
            rtcp_index: 0,
        })
    }

    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Seals `payload` behind the RTP header that `out` begins with, and answers the length of the whole. `sequence` is
    /// extended by the roll-over count.
    ///
    /// The caller sees to it that no (ssrc, sequence) is ever sealed twice with different contents.
    ///
    /// # Panics
    /// If `out` is shorter than header, payload and [`Profile::rtp_overhead`].
    pub fn seal_rtp(&self, ssrc: u32, sequence: u64, header_length: usize, payload: &[u8], out: &mut [u8]) -> usize {
        let end = header_length + payload.len() + self.profile.rtp_overhead();
        let (header, body) = out[..end].split_at_mut(header_length);
        let roll_over = ((sequence >> 16) as u32).to_be_bytes();
        // GCM has the roll-over count in its nonce; HMAC must be told (RFC 3711 §4.2).
        let trailer: &[u8] = if matches!(self.rtp, Cipher::Gcm { .. }) { &[] } else { &roll_over };
        self.rtp.seal(Index { ssrc, index: sequence & 0xffff_ffff_ffff }, header, trailer, payload, body);
        end
    }

    /// As [`Outbound::seal_rtp`], for a packet that already stands in `out`: its header, and its payload up to `end`.
    ///
    /// # Panics
    /// If `out` is shorter than `end` and [`Profile::rtp_overhead`].
    pub fn seal_rtp_in_place(
        &self,
        ssrc: u32,
        sequence: u64,
        header_length: usize,
        end: usize,
        out: &mut [u8],
    ) -> usize {
        let whole = end + self.profile.rtp_overhead();
        let (header, body) = out[..whole].split_at_mut(header_length);
        let roll_over = ((sequence >> 16) as u32).to_be_bytes();
        let trailer: &[u8] = if matches!(self.rtp, Cipher::Gcm { .. }) { &[] } else { &roll_over };
        self.rtp.seal_in_place(Index { ssrc, index: sequence & 0xffff_ffff_ffff }, header, trailer, body);
        whole
    }

    /// Seals a compound RTCP packet into `out`; `None` once 2^31 were sent under this key (RFC 3711 §9.2), or if it is
    /// no RTCP packet.
    ///
    /// # Panics
    /// If `out` is shorter than packet and [`Profile::rtcp_overhead`].
    pub fn seal_rtcp(&mut self, packet: &[u8], out: &mut [u8]) -> Option<usize> {
        let (header, payload) = packet.split_at_checked(RTCP_HEADER)?;
        if self.rtcp_index >= 1 << 31 {
            return None;
        }
        let index = self.rtcp_index;
        self.rtcp_index += 1;
        let ssrc = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let trailer = (index | 1 << 31).to_be_bytes();
        let end = packet.len() + self.profile.rtcp_overhead();
        let out = &mut out[..end];
        out[..RTCP_HEADER].copy_from_slice(header);
        let (_, body) = out.split_at_mut(RTCP_HEADER);
        let tag = self.profile.tag_length();
        let index = Index { ssrc, index: u64::from(index) };
        if matches!(self.rtcp, Cipher::Gcm { .. }) {
            // Tag, then index (RFC 7714 §9.2).
            let (sealed, place) = body.split_at_mut(payload.len() + tag);
            self.rtcp.seal(index, header, &trailer, payload, sealed);
            place.copy_from_slice(&trailer);
        } else {
            // Index, then tag (RFC 3711 §3.4).
            let mut sealed = [0; MAX];
            let sealed = sealed.get_mut(..payload.len() + tag)?;
            self.rtcp.seal(index, header, &trailer, payload, sealed);
            let (text, tag) = sealed.split_at(payload.len());
            body[..payload.len()].copy_from_slice(text);
            body[payload.len()..payload.len() + INDEX_LENGTH].copy_from_slice(&trailer);
            body[payload.len() + INDEX_LENGTH..].copy_from_slice(tag);
        }
        Some(end)
    }
}

/// Largest RTCP packet that we make: it fits an Ethernet frame.
const MAX: usize = 1500;
