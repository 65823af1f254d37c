//! What was negotiated: m-lines, payload types, and the ids of header extensions.

use crate::codec::Codec;
use crate::id::{Mid, Rid};
use crate::io::{Extensions, Kind};
use crate::rtp::header::Elements;

/// An m-line on which the client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveLine {
    pub mid: Mid,
    pub kind: Kind,
    pub payload_types: Vec<ReceivePayload>,
    pub extensions: ExtensionIds,
    /// SSRCs named in the SDP, for clients that send no MID: (main, retransmission).
    pub ssrcs: Vec<(u32, Option<u32>)>,
}

/// One codec of an m-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivePayload {
    pub number: u8,
    pub codec: Codec,
    /// Payload type of its retransmissions (RFC 4588 `apt`).
    pub rtx: Option<u8>,
    /// The client answers NACKs (`a=rtcp-fb:<number> nack`).
    pub nack: bool,
}

/// Ids of header extensions (RFC 8285), as negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtensionIds {
    pub mid: Option<u8>,
    pub rid: Option<u8>,
    pub repaired_rid: Option<u8>,
    pub audio_level: Option<u8>,
    pub transport_cc: Option<u8>,
    pub rotation: Option<u8>,
}

impl ExtensionIds {
    /// Those that the one-byte form has room for (RFC 8285 §4.2): we write no other.
    #[must_use]
    pub fn one_byte(self) -> Self {
        let fits = |id: Option<u8>| id.filter(|id| (1..=14).contains(id));
        Self {
            mid: fits(self.mid),
            rid: fits(self.rid),
            repaired_rid: fits(self.repaired_rid),
            audio_level: fits(self.audio_level),
            transport_cc: fits(self.transport_cc),
            rotation: fits(self.rotation),
        }
    }
}

impl ReceiveLine {
    /// The codec that goes by this payload type, and whether it is a retransmission.
    pub(super) fn payload(&self, number: u8) -> Option<(ReceivePayload, bool)> {
        self.payload_types.iter().find_map(|payload| match number {
            number if number == payload.number => Some((*payload, false)),
            number if Some(number) == payload.rtx => Some((*payload, true)),
            _ => None,
        })
    }
}

/// What an extension element means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Nothing,
    Mid,
    Rid,
    RepairedRid,
    AudioLevel,
    TransportCc,
    Rotation,
}

/// Ids beyond this are not read: clients give 1–14, str0m negotiates up to 16.
const IDS: usize = 17;

/// Ids mean the same on all m-lines of a bundle (RFC 8843 §10.1), so one table serves before the m-line is known.
#[derive(Debug)]
pub(super) struct Meanings([Meaning; IDS]);

impl Default for Meanings {
    fn default() -> Self {
        Self([Meaning::Nothing; IDS])
    }
}

/// The header extensions of one packet that anybody here reads.
#[derive(Debug, Default)]
pub(super) struct Values<'a> {
    pub mid: Option<&'a [u8]>,
    pub rid: Option<&'a [u8]>,
    pub repaired_rid: Option<&'a [u8]>,
    pub transport: Option<u16>,
    pub forwarded: Extensions,
}

impl Meanings {
    /// An id that two m-lines use differently keeps its first meaning.
    pub(super) fn new(lines: &[ReceiveLine]) -> Self {
        let mut meanings = Self::default();
        for ids in lines.iter().map(|line| line.extensions) {
            for (id, meaning) in [
                (ids.mid, Meaning::Mid),
                (ids.rid, Meaning::Rid),
                (ids.repaired_rid, Meaning::RepairedRid),
                (ids.audio_level, Meaning::AudioLevel),
                (ids.transport_cc, Meaning::TransportCc),
                (ids.rotation, Meaning::Rotation),
            ] {
                let place = id.filter(|id| *id != 0).and_then(|id| meanings.0.get_mut(usize::from(id)));
                if let Some(place) = place.filter(|place| **place == Meaning::Nothing) {
                    *place = meaning;
                }
            }
        }
        meanings
    }

    /// Values whose length is not what their definition says are left out.
    pub(super) fn read<'a>(&self, elements: Elements<'a>) -> Values<'a> {
        let mut values = Values::default();
        for (id, value) in elements {
            match (self.0.get(usize::from(id)), value) {
                (Some(Meaning::Mid), value) => values.mid = Some(value),
                (Some(Meaning::Rid), value) => values.rid = Some(value),
                (Some(Meaning::RepairedRid), value) => values.repaired_rid = Some(value),
                (Some(Meaning::TransportCc), [high, low]) => {
                    values.transport = Some(u16::from_be_bytes([*high, *low]));
                }
                // RFC 6464 §3: one bit of voice activity, seven of level.
                (Some(Meaning::AudioLevel), [level, ..]) => {
                    values.forwarded.audio_level = Some((level & 0x7f, level & 0x80 != 0));
                }
                // 3GPP TS 26.114 §7.4.5: quarter turns in the two lowest bits.
                (Some(Meaning::Rotation), [turns, ..]) => {
                    values.forwarded.rotation = Some(u16::from(turns & 3) * 90);
                }
                _ => {}
            }
        }
        values
    }
}

/// `None` for what is no MID.
pub(super) fn mid_of(value: &[u8]) -> Option<Mid> {
    std::str::from_utf8(value).ok().and_then(Mid::new)
}

/// `None` for what is no RID.
pub(super) fn rid_of(value: &[u8]) -> Option<Rid> {
    std::str::from_utf8(value).ok().and_then(Rid::new)
}
