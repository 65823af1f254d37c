//! One received stream in the order of its sequence numbers: what a decoder may assume of neighbours.
//!
//! - Numbers leave no gap (unless the network is worse than retransmission can mend).
//! - A frame's packets follow one another from start to marker under one timestamp and one picture id; only a key frame
//!   may come before the marker.
//! - The next frame is the source's next one, or a key frame; after a change of layer or track it is a key frame.
//! - Timestamps advance as capture times do; picture ids by one; TL0PICIDX by one with each base-layer frame.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Leniency, Totals};
use crate::media::Canary;
use crate::media::vp8::Descriptor;

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) at: Duration,
    pub(super) canary: Canary,
    pub(super) descriptor: Option<Descriptor>,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) hash: u64,
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    entries: BTreeMap<u64, Entry>,
    /// The last one that was looked at.
    last: Option<(u64, Entry)>,
}

/// How far the clock of a rewritten stream may be off after a change of layer: what arrival times can be off.
const CLOCK_TOLERANCE_MS: i64 = 400;

impl Stream {
    /// `Ok(false)`: it was there already.
    pub(super) fn insert(&mut self, sequence: u64, entry: Entry) -> Result<bool, String> {
        if let Some((last, _)) = &self.last
            && sequence <= *last
        {
            // Later than any retransmission; its neighbours were judged without it.
            return Ok(false);
        }
        match self.entries.get(&sequence) {
            Some(known) if known.hash == entry.hash && known.timestamp == entry.timestamp => Ok(false),
            Some(known) => Err(format!("sequence number {sequence} used twice: {known:?}, then {entry:?}")),
            None => {
                self.entries.insert(sequence, entry);
                Ok(true)
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Judges everything that came before `before`, and forgets it.
    pub(super) fn settle(&mut self, before: Duration, leniency: Leniency, totals: &mut Totals) -> Vec<String> {
        let mut problems = Vec::new();
        while let Some(first) = self.entries.first_entry().filter(|entry| entry.get().at <= before) {
            let (sequence, entry) = first.remove_entry();
            let problem = match &self.last {
                None => check_first(&entry, leniency),
                Some((last, previous)) => {
                    totals.switches += u64::from(previous.canary.origin() != entry.canary.origin());
                    let missing = sequence - last - 1;
                    totals.missing += missing;
                    totals.missing_video += if entry.descriptor.is_some() { missing } else { 0 };
                    if missing == 0 {
                        check_next(previous, &entry)
                    } else if leniency.gaps {
                        check_after_gap(previous, &entry)
                    } else {
                        Some(format!("{missing} missing"))
                    }
                }
            };
            if let Some(problem) = problem {
                let before = self.last.as_ref().map(|(sequence, entry)| format!("\n  {sequence}: {entry:?}"));
                problems.push(format!("{problem}{}\n  {sequence}: {entry:?}", before.unwrap_or_default()));
            }
            self.last = Some((sequence, entry));
        }
        problems
    }
}

/// The receiver's stack drops what comes before the first packet that it saw: with reordering not even the key frame's
/// first packet need be there.
fn check_first(entry: &Entry, leniency: Leniency) -> Option<String> {
    let begins = entry.canary.keyframe && (entry.canary.index == 0 || leniency.reordering);
    let wrong = entry.descriptor.is_some() && !leniency.gaps && !begins;
    wrong.then(|| "the first packet does not begin a key frame".to_owned())
}

fn ticks(from: &Entry, to: &Entry) -> i64 {
    i64::from(to.timestamp.wrapping_sub(from.timestamp) as i32)
}

/// `next` has the number after `previous`.
fn check_next(previous: &Entry, next: &Entry) -> Option<String> {
    let (Some(before), Some(after)) = (previous.descriptor, next.descriptor) else {
        return (ticks(previous, next) <= 0).then(|| "time does not advance".to_owned());
    };
    let (a, b) = (previous.canary, next.canary);
    if a.origin() == b.origin() && a.frame == b.frame {
        return if b.index != a.index + 1 {
            Some("packets of a frame out of order".into())
        } else if previous.marker {
            Some("the marker is not on the last packet".into())
        } else if next.timestamp != previous.timestamp {
            Some("a frame has two timestamps".into())
        } else if (before.picture_id, before.tl0_pic_idx) != (after.picture_id, after.tl0_pic_idx) {
            Some("a frame has two picture ids".into())
        } else {
            None
        };
    }
    let complete = a.index + 1 == a.count && previous.marker;
    if b.index != 0 {
        return Some("a frame does not begin at its beginning".into());
    }
    // Browsers interleave the layers that they send, so that a switch can come in the middle of the old layer's frame.
    // A decoder drops that one, and needs nothing before a key frame.
    if !complete && !b.keyframe {
        return Some("a frame ends before its end".into());
    }
    if a.origin() != b.origin() && !b.keyframe {
        return Some("a switch, but not to a key frame".into());
    }
    if a.origin() == b.origin() && b.frame != a.frame + 1 && !(b.keyframe && b.frame > a.frame) {
        return Some("a frame refers to one that was left out".into());
    }
    if after.picture_id != (before.picture_id + 1) & 0x7fff {
        return Some("picture ids do not follow".into());
    }
    if after.tl0_pic_idx != before.tl0_pic_idx.wrapping_add(u8::from(after.tid == 0)) {
        return Some("TL0PICIDX does not follow".into());
    }
    check_clock(previous, next)
}

fn check_after_gap(previous: &Entry, next: &Entry) -> Option<String> {
    if next.descriptor.is_none() {
        return (ticks(previous, next) <= 0).then(|| "time does not advance".to_owned());
    }
    (ticks(previous, next) < 0).then(|| "time goes back".to_owned())
}

/// Between two video frames.
fn check_clock(previous: &Entry, next: &Entry) -> Option<String> {
    let (a, b) = (previous.canary, next.canary);
    let ticks = ticks(previous, next);
    if ticks <= 0 {
        return Some(format!("time does not advance, but by {ticks}"));
    }
    let captured_ms = (b.captured_us as i64 - a.captured_us as i64) / 1000;
    let off = (ticks / 90 - captured_ms).abs();
    let tolerance = if a.origin() == b.origin() { 40 } else { CLOCK_TOLERANCE_MS };
    // Another source was captured by another clock: its time must advance, and that is all.
    let comparable = (a.publisher, a.life, a.source) == (b.publisher, b.life, b.source);
    (comparable && off > tolerance).then(|| format!("the clock is off by {off} ms"))
}
