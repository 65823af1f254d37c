//! One case each; whole lives are in `simulation`.

mod chaos;
mod delegation;
mod homeserver;
mod simulation;

use super::*;
use crate::testing::epoch;

pub(super) fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn all() -> Support {
    Support {
        schedule: vec![Schedule::Stable, Schedule::Unstable, Schedule::Query],
        manage: vec![Manage::Stable, Manage::Unstable, Manage::Body],
        max_delay: None,
    }
}

fn limited(wait: Option<Duration>) -> Answer {
    Answer::RateLimited { retry_after: wait }
}

/// The machine, a clock, and what it asked.
struct Rig {
    machine: DelayedLeave,
    now: Instant,
    asked: VecDeque<Action>,
    events: Vec<Event>,
}

impl Rig {
    fn new() -> Self {
        Self::with(Config::default(), all())
    }

    fn with(config: Config, support: Support) -> Self {
        let now = epoch();
        let machine = DelayedLeave::new(now, config, support, "t".to_owned());
        Self { machine, now, asked: VecDeque::new(), events: Vec::new() }
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.machine.poll_output() {
                Output::Ask(action) => self.asked.push_back(action),
                Output::Event(event) => self.events.push(event),
                Output::Timeout(at, _) => return at,
            }
        }
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.drain().filter(|at| *at <= until) {
            assert!(at >= self.now || self.asked.is_empty(), "a deadline in the past");
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
        }
        self.now = until;
    }

    /// Waits until something is asked, and takes it.
    #[track_caller]
    fn next(&mut self) -> Action {
        for _ in 0..20 {
            let at = self.drain();
            if let Some(action) = self.asked.pop_front() {
                return action;
            }
            self.now = at.expect("it waits for nothing").max(self.now);
            self.machine.handle_timeout(self.now);
        }
        panic!("nothing is asked");
    }

    fn answer(&mut self, action: &Action, answer: Answer) {
        self.machine.handle_answer(self.now, action.request_id, answer);
        self.drain();
    }

    #[track_caller]
    fn answer_next(&mut self, answer: Answer) -> Ask {
        let action = self.next();
        self.answer(&action, answer);
        action.ask
    }

    fn schedule(&mut self, id: &str) -> Ask {
        let ask = self.answer_next(Answer::Scheduled { delay_id: id.into() });
        assert!(matches!(ask, Ask::Schedule { .. }), "{ask:?}");
        ask
    }

    /// Joined, with a will that was looked at after the join.
    fn joined() -> Self {
        Self::joined_with(Config::default())
    }

    fn joined_with(config: Config) -> Self {
        let mut rig = Self::with(config, all());
        rig.machine.join(rig.now);
        rig.schedule("one");
        assert!(matches!(rig.answer_next(Answer::Done), Ask::SendJoin { fresh: true, periods: 1, .. }));
        assert!(matches!(rig.answer_next(Answer::Done), Ask::Restart { .. }));
        rig.machine.handle_own_membership(rig.now, true);
        assert_eq!(rig.events, [Event::Joined]);
        rig.events.clear();
        rig
    }
}

fn is_join(ask: &Ask) -> bool {
    matches!(ask, Ask::SendJoin { fresh: true, .. })
}

fn is_restart(ask: &Ask) -> bool {
    matches!(ask, Ask::Restart { .. })
}

#[test]
fn the_leave_is_scheduled_before_the_join_and_restarted_every_five_seconds() {
    let mut rig = Rig::joined();
    for _ in 0..5 {
        let before = rig.now;
        assert!(is_restart(&rig.answer_next(Answer::Done)));
        assert_eq!(rig.now - before, seconds(5));
    }
    assert!(rig.machine.is_joined() && rig.machine.has_last_will());
    assert_eq!(rig.machine.counters().restarts, 6);
}

#[test]
fn leaving_sends_the_leave_and_cancels_what_is_scheduled() {
    let mut rig = Rig::joined();
    rig.machine.leave(rig.now);
    assert!(matches!(rig.answer_next(Answer::Done), Ask::SendLeave { .. }));
    assert!(matches!(rig.answer_next(Answer::Done), Ask::Cancel { delay_id, .. } if delay_id == "one"));
    assert_eq!(rig.events, [Event::Left]);
    assert_eq!(rig.drain(), None);
}

