use super::*;

fn config() -> Config {
    Config { loan_delay: Some(seconds(3600)), ..Config::default() }
}

/// Joined, and the focus has the leave `lent`.
fn lent() -> Rig {
    let mut rig = Rig::joined_with(config());
    rig.machine.handle_focus_connected(rig.now);
    assert!(matches!(rig.schedule("lent"), Ask::Schedule { delay, .. } if delay == seconds(3600)));
    let ask = rig.answer_next(Answer::Done);
    assert_eq!(ask, Ask::Delegate { delay_id: "lent".into(), delay: seconds(3600) });
    assert!(matches!(rig.answer_next(Answer::Done), Ask::Cancel { delay_id, .. } if delay_id == "one"));
    assert_eq!(rig.events, [Event::Delegated(true)]);
    rig.events.clear();
    rig
}

#[test]
fn what_the_focus_took_is_not_restarted_by_us() {
    let mut rig = lent();
    rig.wait(seconds(600));
    assert!(rig.asked.is_empty(), "{:?}", rig.asked);
    assert!(rig.machine.has_last_will());
}

#[test]
fn until_the_focus_says_yes_we_go_on_ourselves() {
    let mut rig = Rig::joined_with(config());
    rig.machine.handle_focus_connected(rig.now);
    rig.schedule("lent");
    let delegate = rig.next();
    assert!(matches!(delegate.ask, Ask::Delegate { .. }));
    assert!(matches!(rig.answer_next(Answer::Done), Ask::Restart { delay_id, .. } if delay_id == "one"));
    rig.answer(&delegate, Answer::Failed);
    assert!(matches!(rig.answer_next(Answer::Done), Ask::Cancel { delay_id, .. } if delay_id == "lent"));
    assert!(rig.events.is_empty());
}

#[test]
fn offers_are_bounded() {
    let mut rig = Rig::joined_with(config());
    rig.machine.handle_focus_connected(rig.now);
    let mut offers = 0;
    let until = rig.now + seconds(900);
    while rig.now < until {
        let action = rig.next();
        let answer = match &action.ask {
            Ask::Delegate { .. } => {
                offers += 1;
                Answer::Forbidden
            }
            Ask::Schedule { .. } => Answer::Scheduled { delay_id: format!("id{offers}").into() },
            _ => Answer::Done,
        };
        rig.answer(&action, answer);
    }
    assert_eq!(offers, LOAN_TRIES_MAX);
}

#[test]
fn a_lost_focus_is_replaced_by_our_own_will_before_its_is_cancelled() {
    let mut rig = lent();
    let before = rig.now;
    rig.machine.handle_focus_lost(rig.now);
    assert!(matches!(rig.schedule("two"), Ask::Schedule { delay, .. } if delay == seconds(10)));
    assert!(matches!(rig.answer_next(Answer::Done), Ask::Cancel { delay_id, .. } if delay_id == "lent"));
    assert_eq!(rig.now, before);
    assert_eq!(rig.events, [Event::Delegated(false)]);
    assert!(is_restart(&rig.answer_next(Answer::Done)));
}

/// Until then it is all that stands behind us.
#[test]
fn what_was_lent_is_not_cancelled_before_ours_is_armed() {
    let mut rig = lent();
    rig.machine.handle_focus_lost(rig.now);
    for _ in 0..3 {
        assert!(matches!(rig.answer_next(Answer::Failed), Ask::Schedule { .. }));
    }
    rig.schedule("two");
    let asks = [rig.answer_next(Answer::Done), rig.answer_next(Answer::Done)];
    assert!(asks.iter().any(|ask| matches!(ask, Ask::Cancel { delay_id, .. } if delay_id == "lent")), "{asks:?}");
}

#[test]
fn a_focus_that_gives_up_is_asked_again_later() {
    let mut rig = lent();
    rig.machine.handle_delegation_lost(rig.now);
    rig.schedule("two");
    let start = rig.now;
    loop {
        let action = rig.next();
        if let Ask::Schedule { delay, .. } = action.ask {
            assert_eq!(delay, seconds(3600));
            break;
        }
        rig.answer(&action, Answer::Done);
    }
    assert!(rig.now - start >= LOAN_RETRY);
}

#[test]
fn a_focus_that_we_leave_is_told() {
    let mut rig = lent();
    rig.machine.take_back(rig.now);
    assert_eq!(rig.answer_next(Answer::Done), Ask::TakeBack { delay_id: "lent".into() });
    rig.schedule("two");
    assert!(matches!(rig.answer_next(Answer::Done), Ask::Cancel { delay_id, .. } if delay_id == "lent"));
}

/// Our renewed member event cancelled what the focus holds.
#[test]
fn a_loan_that_our_own_event_cancelled_comes_back() {
    let mut rig = lent();
    rig.machine.update(rig.now);
    assert!(matches!(rig.answer_next(Answer::Done), Ask::SendJoin { fresh: false, .. }));
    assert!(matches!(rig.answer_next(Answer::Lost), Ask::Restart { delay_id, .. } if delay_id == "lent"));
    assert!(matches!(rig.schedule("two"), Ask::Schedule { delay, .. } if delay == seconds(10)));
    assert_eq!(rig.events, [Event::Delegated(false)]);
}

#[test]
fn a_server_with_short_delays_lends_nothing() {
    let mut rig = Rig::with(config(), Support { max_delay: Some(seconds(20)), ..all() });
    rig.machine.join(rig.now);
    rig.schedule("one");
    rig.answer_next(Answer::Done);
    rig.answer_next(Answer::Done);
    rig.machine.handle_focus_connected(rig.now);
    for _ in 0..5 {
        assert!(is_restart(&rig.answer_next(Answer::Done)));
    }
}

#[test]
fn leaving_cancels_what_was_lent() {
    let mut rig = lent();
    rig.machine.leave(rig.now);
    assert!(matches!(rig.answer_next(Answer::Done), Ask::SendLeave { .. }));
    assert!(matches!(rig.answer_next(Answer::Lost), Ask::Cancel { delay_id, .. } if delay_id == "lent"));
    assert_eq!(rig.events, [Event::Left]);
}

#[test]
fn a_check_of_a_loan_without_an_answer_is_made_again_after_a_while() {
    let mut rig = lent();
    rig.machine.update(rig.now);
    assert!(matches!(rig.answer_next(Answer::Done), Ask::SendJoin { fresh: false, .. }));
    for (answer, wait) in [(Answer::Failed, RETRY_MAX), (limited(Some(seconds(3))), seconds(3))] {
        let ask = rig.answer_next(answer);
        assert!(matches!(&ask, Ask::Restart { delay_id, .. } if delay_id == "lent"), "{ask:?}");
        rig.wait(wait - millis(1));
        assert!(rig.asked.is_empty(), "before its time");
        rig.wait(millis(1));
        rig.drain();
        assert_eq!(rig.asked.len(), 1, "at its time");
    }
    rig.answer_next(Answer::Done);
    rig.wait(seconds(600));
    assert!(rig.asked.is_empty(), "it is there");
}
