use super::*;
use crate::rtcp::twcc::Writer;

/// A feedback message about `statuses` from `base` on.
fn tell(log: &mut SentLog, writer: &mut Writer, now_us: u64, base: u16, statuses: &[Option<i64>]) -> Vec<(u64, Fate)> {
    let mut body = Vec::new();
    assert_eq!(writer.write(base, statuses, &mut body), Some(statuses.len()));
    let mut told = Vec::new();
    let feedback = Feedback::parse(&body).expect("ours");
    assert!(log.resolve(now_us, &feedback, |result| told.push((result.sent_us, result.fate))));
    told
}

fn log_of(packets: u64) -> SentLog {
    let mut log = SentLog::default();
    for packet in 0..packets {
        assert_eq!(log.note(packet * 1000, 100, None), packet as u16);
    }
    log
}

#[test]
fn each_packet_is_told_once() {
    let (mut log, mut writer) = (log_of(6), Writer::default());
    assert_eq!(log.in_flight(), 600);
    let told = tell(&mut log, &mut writer, 9000, 0, &[Some(64_000), None, Some(65_000)]);
    assert_eq!(told, [(0, Fate::Arrived(64_000)), (2000, Fate::Arrived(65_000))]);
    assert_eq!(log.in_flight(), 400);
    assert_eq!(tell(&mut log, &mut writer, 9000, 0, &[Some(64_000), None, Some(65_000)]), [], "repeated");
    let told = tell(&mut log, &mut writer, 9000, 3, &[Some(66_000)]);
    assert_eq!(told, [(1000, Fate::Lost), (3000, Fate::Arrived(66_000))]);
    assert_eq!(log.in_flight(), 200);
    let told = tell(&mut log, &mut writer, 9000, 1, &[Some(66_500), None, None, Some(67_000)]);
    assert_eq!(told, [(4000, Fate::Arrived(67_000))], "what was told lost stays lost");
}

#[test]
fn what_comes_out_of_order_is_not_lost() {
    let (mut log, mut writer) = (log_of(6), Writer::default());
    tell(&mut log, &mut writer, 9000, 0, &[Some(64_000), None, Some(65_000)]);
    let told = tell(&mut log, &mut writer, 9000, 1, &[Some(67_000), Some(65_000), Some(66_000)]);
    assert_eq!(told, [(1000, Fate::Arrived(67_000)), (3000, Fate::Arrived(66_000))]);
}

#[test]
fn feedback_that_is_lost_says_nothing_of_loss() {
    let (mut log, mut writer) = (log_of(6), Writer::default());
    tell(&mut log, &mut writer, 9000, 0, &[Some(64_000)]);
    writer.write(1, &[Some(64_000)], &mut Vec::new());
    let told = tell(&mut log, &mut writer, 9000, 2, &[Some(65_000)]);
    assert_eq!(told, [(1000, Fate::Unknown), (2000, Fate::Arrived(65_000))]);
    let told = tell(&mut log, &mut writer, 9000, 4, &[Some(65_000)]);
    assert_eq!(told[0], (3000, Fate::Lost), "left out by messages that follow each other");
}

#[test]
fn numbers_that_were_never_sent_are_passed_over() {
    let (mut log, mut writer) = (log_of(3), Writer::default());
    for base in [3, 100, 40_000, 65_530] {
        let told = tell(&mut log, &mut writer, 9000, base, &[Some(64_000), Some(64_000)]);
        assert_eq!(told, [], "{base}");
    }
    assert_eq!(log.in_flight(), 300);
    let told = tell(&mut log, &mut writer, 9000, 65_535, &[Some(64_000), Some(64_000)]);
    assert_eq!(told, [(0, Fate::Arrived(64_000))], "one of them was");
}

#[test]
fn memory_grows_with_the_rate_to_a_bound_and_goes_when_idle() {
    let mut log = SentLog::default();
    assert!(log.memory() == 0 && size_of::<SentLog>() <= 64);
    // 5,000 packets a second without any feedback.
    for packet in 0..30_000u64 {
        log.note(packet * 200, 100, None);
    }
    assert_eq!(log.memory(), 8 * 8192, "1.5 s are 7,500 packets");
    for packet in 0..100_000u64 {
        log.note(6_000_000 + packet, 100, None);
    }
    assert_eq!((log.memory(), log.in_flight()), (8 * RING_MAX, 100 * RING_MAX as u32));
    let (now_us, last) = (6_200_000, (log.next - 1) as u16);
    assert_eq!(tell(&mut log, &mut Writer::default(), now_us, last, &[Some(1)]).len(), RING_MAX);
    log.expire(now_us + 1_000_000, 500_000);
    assert_eq!((log.memory(), log.in_flight()), (0, 0));
}

#[test]
fn numbers_and_times_wrap() {
    let (mut log, mut writer) = (SentLog::default(), Writer::default());
    for round in 0..2000u64 {
        // 2000 rounds of 5 s: the 32 bits of microseconds wrap twice, the 16 bits of numbers once.
        let now_us = round * 5_000_000;
        let base = log.note(now_us, 100, None);
        (1..50u64)
            .for_each(|packet| assert_eq!(log.note(now_us + packet, 100, None), base.wrapping_add(packet as u16)));
        let statuses: Vec<_> = (0..50).map(|packet| Some(packet * 250)).collect();
        let told = tell(&mut log, &mut writer, now_us + 100_000, base, &statuses);
        assert!(told.len() == 50 && told.iter().enumerate().all(|(packet, told)| told.0 == now_us + packet as u64));
        assert_eq!(log.in_flight(), 0);
    }
    assert_eq!(log.memory(), 8 * RING_MIN);
}