#[test]
fn a_leave_that_does_not_get_through_is_left_to_the_last_will() {
    let mut rig = Rig::joined();
    rig.machine.leave(rig.now);
    for _ in 0..LEAVE_TRIES_MAX {
        assert!(matches!(rig.answer_next(Answer::Failed), Ask::SendLeave { .. }), "nothing is restarted or cancelled");
    }
    rig.drain();
    assert_eq!(rig.events, [Event::Left]);
}

#[test]
fn unknown_endpoints_lead_to_the_next_dialect() {
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    for expected in [Schedule::Stable, Schedule::Unstable] {
        let ask = rig.answer_next(Answer::Unrecognised);
        assert!(matches!(ask, Ask::Schedule { dialect, .. } if dialect == expected), "{ask:?}");
    }
    assert!(matches!(rig.schedule("one"), Ask::Schedule { dialect: Schedule::Query, .. }));
    assert!(is_join(&rig.answer_next(Answer::Done)));
    for expected in [Manage::Stable, Manage::Unstable] {
        let ask = rig.answer_next(Answer::Unrecognised);
        assert!(matches!(ask, Ask::Restart { dialect, .. } if dialect == expected), "{ask:?}");
    }
    assert!(matches!(rig.answer_next(Answer::Done), Ask::Restart { dialect: Manage::Body, .. }));
    assert!(rig.machine.has_last_will());
}

#[test]
fn without_delayed_events_we_join_all_the_same() {
    let mut rig = Rig::with(Config::default(), Support::none());
    rig.machine.join(rig.now);
    assert!(is_join(&rig.answer_next(Answer::Done)));
    assert_eq!(rig.events, [Event::NoLastWill, Event::Joined]);
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    for _ in 0..3 {
        rig.answer_next(Answer::Unrecognised);
    }
    assert!(is_join(&rig.answer_next(Answer::Done)));
    assert_eq!(rig.events, [Event::NoLastWill, Event::Joined]);
}

#[test]
fn an_accident_before_the_join_costs_nothing_but_the_dialect() {
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    rig.answer_next(Answer::SentAtOnce);
    assert_eq!(rig.events, [Event::Accident(Schedule::Stable)]);
    assert!(matches!(rig.schedule("one"), Ask::Schedule { dialect: Schedule::Unstable, .. }));
    assert!(is_join(&rig.answer_next(Answer::Done)));
}

#[test]
fn an_accident_in_the_call_is_undone() {
    let mut rig = Rig::joined();
    rig.answer_next(Answer::Lost);
    rig.answer_next(Answer::SentAtOnce);
    assert_eq!(rig.events, [Event::Accident(Schedule::Stable)]);
    rig.schedule("two");
    assert!(is_join(&rig.answer_next(Answer::Done)));
    assert_eq!(rig.events, [Event::Accident(Schedule::Stable), Event::Joined]);
    assert_eq!(rig.machine.counters().accidents, 1);
}

/// The join that was under way may have come before the leave.
#[test]
fn an_accident_beside_a_join_repeats_the_join() {
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    let schedule = rig.next();
    rig.wait(JOIN_WAIT_MAX);
    let join = rig.next();
    assert!(is_join(&join.ask));
    rig.answer(&schedule, Answer::SentAtOnce);
    rig.answer(&join, Answer::Done);
    assert!(!rig.machine.is_joined());
    rig.schedule("one");
    assert!(is_join(&rig.answer_next(Answer::Done)));
    assert!(rig.machine.is_joined());
}

#[test]
fn a_delay_too_long_becomes_the_servers_and_restarts_follow() {
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    rig.answer_next(Answer::TooLong { max: Some(seconds(4)) });
    assert!(matches!(rig.schedule("one"), Ask::Schedule { delay, .. } if delay == seconds(4)));
    rig.answer_next(Answer::Done);
    rig.answer_next(Answer::Done);
    let before = rig.now;
    assert!(is_restart(&rig.answer_next(Answer::Done)));
    assert_eq!(rig.now - before, seconds(2));
}

