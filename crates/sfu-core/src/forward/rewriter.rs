//! Sequence numbers, timestamps and VP8 picture ids of one outgoing stream, continuous across every change of source.

use std::time::{Duration, Instant};

use crate::io::Head;
use crate::srtp::replay::ReplayWindow;

/// What an outgoing packet carries in place of its own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Extended by the roll-over count; never used twice.
    pub sequence: u64,
    pub timestamp: u32,
    pub vp8: Option<Vp8Numbers>,
}

/// New values for the fields that the packet's own VP8 descriptor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp8Numbers {
    pub picture_id: Option<u16>,
    pub tl0_picture_index: Option<u8>,
}

/// Rewrites the packets of one source after another into one stream.
///
/// Contract: [`Rewriter::switch`] with the first packet of each source, [`Rewriter::rewrite`] with every packet that
/// [`Rewriter::follows`], including that first. Late packets of the present source fill their own gap; what was before
/// the switch is refused, and so is what would use a number again: under one SRTP key that must never happen, whatever a
/// publisher does.
#[derive(Debug)]
pub struct Rewriter {
    source: Option<Source>,
    next_sequence: u64,
    issued: ReplayWindow,
    last_timestamp: u32,
    last_sent: Option<Instant>,
    last_picture_id: u16,
    last_tl0: u8,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    first_in: u64,
    highest_in: u64,
    first_out: u64,
    timestamp_offset: u32,
    picture_id_offset: u16,
    tl0_offset: u8,
}

/// Between the last packet of one source and the first of the next at least this much media time passes, so that no two
/// frames share a timestamp. One frame at 120 per second.
const SWITCH_GAP_MIN: Duration = Duration::from_micros(8_333);
/// Sequence numbers that may be missing at once: nearly two seconds of good video. Receivers guess the roll-over count
/// from the last packet that reached them and are wrong from 2^15 on; some gaps may be lost one after the other.
const GAP_MAX: u64 = 512;

impl Rewriter {
    /// `first_sequence` should be random and must be under 2^15, since a receiver starts with roll-over count 0 (RFC 3711 §3.3.1).
    #[must_use]
    pub fn new(first_sequence: u16, first_timestamp: u32, first_picture_id: u16) -> Self {
        Self {
            source: None,
            issued: ReplayWindow::new(),
            next_sequence: u64::from(first_sequence & 0x7fff),
            last_timestamp: first_timestamp,
            last_sent: None,
            last_picture_id: first_picture_id & 0x7fff,
            last_tl0: 0,
        }
    }

    /// Whether `packet` goes on from what was sent. If not, only a [`Rewriter::switch`] helps: it has another SSRC, or so
    /// large a gap before it that receivers would guess its roll-over count wrongly (RFC 3711 §3.3.1).
    #[must_use]
    pub fn follows(&self, packet: &Head) -> bool {
        let of_source = |source: &Source| {
            source.ssrc == packet.source && packet.sequence <= source.highest_in.saturating_add(GAP_MAX)
        };
        self.source.as_ref().is_some_and(of_source)
    }

    /// `packet` is the first of a new source: another layer, another track, or the same after a pause. It is `behind` what
    /// is captured now: more of the source follows at once.
    pub fn switch(&mut self, now: Instant, packet: &Head, behind: Duration) {
        let since = |last| now.saturating_duration_since(last).saturating_sub(behind).max(SWITCH_GAP_MIN);
        let elapsed = self.last_sent.map_or(SWITCH_GAP_MIN, since);
        let ticks = elapsed.as_micros() * u128::from(packet.codec.clock_rate) / 1_000_000;
        // Truncation is right: RTP timestamps wrap.
        let timestamp = self.last_timestamp.wrapping_add(ticks as u32);
        let descriptor = packet.vp8;
        let picture_id = descriptor.and_then(|d| d.picture_id).map_or(0, |id| id.value);
        let tl0 = descriptor.and_then(|d| d.tl0_picture_index).unwrap_or(0);
        self.source = Some(Source {
            ssrc: packet.source,
            first_in: packet.sequence,
            highest_in: packet.sequence,
            first_out: self.next_sequence,
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
            picture_id_offset: self.last_picture_id.wrapping_add(1).wrapping_sub(picture_id),
            tl0_offset: self.last_tl0.wrapping_add(1).wrapping_sub(tl0),
        });
    }

    /// Numbers for `packet`; `None` if it is older than the switch to its source, or its number was given out.
    pub fn rewrite(&mut self, now: Instant, packet: &Head) -> Option<Numbers> {
        if !self.follows(packet) {
            return None;
        }
        let source = self.source.as_mut()?;
        let sequence = source.first_out + packet.sequence.checked_sub(source.first_in)?;
        if !self.issued.admits(sequence) {
            return None;
        }
        self.issued.note(sequence);
        source.highest_in = source.highest_in.max(packet.sequence);
        let timestamp = packet.timestamp.wrapping_add(source.timestamp_offset);
        let vp8 = packet.vp8.map(|descriptor| Vp8Numbers {
            picture_id: descriptor.picture_id.map(|id| id.value.wrapping_add(source.picture_id_offset) & id.mask()),
            tl0_picture_index: descriptor.tl0_picture_index.map(|tl0| tl0.wrapping_add(source.tl0_offset)),
        });
        if sequence >= self.next_sequence {
            self.next_sequence = sequence + 1;
            self.last_timestamp = timestamp;
            self.last_sent = Some(now);
            if let Some(vp8) = vp8 {
                self.last_picture_id = vp8.picture_id.unwrap_or(self.last_picture_id);
                self.last_tl0 = vp8.tl0_picture_index.unwrap_or(self.last_tl0);
            }
        }
        Some(Numbers { sequence, timestamp, vp8 })
    }
}

#[cfg(test)]
mod tests;
