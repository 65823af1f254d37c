//! What we receive.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::cipher::{Cipher, Index, Protocol};
use super::replay::ReplayWindow;
use super::{INDEX_LENGTH, KeyingError, OpenError, Profile, RTCP_HEADER};

/// Sources of one association: 16 tracks with four layers, their retransmissions, and some that changed. A source
/// counts only once a packet of it was authentic.
pub(crate) const SOURCES_MAX: usize = 256;
/// Sources remembered as ended, 4 bytes each: as many as one peer may ever use.
const ENDED_MAX: usize = 1024;

/// Opens packets of one peer.
#[derive(Debug)]
pub struct Inbound {
    profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
    rtp_sources: BTreeMap<u32, ReplayWindow>,
    rtcp_sources: BTreeMap<u32, ReplayWindow>,
    /// Their RTCP is not opened again: without its window it could be replayed.
    rtcp_ended: BTreeSet<u32>,
}

impl Inbound {
    pub(super) fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyingError> {
        Ok(Self {
            profile,
            rtp: Cipher::new(profile, Protocol::Rtp, key, salt)?,
            rtcp: Cipher::new(profile, Protocol::Rtcp, key, salt)?,
            rtp_sources: BTreeMap::new(),
            rtcp_sources: BTreeMap::new(),
            rtcp_ended: BTreeSet::new(),
        })
    }

    /// Opens an RTP packet where it stands. Answers its extended sequence number, and where its payload is.
    pub fn open_rtp(
        &mut self,
        ssrc: u32,
        sequence: u16,
        header_length: usize,
        packet: &mut [u8],
    ) -> Result<(u64, Range<usize>), OpenError> {
        if packet.len() < header_length + self.profile.rtp_overhead() {
            return Err(OpenError::Short);
        }
        let known = self.rtp_sources.get(&ssrc);
        if known.is_none() && self.rtp_sources.len() >= SOURCES_MAX {
            return Err(OpenError::TooManySources);
        }
        let index = extend(known.and_then(ReplayWindow::highest), sequence);
        if known.is_some_and(|window| !window.admits(index)) {
            return Err(OpenError::Replayed);
        }
        let roll_over = ((index >> 16) as u32).to_be_bytes();
        let trailer: &[u8] = if matches!(self.rtp, Cipher::Gcm { .. }) { &[] } else { &roll_over };
        let (header, sealed) = packet.split_at_mut(header_length);
        let length = self.rtp.open(Index { ssrc, index }, header, trailer, sealed)?;
        self.rtp_sources.entry(ssrc).or_insert_with(ReplayWindow::new).note(index);
        Ok((index, header_length..header_length + length))
    }

    /// Opens a compound RTCP packet where it stands; answers its length.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        if packet.len() < RTCP_HEADER + self.profile.rtcp_overhead() {
            return Err(OpenError::Short);
        }
        let gcm = matches!(self.rtcp, Cipher::Gcm { .. });
        let end = packet.len();
        let at = if gcm { end - INDEX_LENGTH } else { end - INDEX_LENGTH - self.profile.tag_length() };
        let trailer = [packet[at], packet[at + 1], packet[at + 2], packet[at + 3]];
        let index = u32::from_be_bytes(trailer);
        if index >> 31 == 0 {
            // Unencrypted SRTCP is not for WebRTC (RFC 8827 §6.5).
            return Err(OpenError::Forged);
        }
        let index = u64::from(index & 0x7fff_ffff);
        let ssrc = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        let known = self.rtcp_sources.get(&ssrc);
        if known.is_none() && self.rtcp_sources.len() >= SOURCES_MAX {
            return Err(OpenError::TooManySources);
        }
        if known.is_some_and(|window| !window.admits(index)) || known.is_none() && self.rtcp_ended.contains(&ssrc) {
            return Err(OpenError::Replayed);
        }
        if !gcm {
            // The tag moves up over the index, so that it stands behind what it covers.
            packet.copy_within(at + INDEX_LENGTH..end, at);
        }
        let (header, sealed) = packet[..end - INDEX_LENGTH].split_at_mut(RTCP_HEADER);
        let length = self.rtcp.open(Index { ssrc, index }, header, &trailer, sealed)?;
        self.rtcp_sources.entry(ssrc).or_insert_with(ReplayWindow::new).note(index);
        Ok(RTCP_HEADER + length)
    }

    /// Forgets a source that has ended, to make room for others. The caller must not have RTP of it opened again: without
    /// its window it could be replayed.
    pub fn end(&mut self, ssrc: u32) {
        self.rtp_sources.remove(&ssrc);
        if self.rtcp_sources.contains_key(&ssrc) && self.rtcp_ended.len() < ENDED_MAX {
            self.rtcp_sources.remove(&ssrc);
            self.rtcp_ended.insert(ssrc);
        }
    }
}

/// The index nearest to the highest one that ends in `sequence` (RFC 3711 appendix A).
pub(crate) fn extend(highest: Option<u64>, sequence: u16) -> u64 {
    let Some(highest) = highest else { return u64::from(sequence) };
    let ahead = sequence.wrapping_sub(highest as u16);
    if ahead < 0x8000 {
        highest + u64::from(ahead)
    } else {
        // Behind; before the first roll-over there is nothing behind 0, so it must be ahead.
        let behind = u64::from(ahead.wrapping_neg());
        highest.checked_sub(behind).unwrap_or(highest + u64::from(ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::extend;

    #[test]
    fn the_nearest_index_wins() {
        assert_eq!(extend(None, 7), 7);
        assert_eq!(extend(Some(65_535), 0), 65_536);
        assert_eq!(extend(Some(65_536), 65_535), 65_535);
        assert_eq!(extend(Some(65_536 + 5), 10), 65_536 + 10);
        assert_eq!(extend(Some(5), 65_000), 65_000, "nothing is behind zero");
    }
}