#[test]
fn a_delay_that_cannot_be_kept_up_is_none() {
    for max in [None, Some(seconds(1)), Some(seconds(10)), Some(seconds(3600))] {
        let mut rig = Rig::new();
        rig.machine.join(rig.now);
        rig.answer_next(Answer::TooLong { max });
        assert!(is_join(&rig.answer_next(Answer::Done)), "{max:?}");
        assert_eq!(rig.events, [Event::NoLastWill, Event::Joined]);
    }
}

#[test]
fn a_rate_limit_is_waited_for() {
    let mut rig = Rig::joined();
    rig.answer_next(limited(Some(seconds(3))));
    let before = rig.now;
    assert!(is_restart(&rig.answer_next(limited(None))));
    assert_eq!(rig.now - before, seconds(3));
    // It names no wait, and 2 s are left: half of that would be 1 s.
    let before = rig.now;
    assert!(is_restart(&rig.answer_next(Answer::Done)));
    assert_eq!(rig.now - before, seconds(1));
    assert_eq!(rig.machine.counters().rate_limited, 2);
    assert!(rig.events.is_empty());
}

#[test]
fn a_rate_limited_schedule_does_not_hold_up_the_join() {
    let mut rig = Rig::new();
    let start = rig.now;
    rig.machine.join(rig.now);
    rig.answer_next(limited(None));
    assert!(is_join(&rig.answer_next(Answer::Done)));
    assert_eq!(rig.now - start, JOIN_WAIT_MAX);
    rig.schedule("one");
    assert_eq!(rig.now - start, RATE_LIMIT_WAIT);
}

#[test]
fn a_lost_id_is_replaced_without_leaving_the_call() {
    let mut rig = Rig::joined();
    assert!(is_restart(&rig.answer_next(Answer::Lost)));
    rig.schedule("two");
    assert!(matches!(rig.answer_next(Answer::Done), Ask::Restart { delay_id, .. } if delay_id == "two"));
    assert!(rig.events.is_empty());
    assert_eq!(rig.machine.counters().lost, 1);
}

/// Servers without Synapse's #17810 cancel a delayed event when its own sender writes the state.
#[test]
fn a_join_that_cancels_what_was_scheduled_is_noticed_at_once() {
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    rig.schedule("one");
    rig.answer_next(Answer::Done);
    let before = rig.now;
    assert!(is_restart(&rig.answer_next(Answer::Lost)));
    rig.schedule("two");
    assert_eq!(rig.now, before);
}

#[test]
fn when_no_restart_gets_through_we_have_probably_left_and_come_back() {
    let mut rig = Rig::joined();
    let start = rig.now;
    while !rig.machine.is_probably_left() {
        assert!(is_restart(&rig.answer_next(Answer::Failed)));
        rig.drain();
        assert!(rig.now < start + seconds(20));
    }
    assert_eq!(rig.now - start, seconds(10));
    assert_eq!(rig.events, [Event::ProbablyLeft(true)]);
    assert!(is_restart(&rig.answer_next(Answer::Lost)));
    rig.schedule("two");
    assert!(is_join(&rig.answer_next(Answer::Done)));
    let back = [Event::ProbablyLeft(true), Event::Rejoining, Event::Joined, Event::ProbablyLeft(false)];
    assert_eq!(rig.events, back);
}

#[test]
fn a_silent_server_is_asked_again_before_the_leave_is_due() {
    let mut rig = Rig::joined();
    rig.wait(seconds(10));
    let restarts = rig.asked.iter().filter(|action| is_restart(&action.ask)).count();
    assert_eq!(restarts, rig.asked.len());
    assert!(restarts >= 2, "{restarts}");
    assert!(rig.machine.is_probably_left(), "the last restart is not waited for beyond the moment");
}

