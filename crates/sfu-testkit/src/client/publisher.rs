//! Sends one source: an Opus-like stream, or VP8 in up to three simulcast layers, each with pictures that follow one another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use focus_signaling::wire::{Answer, Encryption, Kind, PublishedTrack, Source};
use str0m::media::Rid;

use super::call::{Call, Described, RtpOut};
use super::view::kind_of;
use super::{ClientSetup, Publish};
use crate::media::vp8::Descriptor;
use crate::media::{AUDIO_PPS, CAMERA, Canary, FPS, Layer};
use crate::random::Random;

/// Bytes of a video packet's and an audio packet's payload. Small, because a simulation pays for each byte twice.
const VIDEO_BYTES: usize = 220;
const VIDEO_BYTES_HEAVY: usize = 1000;
/// How many times as many packets fill a frame of each layer of a heavy video.
const HEAVY: [u8; 3] = [1, 2, 4];
const AUDIO_BYTES: usize = 80;

pub struct Publisher {
    pub source: Source,
    /// The m-line.
    pub line: usize,
    /// The focus's name for it, once answered.
    pub track: Option<String>,
    pub muted: bool,
    /// A client that says it is muted and sends all the same.
    pub sends_while_muted: bool,
    /// Sends noise in the place of VP8.
    pub garbage: bool,
    pub layers: Vec<LayerState>,
    /// -dBov of the audio-level extension, as str0m has it: 0 loudest, -127 silence.
    pub level: i8,
    /// Key-frame requests heard.
    pub requests: u64,
    /// Packets sent, by layer: (frame, index, µs).
    pub sent: u64,
    publisher: u32,
    life: u32,
    ordinal: u8,
    epoch: Instant,
    clock: u32,
    first_timestamp: u32,
    began: Option<Instant>,
    next_at: Option<Instant>,
    ticks: u32,
    /// Sequence numbers that it leaves out after each frame, as one does that drops packets of its own.
    pub skips: u64,
    encrypted: bool,
    /// Bytes of a video packet's payload.
    bytes: usize,
}

pub struct LayerState {
    pub rid: Option<Rid>,
    pub active: bool,
    pub keyframes: u64,
    layer: Layer,
    sequence: u64,
    frame: u32,
    picture_id: u16,
    tl0: u8,
    wants_keyframe: bool,
    timestamp_offset: u32,
}

impl Publisher {
    pub(super) fn new(
        setup: &ClientSetup,
        publish: Publish,
        ordinal: usize,
        call: &mut Call,
        random: &mut Random,
        (index, life, epoch): (usize, u32, Instant),
    ) -> Self {
        let kind = kind_of(publish.source);
        let used = if kind == Kind::Audio || publish.layers == 1 { &CAMERA[2..] } else { &CAMERA[..publish.layers] };
        let simulcast = kind == Kind::Video && publish.layers > 1;
        let rids = if simulcast { used.iter().map(|layer| layer.rid).collect() } else { Vec::new() };
        let layers = used
            .iter()
            .map(|layer| heavier(*layer, setup.heavy))
            .map(|layer| LayerState {
                rid: simulcast.then(|| Rid::from(layer.rid)),
                active: true,
                keyframes: 0,
                layer,
                sequence: setup.first_sequence.map_or_else(|| random.below(1 << 15), u64::from),
                frame: 0,
                picture_id: random.below(1 << 15) as u16,
                tl0: random.below(256) as u8,
                wants_keyframe: true,
                // Browsers give each simulcast stream a timestamp base of its own.
                timestamp_offset: random.u64() as u32,
            })
            .collect();
        Self {
            source: publish.source,
            line: call.add_source(kind, rids),
            track: None,
            muted: publish.muted,
            sends_while_muted: false,
            garbage: false,
            layers,
            level: -127,
            requests: 0,
            sent: 0,
            publisher: index as u32,
            life,
            ordinal: ordinal as u8,
            epoch,
            clock: if kind == Kind::Audio { 48_000 } else { 90_000 },
            first_timestamp: random.u64() as u32,
            began: None,
            next_at: None,
            ticks: random.below(20) as u32,
            skips: 0,
            encrypted: setup.encrypted,
            bytes: if setup.heavy { VIDEO_BYTES_HEAVY } else { VIDEO_BYTES },
        }
    }

    pub(super) fn describe(&self) -> Described {
        let video = self.is_video().then(|| self.layers.last().map(|state| state.layer)).flatten();
        let track = PublishedTrack {
            mid: String::new(),
            source: self.source,
            muted: self.muted,
            enc: self.encrypted.then(|| Encryption { format: "sframe".into(), key_index: 0 }),
            width: video.map(|layer| layer.width),
            height: video.map(|layer| layer.height),
        };
        Described { line: self.line, track }
    }

    pub(super) fn handle_answer(&mut self, now: Instant, call: &mut Call, answer: &Answer) {
        let Some(mid) = call.mid(self.line).map(|mid| mid.to_string()) else { return };
        if let Some(named) = answer.tracks.iter().find(|track| track.mid == mid) {
            self.track = Some(named.track.clone());
        }
        for layer in &self.layers {
            call.lift_rtx_cap(self.line, layer.rid);
        }
        if call.is_connected() {
            self.start(now);
        }
    }

