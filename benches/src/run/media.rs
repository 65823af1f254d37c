//! What publishers send: synthetic, but of the shape that cameras, screens and microphones give.

use std::time::{Duration, Instant};

use super::crypt::{self, Crypt};
use super::mark::{DESCRIPTOR, Mark, Picture, SIZE_MIN};
use super::plan::Source;

/// Bytes of a video payload at most: fits an MTU of 1200 with headers, SRTP and a server's own extensions.
const PAYLOAD_MAX: usize = 1100;
/// A key frame is as long as so many others.
const KEYFRAME_FACTOR: usize = 6;
/// Opus at 32 kbit/s.
const AUDIO_SIZE: usize = 80;
const AUDIO_TIME: Duration = Duration::from_millis(20);
/// A generator that was held up for longer leaves frames out rather than sending them in a heap.
const CATCH_UP_MAX: Duration = Duration::from_millis(200);

/// One encoding of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Empty without simulcast.
    pub rid: &'static str,
    pub width: u16,
    pub height: u16,
    pub bits_per_second: u32,
}

/// Frames a second; `None` for audio.
pub fn fps(source: Source) -> Option<u32> {
    match source {
        Source::Audio => None,
        Source::Video => Some(25),
        Source::Screen => Some(10),
    }
}

/// Encodings of a source, smallest first; none for audio.
pub fn layers(source: Source, simulcast: bool) -> &'static [Layer] {
    const SMALL: Layer = Layer { rid: "q", width: 320, height: 180, bits_per_second: 150_000 };
    const LARGE: Layer = Layer { rid: "f", width: 1280, height: 720, bits_per_second: 1_200_000 };
    match (source, simulcast) {
        (Source::Audio, _) => &[],
        (Source::Video, true) => &[SMALL, LARGE],
        (Source::Video, false) => &[Layer { rid: "", width: 640, height: 360, bits_per_second: 500_000 }],
        (Source::Screen, _) => &[Layer { rid: "", width: 1280, height: 720, bits_per_second: 800_000 }],
    }
}

/// One packet to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// Index of the encoding.
    pub layer: usize,
    pub payload: Vec<u8>,
    pub timestamp: u32,
    pub marker: bool,
    /// Loudness in −dBov (RFC 6464), of audio.
    pub level: Option<u8>,
}

/// Generates one source of one participant.
#[derive(Debug)]
pub struct Feed {
    pub source: Source,
    person: u32,
    layers: &'static [Layer],
    next_at: Option<Instant>,
    frame: u32,
    /// By layer.
    wants_keyframe: Vec<bool>,
    /// Participants take turns to speak: this one's turn, of how many.
    turn: (usize, usize),
    /// Index of the key of the last frame: a new one begins with a key frame.
    key_index: Option<u32>,
}

/// How long each one speaks.
const TURN: Duration = Duration::from_secs(3);

impl Feed {
    pub fn new(source: Source, person: u32, simulcast: bool, turn: (usize, usize)) -> Self {
        let layers = layers(source, simulcast);
        let wants_keyframe = vec![true; layers.len()];
        Self { source, person, layers, next_at: None, frame: 0, wants_keyframe, turn, key_index: None }
    }

    /// First frame.
    pub fn start(&mut self, at: Instant) {
        self.next_at = Some(at);
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.next_at
    }

    pub fn request_keyframe(&mut self, layer: usize) {
        if let Some(wants) = self.wants_keyframe.get_mut(layer) {
            *wants = true;
        }
    }

    fn frame_time(&self) -> Duration {
        fps(self.source).map_or(AUDIO_TIME, |fps| Duration::from_secs(1) / fps)
    }

    /// The frames that are due. `clock`: now, as [`Mark::stamp`]. With `crypt` they are encrypted, and left out while there
    /// is no key.
    pub fn handle_timeout(&mut self, now: Instant, clock: u64, crypt: Option<&dyn Crypt>, out: &mut Vec<Outgoing>) {
        let Some(mut at) = self.next_at.filter(|at| *at <= now) else { return };
        if now - at > CATCH_UP_MAX {
            at = now;
        }
        let key_index = crypt.map(|crypt| *crypt.index().borrow());
        if key_index != self.key_index {
            self.key_index = key_index;
            self.wants_keyframe.fill(true);
        }
        while at <= now {
            match self.source.is_audio() {
                true => self.audio(clock, crypt, out),
                false => (0..self.layers.len()).for_each(|layer| self.video(layer, clock, crypt, out)),
            }
            self.frame += 1;
            at += self.frame_time();
        }
        self.next_at = Some(at);
    }

    fn mark(&self, layer: usize, clock: u64) -> Mark {
        let (source, layer) = (self.source as u8, layer as u8);
        Mark { person: self.person, source, layer, frame: self.frame, index: 0, count: 1, stamp: clock }
    }