/// What the answer would be then is of no interest any more: the next question comes a moment after the leave was due.
#[test]
fn a_restart_is_not_waited_for_beyond_the_expiry() {
    let mut rig = Rig::joined_with(Config { delay: seconds(3), ..Config::default() });
    let start = rig.now;
    assert!(is_restart(&rig.next().ask));
    assert_eq!(rig.now - start, millis(1500));
    assert!(is_restart(&rig.next().ask));
    assert_eq!(rig.now - start, seconds(3) + RETRY, "and not 2 s and a moment after it was asked");
}

/// The homeserver began the delay again when the request came, at some time since it left.
#[test]
fn the_delay_is_counted_from_the_request_and_not_from_its_answer() {
    let mut rig = Rig::joined();
    let restart = rig.next();
    let asked = rig.now;
    rig.wait(millis(1900));
    rig.answer(&restart, Answer::Done);
    rig.wait(millis(8099));
    assert!(!rig.machine.is_probably_left());
    rig.wait(asked + seconds(10) - rig.now);
    rig.drain();
    rig.machine.handle_timeout(rig.now);
    assert!(rig.machine.is_probably_left());
}

/// The restart arrived, only its answer was slow.
#[test]
fn a_late_answer_still_counts() {
    let mut rig = Rig::joined();
    let restart = rig.next();
    rig.wait(seconds(4));
    rig.answer(&restart, Answer::Done);
    rig.wait(seconds(2));
    assert!(!rig.machine.is_probably_left(), "counted from when the request left");
}

