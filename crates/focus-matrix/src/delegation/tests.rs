//! Stories of one or two members, told by hand, and many at once under seeds.

mod rig;
mod simulation;

use std::time::Duration;

use rig::{HS, Rig, member, seconds, will};

use super::*;

#[test]
fn a_will_is_held_only_after_the_homeserver_was_probed_and_the_event_restarted() {
    let mut rig = Rig::new();
    rig.join(1, "ada");
    rig.machine.delegate(rig.now, SessionNumber(1), 7, will("id"));
    let (probe, ask) = rig.ask();
    let Ask::Probe { delay_id } = ask else { panic!("{ask:?}") };
    assert_ne!(delay_id, "id");
    assert!(rig.told().is_empty() && rig.saved.is_empty());
    rig.answer(probe, Answer::NotFound);
    let (restart, ask) = rig.ask();
    assert!(ask == Ask::Restart { delay_id: "id".into() });
    rig.answer(restart, Answer::Done);
    assert_eq!(rig.told(), [(1, Some(7), News::Held)]);
    assert!(rig.saved.contains_key(&member("ada")));
    // The next one of the same homeserver needs no probe.
    rig.join(2, "bob");
    rig.machine.delegate(rig.now, SessionNumber(2), 8, will("other"));
    assert!(rig.ask().1 == Ask::Restart { delay_id: "other".into() });
}

#[test]
fn what_cannot_be_held_is_refused_with_the_reason() {
    for (answers, refusal) in [
        (vec![Answer::Forbidden], Refusal::NeedsToken),
        (vec![Answer::Unrecognized], Refusal::Unsupported),
        (vec![Answer::Done], Refusal::Unsupported),
        (vec![Answer::Failed], Refusal::Unreachable),
        (vec![Answer::NotFound, Answer::NotFound], Refusal::UnknownEvent),
        (vec![Answer::NotFound, Answer::Forbidden], Refusal::NeedsToken),
        (vec![Answer::NotFound, Answer::Conflict], Refusal::UnknownEvent),
    ] {
        let mut rig = Rig::new();
        rig.join(1, "ada");
        rig.machine.delegate(rig.now, SessionNumber(1), 7, will("id"));
        for answer in answers {
            let (id, _) = rig.ask();
            rig.answer(id, answer);
        }
        assert_eq!(rig.told(), [(1, Some(7), News::Refused(refusal))]);
        rig.assert_empty();
    }
    let mut rig = Rig::new();
    rig.join(1, "ada");
    let mut refused = |will| {
        rig.pass(seconds(3));
        rig.machine.delegate(rig.now, SessionNumber(1), 7, will);
        rig.told()
    };
    let foreign = Will { server_name: "evil.example".into(), ..will("id") };
    assert_eq!(refused(foreign), [(1, Some(7), News::Refused(Refusal::ForeignServer))]);
    for delay in [0, 29, 24 * 3600 + 1] {
        let will = Will { delay: seconds(delay), ..will("id") };
        assert_eq!(refused(will), [(1, Some(7), News::Refused(Refusal::Delay))]);
    }
}

#[test]
fn it_is_restarted_at_four_fifths_of_its_delay() {
    let mut rig = Rig::held("ada");
    for _ in 0..5 {
        let before = rig.now;
        rig.live_until_asked(1);
        let (id, ask) = rig.ask();
        assert!(ask == Ask::Restart { delay_id: "id".into() });
        let took = rig.now - before;
        assert!(took >= seconds(2700) && took <= seconds(2880), "{took:?}");
        rig.answer(id, Answer::Done);
    }
    assert_eq!(rig.machine.counters().restarts, 5);
}

#[test]
fn a_restart_that_fails_is_tried_again_and_again() {
    let mut rig = Rig::held("ada");
    rig.live_until_asked(1);
    let mut waits = Vec::new();
    for _ in 0..14 {
        let (id, _) = rig.ask();
        rig.answer(id, Answer::Failed);
        let before = rig.now;
        rig.live_until_asked(1);
        waits.push((rig.now - before).as_secs());
    }
    // Seen to the second: 1, 1.5, 2.25, 3.375.
    assert_eq!(waits[..4], [1, 2, 3, 4]);
    assert!(waits[13] >= 58 && waits[13] <= 61, "{waits:?}");
    let (id, _) = rig.ask();
    rig.answer(id, Answer::LimitExceeded { retry_after: seconds(7) });
    let before = rig.now;
    rig.live_until_asked(1);
    assert!(rig.now - before >= seconds(7) && rig.now - before <= seconds(9));
}

