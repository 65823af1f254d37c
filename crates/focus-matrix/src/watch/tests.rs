use ruma::{room_id, user_id};

use super::*;
use crate::test_time::epoch;

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

fn member(user: &UserId, device: &str) -> Member {
    Member {
        conference: "call".into(),
        identity: format!("{user}/{device}"),
        user: user.to_owned(),
        room: room_id!("!r:example.org").to_owned(),
        lane: "example.org".into(),
        pushed: false,
    }
}

/// Everything that comes out until the machine waits: questions, those kicked, and until when it waits.
fn drain(watch: &mut Watch) -> (Vec<(QuestionId, OwnedUserId)>, Vec<String>, Option<Instant>) {
    let (mut questions, mut kicks) = (Vec::new(), Vec::new());
    loop {
        match watch.poll_output() {
            Output::Ask { question, user, .. } => questions.push((question, user)),
            Output::Remove { user, .. } => kicks.push(user.to_string()),
            Output::Timeout(at) => return (questions, kicks, at),
        }
    }
}

fn question(watch: &mut Watch) -> QuestionId {
    let (questions, kicks, _) = drain(watch);
    assert!(kicks.is_empty());
    assert_eq!(questions.len(), 1);
    questions[0].0
}

fn ada() -> &'static UserId {
    user_id!("@ada:example.org")
}

#[test]
fn who_arrives_is_checked_at_once_and_then_over_and_over() {
    let (mut now, mut watch) = (epoch(), Watch::default());
    watch.handle_arrived(now, member(ada(), "desk"));
    for _ in 0..5 {
        let asked = question(&mut watch);
        assert_eq!(drain(&mut watch).2, None, "nothing by the clock while it waits");
        now += secs(0.01);
        watch.handle_answer(now, asked, Membership::Joined);
        let (questions, _, at) = drain(&mut watch);
        assert!(questions.is_empty() && at == Some(now + SWEEP));
        now += SWEEP;
        watch.handle_timeout(now);
    }
    watch.handle_departed(ada(), room_id!("!r:example.org"), "call", "@ada:example.org/desk");
    assert_eq!(watch.counts(now).watched, 0);
}

#[test]
fn one_who_was_removed_is_kicked_once_whatever_number_of_devices_it_has() {
    let (now, mut watch) = (epoch(), Watch::default());
    watch.handle_arrived(now, member(ada(), "desk"));
    let first = question(&mut watch);
    watch.handle_answer(now, first, Membership::Joined);
    watch.handle_arrived(now, member(ada(), "phone"));
    let second = question(&mut watch);
    watch.handle_answer(now, second, Membership::NotJoined);
    let (questions, kicks, at) = drain(&mut watch);
    assert_eq!(kicks, ["@ada:example.org"]);
    assert!(questions.is_empty() && at.is_none());
    watch.handle_answer(now, second, Membership::NotJoined);
    watch.handle_departed(ada(), room_id!("!r:example.org"), "call", "@ada:example.org/desk");
    assert!(drain(&mut watch).1.is_empty());
    assert!(watch.people.is_empty() && watch.ids.is_empty() && watch.lanes.is_empty() && watch.questions.is_empty());
    // A newer token may let it in again, and then it is watched again.
    watch.handle_arrived(now, member(ada(), "desk"));
    question(&mut watch);
}

#[test]
fn a_hint_asks_at_once_and_makes_an_answer_too_old() {
    let (now, mut watch) = (epoch(), Watch::default());
    let room = room_id!("!r:example.org");
    watch.handle_hint(now, ada(), room);
    assert_eq!(drain(&mut watch), (vec![], vec![], None), "nobody here");
    watch.handle_arrived(now, member(ada(), "desk"));
    let first = question(&mut watch);
    watch.handle_hint(now, ada(), room);
    assert!(drain(&mut watch).0.is_empty(), "it is asked already");
    watch.handle_answer(now, first, Membership::Joined);
    let second = question(&mut watch);
    watch.handle_answer(now, second, Membership::Joined);
    assert_eq!(drain(&mut watch).2, Some(now + SWEEP));
    watch.handle_hint(now, ada(), room);
    let third = question(&mut watch);
    watch.handle_answer(now, third, Membership::NotJoined);
    assert_eq!(drain(&mut watch).1.len(), 1);
}

#[test]
fn left_and_back_while_the_answer_was_on_its_way_is_no_kick() {
    let (now, mut watch) = (epoch(), Watch::default());
    watch.handle_arrived(now, member(ada(), "desk"));
    let first = question(&mut watch);
    watch.handle_hint(now, ada(), room_id!("!r:example.org"));
    watch.handle_answer(now, first, Membership::NotJoined);
    let second = question(&mut watch);
    watch.handle_answer(now, second, Membership::Joined);
    assert!(drain(&mut watch).1.is_empty());
}

#[test]
fn without_a_homeserver_calls_go_on_and_the_end_of_the_outage_is_seen() {
    let (mut now, mut watch) = (epoch(), Watch::default());
    watch.handle_arrived(now, member(ada(), "desk"));
    for _ in 0..20 {
        let asked = question(&mut watch);
        watch.handle_answer(now, asked, Membership::Unavailable);
        assert!(drain(&mut watch).1.is_empty());
        now += SWEEP;
        watch.handle_timeout(now);
    }
    let counts = watch.counts(now);
    assert_eq!((counts.unanswered, counts.stale, counts.kicked), (20, 1, 0));
    let asked = question(&mut watch);
    watch.handle_answer(now, asked, Membership::NotJoined);
    assert_eq!(drain(&mut watch).1.len(), 1);
}

#[test]
fn questions_are_bounded_in_each_lane_and_the_longest_due_comes_first() {
    let (mut now, mut watch) = (epoch(), Watch::default());
    let users: Vec<OwnedUserId> = (0..50).filter_map(|n| UserId::parse(format!("@u{n:02}:example.org")).ok()).collect();
    for user in &users {
        watch.handle_arrived(now, member(user, "desk"));
    }
    let elsewhere = Member { lane: "other".into(), ..member(ada(), "desk") };
    watch.handle_arrived(now, elsewhere);
    let mut asked = Vec::new();
    let mut waiting = VecDeque::new();
    for _ in 0..60 {
        let (questions, _, _) = drain(&mut watch);
        waiting.extend(questions);
        assert!(waiting.iter().filter(|(_, user)| user != ada()).count() <= IN_FLIGHT_MAX);
        let Some((question, user)) = waiting.pop_front() else { break };
        now += secs(0.001);
        watch.handle_answer(now, question, Membership::Joined);
        asked.push(user);
    }
    asked.retain(|user| user != ada());
    assert_eq!(asked, users, "each once, in turn");
    assert!(drain(&mut watch).2.is_some_and(|at| at < now + SWEEP));
}

#[test]
fn a_pushed_room_is_swept_less() {
    let (now, mut watch) = (epoch(), Watch::default());
    watch.handle_arrived(now, Member { pushed: true, ..member(ada(), "desk") });
    let asked = question(&mut watch);
    watch.handle_answer(now, asked, Membership::Joined);
    assert_eq!(drain(&mut watch).2, Some(now + SWEEP_PUSHED));
}
