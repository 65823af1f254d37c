//! Compound packets as they come in, and transport-wide feedback as we write it.

#![no_main]

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use sfu_core::rtcp::{
    read::{Message, read},
    twcc::{FEEDBACK_PACKETS_MAX, Writer},
    write::Compound,
};

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Compound(&'a [u8]),
    /// Microseconds since the packet before; `None`: lost.
    Arrivals {
        base: u16,
        first: u32,
        steps: Vec<Option<i32>>,
    },
    Lost(Vec<u16>),
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Compound(bytes) => read_all(bytes),
    Input::Arrivals { base, first, steps } => {
        let mut at = i64::from(first);
        let arrivals: Vec<Option<i64>> = steps
            .into_iter()
            .map(|step| {
                at = (at + i64::from(step?)).max(0);
                Some(at)
            })
            .collect();
        feedback(base, &arrivals);
    }
    Input::Lost(lost) => nack(&lost),
});

/// Whatever it says, it is read to its end, and in bounded work.
fn read_all(bytes: &[u8]) {
    let mut told = 0_usize;
    read(bytes, |message| match message {
        Message::Nack { pairs, .. } => pairs.for_each(|_| told += 1),
        Message::TransportWide(feedback) => {
            feedback.for_each(|_, _| told += 1);
        }
        _ => told += 1,
    });
    assert!(told <= 32 * 4096, "{told} items of {} bytes", bytes.len());
}

/// What is written is read: each arrival, rounded down to a delta's 250 µs.
fn feedback(base: u16, arrivals: &[Option<i64>]) {
    let mut body = Vec::new();
    let Some(covered) = Writer::default().write(base, arrivals, &mut body) else { return };
    assert!(covered <= arrivals.len().min(FEEDBACK_PACKETS_MAX));
    let mut compound = Compound::default();
    compound.transport_wide(1, 2, &body).expect("one message fits");
    let mut read_back = Vec::new();
    let whole = read(compound.bytes(), |message| match message {
        Message::TransportWide(feedback) => {
            assert!(feedback.for_each(|sequence, at| read_back.push((sequence, at))));
        }
        other => panic!("{other:?}"),
    });
    assert!(whole && read_back.len() == covered);
    for (place, (sequence, at)) in read_back.into_iter().enumerate() {
        assert_eq!(sequence, base.wrapping_add(place as u16));
        match (at, arrivals[place]) {
            (None, None) => {}
            (Some(read), Some(written)) => assert!((0..250).contains(&(written - read)), "{written} became {read}"),
            other => panic!("{other:?}"),
        }
    }
}

/// What is asked for is asked for, once each; a NACK that is full may end early.
fn nack(lost: &[u16]) {
    let mut compound = Compound::default();
    if compound.nack(1, 2, lost).is_err() {
        return;
    }
    let mut asked = Vec::new();
    read(compound.bytes(), |message| match message {
        Message::Nack { ssrc: 2, pairs } => pairs.for_each(|sequence| asked.push(sequence)),
        other => panic!("{other:?}"),
    });
    assert!(asked.iter().all(|sequence| lost.contains(sequence)), "{asked:?} of {lost:?}");
    assert!(lost.is_empty() || asked.contains(&lost[0]));
}
