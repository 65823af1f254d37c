//! The golden scripts of ringing. The web client plays through the same files.

use std::time::{Duration, Instant};

use ruma::{OwnedEventId, OwnedUserId};
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::event::RoomEvent;
use crate::event::notification::Loudness;
use crate::membership::MemberKey;
use crate::slot::SlotId;
use crate::testing::{epoch, goldens};
use crate::time::{Clock, Timestamp};

/// All times are those of the wall clock, which shows `from` at the beginning.
#[derive(Deserialize)]
struct Script<T> {
    about: String,
    me: OwnedUserId,
    #[serde(flatten)]
    more: T,
    from: u64,
    steps: Vec<Step>,
    until: u64,
    expected: Vec<String>,
}

#[derive(Deserialize)]
struct Step {
    at: u64,
    members: Option<Vec<OwnedUserId>>,
    event: Option<Value>,
    #[serde(default)]
    decline: bool,
}

impl Step {
    fn event(&self) -> Option<RoomEvent> {
        self.event.as_ref().map(|event| RoomEvent::from_json(event).expect("an event"))
    }

    fn members(&self) -> Option<Vec<MemberKey>> {
        let member =
            |user: &OwnedUserId| MemberKey { member_id: format!("{user}:D"), device: "D".into(), user: user.clone() };
        self.members.as_ref().map(|users| users.iter().map(member).collect())
    }
}

/// The time of a script, and what came of it.
struct Time {
    start: Instant,
    from: u64,
    lines: Vec<String>,
}

impl Time {
    fn new(from: u64) -> Self {
        Self { start: epoch(), from, lines: Vec::new() }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis - self.from)
    }

    fn say(&mut self, now: Instant, text: &str) {
        self.lines.push(format!("{} {text}", (now - self.start).as_millis()));
    }
}

#[derive(Deserialize)]
struct Called {
    slot: SlotId,
}

fn tell(time: &mut Time, now: Instant, incoming: &mut Incoming) {
    while let Some(ring) = incoming.poll_output() {
        match ring {
            Ring::Start(it) => {
                let what = if it.loudness == Loudness::Ring { "ring" } else { "show" };
                time.say(now, &format!("{what} {} {}", it.event_id, it.sender));
            }
            Ring::Stop { notification, why } => {
                let why = format!("{why:?}").to_lowercase();
                time.say(now, &format!("stop {notification} {why}"));
            }
        }
    }
}

#[test]
fn we_are_called() {
    for (file, script) in goldens::<Script<Called>>("ringing") {
        let mut time = Time::new(script.from);
        let clock = Clock::new(time.start, Timestamp::from_millis(script.from));
        let mut incoming = Incoming::new(script.me, script.more.slot, clock);
        let go_to = |time: &mut Time, incoming: &mut Incoming, until: Instant| {
            while let Some(at) = incoming.next_timeout().filter(|at| *at <= until) {
                incoming.handle_timeout(at);
                tell(time, at, incoming);
            }
        };
        for step in &script.steps {
            let now = time.at(step.at);
            go_to(&mut time, &mut incoming, now);
            if let Some(members) = step.members() {
                incoming.handle_members(&members);
            }
            if let Some(event) = step.event() {
                incoming.handle_event(now, &event);
            }
            let declined = if step.decline { incoming.decline() } else { None };
            tell(&mut time, now, &mut incoming);
            if let Some(declined) = declined {
                time.say(now, &format!("decline {declined}"));
            }
        }
        let until = time.at(script.until);
        go_to(&mut time, &mut incoming, until);
        assert_eq!(time.lines, script.expected, "{file}: {}", script.about);
    }
}

#[derive(Deserialize)]
struct Calling {
    notification: OwnedEventId,
    callees: Vec<OwnedUserId>,
    lifetime_ms: u64,
}

#[test]
fn we_call() {
    for (file, script) in goldens::<Script<Calling>>("ringing_outgoing") {
        let mut time = Time::new(script.from);
        let Calling { notification, callees, lifetime_ms } = script.more;
        let lifetime = Duration::from_millis(lifetime_ms);
        let mut outgoing = Outgoing::new(time.start, script.me, notification, callees.into_iter().collect(), lifetime);
        let look = |time: &mut Time, now: Instant, outgoing: &Outgoing| {
            let word = outgoing.outcome().map(|outcome| match outcome {
                Outcome::Accepted => "accepted",
                Outcome::Declined => "declined",
                Outcome::TimedOut => "timed_out",
            });
            if let Some(word) = word.filter(|_| time.lines.is_empty()) {
                time.say(now, word);
            }
        };
        let go_to = |time: &mut Time, outgoing: &mut Outgoing, until: Instant| {
            while let Some(at) = outgoing.next_timeout().filter(|at| *at <= until) {
                outgoing.handle_timeout(at);
                look(time, at, outgoing);
            }
        };
        for step in &script.steps {
            let now = time.at(step.at);
            go_to(&mut time, &mut outgoing, now);
            if let Some(members) = step.members() {
                outgoing.handle_members(&members);
            }
            if let Some(event) = step.event() {
                outgoing.handle_event(&event);
            }
            look(&mut time, now, &outgoing);
        }
        let until = time.at(script.until);
        go_to(&mut time, &mut outgoing, until);
        assert_eq!(time.lines, script.expected, "{file}: {}", script.about);
    }
}
