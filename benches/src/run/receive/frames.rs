//! Frames of a video as a decoder would have them: a frame counts when it is whole and the one that it builds on was
//! shown, so a lost packet freezes the picture until it is repaired or a key frame comes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::mark::Mark;

/// Two seconds of video that wait for a missing packet; what is older is given up.
const PENDING_MAX: usize = 64;
/// A picture that stands still for longer is frozen, at whatever rate (W3C webrtc-stats has the same 150 ms).
const FREEZE_MIN: Duration = Duration::from_millis(150);
/// ... and for longer than so many frames.
const FREEZE_FRAMES: u32 = 3;
/// Retransmission has so long before a key frame is asked for.
const PATIENCE: Duration = Duration::from_millis(300);
/// From one request to the next.
const ASK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Pending {
    have: u16,
    count: u16,
    keyframe: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Frames {
    /// Frames shown.
    pub shown: u64,
    pub freezes: u64,
    pub frozen: Duration,
    patience: Duration,
    /// Layer and number of the last one shown.
    last: Option<(u8, u32)>,
    last_at: Option<Instant>,
    /// By layer and number.
    pending: BTreeMap<(u8, u32), Pending>,
    /// Since when something is there that cannot be shown.
    stuck_since: Option<Instant>,
    asked_at: Option<Instant>,
}

impl Frames {
    pub fn new(fps: u32) -> Self {
        Self {
            shown: 0,
            freezes: 0,
            frozen: Duration::ZERO,
            patience: FREEZE_MIN.max(Duration::from_secs(1) * FREEZE_FRAMES / fps.max(1)),
            last: None,
            last_at: None,
            pending: BTreeMap::new(),
            stuck_since: None,
            asked_at: None,
        }
    }

    /// A packet that has not come before. Whether a key frame should be asked for.
    pub fn handle(&mut self, now: Instant, mark: &Mark, keyframe: bool) -> bool {
        let key = (mark.layer, mark.frame);
        // Of the layer that is shown, nothing from before helps any more.
        let stale = self.last.is_some_and(|(layer, frame)| layer == mark.layer && mark.frame <= frame);
        if !stale {
            let pending = self.pending.entry(key).or_default();
            pending.have += 1;
            pending.count = mark.count;
            pending.keyframe = keyframe;
            if pending.have == pending.count && keyframe {
                self.show(now, key);
            }
            while let Some((layer, frame)) = self.last
                && self.pending.get(&(layer, frame.wrapping_add(1))).is_some_and(|next| next.have == next.count)
            {
                self.show(now, (layer, frame.wrapping_add(1)));
            }
            while self.pending.len() > PENDING_MAX {
                self.pending.pop_first();
            }
        }
        self.wants_keyframe(now)
    }

    fn show(&mut self, now: Instant, key: (u8, u32)) {
        self.pending.remove(&key);
        // What came before it cannot be shown any more; a frame of another layer may still become a switch.
        self.pending.retain(|&(layer, frame), pending| (layer == key.0 && frame > key.1) || pending.keyframe);
        self.note_gap(now);
        self.shown += 1;
        (self.last, self.last_at) = (Some(key), Some(now));
        self.stuck_since = None;
    }

    fn note_gap(&mut self, now: Instant) {
        let gap = self.last_at.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if gap > self.patience {
            self.freezes += 1;
            self.frozen += gap;
        }
    }

    fn wants_keyframe(&mut self, now: Instant) -> bool {
        // One frame under way is as it should be.
        if self.pending.len() < 2 {
            return false;
        }
        let stuck = *self.stuck_since.get_or_insert(now);
        let asked = self.asked_at.is_some_and(|at| now.saturating_duration_since(at) < ASK_AGAIN);
        if asked || now.saturating_duration_since(stuck) < PATIENCE {
            return false;
        }
        self.asked_at = Some(now);
        true
    }

    pub fn begin(&mut self, now: Instant) {
        (self.shown, self.freezes, self.frozen) = (0, 0, Duration::ZERO);
        // A picture that stands still already freezes in the window, from its beginning on.
        self.last_at = self.last_at.map(|_| now);
    }

    pub fn end(&mut self, now: Instant) {
        self.note_gap(now);
    }

    #[cfg(test)]
    pub(super) fn pending_is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}
