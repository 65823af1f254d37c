use std::time::Duration;

use ruma::{UserId, event_id, owned_event_id, owned_user_id};
use serde_json::{Value, json};

use super::*;
use crate::event::RoomEvent;
use crate::event::notification::{self, Loudness, Mentions};
use crate::membership::MemberKey;
use crate::slot::SlotId;
use crate::testing::epoch;
use crate::time::{Clock, Timestamp};

const START: u64 = 1_750_000_000_000;

fn event(id: &str, sender: &str, kind: &str, content: Value) -> RoomEvent {
    let event = json!({
        "type": kind, "event_id": id, "sender": sender, "origin_server_ts": START, "content": content,
    });
    RoomEvent::from_json(&event).expect("an event")
}

fn call_of(id: &str, sender: &str, loudness: Loudness, mentions: &Mentions) -> RoomEvent {
    let started = Timestamp::from_millis(START);
    let content = notification::content(event_id!("$m"), loudness, mentions, started, Duration::from_secs(30), None);
    event(id, sender, notification::TYPE, content)
}

fn call(id: &str, sender: &str) -> RoomEvent {
    call_of(id, sender, Loudness::Ring, &Mentions { users: vec![owned_user_id!("@me:a.org")], room: false })
}

fn decline(sender: &str) -> RoomEvent {
    event("$d", sender, notification::DECLINE_TYPE, notification::decline_content(event_id!("$n")))
}

fn redaction_of(id: &str) -> RoomEvent {
    RoomEvent { redacts: ruma::EventId::parse(id).ok(), ..event("$r", "@b:b.org", "m.room.redaction", json!({})) }
}

fn members(users: &[&str]) -> Vec<MemberKey> {
    let key = |user: &&str| MemberKey {
        user: UserId::parse(*user).expect("a user id"),
        device: "D".into(),
        member_id: format!("{user}:D"),
    };
    users.iter().map(key).collect()
}

/// Called by `@b:b.org`, who is in the session.
fn incoming() -> Incoming {
    let clock = Clock::new(epoch(), Timestamp::from_millis(START));
    let mut incoming = Incoming::new(owned_user_id!("@me:a.org"), SlotId::default(), clock);
    incoming.handle_members(&members(&["@b:b.org"]));
    incoming
}

fn ringing() -> Incoming {
    let mut incoming = incoming();
    incoming.handle_event(epoch(), &call("$n", "@b:b.org"));
    assert!(matches!(incoming.poll_output(), Some(Ring::Start(_))));
    incoming
}

#[track_caller]
fn assert_stopped(incoming: &mut Incoming, why: RingEnd) {
    assert_eq!(incoming.poll_output(), Some(Ring::Stop { notification: owned_event_id!("$n"), why }));
    assert_eq!((incoming.poll_output(), incoming.ringing(), incoming.next_timeout()), (None, None, None));
}

#[test]
fn a_call_rings_until_its_time_is_over() {
    let mut incoming = ringing();
    assert_eq!(incoming.ringing(), Some(event_id!("$n")));
    let end = incoming.next_timeout().expect("an end");
    incoming.handle_timeout(end - Duration::from_secs(1));
    assert_eq!(incoming.poll_output(), None);
    incoming.handle_timeout(end);
    assert_stopped(&mut incoming, RingEnd::Missed);
}

#[test]
fn it_stops_when_we_take_it_anywhere() {
    let mut incoming = ringing();
    incoming.handle_members(&members(&["@b:b.org", "@me:a.org"]));
    assert_stopped(&mut incoming, RingEnd::Accepted);
    incoming.handle_event(epoch(), &call("$n2", "@b:b.org"));
    assert_eq!(incoming.poll_output(), None, "we are in");
}

#[test]
fn it_stops_when_we_decline_anywhere_and_not_when_others_do() {
    let mut incoming = ringing();
    incoming.handle_event(epoch(), &decline("@c:c.org"));
    assert_eq!(incoming.poll_output(), None);
    incoming.handle_event(epoch(), &decline("@me:a.org"));
    assert_stopped(&mut incoming, RingEnd::Declined);
    let mut incoming = ringing();
    assert_eq!(incoming.decline().as_deref(), Some(event_id!("$n")));
    assert_stopped(&mut incoming, RingEnd::Declined);
    assert_eq!(incoming.decline(), None);
}

