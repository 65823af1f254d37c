//! Who gets what of one subscriber's bandwidth: a function of the estimate and of what its subscriptions want.
//!
//! Audio always. Then each video its smallest layer, in the order of priority; what does not fit even so pauses. Then
//! upgrades, one layer for each in turn. Down at once; up only when the estimate has borne it for a while, with
//! headroom: a layer that comes and goes is worse than one that never came.

use std::time::{Duration, Instant};

use crate::io::Kind;

/// One subscription, as the allocator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub kind: Kind,
    /// What the selector would take if bandwidth were no object; `None`: nothing is sent, or muted.
    pub wanted: Option<u8>,
    /// Measured bits per second of each layer, smallest first; 0: unknown.
    pub bitrates: [u32; LAYERS_MAX],
    /// Bit by bit, the layers that are sent now.
    pub active: u8,
    /// What was granted last.
    pub current: Option<u8>,
    /// Higher goes first: a screen before faces, large before small.
    pub priority: u32,
}

/// The result for all of one peer's subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allocation {
    /// Bits per second of all that is granted.
    pub granted: u64,
    /// Bits per second that all that is wanted would need, with headroom: for
    /// [`Congestion::set_wanted`](crate::feedback::Congestion::set_wanted).
    pub wanted: u64,
    /// More was wanted than was granted: an estimate that holds bears more.
    pub unmet: bool,
}

/// Layers of one track, as simulcast has them; a fourth for what is to come.
pub const LAYERS_MAX: usize = 4;

/// What a layer is taken for until it is measured (180p, 360p, 720p, 1080p as browsers encode them).
const ASSUMED_BPS: [u32; LAYERS_MAX] = [150_000, 500_000, 1_700_000, 3_000_000];
const AUDIO_BPS: u32 = 40_000;
/// Beyond what is needed, before anything is raised: encoders exceed their rate, and key frames need room.
const HEADROOM_PERCENT: u64 = 115;
/// An estimate must have borne a raise for so long: six slots of a quarter of a second.
const SLOT: Duration = Duration::from_millis(250);
const SLOTS: usize = 6;

/// See the module. Holds what the estimate was lately; all else is its arguments.
#[derive(Debug, Default)]
pub struct Allocator {
    /// The least estimate of each of the last slots, newest first.
    least: [u64; SLOTS],
    /// The largest.
    most: [u64; SLOTS],
    slot_began: Option<Instant>,
}

impl Allocator {
    /// `congested`: the path showed lately that it carries no more than the estimate. Writes to `grants` which layer each request gets; `None` where one is wanted means a pause for want of
    /// bandwidth. Deterministic; requests of equal priority are served in their order.
    pub fn allocate(
        &mut self,
        now: Instant,
        (estimate, congested): (u64, bool),
        requests: &[Request],
        grants: &mut Vec<Option<u8>>,
    ) -> Allocation {
        self.remember(now, estimate);
        let held = self.least.into_iter().min().unwrap_or(0).min(estimate);
        let best = self.most.into_iter().max().unwrap_or(0).max(estimate);
        // Without a sign of congestion a picture that is there only shows that the path carries more than is known.
        let cling = if congested { best.min(estimate * 2) } else { u64::MAX };
        let room = Room { keep: estimate, cling, raise: held * 100 / HEADROOM_PERCENT, first: !congested };
        share(room, requests, grants)
    }

    fn remember(&mut self, now: Instant, estimate: u64) {
        let Some(began) = self.slot_began else {
            // What the path bears at first is all that there is to go by.
            (self.least, self.most) = ([estimate; SLOTS], [estimate; SLOTS]);
            self.slot_began = Some(now);
            return;
        };
        let passed = now.saturating_duration_since(began).as_millis() / SLOT.as_millis();
        let passed = usize::try_from(passed).unwrap_or(SLOTS).min(SLOTS);
        if passed > 0 {
            self.least.rotate_right(passed % SLOTS);
            // The estimate did not change since it was told last.
            let before = self.least[passed % SLOTS];
            self.least[..passed].fill(before.min(estimate));
            self.least[0] = estimate;
            self.most.rotate_right(passed % SLOTS);
            let before = self.most[passed % SLOTS];
            self.most[..passed].fill(before.max(estimate));
            self.most[0] = estimate;
            self.slot_began = Some(now);
        }
        self.least[0] = self.least[0].min(estimate);
        self.most[0] = self.most[0].max(estimate);
    }
}

