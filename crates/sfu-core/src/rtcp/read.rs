//! Reading compound packets.

use super::twcc::Feedback;
use super::{ReportBlock, SenderInfo, format, kind};

/// What a compound packet told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    SenderReport {
        ssrc: u32,
        info: SenderInfo,
    },
    /// A block of a sender or receiver report by `reporter`.
    Report {
        reporter: u32,
        block: ReportBlock,
    },
    Goodbye {
        ssrc: u32,
    },
    /// Lost packets of a source that we send: the pairs of RFC 4585 §6.2.1.
    Nack {
        ssrc: u32,
        pairs: Nacks<'a>,
    },
    Pli {
        ssrc: u32,
    },
    /// RFC 5104 §4.3.1; `sequence` grows with each new request.
    Fir {
        ssrc: u32,
        sequence: u8,
    },
    /// Estimate of the receiver, in bits per second (draft-alvestrand-rmcat-remb).
    Remb {
        bitrate: u64,
    },
    TransportWide(Feedback<'a>),
}

/// Sub-packets in one compound packet, and items in one of them, beyond which the rest is not read. A datagram holds
/// hundreds; no client sends tens.
const PACKETS_MAX: usize = 32;
const ITEMS_MAX: usize = 64;

/// Calls `each` with everything in a decrypted compound packet that a focus acts on. Stops at the first sub-packet whose
/// length lies; answers whether the whole packet was well formed.
pub fn read<'a>(compound: &'a [u8], mut each: impl FnMut(Message<'a>)) -> bool {
    let mut rest = compound;
    for _ in 0..PACKETS_MAX {
        let Some(header) = rest.first_chunk::<4>() else { return rest.is_empty() };
        if header[0] >> 6 != 2 {
            return false;
        }
        let length = 4 * (usize::from(u16::from_be_bytes([header[2], header[3]])) + 1);
        let Some((packet, next)) = rest.split_at_checked(length) else { return false };
        let body = match header[0] & 0x20 != 0 {
            false => Some(&packet[4..]),
            true => unpad(&packet[4..]),
        };
        let Some(body) = body else { return false };
        if read_packet(header[0] & 0x1f, header[1], body, &mut each).is_none() {
            return false;
        }
        rest = next;
    }
    rest.is_empty()
}

fn unpad(body: &[u8]) -> Option<&[u8]> {
    let padding = usize::from(*body.last()?);
    if padding == 0 { None } else { body.get(..body.len().checked_sub(padding)?) }
}

/// `count` is the report count or the feedback format. `None`: too short for what it says it is.
fn read_packet<'a>(count: u8, kind: u8, body: &'a [u8], each: &mut impl FnMut(Message<'a>)) -> Option<()> {
    match kind {
        kind::SENDER_REPORT => {
            let ssrc = word(body, 0)?;
            let info = SenderInfo {
                ntp: u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?),
                rtp_timestamp: word(body, 12)?,
                packets: word(body, 16)?,
                bytes: word(body, 20)?,
            };
            each(Message::SenderReport { ssrc, info });
            reports(count, ssrc, body.get(24..)?, each)?;
        }
        kind::RECEIVER_REPORT => reports(count, word(body, 0)?, body.get(4..)?, each)?,
        kind::GOODBYE => {
            for item in 0..usize::from(count) {
                each(Message::Goodbye { ssrc: word(body, 4 * item)? });
            }
        }
        kind::TRANSPORT_FEEDBACK if count == format::NACK => {
            each(Message::Nack { ssrc: word(body, 4)?, pairs: Nacks { pairs: body.get(8..)?, left: ITEMS_MAX } });
        }
        kind::TRANSPORT_FEEDBACK if count == format::TRANSPORT_WIDE => {
            each(Message::TransportWide(Feedback::parse(body.get(8..)?)?));
        }
        kind::PAYLOAD_FEEDBACK if count == format::PLI => each(Message::Pli { ssrc: word(body, 4)? }),
        kind::PAYLOAD_FEEDBACK if count == format::FIR => {
            for item in body.get(8..)?.chunks_exact(8).take(ITEMS_MAX) {
                each(Message::Fir { ssrc: word(item, 0)?, sequence: item[4] });
            }
        }
        kind::PAYLOAD_FEEDBACK if count == format::APPLICATION && body.get(8..12) == Some(b"REMB") => {
            let field = word(body, 12)?;
            let (exponent, mantissa) = (field >> 18 & 0x3f, u64::from(field & 0x3_ffff));
            let bitrate = mantissa.checked_shl(exponent).filter(|rate| rate >> exponent == mantissa);
            each(Message::Remb { bitrate: bitrate.unwrap_or(u64::MAX) });
        }
        // SDES says nothing that signalling has not said; XR and the unknown are not acted on.
        _ => {}
    }
    Some(())
}

fn reports<'a>(count: u8, reporter: u32, body: &[u8], each: &mut impl FnMut(Message<'a>)) -> Option<()> {
    for block in 0..usize::from(count) {
        let at = 24 * block;
        let lost = word(body, at + 4)?;
        let block = ReportBlock {
            ssrc: word(body, at)?,
            fraction_lost: (lost >> 24) as u8,
            // 24 bits with sign.
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest_sequence: word(body, at + 8)?,
            jitter: word(body, at + 12)?,
            last_sender_report: word(body, at + 16)?,
            delay_since_last: word(body, at + 20)?,
        };
        each(Message::Report { reporter, block });
    }
    Some(())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
}

/// Sequence numbers of a NACK: each pair names one, and by a bit mask the sixteen behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nacks<'a> {
    pairs: &'a [u8],
    left: usize,
}

impl Nacks<'_> {
    /// Calls `each` with every sequence number.
    pub fn for_each(&self, mut each: impl FnMut(u16)) {
        for pair in self.pairs.chunks_exact(4).take(self.left) {
            let (first, mask) = (u16::from_be_bytes([pair[0], pair[1]]), u16::from_be_bytes([pair[2], pair[3]]));
            each(first);
            for bit in (0..16).filter(|bit| mask >> bit & 1 == 1) {
                each(first.wrapping_add(1 + bit));
            }
        }
    }
}
