//! Send-side bandwidth estimation (after Google Congestion Control, draft-ietf-rmcat-gcc-02): the growth of the path's
//! queue, loss, and what demonstrably arrives, made into one figure. Why not a library: `docs/bandwidth.md`.
//!
//! A focus sends layers, which seldom fill the estimate. So an estimate grows only on evidence (what arrives, a
//! probe), and what little is sent does not drag it down.

use self::burst::Bursts;
use self::delay::{Delay, Usage};
use self::loss::Loss;
use self::rate::Rate;
use super::sent::{Fate, PacketResult};

mod burst;
mod delay;
mod loss;
mod rate;

/// Some pictures at once, and not too much for a bad mobile link; probes correct it within half a second.
pub const START_BPS: f64 = 800_000.0;
/// Audio and a thumbnail.
pub const MIN_BPS: f64 = 50_000.0;
/// Far more than any one peer gets.
pub const MAX_BPS: f64 = 100_000_000.0;
/// What remains after the queue grew: a share of what arrives.
const BACK_OFF: f64 = 0.85;
/// A long queue is drained faster, by so much at most.
const DRAIN_MAX: f64 = 0.2;
/// Without a known ceiling, per second.
const GROWTH: f64 = 0.08;
/// Near the ceiling: half a packet per response time (draft-ietf-rmcat-gcc-02 §5.5), but at least this share per
/// second.
const CAREFUL_BITS: f64 = 4_800.0;
const CAREFUL_GROWTH: f64 = 0.02;
/// What is near the ceiling, as shares of it; above it was none.
const CEILING: (f64, f64) = (0.8, 1.15);
/// What the sender must use of the estimate before it grows by itself.
const USED: f64 = 0.75;
/// ... and how far it may be ahead of what arrives.
const AHEAD: f64 = 1.5;
/// Feedback comes at most so late behind its round trip.
const RESPONSE_US: u64 = 100_000;
/// A queue that is no jitter. Whoever sends while it grows is believed to be its cause, even if he sends little.
const SEVERE_US: i64 = 100_000;
/// A queue that stands so high is not filled further.
const STANDING_US: i64 = 40_000;
/// A queue that neither drains nor grows is ours or somebody else's: we yield a little, and seldom.
const YIELD: f64 = 0.93;
const YIELD_US: u64 = 1_000_000;
/// A probe that follows a back-off at once would measure the queue that it was about.
const PROBE_REST_US: u64 = 500_000;
/// Without feedback for so long while packets leave, each second costs a part of the estimate.
const SILENCE_US: u64 = 2_000_000;
const SILENCE_FACTOR: f64 = 0.8;

/// See the module. Times are microseconds since the owner's epoch, rates bits per second.
#[derive(Debug)]
pub struct Estimator {
    estimate: f64,
    /// What arrived when the queue grew last, if that still says something.
    ceiling: Option<f64>,
    delay: Delay,
    loss: Loss,
    /// By the receiver's clock, and by ours.
    arrived: Rate,
    sent: Rate,
    rtt_us: u32,
    bursts: Bursts,
    usage: Usage,
    updated_us: u64,
    backed_off_us: u64,
    yielded_us: u64,
    /// The path was full beyond doubt.
    full_us: u64,
    feedback_us: u64,
    /// The newest packet that this feedback told of.
    newest_us: u64,
}

impl Default for Estimator {
    fn default() -> Self {
        Self {
            estimate: START_BPS,
            ceiling: None,
            delay: Delay::default(),
            loss: Loss::default(),
            arrived: Rate::default(),
            sent: Rate::default(),
            rtt_us: 100_000,
            bursts: Bursts::default(),
            usage: Usage::Normal,
            updated_us: 0,
            backed_off_us: 0,
            yielded_us: 0,
            full_us: 0,
            feedback_us: 0,
            newest_us: 0,
        }
    }
}

impl Estimator {
    pub fn bitrate(&self) -> f64 {
        self.estimate
    }

    /// How fast whole bursts came through, 0 if unknown.
    pub fn burst_bps(&self) -> f64 {
        self.bursts.bitrate()
    }

    /// When it last went down because of congestion; 0: never.
    pub fn backed_off_us(&self) -> u64 {
        self.backed_off_us
    }

    /// When the path was full beyond doubt: a queue that no scheduler makes, or loss that followed what was sent. A growing
    /// queue alone may also be a receiver that had no time.
    pub fn full_us(&self) -> u64 {
        self.full_us
    }

    /// Whether that was our doing, as far as can be told.
    pub fn congested_by_us(&self) -> bool {
        self.uses(USED) || self.severe()
    }

    /// The fate of one packet. Call [`Self::update`] after the last one of a feedback message.
    pub fn result(&mut self, now_us: u64, result: &PacketResult) {
        let sent = i64::try_from(result.sent_us).unwrap_or(i64::MAX);
        self.sent.add(sent, result.bytes);
        match result.fate {
            Fate::Arrived(at) => {
                self.loss.count(false);
                self.newest_us = self.newest_us.max(result.sent_us);
                if !self.delay.arrived(result.sent_us, at, now_us.saturating_sub(result.sent_us)) {
                    self.arrived.reset();
                    self.bursts.reset();
                }
                self.arrived.add(at, result.bytes);
                self.bursts.arrived(result.sent_us, at, result.bytes);
            }
            Fate::Lost => self.loss.count(true),
            // What arrived in that time cannot be known.
            Fate::Unknown => self.arrived.reset(),
        }
    }

