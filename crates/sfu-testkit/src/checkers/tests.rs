use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::media::Canary;
use crate::media::vp8::Descriptor;

const AT: Duration = Duration::from_secs(1);

/// One frame of two packets.
fn frame(frame: u32, layer: u8, keyframe: bool) -> Vec<RtpIn> {
    (0..2u8)
        .map(|index| {
            let canary = Canary {
                conference: 1,
                publisher: 0,
                life: 1,
                source: 1,
                layer,
                frame,
                index,
                count: 2,
                keyframe,
                tid: 0,
                captured_us: u64::from(frame) * 100_000,
            };
            let mut payload = Vec::new();
            let start = index == 0;
            let (picture_id, tl0_pic_idx) = (frame as u16, frame as u8);
            Descriptor { start, picture_id, tl0_pic_idx, tid: 0, keyframe: keyframe && start }.write(&mut payload);
            canary.write(100, &mut payload);
            RtpIn {
                line: 0,
                track: None,
                ssrc: 7,
                sequence: u64::from(frame) * 2 + u64::from(index),
                timestamp: frame * 9000,
                marker: index == 1,
                video: true,
                level: None,
                payload: Arc::from(payload),
            }
        })
        .collect()
}

fn good() -> Vec<RtpIn> {
    [frame(0, 0, true), frame(1, 0, false), frame(2, 1, true), frame(3, 1, false)].concat()
}

fn check(packets: Vec<RtpIn>) -> Vec<String> {
    let mut checkers = Checkers::default();
    for packet in packets {
        checkers.receive(AT, 5, 1, 1, &packet);
    }
    checkers.finish(AT + TAIL);
    checkers.violations
}

fn changed(change: impl FnOnce(&mut Vec<RtpIn>)) -> Vec<String> {
    let mut packets = good();
    change(&mut packets);
    check(packets)
}

#[track_caller]
fn assert_found(violations: &[String], what: &str) {
    assert!(violations.iter().any(|violation| violation.contains(what)), "{what:?} not in {violations:#?}");
}

#[test]
fn a_good_stream_passes_in_any_order_of_arrival() {
    assert_eq!(check(good()), [""; 0]);
    assert_eq!(changed(|packets| packets.reverse()), [""; 0]);
    assert_eq!(changed(|packets| packets.push(packets[3].clone())), [""; 0], "a duplicate");
}

#[test]
fn each_fault_is_found() {
    let payload = |packets: &mut Vec<RtpIn>, at: usize, byte: usize| {
        let mut bytes = packets[at].payload.to_vec();
        bytes[byte] ^= 4;
        packets[at].payload = Arc::from(bytes);
    };
    assert_found(&changed(|p| payload(p, 3, 50)), "nobody sent");
    assert_found(&changed(|p| payload(p, 4, 3)), "picture id");
    assert_found(&changed(|p| payload(p, 6, 4)), "TL0PICIDX");
    assert_found(&changed(|p| drop(p.remove(3))), "missing");
    assert_found(&changed(|p| p[3].sequence = 2), "used twice");
    assert_found(&changed(|p| p[5].marker = false), "ends before its end");
    assert_found(&changed(|p| p[2].marker = true), "marker");
    assert_found(&changed(|p| p[3].timestamp += 1), "two timestamps");
    assert_found(&changed(|p| p[6].timestamp = 0), "time does not advance");
    assert_found(&changed(|p| p[6..].iter_mut().for_each(|p| p.timestamp += 90_000)), "clock is off");
}

#[test]
fn a_switch_wants_a_key_frame() {
    let packets = [frame(0, 0, true), frame(1, 1, false)].concat();
    assert_found(&check(packets), "not to a key frame");
    assert_found(&check(frame(1, 0, false)), "first packet");
}

#[test]
fn a_frame_that_was_left_out_is_missed() {
    let mut packets = [frame(0, 0, true), frame(2, 0, false)].concat();
    for packet in &mut packets[2..] {
        packet.sequence -= 2;
    }
    assert_found(&check(packets), "left out");
}

#[test]
fn strangers_own_media_and_muted_sources_are_noticed() {
    let mut checkers = Checkers::default();
    let packet = &good()[0];
    checkers.receive(AT, 5, 1, 2, packet);
    assert_found(&checkers.violations, "of conference 2");
    checkers.receive(AT, 0, 1, 1, packet);
    assert_found(&checkers.violations, "its own");
    checkers.set_muted(AT, 0, 1, true);
    checkers.receive(AT + MUTE_GRACE, 5, 1, 1, packet);
    assert_eq!(checkers.violations.len(), 2);
    checkers.receive(AT + MUTE_GRACE * 2, 5, 1, 1, packet);
    assert_found(&checkers.violations, "muted");
}
