//! Who speaks, from the audio levels that publishers put beside their encrypted audio (RFC 6464).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::id::{ParticipantId, TrackId};
use crate::io::Speaker;

/// Lists are made this often.
pub const INTERVAL: Duration = Duration::from_millis(200);
/// Longest list; nobody can follow more.
const SPEAKERS_MAX: usize = 8;
/// Louder than this counts as speech, in -dBov. Browsers send silence as 127 and room noise around 60.
const SPEECH: u8 = 50;
/// A speaker stays one for so long after the last loud packet, so that pauses between words do not flicker.
const HOLD: Duration = Duration::from_millis(800);
/// Levels are reported in steps of this, so that small changes are no news.
const STEP: u8 = 6;

/// The speakers of one conference, among the tracks published at this engine.
#[derive(Debug, Default)]
pub struct SpeakerDetector {
    voices: BTreeMap<TrackId, Voice>,
    reported: Vec<Speaker>,
}

#[derive(Debug)]
struct Voice {
    participant: ParticipantId,
    /// Smoothed over some 10 packets, in 1/16 dB below 0 dBov.
    level: u16,
    last_speech: Option<Instant>,
}

impl SpeakerDetector {
    /// One audio packet's level, in -dBov.
    pub fn handle_level(&mut self, now: Instant, track: TrackId, participant: ParticipantId, level: u8) {
        let sample = u16::from(level.min(127)) * 16;
        let voice = self.voices.entry(track).or_insert(Voice { participant, level: sample, last_speech: None });
        // Up at once, down slowly: the first word counts.
        voice.level = if sample < voice.level { sample.midpoint(voice.level) } else { (voice.level * 7 + sample) / 8 };
        if voice.level <= u16::from(SPEECH) * 16 {
            voice.last_speech = Some(now);
        }
    }

    pub fn remove(&mut self, track: TrackId) {
        self.voices.remove(&track);
    }

    /// The new list, if it is news.
    pub fn poll(&mut self, now: Instant) -> Option<Vec<Speaker>> {
        let mut speakers: Vec<Speaker> = self
            .voices
            .values()
            .filter(|voice| voice.last_speech.is_some_and(|last| now < last + HOLD))
            .map(|voice| Speaker { participant: voice.participant, level: (voice.level / 16) as u8 / STEP * STEP })
            .collect();
        speakers.sort_by_key(|speaker| (speaker.level, speaker.participant));
        // With several audio tracks one is still one speaker: the loudest counts.
        let mut named = BTreeSet::new();
        speakers.retain(|speaker| named.insert(speaker.participant));
        speakers.truncate(SPEAKERS_MAX);
        if speakers == self.reported {
            return None;
        }
        self.reported.clone_from(&speakers);
        Some(speakers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::epoch;

    #[test]
    fn loudest_first_and_gone_after_the_hold() {
        let start = epoch();
        let mut detector = SpeakerDetector::default();
        for i in 0..20 {
            let now = start + Duration::from_millis(20 * i);
            detector.handle_level(now, TrackId(1), ParticipantId(1), 40);
            detector.handle_level(now, TrackId(2), ParticipantId(2), 20);
            detector.handle_level(now, TrackId(3), ParticipantId(3), 100);
        }
        let now = start + Duration::from_millis(400);
        let speakers = detector.poll(now).expect("news");
        let order: Vec<u64> = speakers.iter().map(|s| s.participant.0).collect();
        assert_eq!(order, [2, 1]);
        assert_eq!(detector.poll(now), None, "no news");
        detector.handle_level(now, TrackId(4), ParticipantId(2), 30);
        assert_eq!(detector.poll(now), None, "a second track makes no second speaker");
        assert_eq!(detector.poll(now + HOLD), Some(vec![]));
    }
}
