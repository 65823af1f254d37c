//! The golden sessions, which clients in other languages run as well, and what they do not cover: bounds, lookups, order.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::*;
use crate::testing::epoch;

/// Wall clock at the start of each test.
const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);

#[derive(serde::Deserialize)]
struct Golden {
    about: String,
    options: Value,
    steps: Vec<Step>,
    /// Who is there in the end, oldest first.
    members: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Step {
    /// Wall clock.
    at: Timestamp,
    /// None: only time passes.
    event: Option<Value>,
    changes: Vec<Value>,
}

fn name(membership: &Membership) -> String {
    let MemberKey { user, device, member_id } = &membership.key;
    format!("{user} {device} {member_id}")
}

fn change_to_json(change: &Change) -> Value {
    match change {
        Change::Joined(membership) => json!({"joined": name(membership)}),
        Change::Updated { now, .. } => json!({"updated": name(now)}),
        Change::Left { membership, reason, at } => {
            let reason = match reason {
                LeftReason::Said(_) => "said",
                LeftReason::Expired => "expired",
                LeftReason::Redacted => "redacted",
                LeftReason::NotInRoom => "not_in_room",
                LeftReason::SlotClosed => "slot_closed",
                LeftReason::Replaced => "replaced",
                LeftReason::Spoilt(_) => "spoilt",
            };
            json!({"left": name(membership), "reason": reason, "at": at})
        }
    }
}

/// A session and its driver: deadlines are met to the millisecond.
struct Driven {
    session: Session,
    start: Instant,
    now: Instant,
    outputs: Vec<Output>,
    deadline: Option<Instant>,
}

impl Driven {
    fn new(options: Options) -> Self {
        let now = epoch();
        let session = Session::new(options, now, START);
        Self { session, start: now, now, outputs: Vec::new(), deadline: None }
    }

    fn drain(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return;
                }
                output => self.outputs.push(output),
            }
        }
    }

    fn advance_to(&mut self, wall: Timestamp) {
        let target = self.start + wall.since(START);
        while let Some(deadline) = self.deadline.filter(|deadline| *deadline <= target) {
            self.now = deadline.max(self.now);
            self.session.handle_timeout(self.now);
            self.drain();
            assert!(self.deadline.is_none_or(|next| next > self.now), "a deadline that is met must go");
        }
        self.now = target.max(self.now);
    }

    fn event(&mut self, event: &RoomEvent) {
        self.session.handle_event(self.now, event);
        self.drain();
    }

    fn changes(&mut self) -> Vec<Change> {
        let outputs = std::mem::take(&mut self.outputs).into_iter();
        outputs.filter_map(|output| if let Output::Changed(change) = output { Some(change) } else { None }).collect()
    }

    fn names(&self) -> Vec<String> {
        self.session.members().into_iter().map(name).collect()
    }
}

fn parse(event: &Value) -> RoomEvent {
    RoomEvent::from_json(event).expect("an event")
}

fn goldens() -> Vec<(String, Golden)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/session");
    let entries = fs::read_dir(folder).expect("golden").map(|entry| entry.expect("an entry").path());
    let files: BTreeSet<_> = entries.collect();
    let read = |path: &std::path::PathBuf| fs::read_to_string(path).expect("readable");
    let name = |path: &std::path::PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), serde_json::from_str(&read(path)).expect("a golden session"))).collect()
}

fn options(golden: &Golden) -> Options {
    let is_required = golden.options.get("slot_rule").is_some_and(|rule| rule == "required");
    Options { slot_rule: if is_required { SlotRule::Required } else { SlotRule::default() }, ..Options::default() }
}

#[test]
fn golden_sessions() {
    let goldens = goldens();
    assert!(goldens.len() >= 14);
    for (file, golden) in goldens {
        let mut driven = Driven::new(options(&golden));
        for step in &golden.steps {
            driven.advance_to(step.at);
            if let Some(event) = &step.event {
                driven.event(&parse(event));
            }
            let changes: Vec<_> = driven.changes().iter().map(change_to_json).collect();
            assert_eq!(changes, step.changes, "{file} at {}: {}", step.at, golden.about);
        }
        assert_eq!(driven.names(), golden.members, "{file}: {}", golden.about);
    }
}

