//! Loss, by transport-wide feedback alone: reception reports also count what was lost on the publisher's way.
//!
//! Some paths lose packets whatever is sent (radio), others because too much is (a short queue, a policer). An
//! experiment tells which: send less, and see whether the loss follows.

/// See the module.
#[derive(Debug, Default)]
pub struct Loss {
    /// (lost, told), in quarters of a second.
    quarters: [(u16, u16); 4],
    at: u8,
    began_us: u64,
    /// What this path loses anyhow, 0.0–1.0.
    inherent: f64,
    trial: Option<Trial>,
}

/// The estimate was cut because of loss.
#[derive(Debug)]
struct Trial {
    began_us: u64,
    share: f64,
    estimate_before: f64,
}

const QUARTER_US: u64 = 250_000;
/// With fewer packets one lost is already some percent.
const PACKETS_MIN: u32 = 30;
/// Loss that is not worth a thought, beyond the inherent.
const NOISE: f64 = 0.04;
/// Counts scatter the more the more is lost.
const SCATTER: f64 = 1.5;
/// When the loss that remains tells: what was under way has been told, and a full window is new.
const TRIAL_US: u64 = 1_200_000;
/// If so much of it remains, it was not our doing.
const REMAINS: f64 = 0.6;
/// More is never taken for granted.
const INHERENT_MAX: f64 = 0.25;
/// What was once inherent is doubted again: per quarter of a second.
const DOUBT: f64 = 0.995;

impl Loss {
    pub fn count(&mut self, lost: bool) {
        let (losses, told) = &mut self.quarters[usize::from(self.at)];
        *told = told.saturating_add(1);
        *losses = losses.saturating_add(u16::from(lost));
    }

    /// Call with each feedback message.
    pub fn advance(&mut self, now_us: u64) {
        if now_us >= self.began_us + QUARTER_US {
            self.began_us = now_us;
            self.at = (self.at + 1) % 4;
            self.quarters[usize::from(self.at)] = (0, 0);
            self.inherent *= DOUBT;
        }
    }

    /// The share lost, if it is more than this path loses anyhow. While an experiment runs, only what is worse than
    /// its cause.
    pub fn excess(&self) -> Option<f64> {
        let bearable = self.trial.as_ref().map_or(0.0, |trial| SCATTER * trial.share);
        self.share().filter(|share| *share > bearable.max(NOISE + SCATTER * self.inherent))
    }

    /// Too much is lost: answers what to send instead, and watches whether it helps.
    pub fn cut(&mut self, now_us: u64, share: f64, estimate: f64) -> f64 {
        // A second cut before the first one was judged begins it anew.
        let estimate_before = self.trial.take().map_or(estimate, |trial| trial.estimate_before);
        self.trial = Some(Trial { began_us: now_us, share, estimate_before });
        self.quarters = Default::default();
        estimate * (1.0 - share)
    }

    /// The end of the experiment: if the loss remained, what was sent before it.
    pub fn acquit(&mut self, now_us: u64) -> Option<f64> {
        let share = self.share()?;
        let trial = self.trial.take_if(|trial| now_us >= trial.began_us + TRIAL_US)?;
        if share < REMAINS * trial.share {
            return None;
        }
        self.inherent = share.min(INHERENT_MAX);
        Some(trial.estimate_before)
    }

    fn share(&self) -> Option<f64> {
        let sum =
            |part: fn(&(u16, u16)) -> u16| self.quarters.iter().map(|quarter| u32::from(part(quarter))).sum::<u32>();
        let (lost, told) = (sum(|quarter| quarter.0), sum(|quarter| quarter.1));
        (told >= PACKETS_MIN).then(|| f64::from(lost) / f64::from(told))
    }
}
