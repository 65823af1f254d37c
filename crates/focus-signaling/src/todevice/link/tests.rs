use std::time::Duration;

use super::*;
use crate::todevice::test_time::{Chance, epoch};

fn claims() -> Claims {
    Claims { room_id: "!r:x".into(), slot_id: "m.call#ROOM".into(), member_id: "m".into() }
}

fn pair() -> (Link, Link) {
    (Link::new(claims(), "a".into(), None), Link::new(claims(), "b".into(), Some("a".into())))
}

/// What comes out now: events, messages, whether it ended.
fn drain(link: &mut Link) -> (Vec<Content>, Vec<String>, Vec<Option<u16>>) {
    let (mut sent, mut got, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match link.poll_output() {
            Output::Transmit(content) => sent.push(content),
            Output::Message(message) => got.push(message.get().to_owned()),
            Output::Closed(code) => ends.push(Some(code)),
            Output::Lost => ends.push(None),
            Output::Timeout(_) => return (sent, got, ends),
        }
    }
}

fn say(link: &mut Link, now: Instant, n: u64) -> Content {
    link.send(now, format!(r#"{{"n":{n}}}"#)).expect("room");
    drain(link).0.pop().expect("an event")
}

#[test]
fn messages_are_passed_on_in_order_and_once() {
    let (now, (mut a, mut b)) = (epoch(), pair());
    let events: Vec<_> = (0..3).map(|n| say(&mut a, now, n)).collect();
    for at in [2, 0, 2, 0, 1, 1] {
        b.handle_content(now, events[at].clone());
    }
    assert_eq!(drain(&mut b).1, [r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#]);
    b.handle_timeout(now + ACK_DELAY);
    let (acks, ..) = drain(&mut b);
    assert_eq!(acks.len(), 1, "one acknowledgement for all");
    assert_eq!((acks[0].ack, acks[0].seq), (Some(3), None));
    a.handle_content(now, acks[0].clone());
    assert!(matches!(a.poll_output(), Output::Timeout(None)), "nothing is waited for");
}

#[test]
fn an_answer_carries_the_acknowledgement() {
    let (now, (mut a, mut b)) = (epoch(), pair());
    b.handle_content(now, say(&mut a, now, 0));
    let answer = say(&mut b, now, 1);
    assert_eq!(answer.ack, Some(1));
    assert!(b.deadline() > Some(now + ACK_DELAY), "only its own message is waited for");
    a.handle_content(now, answer);
    assert_eq!(say(&mut a, now, 2).dest_session.as_deref(), Some("b"));
}

#[test]
fn it_is_sent_again_after_one_two_four_and_four_seconds_and_given_up_after_fifteen() {
    let (start, (mut a, _)) = (epoch(), pair());
    say(&mut a, start, 0);
    let (mut times, mut ends) = (Vec::new(), Vec::new());
    while let Some(at) = a.deadline() {
        a.handle_timeout(at);
        let (sent, _, ended) = drain(&mut a);
        times.extend(sent.iter().map(|_| (at - start).as_secs()));
        ends.extend(ended.iter().map(|_| (at - start).as_secs()));
    }
    assert_eq!((times, ends), (vec![1, 3, 7, 11], vec![15]));
    assert_eq!(a.send(start, "{}".into()), Err(SendError::Ended));
    assert!(a.is_over());
}

#[test]
fn what_belongs_elsewhere_changes_nothing() {
    let (now, (mut a, mut b)) = (epoch(), pair());
    let good = say(&mut a, now, 0);
    let forged = [
        Content { session: "z".into(), ..good.clone() },
        Content { dest_session: Some("z".into()), ..good.clone() },
        Content { member_id: "other".into(), ..good.clone() },
        Content { room_id: "!other:x".into(), ..good.clone() },
        Content { slot_id: "other".into(), ..good.clone() },
        Content { seq: Some(1 + WINDOW as u64), ..good.clone() },
        Content { dest_session: Some("z".into()), seq: None, m: None, close: Some(1000), ..good.clone() },
    ];
    let count = forged.len() as u64;
    forged.into_iter().for_each(|content| b.handle_content(now, content));
    assert_eq!(drain(&mut b).1.len(), 0);
    assert_eq!(b.tallies().0, count);
    b.handle_content(now, good);
    assert_eq!(drain(&mut b).1.len(), 1);
    // Who spoke first hears nobody who does not know whom he answers.
    let stray = say(&mut b, now, 1);
    a.handle_content(now, Content { dest_session: None, ..stray.clone() });
    assert_eq!(drain(&mut a).1.len(), 0);
    // An acknowledgement of what was never sent.
    a.handle_content(now, Content { ack: Some(99), seq: None, m: None, ..stray });
    assert_eq!(a.unacknowledged.len(), 1);
}

#[test]
fn the_end_comes_after_what_was_said() {
    let (now, (mut a, mut b)) = (epoch(), pair());
    let said = say(&mut a, now, 0);
    a.close(now, 1000);
    let end = drain(&mut a).0.pop().expect("an event");
    b.handle_content(now, end);
    let (_, got, ends) = drain(&mut b);
    assert_eq!((got.len(), ends.len()), (0, 0));
    b.handle_content(now, said);
    let (_, got, ends) = drain(&mut b);
    assert_eq!((got.len(), ends), (1, vec![Some(1000)]));
    b.handle_timeout(now + ACK_DELAY);
    a.handle_content(now, drain(&mut b).0.pop().expect("an acknowledgement"));
    assert!(a.is_over() && b.is_over());
}

#[test]
fn an_end_that_forgot_says_so() {
    let (now, (mut a, _)) = (epoch(), pair());
    let said = say(&mut a, now, 0);
    let gone =
        Content { session: "?".into(), dest_session: Some("a".into()), seq: None, m: None, close: Some(1001), ..said };
    a.handle_content(now, gone);
    assert_eq!(drain(&mut a).2, [Some(1001)]);
    assert!(a.is_over());
}

#[test]
fn bounds_hold() {
    let (now, (mut a, mut b)) = (epoch(), pair());
    assert_eq!(a.send(now, "x".repeat(CONTENT_BYTES_MAX)), Err(SendError::TooLarge));
    assert_eq!(a.send(now, "{".into()), Err(SendError::Json));
    let events: Vec<_> = (0..WINDOW as u64).map(|n| say(&mut a, now, n)).collect();
    assert_eq!(a.send(now, "{}".into()), Err(SendError::Full));
    for event in events.into_iter().skip(1) {
        b.handle_content(now, event);
    }
    assert_eq!(b.early.len(), WINDOW - 1);
}

/// Both ends talk over a network that loses, repeats and reorders, and repeats old events at random.
#[test]
fn a_bad_network_changes_nothing_but_time() {
    for seed in 0..200 {
        let mut chance = Chance(seed);
        let (start, (mut a, mut b)) = (epoch(), pair());
        // In flight: when it arrives, at b or at a.
        let mut flight: Vec<(Instant, bool, Content)> = Vec::new();
        let mut old: Vec<(bool, Content)> = Vec::new();
        let (mut got, mut now, mut said) = ([Vec::new(), Vec::new()], start, [0u64, 0]);
        while now < start + Duration::from_secs(120) {
            now += Duration::from_millis(50);
            for (at, link) in [&mut a, &mut b].into_iter().enumerate() {
                if said[at] < 20 && (at == 0 || !got[1].is_empty()) && chance.is(5) {
                    link.send(now, said[at].to_string()).expect("room");
                    said[at] += 1;
                }
                link.handle_timeout(now);
            }
            flight.sort_by_key(|(at, ..)| *at);
            let due = flight.partition_point(|(at, ..)| *at <= now);
            for (_, to_b, content) in flight.drain(..due) {
                if to_b { &mut b } else { &mut a }.handle_content(now, content);
            }
            for (at, link) in [&mut a, &mut b].into_iter().enumerate() {
                let (sent, mut messages, ends) = drain(link);
                assert!(ends.is_empty(), "seed {seed}");
                got[at].append(&mut messages);
                for content in sent {
                    old.push((at == 0, content.clone()));
                    // A message and its four repetitions are lost together once in three million.
                    let copies = if chance.is(5) { 0 } else { 1 + u64::from(chance.is(20)) };
                    for _ in 0..copies {
                        flight.push((now + Duration::from_millis(20 + chance.below(700)), at == 0, content.clone()));
                    }
                }
            }
            if chance.is(3) && !old.is_empty() {
                let (to_b, content) = old[chance.below(old.len() as u64) as usize].clone();
                flight.push((now, to_b, content));
            }
            if got.iter().all(|got| got.len() == 20) {
                break;
            }
        }
        let all: Vec<String> = (0..20).map(|n: u64| n.to_string()).collect();
        assert_eq!(got, [all.clone(), all], "seed {seed}");
    }
}