/// However sticky events, room membership, redactions and slots are shuffled, the same members are left.
#[test]
fn order_does_not_matter_but_for_state() {
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for (file, golden) in goldens() {
            let is_legacy = |event: &Value| event["type"] == legacy_member::TYPE;
            let is_state = |event: &Value| event.get("state_key").is_some();
            let events: Vec<_> = golden.steps.iter().filter_map(|step| step.event.clone()).collect();
            let mut free: Vec<_> = events.iter().filter(|event| !is_state(event)).cloned().collect();
            free.shuffle(&mut rng);
            // State keeps its order; the others go anywhere between.
            let mut shuffled: Vec<Value> = events.iter().filter(|event| is_state(event)).cloned().collect();
            for event in free {
                shuffled.insert(rng.random_range(0..=shuffled.len()), event);
            }
            let end = golden.steps.last().map_or(START, |step| step.at);
            // Those that had expired when they came are refused, so all come at once in the end.
            let mut driven = Driven::new(options(&golden));
            driven.advance_to(end);
            for event in &shuffled {
                driven.event(&parse(event));
            }
            let from_the_future = file == "sticky_expires";
            if !from_the_future {
                assert_eq!(driven.names(), golden.members, "{file}, seed {seed}, {}", shuffled.iter().any(is_legacy));
            }
        }
    }
}

fn room_member(user: &str, membership: &str) -> RoomEvent {
    parse(&json!({"type": "m.room.member", "event_id": "$room", "sender": user, "state_key": user,
        "origin_server_ts": START, "content": {"membership": membership}}))
}

fn legacy(user: &str, device: &str, sent_at: Timestamp) -> RoomEvent {
    parse(
        &json!({"type": "org.matrix.msc3401.call.member", "event_id": format!("${user}{device}{sent_at}"), "sender": user,
        "state_key": format!("_{user}_{device}_m.call"), "origin_server_ts": sent_at, "content": {
            "application": "m.call", "call_id": "", "scope": "m.room", "device_id": device,
            "focus_active": {"type": "livekit", "focus_selection": "multi_sfu"}, "foci_preferred": []}}),
    )
}

fn sticky(user: &str, member_id: &str, sent_at: Timestamp) -> RoomEvent {
    parse(&json!({"type": "m.rtc.member", "event_id": format!("${user}{member_id}{sent_at}"), "sender": user,
        "origin_server_ts": sent_at, "sticky": {"duration_ms": 3_600_000}, "content": {
            "slot_id": "m.call#ROOM", "sticky_key": member_id, "application": {"type": "m.call"},
            "member": {"id": member_id, "membership": "join", "user_id": user, "device_id": member_id},
            "transports": {"published": [], "can_subscribe": []}}}))
}

fn sticky_leave(user: &str, member_id: &str, sent_at: Timestamp) -> RoomEvent {
    let mut event = sticky(user, member_id, sent_at);
    event.content.retain(|key, _| key == "sticky_key");
    event
}

/// A client that loads members lazily: it is asked once, and nobody counts before it answers.
#[test]
fn unknown_users_are_looked_up() {
    let mut driven = Driven::new(Options::default());
    driven.event(&legacy("@a:x.org", "A", START));
    driven.event(&legacy("@a:x.org", "B", START));
    let user = ruma::user_id!("@a:x.org");
    assert_eq!(std::mem::take(&mut driven.outputs), [Output::Lookup(user.to_owned())]);
    assert_eq!(driven.names().len(), 0);
    driven.session.handle_room_member(driven.now, user, true, START);
    assert_eq!(driven.names().len(), 2);
    driven.session.handle_room_member(driven.now, user, false, START);
    assert_eq!(driven.names().len(), 0);
}

#[test]
fn our_own_event_is_overwritten() {
    let own = Some((ruma::owned_user_id!("@a:x.org"), ruma::owned_device_id!("A")));
    let mut driven = Driven::new(Options { own, ..Options::default() });
    driven.event(&room_member("@a:x.org", "join"));
    driven.event(&legacy("@a:x.org", "A", START));
    driven.changes();
    let foreign = RoomEvent { sender: ruma::owned_user_id!("@m:x.org"), ..legacy("@a:x.org", "A", START) };
    driven.event(&foreign);
    assert_eq!(std::mem::take(&mut driven.outputs), [Output::Overwritten]);
    let other = RoomEvent { sender: ruma::owned_user_id!("@m:x.org"), ..legacy("@a:x.org", "B", START) };
    driven.event(&other);
    assert_eq!(driven.outputs, [], "another device's");
    driven.event(&foreign);
    assert_eq!(std::mem::take(&mut driven.outputs), [Output::Overwritten], "also after we left");
    assert_eq!(driven.session.counters().refused.get("foreign_state_key"), Some(&3));
}