    fn is_video(&self) -> bool {
        kind_of(self.source) == Kind::Video
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1) / if self.is_video() { FPS } else { AUDIO_PPS }
    }

    /// Media may flow.
    pub(super) fn start(&mut self, now: Instant) {
        if self.began.is_none() && self.track.is_some() {
            self.began = Some(now);
            self.next_at = Some(now + self.interval().mul_f64(f64::from(self.ticks) / 20.0));
            self.ticks = 0;
        }
    }

    pub(super) fn handle_keyframe_request(&mut self, rid: Option<Rid>) {
        self.requests += 1;
        for layer in self.layers.iter_mut().filter(|layer| rid.is_none() || layer.rid == rid) {
            layer.wants_keyframe = true;
        }
    }

    pub fn set_layer(&mut self, rid: &str, active: bool) {
        let layer = self.layers.iter_mut().find(|layer| layer.layer.rid == rid).expect("a layer of that rid");
        // An encoder that starts again begins with a key frame.
        layer.wants_keyframe |= active && !layer.active;
        layer.active = active;
    }

    /// Leaves out so many sequence numbers at once, and goes on with a key frame.
    pub fn jump(&mut self, numbers: u64) {
        for state in &mut self.layers {
            state.sequence += numbers;
            state.wants_keyframe = true;
        }
    }

    /// New SSRCs, numbers and clocks; the next picture is a key frame.
    pub(super) fn restart(&mut self, call: &mut Call, random: &mut Random) {
        for state in &mut self.layers {
            call.restart_ssrc(self.line, state.rid, random.u64() as u32 & !1);
            call.lift_rtx_cap(self.line, state.rid);
            state.sequence = random.below(1 << 15);
            state.timestamp_offset = random.u64() as u32;
            state.wants_keyframe = true;
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next_at
    }

    pub(super) fn send_due(&mut self, now: Instant, call: &mut Call, conference: u32) {
        while let Some(at) = self.next_at.filter(|at| *at <= now) {
            self.next_at = Some(at + self.interval());
            self.ticks = self.ticks.wrapping_add(1);
            if !self.muted || self.sends_while_muted {
                let passed = at - self.began.unwrap_or(at);
                let timestamp = (passed.as_nanos() * u128::from(self.clock) / 1_000_000_000) as u32;
                let timestamp = self.first_timestamp.wrapping_add(timestamp);
                if self.is_video() {
                    self.send_pictures(now, call, conference, timestamp)
                } else {
                    self.send_sound(now, call, conference, timestamp)
                }
            }
        }
    }

    fn canary(&self, now: Instant, conference: u32) -> Canary {
        Canary {
            conference,
            publisher: self.publisher,
            life: self.life,
            source: self.ordinal,
            layer: 0,
            frame: 0,
            index: 0,
            count: 1,
            keyframe: false,
            tid: 0,
            captured_us: (now - self.epoch).as_micros() as u64,
        }
    }

    fn send_sound(&mut self, now: Instant, call: &mut Call, conference: u32, timestamp: u32) {
        let canary = self.canary(now, conference);
        let state = &mut self.layers[0];
        let mut payload = Vec::with_capacity(AUDIO_BYTES);
        Canary { frame: state.frame, ..canary }.write(AUDIO_BYTES, &mut payload);
        let out = RtpOut {
            line: self.line,
            rid: None,
            sequence: state.sequence,
            timestamp,
            marker: state.frame == 0,
            level: Some(self.level),
            payload: Arc::from(payload),
        };
        if call.write(now, out) {
            call.flush(now);
            state.frame += 1;
            state.sequence += 1 + self.skips;
            self.sent += 1;
        }
    }

    fn send_pictures(&mut self, now: Instant, call: &mut Call, conference: u32, timestamp: u32) {
        let canary = self.canary(now, conference);
        for (index, state) in self.layers.iter_mut().enumerate().filter(|(_, state)| state.active) {
            let keyframe = std::mem::take(&mut state.wants_keyframe);
            state.keyframes += u64::from(keyframe);
            // Two temporal layers: every other picture is in the upper one, unless it is a key frame.
            let tid = if keyframe { 0 } else { (state.frame % 2) as u8 };
            state.tl0 = state.tl0.wrapping_add(u8::from(tid == 0));
            // Key frames are larger.
            let count = state.layer.packets * if keyframe { 2 } else { 1 };
            for packet in 0..count {
                let start = packet == 0;
                let mut payload = Vec::with_capacity(VIDEO_BYTES + 8);
                Descriptor {
                    start,
                    picture_id: state.picture_id,
                    tl0_pic_idx: state.tl0,
                    tid,
                    keyframe: start && keyframe,
                }
                .write(&mut payload);
                Canary { layer: index as u8, frame: state.frame, index: packet, count, keyframe, tid, ..canary }
                    .write(self.bytes, &mut payload);
                if self.garbage {
                    let mut random = Random::stream(u64::from(state.frame), &[state.sequence]);
                    payload.resize(random.below(300) as usize, 0);
                    random.fill(&mut payload);
                }
                let out = RtpOut {
                    line: self.line,
                    rid: state.rid,
                    sequence: state.sequence,
                    timestamp: timestamp.wrapping_add(state.timestamp_offset),
                    marker: packet + 1 == count,
                    level: None,
                    payload: Arc::from(payload),
                };
                if !call.write(now, out) {
                    return;
                }
                state.sequence += 1;
                self.sent += 1;
            }
            // Layer by layer: what is written together leaves str0m in an order that depends on its random SSRCs.
            call.flush(now);
            state.sequence += self.skips;
            state.frame += 1;
            state.picture_id = (state.picture_id + 1) & 0x7fff;
        }
    }
}

/// A layer of the bitrate that browsers give it.
fn heavier(layer: Layer, heavy: bool) -> Layer {
    let place = CAMERA.iter().position(|other| other.rid == layer.rid).unwrap_or(0);
    Layer { packets: layer.packets * if heavy { HEAVY[place] } else { 1 }, ..layer }
}
