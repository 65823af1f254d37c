//! Writing compound packets.

use super::{ReportBlock, SenderInfo, format, kind};

/// Builds one compound packet in a buffer of one datagram. What does not fit is refused, and the caller sends what there is.
#[derive(Debug)]
pub struct Compound {
    bytes: Vec<u8>,
    /// Where feedback is made whose length is not known before.
    body: Vec<u8>,
}

/// With SRTCP's tag and index, IPv6 and UDP it stays under the 1280 bytes that every IPv6 path carries.
pub const COMPOUND_MAX: usize = 1200;
/// Report blocks in one report (RFC 3550 §6.4.1: five bits).
pub const BLOCKS_MAX: usize = 31;
/// Pairs in one NACK: far more than can usefully be asked for at once.
const PAIRS_MAX: usize = 64;

/// It did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the compound packet is full")]
pub struct Full;

impl Default for Compound {
    fn default() -> Self {
        Self { bytes: Vec::with_capacity(COMPOUND_MAX), body: Vec::with_capacity(COMPOUND_MAX) }
    }
}

impl Compound {
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes that still fit, with the headers of what they are for.
    #[must_use]
    pub fn room(&self) -> usize {
        COMPOUND_MAX - self.bytes.len()
    }

    /// Memory that is used again, for a message that is made before it is appended. It is to be
    /// [given back](Self::give_body).
    #[must_use]
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    pub fn give_body(&mut self, body: Vec<u8>) {
        self.body = body;
    }

    /// Empties it; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// At most 31 blocks.
    pub fn sender_report(&mut self, ssrc: u32, info: SenderInfo, blocks: &[ReportBlock]) -> Result<(), Full> {
        self.packet(
            blocks.len().min(BLOCKS_MAX) as u8,
            kind::SENDER_REPORT,
            24 + 24 * blocks.len().min(BLOCKS_MAX),
            |out| {
                out.extend(ssrc.to_be_bytes());
                out.extend(info.ntp.to_be_bytes());
                for word in [info.rtp_timestamp, info.packets, info.bytes] {
                    out.extend(word.to_be_bytes());
                }
                blocks.iter().take(BLOCKS_MAX).for_each(|block| report_block(out, block));
            },
        )
    }

    /// At most 31 blocks.
    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> Result<(), Full> {
        self.packet(
            blocks.len().min(BLOCKS_MAX) as u8,
            kind::RECEIVER_REPORT,
            4 + 24 * blocks.len().min(BLOCKS_MAX),
            |out| {
                out.extend(ssrc.to_be_bytes());
                blocks.iter().take(BLOCKS_MAX).for_each(|block| report_block(out, block));
            },
        )
    }

    /// One CNAME (RFC 3550 §6.5.1), at most 255 bytes.
    pub fn source_description(&mut self, ssrc: u32, cname: &str) -> Result<(), Full> {
        let name = &cname.as_bytes()[..cname.len().min(255)];
        // The item list ends with at least one zero byte, on a word boundary.
        let length = (4 + 2 + name.len() + 1).next_multiple_of(4);
        self.packet(1, kind::SOURCE_DESCRIPTION, length, |out| {
            let start = out.len();
            out.extend(ssrc.to_be_bytes());
            out.extend([1, name.len() as u8]);
            out.extend(name);
            out.resize(start + length, 0);
        })
    }

    pub fn goodbye(&mut self, ssrc: u32) -> Result<(), Full> {
        self.packet(1, kind::GOODBYE, 4, |out| out.extend(ssrc.to_be_bytes()))
    }

    /// Asks again for lost packets; `lost` in ascending order (of the circle).
    pub fn nack(&mut self, sender: u32, ssrc: u32, lost: &[u16]) -> Result<(), Full> {
        let mut pairs: Vec<(u16, u16)> = Vec::with_capacity(lost.len().min(PAIRS_MAX));
        for sequence in lost {
            if let Some((first, mask)) = pairs.last_mut()
                && (1..=16).contains(&sequence.wrapping_sub(*first))
            {
                *mask |= 1 << (sequence.wrapping_sub(*first) - 1);
            } else if pairs.len() < PAIRS_MAX {
                pairs.push((*sequence, 0));
            } else {
                break;
            }
        }
        self.packet(format::NACK, kind::TRANSPORT_FEEDBACK, 8 + 4 * pairs.len(), |out| {
            out.extend(sender.to_be_bytes());
            out.extend(ssrc.to_be_bytes());
            for (first, mask) in &pairs {
                out.extend(first.to_be_bytes());
                out.extend(mask.to_be_bytes());
            }
        })
    }

    pub fn pli(&mut self, sender: u32, ssrc: u32) -> Result<(), Full> {
        self.packet(format::PLI, kind::PAYLOAD_FEEDBACK, 8, |out| {
            out.extend(sender.to_be_bytes());
            out.extend(ssrc.to_be_bytes());
        })
    }

    /// Transport-wide feedback; `body` is what [`twcc::Writer`](super::twcc::Writer) made.
    pub fn transport_wide(&mut self, sender: u32, ssrc: u32, body: &[u8]) -> Result<(), Full> {
        let length = (8 + body.len()).next_multiple_of(4);
        self.packet(format::TRANSPORT_WIDE, kind::TRANSPORT_FEEDBACK, length, |out| {
            let start = out.len();
            out.extend(sender.to_be_bytes());
            out.extend(ssrc.to_be_bytes());
            out.extend(body);
            out.resize(start + length, 0);
        })
    }

    fn packet(&mut self, count: u8, kind: u8, length: usize, body: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        if self.bytes.len() + 4 + length > COMPOUND_MAX {
            return Err(Full);
        }
        self.bytes.extend([0x80 | count, kind]);
        self.bytes.extend(((length / 4) as u16).to_be_bytes());
        let start = self.bytes.len();
        body(&mut self.bytes);
        debug_assert_eq!(self.bytes.len() - start, length, "kind {kind}");
        Ok(())
    }
}

fn report_block(out: &mut Vec<u8>, block: &ReportBlock) {
    out.extend(block.ssrc.to_be_bytes());
    let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
    out.extend((u32::from(block.fraction_lost) << 24 | lost).to_be_bytes());
    for word in [block.highest_sequence, block.jitter, block.last_sender_report, block.delay_since_last] {
        out.extend(word.to_be_bytes());
    }
}
