//! The packets of one publisher layer, stored once for all who may still need them: retransmission to every subscriber,
//! and the last key frame with all that followed, for one who joins or changes layers.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::io::{Head, Kind, Packet, Payload};

/// Slots to begin with, and at most: a power of two each. At 10 Mbit/s 1024 packets are one second.
const VIDEO_SLOTS: (usize, usize) = (64, 1024);
/// Audio: 64 packets of 20 ms are more than a second.
const AUDIO_SLOTS: (usize, usize) = (16, 64);
/// A packet younger than this should still be there; the ring grows if it would not. Retransmission later than this
/// comes too late to be played.
const KEPT: Duration = Duration::from_millis(1000);
/// A key frame that is older, or has more packets with what followed, is not replayed: asking for a new one is better.
pub const REPLAY_AGE_MAX: Duration = Duration::from_millis(400);
pub const REPLAY_PACKETS_MAX: u64 = 96;

/// See the module.
#[derive(Debug)]
pub struct Ring {
    slots: Vec<Option<Packet>>,
    slots_first: usize,
    slots_max: usize,
    /// The source that came last, and its highest sequence number.
    highest: Option<(u32, u64)>,
    /// Of that source nothing up to this number is taken any more: it was here when the ring rested.
    floor: Option<u64>,
    /// The newest key frame.
    keyframe: Option<Keyframe>,
}

/// Where a key frame begins. H264 says so in several packets of one picture: parameter sets, then each slice.
#[derive(Debug, Clone, Copy)]
struct Keyframe {
    source: u32,
    first: u64,
    timestamp: u32,
    received: Instant,
}

impl Ring {
    /// It takes memory only once packets come.
    pub fn new(kind: Kind) -> Self {
        let (slots_first, slots_max) = if kind == Kind::Video { VIDEO_SLOTS } else { AUDIO_SLOTS };
        Self { slots: Vec::new(), slots_first, slots_max, highest: None, floor: None, keyframe: None }
    }

    /// Keeps a packet whose payload is elsewhere, by copying it into the memory of the one that gives way.
    /// `false`: it was there already.
    pub fn copy_in(&mut self, head: Head, payload: &[u8]) -> bool {
        let Some(slot) = self.place(&head) else { return false };
        match &mut self.slots[slot] {
            Some(old) => {
                old.head = head;
                old.payload.assign(payload);
            }
            empty => {
                let mut own = Payload::default();
                own.assign(payload);
                *empty = Some(Packet { head, payload: own });
            }
        }
        true
    }

    /// Keeps a packet that came with memory of its own. `false`: it was there already.
    pub fn move_in(&mut self, packet: Packet) -> bool {
        let Some(slot) = self.place(&packet.head) else { return false };
        self.slots[slot] = Some(packet);
        true
    }

    /// The packet of this source and number, while it is kept. Only the low 32 bits of `sequence` count.
    pub fn get(&self, source: u32, sequence: u32) -> Option<&Packet> {
        let packet = self.slots.get(sequence as usize & self.slots.len().wrapping_sub(1))?.as_ref()?;
        (packet.head.source == source && packet.head.sequence as u32 == sequence).then_some(packet)
    }

    /// Sequence numbers of the last key frame and all since, if they may be replayed to one that has seen nothing of them.
    pub fn since_keyframe(&self, now: Instant) -> Option<(u32, RangeInclusive<u64>)> {
        let Keyframe { source, first, received, .. } = self.keyframe?;
        let (of, last) = self.highest?;
        let young = now <= received + REPLAY_AGE_MAX;
        if of != source || !young || last.checked_sub(first)? >= REPLAY_PACKETS_MAX {
            return None;
        }
        let range = first..=last;
        range.clone().all(|sequence| self.get(source, sequence as u32).is_some()).then_some((source, range))
    }

    /// Nothing comes any more: its memory is given back. Numbers that were there do not come again, so nothing that was
    /// sent can be written differently.
    pub fn rest(&mut self) {
        self.slots = Vec::new();
        self.keyframe = None;
        self.floor = self.highest.map(|(_, highest)| highest);
    }

    /// What came so far is not to be replayed: it was muted since, or is under an older media key.
    pub fn forget_keyframe(&mut self) {
        self.keyframe = None;
    }

