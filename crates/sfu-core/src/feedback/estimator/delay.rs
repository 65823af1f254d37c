//! Whether the queue of the path grows: the trend of the one-way delay against an adaptive threshold (after Carlucci et
//! al., "Analysis and Design of the Google Congestion Control", 2016).
//!
//! Frames leave here in bursts, and a burst makes a queue that drains until the next one. So the signal is the lower
//! envelope: the least delay within each 50 ms, which only a queue that does not drain can raise.

/// What the path does with what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Normal,
    /// The queue grows.
    Over,
    /// It drains.
    Under,
}

/// See the module. Send times are ours, arrival times the receiver's: their difference has an unknown constant, and
/// only changes mean something.
#[derive(Debug)]
pub struct Delay {
    /// The packet with the least delay in the slot that is open, and the slot's end; 0: none is.
    slot: Point,
    slot_ends_us: u64,
    /// Ring of the last slots.
    points: [Point; POINTS],
    filled: u8,
    at: u8,
    fresh: bool,
    /// Evaluations in a row that saw growth.
    growing: u8,
    threshold_ms: f32,
    evaluated_us: u64,
    /// Least delay in this stretch of time and in the one before: the path without a queue.
    least: [i64; 2],
    /// The lesser of the two.
    floor: i64,
    least_since_us: u64,
    queue_us: i64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Point {
    sent_us: u64,
    delay_us: i64,
}

/// No least delay yet: more than any.
const NONE: i64 = i64::MAX;
const SLOT_US: u64 = 50_000;
/// 400 ms of slots: long enough against jitter, short enough to react within half a second.
const POINTS: usize = 8;
const POINTS_MIN: u8 = 4;
/// The growth is told over this time.
const WINDOW_MS: f32 = 400.0;
/// Start, floor and ceiling of the threshold: the floor is what 2.5 % too much make in [`WINDOW_MS`], as in libwebrtc.
const THRESHOLD_MS: f32 = 12.5;
const THRESHOLD_RANGE_MS: (f32, f32) = (10.0, 600.0);
/// How fast it follows what is seen, per ms.
const FOLLOW: f32 = 0.01;
const FOLLOW_MS_MAX: f32 = 50.0;
/// Outliers do not move the threshold.
const OUTLIER_MS: f32 = 15.0;
/// A slope counts if it is this many times its own standard error, squared: jitter alone makes slopes too.
const SIGNIFICANT: f32 = 12.0;
/// A queue shorter than this is jitter.
const QUEUE_MIN_US: i64 = 10_000;
/// One so long is none, however much the delays scatter.
const QUEUE_CERTAIN_US: i64 = 60_000;
/// How long a least delay is believed: twice this at most, for clocks drift and routes change.
const LEAST_US: u64 = 10_000_000;
/// A delay that fell so far below the least is no queue that drained, but a clock set back or another route.
const BACKWARDS_US: i64 = 100_000;

impl Default for Delay {
    fn default() -> Self {
        Self {
            slot: Point::default(),
            slot_ends_us: 0,
            points: Default::default(),
            filled: 0,
            at: 0,
            fresh: false,
            growing: 0,
            threshold_ms: THRESHOLD_MS,
            evaluated_us: 0,
            least: [NONE; 2],
            floor: NONE,
            least_since_us: 0,
            queue_us: 0,
        }
    }
}

impl Delay {
    /// A packet arrived. `age_us`: how long ago it was sent, which bounds any delay. Answers `false` if the receiver's
    /// clock must have jumped: then all begins anew.
    #[inline]
    pub fn arrived(&mut self, sent_us: u64, arrival_us: i64, age_us: u64) -> bool {
        let delay_us = arrival_us.wrapping_sub(sent_us.cast_signed());
        // Between nothing and all the time that it can have taken; before the first packet too much in any case.
        let sane = delay_us.wrapping_sub(self.floor).cast_unsigned() <= age_us || self.plausible(delay_us);
        if sent_us >= self.least_since_us + LEAST_US {
            self.least = [NONE, self.least[0]];
            self.least_since_us = sent_us;
        }
        if delay_us < self.least[0] {
            self.least[0] = delay_us;
            self.floor = self.least[0].min(self.least[1]);
        }
        if sent_us < self.slot_ends_us {
            // What comes late from an earlier slot does no harm here: it can only be a longer delay.
            if delay_us < self.slot.delay_us {
                self.slot = Point { sent_us, delay_us };
            }
        } else {
            if self.slot_ends_us > 0 {
                self.push(self.slot);
            }
            self.slot = Point { sent_us, delay_us };
            self.slot_ends_us = (sent_us / SLOT_US + 1) * SLOT_US;
        }
        sane
    }