#[test]
fn an_event_that_is_gone_is_given_up_and_the_client_told() {
    for answer in [Answer::NotFound, Answer::Conflict, Answer::Forbidden] {
        let mut rig = Rig::held("ada");
        rig.live_until_asked(1);
        let (id, _) = rig.ask();
        rig.answer(id, answer);
        assert_eq!(rig.told(), [(1, None, News::Lost)]);
        rig.assert_empty();
    }
}

#[test]
fn both_silences_are_needed_and_twenty_seconds_of_them() {
    // Signalling is gone, media lives: the socket is resumed, or not.
    let mut rig = Rig::held("ada");
    for _ in 0..100 {
        rig.machine.handle_media(rig.now, SessionNumber(1), seconds(0));
        rig.pass(seconds(2));
        assert!(rig.idle());
    }
    // Media is gone, signalling lives.
    for n in 0..100 {
        rig.machine.handle_media(rig.now, SessionNumber(1), seconds(2 * (n + 1)));
        rig.machine.handle_heard(rig.now, SessionNumber(1));
        rig.pass(seconds(2));
        assert!(rig.idle());
    }
    // Both are.
    let mut quiet = seconds(0);
    while rig.idle() {
        rig.machine.handle_media(rig.now, SessionNumber(1), seconds(200) + quiet);
        rig.pass(seconds(2));
        quiet += seconds(2);
    }
    assert!(quiet >= seconds(20) && quiet <= seconds(24), "{quiet:?}");
    let (id, ask) = rig.ask();
    assert!(ask == Ask::Send { delay_id: "id".into() });
    rig.answer(id, Answer::Done);
    assert_eq!(rig.machine.counters().sent_lost, 1);
}

#[test]
fn missing_reports_on_media_are_no_proof_of_silence() {
    let mut rig = Rig::held("ada");
    rig.machine.handle_media(rig.now, SessionNumber(1), seconds(0));
    rig.pass(seconds(300));
    assert!(rig.idle());
    while rig.idle() {
        rig.pass(seconds(10));
    }
    let (id, ask) = rig.ask();
    assert!(matches!(ask, Ask::Restart { .. }), "nor when it is looked at for another reason");
    rig.answer(id, Answer::Done);
    rig.machine.handle_media(rig.now, SessionNumber(1), seconds(3000));
    assert!(matches!(rig.ask().1, Ask::Send { .. }));
}

#[test]
fn a_session_that_ended_is_lost_in_time_unless_the_member_joins_again() {
    let mut rig = Rig::held("ada");
    rig.machine.handle_ended(rig.now, SessionNumber(1));
    rig.pass(seconds(19));
    assert!(rig.idle());
    rig.join(2, "ada");
    rig.pass(seconds(19));
    assert!(rig.idle(), "it counts from its last sign");
    // What the old session still says is not the new one's.
    rig.machine.handle_heard(rig.now, SessionNumber(1));
    rig.machine.handle_ended(rig.now, SessionNumber(1));
    rig.pass(seconds(1));
    assert!(matches!(rig.ask().1, Ask::Send { .. }));
}

#[test]
fn one_who_comes_back_before_the_leave_was_sent_stays() {
    let mut rig = Rig::held("ada");
    rig.machine.handle_ended(rig.now, SessionNumber(1));
    rig.pass(seconds(20));
    let (id, _) = rig.ask();
    rig.answer(id, Answer::Failed);
    rig.join(2, "ada");
    rig.pass(seconds(1));
    let (id, ask) = rig.ask();
    assert!(ask == Ask::Restart { delay_id: "id".into() });
    rig.answer(id, Answer::Done);
    // One whose leave was on its way is told.
    rig.machine.handle_ended(rig.now, SessionNumber(2));
    rig.pass(seconds(20));
    let (id, _) = rig.ask();
    rig.join(3, "ada");
    rig.answer(id, Answer::Done);
    assert_eq!(rig.told(), [(3, None, News::Sent)]);
    rig.assert_empty();
}

#[test]
fn a_leave_is_sent_only_if_the_client_asked_for_that() {
    let mut rig = Rig::held("ada");
    rig.machine.handle_left(rig.now, SessionNumber(1));
    rig.assert_empty();
    let mut rig = Rig::held_with("ada", Will { on_leave: true, ..will("id") });
    rig.machine.handle_left(rig.now, SessionNumber(1));
    let (id, ask) = rig.ask();
    assert!(ask == Ask::Send { delay_id: "id".into() });
    rig.answer(id, Answer::NotFound);
    assert_eq!(rig.machine.counters().sent_left, 1, "what is not there any more was sent");
    rig.assert_empty();
    let mut rig = Rig::held("ada");
    rig.machine.handle_removed(rig.now, SessionNumber(1));
    assert!(matches!(rig.ask().1, Ask::Send { .. }), "who was put out is gone");
}