    /// `None` if it is kept already, or was, or comes too late: what was sent of it may be sent again, and must then be
    /// the same.
    fn place(&mut self, head: &Head) -> Option<usize> {
        if let Some((source, highest)) = self.highest
            && source == head.source
            && (head.sequence.saturating_add(self.slots_max as u64) <= highest
                || self.floor.is_some_and(|floor| head.sequence <= floor))
        {
            return None;
        }
        let slot = self.slots.get(head.sequence as usize & self.slots.len().wrapping_sub(1));
        let newer = |old: &Packet| old.head.source == head.source && old.head.sequence >= head.sequence;
        if slot.and_then(Option::as_ref).is_some_and(newer) {
            return None;
        }
        let newest = self.highest.is_none_or(|(source, highest)| source != head.source || head.sequence > highest);
        if newest {
            if self.highest.is_some_and(|(source, _)| source != head.source) {
                self.floor = None;
            }
            self.highest = Some((head.source, head.sequence));
            self.keyframe = self.keyframe.filter(|known| known.source == head.source);
        }
        let same = |known: Keyframe| known.source == head.source && known.timestamp == head.timestamp;
        if head.keyframe && newest && !self.keyframe.is_some_and(same) {
            let (source, first, timestamp) = (head.source, head.sequence, head.timestamp);
            self.keyframe = Some(Keyframe { source, first, timestamp, received: head.received });
        }
        if self.slots.is_empty() {
            self.slots.resize(self.slots_first, None);
        }
        let mut slot = head.sequence as usize & (self.slots.len() - 1);
        let young = |packet: &Packet| head.received < packet.head.received + KEPT && packet.head.source == head.source;
        if self.slots.len() < self.slots_max && self.slots[slot].as_ref().is_some_and(young) {
            self.grow();
            slot = head.sequence as usize & (self.slots.len() - 1);
        }
        Some(slot)
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![None; size]);
        for packet in old.into_iter().flatten() {
            let slot = packet.head.sequence as usize & (size - 1);
            self.slots[slot] = Some(packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, CodecName};
    use crate::io::Extensions;
    use crate::test_time::epoch;

    fn head(source: u32, sequence: u64, keyframe: bool, received: Instant) -> Head {
        Head {
            source,
            sequence,
            timestamp: 0,
            marker: false,
            codec: Codec { name: CodecName::Vp8, profile: 0, clock_rate: 90_000 },
            keyframe,
            vp8: None,
            extensions: Extensions::default(),
            received,
        }
    }

    #[test]
    fn what_is_young_is_kept_and_memory_is_used_again() {
        let start = epoch();
        let mut ring = Ring::new(Kind::Video);
        for number in 0..3000u64 {
            // 500 packets a second: a second of them needs 512 slots.
            let now = start + Duration::from_millis(2 * number);
            ring.copy_in(head(1, number, false, now), &number.to_be_bytes());
            for back in 0..number.min(499) {
                let kept = ring.get(1, (number - back) as u32).expect("young");
                assert_eq!(*kept.payload, (number - back).to_be_bytes());
            }
        }
        assert_eq!(ring.slots.len(), 512);
        assert!(ring.get(1, 1000).is_none(), "old");
        assert!(ring.get(2, 2999).is_none(), "of another source");
        let held = ring.get(1, 2999).expect("young").clone();
        ring.copy_in(head(1, 2999 + 512, false, start + Duration::from_secs(9)), &[1]);
        assert_eq!(*held.payload, 2999u64.to_be_bytes(), "one that somebody holds is not written over");
    }

    /// What was sent may be sent again, and must then be the same: no number gets another payload, not even later.
    #[test]
    fn a_number_is_taken_once() {
        let start = epoch();
        let mut ring = Ring::new(Kind::Audio);
        let put = |ring: &mut Ring, number: u64, bytes: &[u8]| ring.copy_in(head(1, number, false, start), bytes);
        assert!(put(&mut ring, 100, b"first") && !put(&mut ring, 100, b"other"));
        assert!(put(&mut ring, 164, b"x"));
        assert!(!put(&mut ring, 100, b"other"), "its slot is a newer one's");
        assert!(put(&mut ring, 101, b"late") && !put(&mut ring, 99, b"too late"));
        assert!(ring.copy_in(head(2, 5, false, start), b"anew"));
        assert!(ring.copy_in(head(1, 150, true, start), b"back"), "the source came back");
        assert_eq!(ring.since_keyframe(start), Some((1, 150..=150)));
        assert!(ring.copy_in(head(2, 6, false, start), b"again") && ring.copy_in(head(1, 120, false, start), b"lower"));
        assert_eq!(ring.since_keyframe(start), None);
    }

    #[test]
    fn a_key_frame_is_replayed_while_it_is_young_and_whole() {
        let start = epoch();
        let mut ring = Ring::new(Kind::Video);
        let put = |ring: &mut Ring, number: u64, keyframe| {
            let head = Head { timestamp: number as u32, ..head(1, number, keyframe, start) };
            assert!(ring.copy_in(head, &[0]));
        };
        put(&mut ring, 8, false);
        assert_eq!(ring.since_keyframe(start), None);
        put(&mut ring, 10, true);
        put(&mut ring, 12, false);
        assert_eq!(ring.since_keyframe(start), None, "one is missing");
        put(&mut ring, 11, false);
        assert_eq!(ring.since_keyframe(start), Some((1, 10..=12)));
        put(&mut ring, 9, true);
        assert_eq!(ring.since_keyframe(start), Some((1, 10..=12)), "an older key frame came late");
        assert_eq!(ring.since_keyframe(start + REPLAY_AGE_MAX + Duration::from_millis(1)), None, "too old");
        for number in 13..10 + REPLAY_PACKETS_MAX {
            put(&mut ring, number, false);
        }
        assert!(ring.since_keyframe(start).is_some());
        put(&mut ring, 10 + REPLAY_PACKETS_MAX, false);
        assert_eq!(ring.since_keyframe(start), None, "too long");
        put(&mut ring, 200, true);
        assert!(ring.since_keyframe(start).is_some());
        ring.copy_in(head(2, 201, false, start), &[0]);
        assert_eq!(ring.since_keyframe(start), None, "the source began anew");
        put(&mut ring, 300, true);
        let slice = Head { timestamp: 300, ..head(1, 301, true, start) };
        assert!(ring.copy_in(slice, &[0]));
        assert_eq!(
            ring.since_keyframe(start),
            Some((1, 300..=301)),
            "a picture in several parts begins with its first"
        );
        ring.forget_keyframe();
        assert_eq!(ring.since_keyframe(start), None);
    }
}
