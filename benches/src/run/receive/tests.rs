use std::time::Duration;

use super::*;

const FRAME: Duration = Duration::from_millis(40);

#[test]
fn losses_are_counted_and_repairs_are_not() {
    let mut sequence = Sequence::default();
    assert!(sequence.handle(65_534));
    assert!(sequence.handle(1), "65535 and 0 are missing");
    assert_eq!((sequence.expected(), sequence.lost()), (4, 2));
    assert!(sequence.handle(65_535), "repaired");
    assert!(!sequence.handle(65_535), "and sent again");
    assert!(!sequence.handle(1));
    assert_eq!(sequence.lost(), 1);
    sequence.begin();
    assert_eq!((sequence.expected(), sequence.lost()), (0, 0));
    assert!(sequence.handle(0), "of before the window: known, but not counted");
    assert!(sequence.handle(2));
    assert_eq!((sequence.expected(), sequence.lost()), (1, 0));
}

#[test]
fn a_long_gap_forgets_what_was_before() {
    let mut sequence = Sequence::default();
    (0..3000).for_each(|number| assert!(sequence.handle(number)));
    assert!(sequence.handle(20_000));
    assert_eq!(sequence.lost(), 20_000 - 3000);
    assert!(!sequence.handle(3000), "too late to tell");
    assert!(sequence.handle(19_999));
}

/// A viewer and its clock.
struct Viewer {
    frames: Frames,
    now: Instant,
}

impl Viewer {
    fn new() -> Self {
        Self { frames: Frames::new(25), now: Instant::now() }
    }

    /// The packets `which` of a frame of three, one frame time after the last call.
    fn frame(&mut self, layer: u8, frame: u32, keyframe: bool, which: &[u16]) -> bool {
        self.now += FRAME;
        which.iter().fold(false, |asks, index| asks | self.packet(layer, frame, keyframe, *index))
    }

    fn packet(&mut self, layer: u8, frame: u32, keyframe: bool, index: u16) -> bool {
        let mark = Mark { person: 0, source: 1, layer, frame, index, count: 3, stamp: 0 };
        self.frames.handle(self.now, &mark, keyframe)
    }
}

const WHOLE: &[u16] = &[0, 1, 2];

#[test]
fn a_smooth_picture_never_freezes() {
    let mut viewer = Viewer::new();
    for frame in 0..100 {
        assert!(!viewer.frame(0, frame, frame == 0, WHOLE));
    }
    assert_eq!((viewer.frames.shown, viewer.frames.freezes), (100, 0));
}

#[test]
fn a_lost_packet_freezes_until_a_key_frame_that_is_asked_for() {
    let mut viewer = Viewer::new();
    viewer.frame(0, 0, true, WHOLE);
    viewer.frame(0, 1, false, &[0, 2]);
    let asks: Vec<u32> = (2..40).filter(|frame| viewer.frame(0, *frame, false, WHOLE)).collect();
    assert_eq!(asks.len(), 2, "after the patience, and a second later: {asks:?}");
    assert_eq!(viewer.frames.shown, 1);
    viewer.frame(0, 40, true, WHOLE);
    assert_eq!((viewer.frames.shown, viewer.frames.freezes, viewer.frames.frozen), (2, 1, FRAME * 40));
    viewer.frame(0, 41, false, WHOLE);
    assert_eq!(viewer.frames.shown, 3);
}

#[test]
fn a_repaired_packet_shows_all_that_waited() {
    let mut viewer = Viewer::new();
    viewer.frame(0, 0, true, WHOLE);
    viewer.frame(0, 1, false, &[0, 1]);
    viewer.frame(0, 2, false, WHOLE);
    assert!(!viewer.packet(0, 1, false, 2));
    assert_eq!((viewer.frames.shown, viewer.frames.freezes), (3, 0));
}

#[test]
fn a_switch_of_layers_goes_on_with_its_key_frame() {
    let mut viewer = Viewer::new();
    viewer.frame(1, 0, true, WHOLE);
    viewer.frame(1, 1, false, WHOLE);
    viewer.frame(0, 2, true, WHOLE);
    viewer.frame(0, 3, false, WHOLE);
    assert_eq!((viewer.frames.shown, viewer.frames.freezes), (4, 0));
    assert!(viewer.frames.pending_is_empty());
}

#[test]
fn standing_still_at_either_end_of_the_window_counts() {
    let mut viewer = Viewer::new();
    viewer.frame(0, 0, true, WHOLE);
    viewer.now += Duration::from_secs(5);
    viewer.frames.begin(viewer.now);
    viewer.now += Duration::from_millis(500);
    viewer.packet(0, 1, false, 0);
    viewer.packet(0, 1, false, 1);
    viewer.packet(0, 1, false, 2);
    assert_eq!(viewer.frames.frozen, Duration::from_millis(500));
    viewer.frames.end(viewer.now + Duration::from_secs(1));
    assert_eq!((viewer.frames.freezes, viewer.frames.frozen), (2, Duration::from_millis(1500)));
}

#[test]
fn a_stream_of_somebody_else_is_a_fault() {
    let mut stream = Stream::new(Expected { person: 7, source: Source::Audio }, None);
    let (mut latency, now) = (Histogram::default(), Instant::now());
    let mark = Mark { person: 7, source: 0, layer: 0, frame: 0, index: 0, count: 1, stamp: 1_000_000 };
    let mut send = |stream: &mut Stream, sequence, payload: &[u8]| {
        let payload = Bytes::copy_from_slice(payload);
        let arrival = Arrival { at: now, clock: 1_500_000, sequence, marker: false, payload, length: 100 };
        stream.handle_packet(&arrival, None, &mut latency)
    };
    assert_eq!(send(&mut stream, 1, &mark.padded(80)), Verdict::Fine);
    assert_eq!(send(&mut stream, 1, &mark.padded(80)), Verdict::Ignored);
    assert_eq!(send(&mut stream, 2, &Mark { person: 8, ..mark }.padded(80)), Verdict::Ignored);
    assert_eq!(send(&mut stream, 3, &[]), Verdict::Ignored);
    assert_eq!((stream.packets, stream.bytes, stream.foreign, stream.sequence.lost()), (3, 300, 1, 0));
    assert_eq!((latency.max(), latency.percentile(0.5)), (Some(500.0), Some(500.0)));
}
