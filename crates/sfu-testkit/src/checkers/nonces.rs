//! One nonce never seals two different packets (RFC 3711 §9.1, RFC 7714 §8.4): with AES-GCM that would give away the
//! key of the tags.
//!
//! Judged on the wire, for every datagram that a focus sends. A nonce is (key, SSRC, extended index), and the tag at a
//! datagram's end is a function of nonce, header and payload: two datagrams of one nonce must have one tag.

use std::collections::BTreeMap;

use crate::network::Class;

/// Bytes of AES-GCM's tag, and of the index behind it in SRTCP.
const TAG: usize = 16;
const INDEX: usize = 4;

/// Both halves of what one focus sends to one peer connection.
type Association = (usize, usize, u32);

#[derive(Debug, Default)]
pub(super) struct Nonces {
    rtp: BTreeMap<(Association, u32), Sealed>,
    rtcp: BTreeMap<Association, BTreeMap<u32, [u8; TAG]>>,
}

#[derive(Debug, Default)]
struct Sealed {
    highest: u64,
    tags: BTreeMap<u64, [u8; TAG]>,
}

impl Nonces {
    /// What is wrong with this datagram, if anything is.
    pub(super) fn judge(&mut self, association: Association, datagram: &[u8]) -> Option<String> {
        match Class::of(datagram) {
            Class::Rtp => self.judge_rtp(association, datagram),
            Class::Rtcp => self.judge_rtcp(association, datagram),
            _ => None,
        }
    }

    fn judge_rtp(&mut self, association: Association, datagram: &[u8]) -> Option<String> {
        let ([_, _, a, b, ..], Some(tag), Some(ssrc)) = (datagram, datagram.last_chunk(), word(datagram, 8)) else {
            return Some("RTP that is too short".to_owned());
        };
        let sealed = self.rtp.entry((association, ssrc)).or_default();
        let index = sealed.extend(u16::from_be_bytes([*a, *b]));
        let before = sealed.tags.insert(index, *tag);
        (before.is_some_and(|before| before != *tag))
            .then(|| format!("SSRC {ssrc:#x}: index {index} seals two different packets"))
    }

    /// RTCP is never sent again: no index comes twice. The focus counts once for all its SSRCs, so neither may the index
    /// of one come for another: that is how a second writer under the same key would show.
    fn judge_rtcp(&mut self, association: Association, datagram: &[u8]) -> Option<String> {
        let at = datagram.len().checked_sub(INDEX)?;
        let (Some(trailer), Some(tag)) = (word(datagram, at), datagram[..at].last_chunk()) else {
            return Some("RTCP that is too short".to_owned());
        };
        if trailer >> 31 == 0 {
            return Some("RTCP that is not encrypted".to_owned());
        }
        let again = self.rtcp.entry(association).or_default().insert(trailer, *tag).is_some();
        again.then(|| format!("SRTCP index {} twice", trailer & 0x7fff_ffff))
    }
}

impl Sealed {
    /// As a receiver guesses it that gets everything (RFC 3711 §3.3.1).
    fn extend(&mut self, sequence: u16) -> u64 {
        if self.tags.is_empty() {
            self.highest = u64::from(sequence);
        }
        let ahead = i64::from(sequence.wrapping_sub(self.highest as u16) as i16);
        let index = self.highest.checked_add_signed(ahead).unwrap_or(u64::from(sequence));
        self.highest = self.highest.max(index);
        index
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: Association = (0, 1, 1);

    fn rtp(sequence: u16, ssrc: u32, content: u8) -> Vec<u8> {
        let mut bytes = vec![0x80, 111];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend([content; 20]);
        bytes
    }

    fn rtcp(ssrc: u32, index: u32, content: u8) -> Vec<u8> {
        let mut bytes = vec![0x80, 200, 0, 1];
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend([content; 16]);
        bytes.extend((index | 1 << 31).to_be_bytes());
        bytes
    }

    #[test]
    fn the_same_datagram_may_come_again_and_another_may_not() {
        let mut nonces = Nonces::default();
        assert_eq!(nonces.judge(TO, &rtp(7, 1, 1)), None);
        assert_eq!(nonces.judge(TO, &rtp(7, 1, 1)), None);
        assert_eq!(nonces.judge(TO, &rtp(7, 2, 9)), None, "another SSRC");
        assert_eq!(nonces.judge((0, 1, 2), &rtp(7, 1, 9)), None, "another association");
        assert!(nonces.judge(TO, &rtp(7, 1, 2)).is_some());
    }

    #[test]
    fn after_a_roll_over_a_number_is_another() {
        let mut nonces = Nonces::default();
        for index in (40_000..140_000u32).step_by(500) {
            assert_eq!(nonces.judge(TO, &rtp(index as u16, 1, (index / 500) as u8)), None);
        }
        assert!(nonces.judge(TO, &rtp(139_500u32 as u16, 1, 0)).is_some());
    }

    #[test]
    fn rtcp_has_each_index_once() {
        let mut nonces = Nonces::default();
        assert_eq!(nonces.judge(TO, &rtcp(1, 0, 1)), None);
        assert_eq!(nonces.judge(TO, &rtcp(1, 1, 1)), None);
        assert!(nonces.judge(TO, &rtcp(1, 1, 1)).is_some(), "not even the same");
        assert!(nonces.judge(TO, &rtcp(2, 0, 1)).is_some(), "another writer");
        let mut clear = rtcp(1, 2, 1);
        let at = clear.len() - 4;
        clear[at] = 0;
        assert!(nonces.judge(TO, &clear).is_some());
    }
}