/// Bits per second for what is granted already, for the last layer of a picture that is there, and for what is more.
#[derive(Debug, Clone, Copy)]
struct Room {
    keep: u64,
    cling: u64,
    raise: u64,
    /// One picture is tried whatever it needs: without anything under way nobody ever learns what the path carries.
    first: bool,
}

fn share(room: Room, requests: &[Request], grants: &mut Vec<Option<u8>>) -> Allocation {
    grants.clear();
    grants.resize(requests.len(), None);
    let mut used = 0u64;
    let mut wanted = 0u64;
    let mut pictures = 0;
    let mut order: Vec<u16> = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate().take(usize::from(u16::MAX)) {
        match (request.kind, request.top()) {
            (_, None) => {}
            (Kind::Audio, Some(_)) => {
                grants[index] = request.wanted;
                used += request.cost(0);
                wanted += request.cost(0);
            }
            (Kind::Video, Some(top)) => {
                wanted += request.cost(top);
                order.push(index as u16);
            }
        }
    }
    order.sort_by_key(|index| std::cmp::Reverse(requests[usize::from(*index)].priority));
    // Round by round: first the smallest of each, then the next. Who did not get his smallest gets nothing, and who
    // could not be raised is not tried again, so each round has fewer.
    let mut round = 0;
    while !order.is_empty() {
        order.retain(|index| {
            let (request, grant) = (&requests[usize::from(*index)], &mut grants[usize::from(*index)]);
            let Some(next) = request.above(*grant) else { return false };
            let more = request.cost(next).saturating_sub(grant.map_or(0, |layer| request.cost(layer)));
            let kept = request.current.is_some_and(|current| next <= current);
            let limit = match (kept, *grant) {
                (true, None) => room.cling,
                (true, Some(_)) => room.keep,
                (false, None) if room.first && pictures == 0 => u64::MAX,
                (false, _) => room.raise,
            };
            let fits = used + more <= limit;
            if fits {
                pictures += u32::from(grant.is_none());
                used += more;
                *grant = Some(next);
            }
            fits
        });
        round += 1;
        debug_assert!(round <= LAYERS_MAX + 1, "each round grants a layer to all that remain");
    }
    let unmet =
        requests.iter().zip(&*grants).any(|(request, grant)| request.kind == Kind::Video && *grant != request.top());
    Allocation { granted: used, wanted: wanted * HEADROOM_PERCENT / 100, unmet }
}

impl Request {
    /// The highest active layer that is not above the wanted one, or else the smallest active one.
    fn top(&self) -> Option<u8> {
        let wanted = self.wanted?;
        if self.kind == Kind::Audio {
            return Some(wanted);
        }
        let layers = || (0..LAYERS_MAX as u8).filter(|layer| self.active >> layer & 1 == 1);
        layers().rfind(|layer| *layer <= wanted).or_else(|| layers().next())
    }

    /// The next active layer above this one, up to the top.
    fn above(&self, layer: Option<u8>) -> Option<u8> {
        let top = self.top()?;
        let from = layer.map_or(0, |layer| layer + 1);
        (from..=top).find(|layer| self.active >> layer & 1 == 1)
    }

    fn cost(&self, layer: u8) -> u64 {
        let index = usize::from(layer).min(LAYERS_MAX - 1);
        let assumed = if self.kind == Kind::Audio { AUDIO_BPS } else { ASSUMED_BPS[index] };
        u64::from(match self.bitrates[index] {
            0 => assumed,
            measured => measured,
        })
    }
}

#[cfg(test)]
mod tests;