#[test]
fn clear_events_in_encrypted_rooms() {
    let mut driven = Driven::new(Options { is_encrypted_only: true, ..Options::default() });
    driven.event(&room_member("@a:x.org", "join"));
    let encrypted = RoomEvent { encrypted_by: Some("A".into()), ..sticky("@a:x.org", "A", START) };
    driven.event(&encrypted);
    assert_eq!(driven.names().len(), 1);
    driven.event(&sticky("@a:x.org", "A", START.plus(Duration::from_millis(1))));
    assert_eq!(driven.names().len(), 0, "a later one in clear");
    assert_eq!(driven.session.counters().refused.get("cleartext"), Some(&1));
}

/// One who makes up devices, ids and leaves without end costs a bounded amount, and nobody else anything.
#[test]
fn one_user_cannot_fill_the_session() {
    let mut driven = Driven::new(Options::default());
    driven.event(&room_member("@a:x.org", "join"));
    driven.event(&room_member("@m:x.org", "join"));
    for n in 0..1_000_u64 {
        let at = START.plus(Duration::from_millis(n));
        driven.event(&sticky("@m:x.org", &format!("m{n}"), at));
        driven.event(&sticky_leave("@m:x.org", &format!("m{n}"), at.plus(Duration::from_millis(1))));
        driven.event(&legacy("@m:x.org", &format!("D{n}"), at));
    }
    let mallory = driven.session.claims.values().next().expect("claims");
    assert!(mallory.members(&driven.session.rules, START).len() <= claims::PLACES_MAX);
    assert!(driven.session.counters().refused.get("too_many").is_some_and(|count| *count > 0));
    driven.event(&legacy("@a:x.org", "A", START));
    assert!(driven.names().contains(&"@a:x.org A @a:x.org:A".to_owned()));
}

#[test]
fn users_are_bounded() {
    let mut driven = Driven::new(Options::default());
    for n in 0..USERS_MAX + 10 {
        driven.event(&legacy(&format!("@u{n}:x.org"), "A", START));
    }
    assert_eq!(driven.session.claims.len(), USERS_MAX);
    assert_eq!(driven.session.counters().refused.get("too_many"), Some(&10));
}

/// When all is over nothing is remembered.
#[test]
fn everything_ends() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut driven = Driven::new(Options::default());
    for n in 0..300_u64 {
        let user = format!("@u{}:x.org", rng.random_range(0..20));
        let at = START.plus(Duration::from_secs(n));
        driven.advance_to(at);
        let id = format!("d{}", rng.random_range(0..4));
        match rng.random_range(0..5) {
            0 => driven.event(&room_member(&user, "join")),
            1 => driven.event(&room_member(&user, "leave")),
            2 => driven.event(&sticky(&user, &id, at)),
            3 => driven.event(&sticky_leave(&user, &id, at)),
            _ => driven.event(&legacy(&user, &id, at)),
        }
    }
    assert!(!driven.session.members.is_empty());
    driven.advance_to(START.plus(Duration::from_secs(24 * 60 * 60)));
    assert_eq!(driven.deadline, None);
    assert!(driven.session.members.is_empty());
    assert!(driven.session.claims.is_empty());
    let joined = driven.changes().iter().filter(|change| matches!(change, Change::Joined(_))).count();
    assert!(joined > 20, "{joined}");
}

/// The wall clock of a machine that slept, or was wrong.
#[test]
fn the_clock_is_set() {
    let mut driven = Driven::new(Options::default());
    driven.event(&room_member("@a:x.org", "join"));
    driven.event(&legacy("@a:x.org", "A", START));
    driven.changes();
    driven.session.handle_clock(driven.now, START.plus(Duration::from_secs(4 * 60 * 60)));
    driven.drain();
    assert!(matches!(driven.changes()[..], [Change::Left { reason: LeftReason::Expired, .. }]));
}