    fn audio(&self, clock: u64, crypt: Option<&dyn Crypt>, out: &mut Vec<Outgoing>) {
        let frames_of_a_turn = (TURN.as_millis() / AUDIO_TIME.as_millis()) as usize;
        let speaks = self.frame as usize / frames_of_a_turn % self.turn.1.max(1) == self.turn.0;
        let mark = self.mark(0, clock);
        let payload = match crypt {
            None => mark.padded(AUDIO_SIZE),
            Some(crypt) => match crypt::seal_audio(crypt, &mark.padded(AUDIO_SIZE - crypt::OVERHEAD_MAX)) {
                Some(payload) => payload,
                None => return,
            },
        };
        out.push(Outgoing {
            layer: 0,
            payload,
            timestamp: self.frame.wrapping_mul(48 * AUDIO_TIME.as_millis() as u32),
            marker: self.frame == 0,
            // Speech, or the hum of a room.
            level: Some(if speaks { 25 + (self.frame * 7 % 11) as u8 } else { 70 }),
        });
    }

    fn video(&mut self, layer: usize, clock: u64, crypt: Option<&dyn Crypt>, out: &mut Vec<Outgoing>) {
        let fps = fps(self.source).unwrap_or(1);
        let Layer { width, height, bits_per_second, .. } = self.layers[layer];
        let keyframe = std::mem::take(&mut self.wants_keyframe[layer]);
        // Up to a fifth longer or shorter, the same in each run.
        let vary = 80 + self.frame as usize * 37 % 41;
        let bytes = (bits_per_second / 8 / fps) as usize * vary / 100 * if keyframe { KEYFRAME_FACTOR } else { 1 };
        let picture = Picture { id: self.frame as u16 & 0x7fff, keyframe, width, height };
        let timestamp = self.frame.wrapping_mul(90_000 / fps);
        if let Some(crypt) = crypt {
            let plaintext = self.mark(layer, clock).padded(bytes);
            let Some(frame) = crypt::seal_vp8(crypt, keyframe, width, height, &plaintext) else {
                self.wants_keyframe[layer] |= keyframe;
                return;
            };
            let parts = frame.chunks(PAYLOAD_MAX - DESCRIPTOR);
            let last = parts.len() - 1;
            out.extend(parts.enumerate().map(|(index, part)| {
                let payload = [&picture.descriptor(index == 0)[..], part].concat();
                Outgoing { layer, payload, timestamp, marker: index == last, level: None }
            }));
            return;
        }
        let count = bytes.div_ceil(PAYLOAD_MAX).max(1);
        for index in 0..count {
            let mark = Mark { index: index as u16, count: count as u16, ..self.mark(layer, clock) };
            out.push(Outgoing {
                layer,
                payload: mark.vp8((bytes / count).max(SIZE_MIN), picture),
                timestamp,
                marker: index + 1 == count,
                level: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(feed: &mut Feed) -> Vec<Outgoing> {
        let start = Instant::now();
        feed.start(start);
        let mut out = Vec::new();
        for ms in 0..1000 {
            feed.handle_timeout(start + Duration::from_millis(ms), ms, None, &mut out);
        }
        out
    }

    #[test]
    fn a_second_of_audio() {
        let out = second(&mut Feed::new(Source::Audio, 1, true, (0, 2)));
        assert_eq!(out.len(), 50);
        assert!(out.iter().all(|packet| packet.payload.len() == 80 && packet.level < Some(40)));
        assert_eq!(out[1].timestamp - out[0].timestamp, 960);
        let other = second(&mut Feed::new(Source::Audio, 1, true, (1, 2)));
        assert!(other.iter().all(|packet| packet.level == Some(70)), "not its turn");
    }

    #[test]
    fn a_second_of_video_has_the_promised_bitrate_and_the_asked_key_frames() {
        let mut feed = Feed::new(Source::Video, 1, true, (0, 1));
        // The first second begins with key frames, the second one has one that was asked for.
        for (round, keys_of_layers) in [(0, [1, 1]), (1, [0, 1])] {
            if round == 1 {
                feed.request_keyframe(1);
                feed.request_keyframe(9);
            }
            let out = second(&mut feed);
            for (layer, wanted_keys) in keys_of_layers.into_iter().enumerate() {
                let own: Vec<&Outgoing> = out.iter().filter(|packet| packet.layer == layer).collect();
                assert_eq!(own.iter().filter(|packet| packet.marker).count(), 25);
                let bits: usize = own.iter().map(|packet| packet.payload.len() * 8).sum();
                let wanted = layers(Source::Video, true)[layer].bits_per_second as usize;
                assert!(bits > wanted * 9 / 10 && bits < wanted * 13 / 10, "{bits} of {wanted}");
                let marks = own.iter().filter_map(|packet| Mark::read(&packet.payload, false));
                let keys = marks.filter(|(mark, keyframe)| *keyframe && mark.index == 0).count();
                assert_eq!(keys, wanted_keys, "layer {layer}");
            }
        }
    }

    #[test]
    fn who_was_held_up_leaves_frames_out() {
        let mut feed = Feed::new(Source::Video, 1, false, (0, 1));
        let (start, mut out) = (Instant::now(), Vec::new());
        feed.start(start);
        feed.handle_timeout(start + Duration::from_secs(3), 0, None, &mut out);
        assert_eq!(out.iter().filter(|packet| packet.marker).count(), 1);
        assert!(feed.deadline() > Some(start + Duration::from_secs(3)));
    }
}