#[test]
fn what_was_taken_back_or_replaced_is_not_touched_any_more() {
    let mut rig = Rig::held("ada");
    rig.live_until_asked(1);
    let (late, _) = rig.ask();
    assert!(rig.machine.take_back(SessionNumber(1)));
    assert!(!rig.machine.take_back(SessionNumber(1)));
    rig.answer(late, Answer::Failed);
    rig.pass(seconds(10_000));
    assert!(rig.idle());
    rig.assert_empty();

    let mut rig = Rig::held("ada");
    rig.pass(seconds(3));
    rig.machine.delegate(rig.now, SessionNumber(1), 9, will("second"));
    rig.machine.delegate(rig.now, SessionNumber(1), 10, will("third"));
    assert_eq!(rig.told(), [(1, Some(10), News::Refused(Refusal::TooOften))]);
    let (id, ask) = rig.ask();
    assert!(ask == Ask::Restart { delay_id: "second".into() });
    rig.answer(id, Answer::Done);
    assert_eq!(rig.machine.counters().held, 1);
}

#[test]
fn a_restarted_focus_waits_for_its_members_and_then_sends() {
    let mut rig = Rig::held("ada");
    rig.restart_focus();
    rig.pass(seconds(64));
    assert!(rig.idle());
    rig.pass(seconds(1));
    assert!(matches!(rig.ask().1, Ask::Send { .. }));

    let mut rig = Rig::held("ada");
    rig.restart_focus();
    rig.pass(seconds(50));
    rig.join(2, "ada");
    for _ in 0..20 {
        rig.pass(seconds(10));
        rig.machine.handle_heard(rig.now, SessionNumber(2));
        assert!(rig.idle(), "it is there");
    }
}

#[test]
fn a_drain_is_no_loss() {
    let mut rig = Rig::held("ada");
    rig.machine.handle_released(rig.now, SessionNumber(1));
    rig.pass(seconds(64));
    assert!(rig.idle());
}

#[test]
fn a_restart_that_is_due_when_the_focus_starts_is_done_at_once() {
    let mut rig = Rig::new();
    rig.machine.restore(rig.now, member("ada"), will("id"), seconds(3000));
    rig.machine.restore(rig.now, member("bob"), will("later"), seconds(100));
    rig.machine.restore(rig.now, member("eve"), Will { server_name: "gone.example".into(), ..will("x") }, seconds(0));
    assert!(rig.ask().1 == Ask::Restart { delay_id: "id".into() });
    assert!(rig.idle());
}

#[test]
fn sends_come_first_and_few_are_asked_at_once() {
    let mut rig = Rig::new();
    for n in 0..20 {
        rig.machine.restore(rig.now, member(&format!("m{n}")), will(&format!("restart-{n}")), seconds(3000));
    }
    let first: Vec<_> = (0..4).map(|_| rig.ask().0).collect();
    assert!(rig.idle(), "four at once");
    rig.pass(seconds(10));
    for (n, id) in first.into_iter().enumerate() {
        rig.answer(id, Answer::LimitExceeded { retry_after: seconds(60 - n as u64) });
    }
    assert!(rig.idle(), "it wants to be left alone");
    rig.pass(seconds(59));
    assert!(rig.idle());
    rig.pass(seconds(1));
    // Since then all have been found lost.
    for _ in 0..4 {
        assert!(matches!(rig.ask().1, Ask::Send { .. }));
    }
}

#[test]
fn a_question_that_nobody_answers_is_asked_again() {
    let mut rig = Rig::held("ada");
    rig.live_until_asked(1);
    let (id, _) = rig.ask();
    rig.live(1, seconds(17));
    let (again, _) = rig.ask();
    rig.answer(id, Answer::NotFound);
    assert!(rig.told().is_empty(), "the late answer is nobody's");
    rig.answer(again, Answer::Done);
    assert_eq!(rig.machine.counters().held, 1);
}

#[test]
fn no_debug_output_shows_a_capability_or_a_word() {
    let mut rig = Rig::new();
    rig.machine.restore(rig.now, member("ada-secret"), will("id"), seconds(3600));
    let outputs = format!("{:?}", rig.outputs());
    assert!(outputs.contains("Ask"));
    for secret in ["\"id\"", "ada-secret", HS] {
        assert!(!outputs.contains(secret), "{outputs}");
    }
}

#[test]
fn wills_are_bounded() {
    let timing = Timing { jobs_max: 2, ..Timing::default() };
    let mut rig = Rig::with(timing);
    for n in 1..=3 {
        rig.join(n, &format!("m{n}"));
        rig.machine.delegate(rig.now, SessionNumber(n), n, will("id"));
    }
    assert_eq!(rig.told(), [(3, Some(3), News::Refused(Refusal::Full))]);
    assert_eq!(Duration::from_secs(65), Timing::default().grace);
}