    /// A delay below the least one known, or longer than the packet can have taken. Answers `false` if it was a jump.
    #[cold]
    fn plausible(&mut self, delay_us: i64) -> bool {
        let below = self.floor.saturating_sub(delay_us);
        if self.floor == NONE || (0..=BACKWARDS_US).contains(&below) {
            return true;
        }
        *self = Self { threshold_ms: self.threshold_ms, ..Self::default() };
        false
    }

    /// The queue that the last slot found, beyond the least delay known.
    pub fn queue_us(&self) -> i64 {
        self.queue_us
    }

    /// Call with each feedback message.
    pub fn evaluate(&mut self, now_us: u64) -> Usage {
        if self.filled < POINTS_MIN {
            return Usage::Normal;
        }
        let (slope, significant) = self.slope();
        let growth_ms = slope * WINDOW_MS;
        let fresh = std::mem::take(&mut self.fresh);
        let certain = self.queue_us > if significant { QUEUE_MIN_US } else { QUEUE_CERTAIN_US };
        let over = growth_ms > self.threshold_ms && certain;
        if fresh {
            self.growing = if over { self.growing.saturating_add(1) } else { 0 };
        }
        let usage = if over && self.growing >= 2 {
            Usage::Over
        } else if growth_ms < -self.threshold_ms {
            Usage::Under
        } else {
            Usage::Normal
        };
        self.follow(now_us, growth_ms.abs());
        usage
    }

    fn push(&mut self, point: Point) {
        self.points[usize::from(self.at)] = point;
        self.at = (self.at + 1) % POINTS as u8;
        self.filled = (self.filled + 1).min(POINTS as u8);
        self.fresh = true;
        self.queue_us = point.delay_us.saturating_sub(self.floor);
    }

    /// Least squares: delay per time, without unit, and whether that is more than the points' own scatter.
    fn slope(&self) -> (f32, bool) {
        let points = &self.points[..usize::from(self.filled)];
        let origin = points[0];
        let count = points.len() as f32;
        let relative = |point: &Point| {
            let x = point.sent_us.cast_signed().wrapping_sub(origin.sent_us.cast_signed()) as f32;
            (x, point.delay_us.saturating_sub(origin.delay_us) as f32)
        };
        let (mut x_sum, mut y_sum) = (0.0, 0.0);
        for (x, y) in points.iter().map(relative) {
            x_sum += x;
            y_sum += y;
        }
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in points.iter().map(relative) {
            let (x, y) = (x - x_sum / count, y - y_sum / count);
            xx += x * x;
            xy += x * y;
            yy += y * y;
        }
        if xx <= 0.0 {
            return (0.0, false);
        }
        let explained = xy * xy / xx;
        (xy / xx, explained * (count - 2.0) > SIGNIFICANT * (yy - explained))
    }

    /// The threshold follows what this path does anyhow, so that neither jitter nor a competing TCP starves us.
    fn follow(&mut self, now_us: u64, growth_ms: f32) {
        let elapsed_ms = now_us.saturating_sub(self.evaluated_us) as f32 / 1000.0;
        self.evaluated_us = now_us;
        if growth_ms > self.threshold_ms + OUTLIER_MS {
            return;
        }
        let moved = self.threshold_ms + FOLLOW * (growth_ms - self.threshold_ms) * elapsed_ms.min(FOLLOW_MS_MAX);
        self.threshold_ms = moved.clamp(THRESHOLD_RANGE_MS.0, THRESHOLD_RANGE_MS.1);
    }
}
