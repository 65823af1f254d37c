use super::*;
use crate::rtcp::ReportBlock;
use crate::rtcp::twcc::FEEDBACK_PACKETS_MAX;

fn blocks(compounds: &[Vec<u8>]) -> Vec<ReportBlock> {
    let mut blocks = Vec::new();
    for compound in compounds {
        read(compound, |message| {
            if let Message::Report { reporter: OWN, block } = message {
                blocks.push(block);
            }
        });
    }
    blocks
}

#[test]
fn reports_once_a_second_while_packets_come() {
    let mut world = World::new(vec![video("v", &[(1, Some(2))])]);
    let start = world.now;
    let info = SenderInfo { ntp: 0xaaaa_bbbb_cccc_dddd, rtp_timestamp: 5, packets: 1, bytes: 1 };
    for sequence in (0..20u64).filter(|sequence| sequence % 5 != 1) {
        world.send(&Sent::new(1, 65_530 + sequence, VP8, b"x").transport(sequence as u16));
    }
    world.send(&Sent::new(2, 9, VP8_RTX, b"").padding(5));
    world.receiver.handle_sender_report(world.now, 1, info);
    world.receiver.handle_sender_report(world.now, 1_234, info);
    while let Some(at) = world.receiver.deadline().filter(|at| *at < start + INTERVAL) {
        world.now = at;
        assert_eq!(blocks(&world.poll()), []);
    }
    assert_eq!(world.receiver.deadline(), Some(start + INTERVAL));
    world.now = start + INTERVAL;
    let of = blocks(&world.poll());
    let main = ReportBlock {
        ssrc: 1,
        fraction_lost: (4 * 256 / 20) as u8,
        cumulative_lost: 4,
        highest_sequence: 65_549,
        jitter: 0,
        last_sender_report: 0xbbbb_cccc,
        delay_since_last: 65_536,
    };
    let repair = ReportBlock { ssrc: 2, highest_sequence: 9, ..ReportBlock::default() };
    assert_eq!(of, [main, repair]);
    let clock = world.receiver.clock(mid("v"), None).expect("it reported");
    assert_eq!((clock.source, clock.ntp, clock.rtp_timestamp, clock.received), (1, info.ntp, 5, start));
    world.now = world.receiver.deadline().expect("one more look");
    assert_eq!(world.poll(), Vec::<Vec<u8>>::new());
    assert_eq!(world.receiver.deadline(), None, "idle");
    assert!(format!("{:?}", world.receiver.arrivals).contains("log: []"), "and its memory is free");
    assert!((world.receiver.take_loss() - 0.2).abs() < 1e-6);
    assert_eq!(world.receiver.take_loss(), 0.0);
}

const INTERVAL: Duration = report::INTERVAL;

#[test]
fn an_idle_receiver_costs_little() {
    let receiver = Receiver::default();
    assert_eq!(receiver.deadline(), None);
    assert!(size_of::<Receiver>() < 1024, "{}", size_of::<Receiver>());
    assert!(size_of::<Stream>() < 700, "{}", size_of::<Stream>());
}

#[test]
fn many_sources_take_many_compounds() {
    let mut world = World::new(vec![video("v", &[])]);
    for ssrc in 0..100 {
        world.send(&Sent::new(ssrc, 1, VP8, b"x").mid("v").rid(&format!("r{ssrc}")).transport(ssrc as u16));
        assert!(world.receiver.request_keyframe(mid("v"), rid(&format!("r{ssrc}"))));
    }
    world.pass(INTERVAL);
    let compounds = world.poll();
    let mut reported: Vec<u32> = blocks(&compounds).iter().map(|block| block.ssrc).collect();
    reported.sort_unstable();
    assert_eq!(reported, (0..100).collect::<Vec<_>>());
    // By hand: our reader takes 32 sub-packets of each compound.
    let (mut plis, mut told) = (0, 0);
    for mut rest in compounds.iter().map(Vec::as_slice) {
        while let [first, kind, high, low, ..] = rest {
            match (first & 0x1f, kind) {
                (1, 206) => plis += 1,
                (15, 205) => told += u16::from_be_bytes([rest[14], rest[15]]),
                _ => assert_eq!(*kind, 201),
            }
            rest = &rest[4 + 4 * usize::from(u16::from_be_bytes([*high, *low]))..];
        }
    }
    assert_eq!(plis, 100);
    assert_eq!((world.counters.keyframe_requests, told), (100, 100));
}

#[test]
fn transport_feedback_over_all_streams() {
    let mut world = World::new(vec![video("v", &[(1, None)]), audio("a", &[(2, None)])]);
    world.receiver.reduced_size = true;
    let start = world.now;
    for number in 0..(FEEDBACK_PACKETS_MAX as u16 + 100) {
        if number % 10 != 4 {
            let ssrc = 1 + u32::from(number % 2);
            let payload_type = if ssrc == 1 { VP8 } else { OPUS };
            world.send(&Sent::new(ssrc, number.into(), payload_type, b"x").transport(65_500_u16.wrapping_add(number)));
        }
        world.pass(Duration::from_micros(50));
    }
    world.now = start + ms(100);
    let mut told = Vec::new();
    for compound in world.poll() {
        read(&compound, |message| {
            if let Message::TransportWide(feedback) = message {
                assert!(feedback.for_each(|number, at| told.push((number.wrapping_sub(65_500), at))));
            }
        });
    }
    assert_eq!(told.len(), FEEDBACK_PACKETS_MAX + 100);
    for (place, (number, at)) in told.into_iter().enumerate() {
        assert_eq!(usize::from(number), place);
        assert_eq!(at.is_some(), number % 10 != 4);
        let error = at.map_or(0, |at| (at - 50 * i64::from(number)).abs());
        assert!(error < 250, "{number}: {error} µs off");
    }
}
