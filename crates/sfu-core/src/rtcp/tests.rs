use super::read::{Message, read};
use super::twcc::Writer;
use super::write::{COMPOUND_MAX, Compound, Full};
use super::*;

fn messages(bytes: &[u8]) -> (Vec<String>, bool) {
    let mut seen = Vec::new();
    let whole = read(bytes, |message| seen.push(format!("{message:?}")));
    (seen, whole)
}

#[test]
fn what_is_written_is_read() {
    let block = ReportBlock {
        ssrc: 7,
        fraction_lost: 128,
        cumulative_lost: -3,
        highest_sequence: 70_000,
        jitter: 5,
        last_sender_report: 6,
        delay_since_last: 8,
    };
    let info = SenderInfo { ntp: 0x0102_0304_0506_0708, rtp_timestamp: 9, packets: 10, bytes: 11 };
    let mut compound = Compound::default();
    compound.sender_report(1, info, &[block]).expect("room");
    compound.source_description(1, "name").expect("room");
    compound.receiver_report(2, &[block, block]).expect("room");
    compound.nack(2, 3, &[65_534, 65_535, 0, 20]).expect("room");
    compound.pli(2, 4).expect("room");
    compound.goodbye(1).expect("room");
    let mut seen = Vec::new();
    let mut lost = Vec::new();
    assert!(read(compound.bytes(), |message| match message {
        Message::Nack { ssrc: 3, pairs } => pairs.for_each(|sequence| lost.push(sequence)),
        message => seen.push(message),
    }));
    assert_eq!(lost, [65_534, 65_535, 0, 20]);
    let report = |reporter| Message::Report { reporter, block };
    let expected = [
        Message::SenderReport { ssrc: 1, info },
        report(1),
        report(2),
        report(2),
        Message::Pli { ssrc: 4 },
        Message::Goodbye { ssrc: 1 },
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_full_compound_says_so_and_stays_whole() {
    let mut compound = Compound::default();
    while compound.pli(1, 2) == Ok(()) {}
    let length = compound.bytes().len();
    assert!(length <= COMPOUND_MAX && length > COMPOUND_MAX - 12);
    assert_eq!(compound.goodbye(1), Err(Full).or(compound.goodbye(1)));
    assert!(length / 12 > 32 && !messages(compound.bytes()).1, "more sub-packets than are read");
}

/// The same packets as a browser sends them: RR with REMB, and FIR.
#[test]
fn remb_and_fir() {
    let remb = [0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0x03, 0xff, 0xff, 0, 0, 0, 9];
    assert_eq!(messages(&remb).0, [format!("{:?}", Message::Remb { bitrate: 0x3_ffff })]);
    let mut wild = remb;
    wild[17] = 0xff;
    assert_eq!(messages(&wild).0, [format!("{:?}", Message::Remb { bitrate: u64::MAX })]);
    let fir = [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 3, 0, 0, 0];
    assert_eq!(messages(&fir).0, [format!("{:?}", Message::Fir { ssrc: 5, sequence: 3 })]);
}

#[test]
fn lengths_that_lie_end_the_reading() {
    let pli = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    for cut in 1..pli.len() {
        assert!(!messages(&pli[..cut]).1, "{cut}");
    }
    let mut two = [pli, pli].concat();
    two[15] = 9;
    assert_eq!((messages(&two).0.len(), messages(&two).1), (1, false));
    let report_without_blocks = [0x9f, 201, 0, 1, 0, 0, 0, 1];
    assert!(!messages(&report_without_blocks).1);
}

#[test]
fn transport_wide_feedback_round_trip() {
    let mut statuses = vec![None; 300];
    let mut at = 1_000_000;
    for (index, status) in statuses.iter_mut().enumerate() {
        at += [250, 1_000, 70_000, -500, 3][index % 5];
        *status = (index % 7 != 3).then_some(at);
    }
    let mut writer = Writer::default();
    let (mut body, mut compound) = (Vec::new(), Compound::default());
    assert_eq!(writer.write(65_500, &statuses, &mut body), Some(300));
    compound.transport_wide(1, 2, &body).expect("room");
    let mut seen = Vec::new();
    let whole = read(compound.bytes(), |message| {
        let Message::TransportWide(feedback) = message else { panic!("{message:?}") };
        assert!(feedback.for_each(|sequence, at| seen.push((sequence, at))));
    });
    assert!(whole);
    assert_eq!(seen.len(), 300);
    for (index, (sequence, at)) in seen.into_iter().enumerate() {
        assert_eq!(sequence, 65_500u16.wrapping_add(index as u16));
        assert_eq!(at.is_some(), statuses[index].is_some(), "{index}");
        let error = at.zip(statuses[index]).map_or(0, |(read, written)| (read - written).abs());
        assert!(error < 250, "{index}: {error}");
    }
}

#[test]
fn transport_wide_feedback_that_cannot_be_said_at_once() {
    let mut body = Vec::new();
    let mut writer = Writer::default();
    assert_eq!(writer.write(1, &[None, None], &mut body), None);
    assert_eq!(writer.write(1, &[Some(0), Some(9_000_000), Some(9_000_001)], &mut body), Some(1));
    assert_eq!(writer.write(1, &vec![Some(5); 1000], &mut body), Some(super::twcc::FEEDBACK_PACKETS_MAX));
}