#[test]
fn a_schedule_answered_late_is_taken_or_cancelled() {
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    let first = rig.next();
    rig.wait(MANAGE_TIMEOUT);
    let join = rig.next();
    rig.answer(&join, Answer::Done);
    let second = rig.next();
    let transaction = |action: &Action| match &action.ask {
        Ask::Schedule { transaction, .. } => transaction.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(transaction(&first), transaction(&second), "so that the server knows it for the same");
    rig.answer(&second, Answer::Scheduled { delay_id: "two".into() });
    rig.answer(&first, Answer::Scheduled { delay_id: "one".into() });
    let asks = [rig.answer_next(Answer::Done), rig.answer_next(Answer::Done)];
    assert!(is_restart(&asks[0]), "it may have been running since the first try: {asks:?}");
    assert!(matches!(&asks[1], Ask::Cancel { delay_id, .. } if delay_id == "one"), "{asks:?}");
}

#[test]
fn few_wait_to_be_cancelled_and_the_oldest_is_forgotten() {
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    let mut unanswered = Vec::new();
    while unanswered.len() < STALE_MAX + 3 {
        let action = rig.next();
        match action.ask {
            Ask::Schedule { .. } => unanswered.push(action),
            _ => rig.answer(&action, Answer::Done),
        }
    }
    let last = unanswered.pop().expect("a schedule");
    rig.answer(&last, Answer::Scheduled { delay_id: "armed".into() });
    assert!(is_restart(&rig.answer_next(Answer::Done)));
    for (n, action) in unanswered.iter().enumerate() {
        rig.answer(action, Answer::Scheduled { delay_id: n.to_string().into() });
    }
    assert_eq!(rig.machine.stale.len(), STALE_MAX);
    let mut cancelled = Vec::new();
    rig.drain();
    while !rig.machine.stale.is_empty() {
        if let Ask::Cancel { delay_id, .. } = rig.answer_next(Answer::Done) {
            cancelled.push(delay_id);
        }
    }
    // The first was on its way when it was forgotten, the second was not.
    assert_eq!(cancelled, ["0", "2", "3", "4", "5", "6", "7", "8", "9"]);
}

#[test]
fn a_membership_that_vanished_is_joined_again_after_a_look_at_the_will() {
    let mut rig = Rig::joined();
    rig.machine.handle_own_membership(rig.now, false);
    assert!(is_restart(&rig.answer_next(Answer::Done)));
    assert!(is_join(&rig.answer_next(Answer::Done)));
    assert_eq!(rig.events, [Event::Rejoining, Event::Joined]);
}

#[test]
fn sync_that_lags_behind_our_join_is_no_reason_to_join_again() {
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    rig.schedule("one");
    rig.answer_next(Answer::Done);
    rig.answer_next(Answer::Done);
    rig.machine.handle_own_membership(rig.now, false);
    assert!(rig.machine.is_joined());
    rig.now += SEEN_WITHIN;
    rig.machine.handle_own_membership(rig.now, false);
    assert!(!rig.machine.is_joined());
}

/// Somebody keeps removing us: it must not become a flood of events.
#[test]
fn rejoins_become_rarer() {
    let mut rig = Rig::joined();
    let start = rig.now;
    let mut joins = 0;
    while rig.now < start + seconds(300) {
        rig.machine.handle_own_membership(rig.now, true);
        rig.machine.handle_own_membership(rig.now, false);
        joins += u32::from(is_join(&rig.answer_next(Answer::Done)));
    }
    assert!((5..=14).contains(&joins), "{joins}");
}

#[test]
fn a_refused_join_ends_it() {
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    rig.schedule("one");
    rig.answer_next(Answer::Forbidden);
    assert_eq!(rig.events, [Event::Refused]);
    assert_eq!(rig.drain(), None);
}

#[test]
fn the_join_is_renewed_before_it_expires_and_after_a_change() {
    let config = Config { expiry: seconds(60), ..Config::default() };
    let mut rig = Rig::joined_with(config);
    let start = rig.now;
    let next_join = |rig: &mut Rig| loop {
        if let Ask::SendJoin { fresh, periods, .. } = rig.answer_next(Answer::Done) {
            return (fresh, periods, rig.now - start);
        }
    };
    assert_eq!(next_join(&mut rig), (false, 2, seconds(55)));
    rig.machine.update(rig.now);
    assert_eq!(next_join(&mut rig), (false, 2, seconds(55)));
    assert_eq!(next_join(&mut rig), (false, 3, seconds(115)));
    rig.wait(millis(1));
    assert!(rig.events.is_empty());
}

/// Its request had no answer: it may arrive at the homeserver after our leave, and then only the last will ends it.
#[test]
fn after_a_join_without_answer_the_will_is_left_to_fire() {
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    rig.schedule("one");
    let join = rig.next();
    assert!(is_join(&join.ask));
    let until = rig.now + SEND_TIMEOUT + millis(500);
    while rig.now < until {
        let action = rig.next();
        if is_restart(&action.ask) {
            rig.answer(&action, Answer::Done);
        } else {
            break;
        }
    }
    rig.machine.leave(rig.now);
    rig.wait(SEND_TIMEOUT);
    let mut asks = Vec::new();
    while rig.machine.want != Want::Out {
        asks.push(rig.answer_next(Answer::Done));
    }
    assert!(!asks.iter().any(|ask| matches!(ask, Ask::Cancel { .. })), "{asks:?}");
}

/// Nobody knows whether it or the leave came last.
#[test]
fn a_join_answered_while_we_leave_is_followed_by_a_leave() {
    let mut rig = Rig::new();
    rig.machine.join(rig.now);
    rig.schedule("one");
    let join = rig.next();
    rig.wait(SEND_TIMEOUT);
    rig.asked.clear();
    rig.machine.leave(rig.now);
    let leave = rig.next();
    assert!(matches!(leave.ask, Ask::SendLeave { .. }));
    rig.answer(&join, Answer::Done);
    rig.answer(&leave, Answer::Done);
    assert!(matches!(rig.answer_next(Answer::Done), Ask::SendLeave { .. }));
}

#[test]
fn strays_are_counted_and_ignored() {
    let mut rig = Rig::joined();
    rig.machine.handle_answer(rig.now, RequestId(999), Answer::SentAtOnce);
    assert_eq!(rig.machine.counters().strays, 1);
    assert!(rig.machine.is_joined());
}

/// Whoever reads a log could send the leave.
#[test]
fn no_debug_shows_an_id() {
    let mut rig = Rig::joined();
    let restart = rig.next();
    let delegate = Ask::Delegate { delay_id: "one".into(), delay: seconds(1) };
    let answer = Answer::Scheduled { delay_id: "one".into() };
    let shown = format!("{restart:?} {delegate:?} {answer:?} {:?}", rig.machine);
    assert!(shown.contains("[delay id]") && !shown.contains("one\""), "{shown}");
}