    /// A feedback message has been told in full. `wanted`: what there is to send.
    pub fn update(&mut self, now_us: u64, wanted: f64) {
        self.feedback_us = now_us;
        if self.newest_us > 0 {
            let rtt = u32::try_from(now_us.saturating_sub(self.newest_us)).unwrap_or(u32::MAX);
            // The newest packet waited least for this message.
            self.rtt_us = self.rtt_us - self.rtt_us / 8 + rtt / 8;
        }
        self.loss.advance(now_us);
        self.usage = self.delay.evaluate(now_us);
        let elapsed = now_us.saturating_sub(self.updated_us).min(1_000_000) as f64 / 1e6;
        self.updated_us = now_us;
        let response_us = u64::from(self.rtt_us) + RESPONSE_US;
        let rested = now_us >= self.backed_off_us + response_us;
        if self.severe() {
            self.full_us = now_us;
        }
        if self.usage == Usage::Over && (rested || self.severe()) {
            self.back_off(now_us);
        } else if let Some(share) = self.loss.excess() {
            if rested {
                self.full_us = now_us;
                self.estimate = self.loss.cut(now_us, share, self.estimate);
                self.ceiling = self.arrived.recent().or(self.ceiling);
                self.backed_off_us = now_us;
            }
        } else if let Some(before) = self.loss.acquit(now_us) {
            self.estimate = self.estimate.max(before);
            self.ceiling = None;
        } else if self.usage == Usage::Normal && self.delay.queue_us() > STANDING_US {
            if self.uses(USED) && rested && now_us >= self.yielded_us + YIELD_US {
                self.estimate *= YIELD;
                self.yielded_us = now_us;
            }
        } else if self.usage == Usage::Normal && rested && wanted > self.estimate {
            self.grow(elapsed, response_us);
        }
        self.estimate = self.estimate.clamp(MIN_BPS, MAX_BPS);
    }

    /// A probe came through at this rate. Answers whether it raised the estimate.
    pub fn probed(&mut self, now_us: u64, bitrate: f64) -> bool {
        let calm = self.backed_off_us == 0 || now_us >= self.backed_off_us + PROBE_REST_US;
        let raises = calm && bitrate > self.estimate;
        if raises {
            self.estimate = bitrate.min(MAX_BPS);
            if self.ceiling.is_some_and(|ceiling| self.estimate > ceiling) {
                self.ceiling = None;
            }
        }
        raises
    }

    /// The receiver's own estimate, for peers that send no transport-wide feedback.
    pub fn set(&mut self, now_us: u64, bitrate: f64) {
        self.feedback_us = now_us;
        self.estimate = bitrate.clamp(MIN_BPS, MAX_BPS);
    }

    /// Packets leave, but no feedback comes. Answers whether that cost something.
    pub fn silent(&mut self, now_us: u64) -> bool {
        let silent = now_us >= self.silent_at();
        if silent {
            self.updated_us = now_us;
            self.estimate = (self.estimate * SILENCE_FACTOR).max(MIN_BPS);
        }
        silent
    }

    /// When [`Self::silent`] has something to do.
    pub fn silent_at(&self) -> u64 {
        (self.feedback_us + SILENCE_US).max(self.updated_us + SILENCE_US / 2)
    }

    /// Nothing was awaited until now.
    pub fn begin(&mut self, now_us: u64) {
        self.feedback_us = now_us;
    }

    /// Whether the sender uses this share of the estimate.
    fn uses(&self, share: f64) -> bool {
        self.sent.average().is_some_and(|sent| sent > share * self.estimate)
    }

    fn severe(&self) -> bool {
        self.delay.queue_us() > SEVERE_US
    }

    fn back_off(&mut self, now_us: u64) {
        let Some(arrived) = self.arrived.recent() else { return };
        let queue = self.delay.queue_us() as f64 / 1e6;
        let mut target = arrived * (BACK_OFF - (queue / 2.0).min(DRAIN_MAX));
        if self.congested_by_us() {
            let similar = self.ceiling.filter(|ceiling| (CEILING.0..CEILING.1).contains(&(arrived / ceiling)));
            self.ceiling = Some(similar.map_or(arrived, |ceiling| 0.7 * ceiling + 0.3 * arrived));
        } else {
            // Hardly our doing: what little arrives is no measure of the path.
            target = target.max(self.estimate * BACK_OFF);
        }
        if target < self.estimate {
            self.estimate = target;
        }
        self.backed_off_us = now_us;
    }

    fn grow(&mut self, elapsed: f64, response_us: u64) {
        let Some(arrived) = self.arrived.average() else { return };
        if !self.uses(USED) || self.estimate > arrived * AHEAD {
            return;
        }
        if self.ceiling.is_some_and(|ceiling| self.estimate > CEILING.1 * ceiling) {
            self.ceiling = None;
        }
        let near = self.ceiling.is_some_and(|ceiling| self.estimate > CEILING.0 * ceiling);
        let per_second = if near {
            (CAREFUL_BITS * 1e6 / response_us as f64).max(CAREFUL_GROWTH * self.estimate)
        } else {
            GROWTH * self.estimate
        };
        self.estimate += per_second * elapsed;
    }
}
