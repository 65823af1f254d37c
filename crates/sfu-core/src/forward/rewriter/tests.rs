use super::*;
use crate::codec::{Codec, CodecName};
use crate::rtp::vp8;
use crate::test_time::epoch;

fn packet(sequence: u64, timestamp: u32, picture_id: u16, tl0: u8) -> Head {
    let [high, low] = picture_id.to_be_bytes();
    Head {
        source: 1,
        sequence,
        timestamp,
        marker: false,
        codec: Codec { name: CodecName::Vp8, profile: 0, clock_rate: 90_000 },
        keyframe: false,
        extensions: Default::default(),
        received: epoch(),
        vp8: vp8::Descriptor::parse(&[0x90, 0xe0, high | 0x80, low, tl0, 0x20, 0x00]),
    }
}

fn picture(numbers: Numbers) -> (u16, u8) {
    let vp8 = numbers.vp8.expect("VP8");
    (vp8.picture_id.expect("id"), vp8.tl0_picture_index.expect("tl0"))
}

#[test]
fn a_switch_is_invisible() {
    let start = epoch();
    let mut rewriter = Rewriter::new(100, 5_000, 7);
    let first = packet(40_000, 1_000_000, 900, 3);
    rewriter.switch(start, &first, Duration::ZERO);
    let a = rewriter.rewrite(start, &first).expect("first");
    assert_eq!((a.sequence, picture(a)), (100, (8, 1)));

    let later = start + Duration::from_millis(100);
    let other = packet(9, 77, 20_000, 200);
    rewriter.switch(later, &other, Duration::ZERO);
    let b = rewriter.rewrite(later, &other).expect("second source");
    assert_eq!((b.sequence, picture(b)), (101, (9, 2)));
    assert_eq!(b.timestamp.wrapping_sub(a.timestamp), 9_000, "100 ms at 90 kHz");
    assert!(rewriter.rewrite(later, &packet(8, 70, 19_999, 199)).is_none(), "older than the switch");
}

#[test]
fn a_replay_catches_up_with_the_clock() {
    let start = epoch();
    let mut rewriter = Rewriter::new(0, 0, 0);
    rewriter.switch(start, &packet(1, 0, 1, 1), Duration::ZERO);
    let a = rewriter.rewrite(start, &packet(1, 0, 1, 1)).expect("first");
    // 300 ms later comes a source whose key frame is 200 ms old.
    let now = start + Duration::from_millis(300);
    let (first, newest) = (packet(50, 7_000, 9, 9), packet(56, 7_000 + 18_000, 12, 12));
    rewriter.switch(now, &first, Duration::from_millis(200));
    let b = rewriter.rewrite(now, &first).expect("key frame");
    let c = rewriter.rewrite(now, &newest).expect("newest");
    assert_eq!(b.timestamp.wrapping_sub(a.timestamp), 9_000);
    assert_eq!(c.timestamp.wrapping_sub(a.timestamp), 27_000, "300 ms at 90 kHz");
    // One that is older than what was sent last still comes behind it.
    rewriter.switch(now, &packet(100, 0, 1, 1), Duration::from_millis(400));
    let d = rewriter.rewrite(now, &packet(100, 0, 1, 1)).expect("third");
    assert!(d.timestamp.wrapping_sub(c.timestamp) < 1_000 && d.timestamp != c.timestamp);
}

#[test]
fn late_packets_fill_their_own_gap() {
    let now = epoch();
    let mut rewriter = Rewriter::new(0, 0, 0);
    let first = packet(10, 0, 1, 1);
    rewriter.switch(now, &first, Duration::ZERO);
    let sequence = |rewriter: &mut Rewriter, input| rewriter.rewrite(now, &packet(input, 0, 1, 1)).map(|n| n.sequence);
    assert_eq!(sequence(&mut rewriter, 10), Some(0));
    assert_eq!(sequence(&mut rewriter, 13), Some(3));
    assert_eq!(sequence(&mut rewriter, 11), Some(1));
    rewriter.switch(now, &packet(500, 0, 1, 1), Duration::ZERO);
    assert_eq!(sequence(&mut rewriter, 500), Some(4), "behind the highest ever sent");
}

#[test]
fn two_sources_never_share_a_timestamp() {
    let now = epoch();
    let mut rewriter = Rewriter::new(0, 0, 0);
    rewriter.switch(now, &packet(1, 50, 1, 1), Duration::ZERO);
    let a = rewriter.rewrite(now, &packet(1, 50, 1, 1)).expect("a");
    rewriter.switch(now, &packet(1, 50, 1, 1), Duration::ZERO);
    let b = rewriter.rewrite(now, &packet(1, 50, 1, 1)).expect("b");
    assert!(b.timestamp.wrapping_sub(a.timestamp) >= 700);
}

#[test]
fn narrow_picture_ids_stay_narrow() {
    let now = epoch();
    let mut rewriter = Rewriter::new(0, 0, 0x7ffe);
    let narrow = Head { vp8: vp8::Descriptor::parse(&[0x90, 0x80, 0x05, 0x00]), ..packet(1, 0, 0, 0) };
    rewriter.switch(now, &narrow, Duration::ZERO);
    let numbers = rewriter.rewrite(now, &narrow).expect("narrow");
    assert_eq!(numbers.vp8.expect("VP8").picture_id, Some(0x7f));
}
