use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};

use super::*;

const HOUR: u64 = 3_600_000;

fn event(number: usize, user: &str, at: u64, content: Value) -> RoomEvent {
    let event = json!({
        "type": legacy_member::TYPE,
        "event_id": format!("$e{number:05}"),
        "sender": format!("@{user}:example.org"),
        "origin_server_ts": at,
        "state_key": format!("_@{user}:example.org_D_m.call"),
        "content": content,
    });
    RoomEvent::from_json(&event).expect("an event")
}

fn join(number: usize, user: &str, at: u64) -> RoomEvent {
    join_in(number, user, at, "")
}

fn join_in(number: usize, user: &str, at: u64, call_id: &str) -> RoomEvent {
    let content = json!({
        "application": "m.call", "call_id": call_id, "scope": "m.room", "device_id": "D", "expires": HOUR,
        "focus_active": { "type": "livekit", "focus_selection": "multi_sfu" }, "foci_preferred": [],
    });
    event(number, user, at, content)
}

fn leave(number: usize, user: &str, at: u64) -> RoomEvent {
    event(number, user, at, json!({}))
}

fn lost(number: usize, user: &str, at: u64) -> RoomEvent {
    event(number, user, at, json!({ "leave_reason": "delayed" }))
}

fn redaction(number: usize, of: usize, at: u64) -> RoomEvent {
    let event = json!({
        "type": "m.room.redaction", "event_id": format!("$e{number:05}"), "sender": "@mod:example.org",
        "origin_server_ts": at, "redacts": format!("$e{of:05}"), "content": {},
    });
    RoomEvent::from_json(&event).expect("an event")
}

fn history(events: &[RoomEvent]) -> History {
    let mut history = History::new(SlotId::default());
    events.iter().for_each(|event| history.handle_event(event));
    history
}

/// `12 alice joined`, one a line.
fn told(history: &History, until: u64) -> Vec<String> {
    let line = |item: Item| {
        let (member, what) = match &item.what {
            What::Started { by } => (Some(by), "started".to_owned()),
            What::Joined { member } => (Some(member), "joined".to_owned()),
            What::Left { member } => (Some(member), "left".to_owned()),
            What::LostConnection { member } => (Some(member), "lost".to_owned()),
            What::Removed { member } => (Some(member), "removed".to_owned()),
            What::Ended { duration, most } => (None, format!("ended {} {most}", duration.as_millis())),
        };
        let name = member.map_or(String::new(), |member| format!("{} ", member.user.localpart()));
        format!("{} {name}{what}", item.at)
    };
    history.items(Timestamp::from_millis(until)).into_iter().map(line).collect()
}

/// The web client plays through the same files.
#[derive(serde::Deserialize)]
struct Golden {
    about: String,
    slot: SlotId,
    events: Vec<Value>,
    until: u64,
    expected: Vec<String>,
}

#[test]
fn golden() {
    for (file, golden) in crate::testing::goldens::<Golden>("history") {
        let mut history = History::new(golden.slot);
        for event in &golden.events {
            history.handle_event(&RoomEvent::from_json(event).expect("an event"));
        }
        let line = |item: Item| {
            let user = |member: &MemberKey| member.user.to_string();
            let what = match &item.what {
                What::Started { by } => format!("{} started", user(by)),
                What::Joined { member } => format!("{} joined", user(member)),
                What::Left { member } => format!("{} left", user(member)),
                What::LostConnection { member } => format!("{} lost", user(member)),
                What::Removed { member } => format!("{} removed", user(member)),
                What::Ended { duration, most } => format!("ended {} {most}", duration.as_millis()),
            };
            format!("{} {what}", item.at)
        };
        let items = history.items(Timestamp::from_millis(golden.until));
        assert_eq!(items.into_iter().map(line).collect::<Vec<_>>(), golden.expected, "{file}: {}", golden.about);
    }
}

#[test]
fn a_call_of_two() {
    let history = history(&[join(1, "a", 100), join(2, "b", 200), leave(3, "a", 300), lost(4, "b", 400)]);
    let all = ["100 a started", "100 a joined", "200 b joined", "300 a left", "400 b lost", "400 ended 300 2"];
    assert_eq!(told(&history, 1000), all);
    assert_eq!(told(&history, 350), all[..4], "it goes on");
    assert_eq!(told(&history, 50), [""; 0]);
}