#[test]
fn it_stops_when_the_caller_gives_up() {
    let mut incoming = ringing();
    incoming.handle_event(epoch(), &redaction_of("$n"));
    assert_stopped(&mut incoming, RingEnd::Withdrawn);
    let mut incoming = ringing();
    incoming.handle_members(&[]);
    assert_stopped(&mut incoming, RingEnd::Withdrawn);
    let mut incoming = ringing();
    let empty = json!({ "sticky_key": "m.call#ROOM" });
    incoming.handle_event(epoch(), &event("$w", "@c:c.org", notification::TYPE, empty.clone()));
    assert_eq!(incoming.poll_output(), None, "somebody else's");
    incoming.handle_event(epoch(), &event("$w", "@b:b.org", notification::TYPE, empty));
    assert_stopped(&mut incoming, RingEnd::Withdrawn);
}

#[test]
fn what_does_not_ring() {
    let me = Mentions { users: vec![owned_user_id!("@me:a.org")], room: false };
    let mut incoming = incoming();
    incoming.handle_event(epoch(), &call("$own", "@me:a.org"));
    incoming.handle_event(epoch(), &call_of("$x", "@b:b.org", Loudness::Ring, &Mentions::default()));
    let other = SlotId::parse("m.call#other").expect("a slot");
    let started = Timestamp::from_millis(START);
    let invite = notification::invite_content(&other, &me, started, Duration::from_secs(30));
    incoming.handle_event(epoch(), &event("$i", "@b:b.org", "m.rtc.invite", invite));
    incoming.handle_event(epoch() + Duration::from_secs(30), &call("$late", "@b:b.org"));
    assert_eq!((incoming.poll_output(), incoming.ignored()), (None, 1));
    // Quietly: it is shown, and nothing has to stop.
    incoming.handle_event(epoch(), &call_of("$q", "@b:b.org", Loudness::Notify, &me));
    assert!(matches!(incoming.poll_output(), Some(Ring::Start(_))));
    assert_eq!((incoming.ringing(), incoming.next_timeout()), (None, None));
}

/// Ten thousand calls of others are one telephone.
#[test]
fn one_call_rings_at_a_time() {
    let mut incoming = ringing();
    for number in 0..10_000 {
        incoming.handle_event(epoch(), &call(&format!("$x{number}"), "@mallory:m.org"));
        incoming.handle_event(epoch(), &call("$n", "@b:b.org"));
    }
    assert_eq!((incoming.poll_output(), incoming.ignored()), (None, 20_000));
    incoming.handle_event(epoch(), &call("$again", "@b:b.org"));
    assert!(matches!(incoming.poll_output(), Some(Ring::Stop { .. })));
    assert!(matches!(incoming.poll_output(), Some(Ring::Start(_))));
}

fn outgoing(callees: &[&str]) -> Outgoing {
    let callees = callees.iter().map(|user| UserId::parse(*user).expect("a user id")).collect();
    let lifetime = Duration::from_secs(30);
    Outgoing::new(epoch(), owned_user_id!("@me:a.org"), owned_event_id!("$n"), callees, lifetime)
}

#[test]
fn our_call_is_accepted_declined_or_not_heard() {
    let mut call = outgoing(&["@b:b.org", "@me:a.org"]);
    call.handle_members(&members(&["@me:a.org"]));
    call.handle_event(&decline("@c:c.org"));
    call.handle_event(&decline("@me:a.org"));
    assert_eq!(call.outcome(), None);
    call.handle_members(&members(&["@me:a.org", "@b:b.org"]));
    assert_eq!(call.outcome(), Some(Outcome::Accepted));
    call.handle_event(&decline("@b:b.org"));
    assert_eq!((call.outcome(), call.next_timeout()), (Some(Outcome::Accepted), None));

    let mut call = outgoing(&["@b:b.org", "@c:c.org"]);
    call.handle_event(&decline("@b:b.org"));
    assert_eq!(call.outcome(), None, "the other may still come");
    call.handle_event(&decline("@c:c.org"));
    assert_eq!(call.outcome(), Some(Outcome::Declined));

    let mut call = outgoing(&["@b:b.org"]);
    let until = call.next_timeout().expect("an end");
    call.handle_timeout(until - Duration::from_millis(1));
    assert_eq!(call.outcome(), None);
    call.handle_timeout(until);
    assert_eq!(call.outcome(), Some(Outcome::TimedOut));
}

#[test]
fn only_the_first_in_the_session_rings() {
    let first = crate::testing::member("@a:a.org", &[]);
    let mut second = crate::testing::member("@b:b.org", &[]);
    second.created_at = Timestamp::from_millis(1);
    for members in [[&first, &second], [&second, &first]] {
        assert!(is_first(&members, &first.key));
        assert!(!is_first(&members, &second.key));
    }
    assert!(!is_first(&[], &first.key));
}
