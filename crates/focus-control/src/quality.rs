//! From the numbers of one participant's connection to the word that people are shown.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use focus_signaling::wire::Score;
use sfu_core::{ParticipantId, Quality};

use crate::bounds::QUALITY_INTERVAL;
use crate::throttle::{Throttle, Turn};

/// Loss that retransmission and Opus's own repair hide, and loss that nothing hides.
const LOSS_FAIR: f32 = 0.02;
const LOSS_POOR: f32 = 0.08;
/// ITU-T G.114: up to 150 ms from mouth to ear nobody notices, beyond 400 ms a conversation suffers. The way leads over two
/// connections like this one, there and not back, so a round trip here is a fair guess for all of it.
const RTT_FAIR: Duration = Duration::from_millis(150);
const RTT_POOR: Duration = Duration::from_millis(400);

pub(crate) fn score(quality: &Quality) -> Score {
    let loss = quality.uplink_loss.max(quality.downlink_loss);
    let rtt = quality.rtt.unwrap_or_default();
    if quality.silent {
        Score::Lost
    } else if loss > LOSS_POOR || rtt > RTT_POOR {
        Score::Poor
    } else if loss > LOSS_FAIR || rtt > RTT_FAIR {
        Score::Fair
    } else {
        Score::Good
    }
}

/// The scores of one conference.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    now: BTreeMap<ParticipantId, Score>,
    sent: BTreeMap<ParticipantId, Score>,
    throttle: Throttle,
}

impl Scores {
    pub(crate) fn report(&mut self, participant: ParticipantId, score: Score) {
        self.now.insert(participant, score);
    }

    pub(crate) fn forget(&mut self, participant: ParticipantId) {
        self.now.remove(&participant);
        self.sent.remove(&participant);
    }

    /// What was sent, for somebody who was not there.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (ParticipantId, Score)> {
        self.sent.iter().map(|(participant, score)| (*participant, *score))
    }

    /// What has changed and may be sent now.
    pub(crate) fn poll(&mut self, now: Instant) -> Turn<Vec<(ParticipantId, Score)>> {
        let changed: Vec<_> =
            self.now.iter().filter(|(p, score)| self.sent.get(p) != Some(score)).map(|(p, s)| (*p, *s)).collect();
        if changed.is_empty() {
            return Turn::Nothing;
        }
        self.throttle.turn(now, QUALITY_INTERVAL, || {
            self.sent.extend(changed.iter().copied());
            changed
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_the_worst_of_its_reasons() {
        let good = Quality { uplink_loss: 0.0, downlink_loss: 0.02, rtt: None, silent: false, quiet: Duration::ZERO };
        assert_eq!(score(&good), Score::Good);
        assert_eq!(score(&Quality { uplink_loss: 0.05, ..good }), Score::Fair);
        assert_eq!(score(&Quality { downlink_loss: 0.5, ..good }), Score::Poor);
        assert_eq!(score(&Quality { rtt: Some(Duration::from_millis(151)), ..good }), Score::Fair);
        assert_eq!(score(&Quality { rtt: Some(Duration::from_secs(1)), ..good }), Score::Poor);
        assert_eq!(score(&Quality { silent: true, ..good }), Score::Lost);
        assert_eq!(score(&Quality { uplink_loss: f32::NAN, ..good }), Score::Good, "no number, no complaint");
    }
}