#[test]
fn two_calls_one_after_the_other() {
    let history = history(&[join(1, "a", 100), leave(2, "a", 200), join(3, "b", 200), leave(4, "b", 250)]);
    let first = ["100 a started", "100 a joined", "200 a left", "200 ended 100 1"];
    let second = ["200 b started", "200 b joined", "250 b left", "250 ended 50 1"];
    assert_eq!(told(&history, 1000), [first, second].concat());
}

#[test]
fn one_who_is_not_renewed_is_lost_when_its_time_is_over() {
    let mut renewed = join(2, "a", 100 + HOUR / 2);
    renewed.content.insert("created_ts".to_owned(), json!(100));
    renewed.content.insert("expires".to_owned(), json!(2 * HOUR));
    let whole = history(&[join(1, "a", 100), renewed.clone()]);
    assert_eq!(told(&whole, 99 + 2 * HOUR), ["100 a started", "100 a joined"]);
    assert_eq!(told(&whole, 100 + 2 * HOUR)[2..], ["7200100 a lost", "7200100 ended 7200000 1"]);
    // The page with the first event was not loaded yet, but the second tells when it was.
    assert_eq!(told(&history(&[renewed]), 99 + 2 * HOUR), ["100 a started", "100 a joined"]);
}

#[test]
fn a_redacted_member_was_removed() {
    let removed = ["100 a started", "100 a joined", "150 a removed", "150 ended 50 1"];
    assert_eq!(told(&history(&[join(1, "a", 100), redaction(2, 1, 150)]), 1000), removed);
    // An old event that is redacted is no matter for the present one.
    let later = history(&[join(1, "a", 100), join(3, "a", 120), redaction(2, 1, 150)]);
    assert_eq!(told(&later, 1000), ["100 a started", "100 a joined"]);
}

#[test]
fn other_slots_junk_and_strangers_do_not_matter() {
    let junk = event(1, "a", 100, json!({ "application": "m.call" }));
    let mut foreign = join(2, "a", 110);
    foreign.state_key = Some("_@b:example.org_D_m.call".to_owned());
    let history = history(&[junk, foreign, join_in(3, "c", 120, "other"), leave(4, "d", 130)]);
    assert_eq!(told(&history, 1000), [""; 0]);
}

fn time(line: &str) -> u64 {
    line.split(' ').next().and_then(|at| at.parse().ok()).expect("a time")
}

#[test]
fn whatever_order_events_come_in_the_history_is_the_same() {
    for seed in 0..300 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut events = Vec::new();
        for number in 0..40 {
            let user = ["a", "b", "c"][rng.random_range(0..3)];
            let at = rng.random_range(0..4 * HOUR);
            events.push(match rng.random_range(0..5) {
                0 | 1 => join(number, user, at),
                2 => leave(number, user, at),
                3 => lost(number, user, at),
                _ => redaction(number, rng.random_range(0..40), at),
            });
        }
        let expected = told(&history(&events), 5 * HOUR);
        assert!(expected.windows(2).all(|pair| time(&pair[0]) <= time(&pair[1])), "{expected:?}");
        let count = |what: &str| expected.iter().filter(|line| line.contains(what)).count();
        assert_eq!(count("started"), count("ended"), "after the last expiry nobody is there");
        assert_eq!(count("joined"), count("left") + count("lost") + count("removed"));
        for _ in 0..5 {
            events.shuffle(&mut rng);
            let twice = rng.random_range(0..events.len());
            events.push(events[twice].clone());
            assert_eq!(told(&history(&events), 5 * HOUR), expected, "seed {seed}");
        }
    }
}

#[test]
fn the_newest_are_kept() {
    let mut history = History::new(SlotId::default());
    for number in (0..FACTS_MAX + 10).rev() {
        history.handle_event(&join(number, "a", number as u64));
        history.handle_event(&redaction(number + 20_000, number, number as u64));
    }
    assert_eq!((history.facts.len(), history.redactions.len()), (FACTS_MAX, FACTS_MAX));
    assert_eq!(history.facts.keys().next().map(|(at, _)| at.as_millis()), Some(10));
}
