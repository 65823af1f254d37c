use ruma::{UserId, event_id, owned_event_id};
use serde_json::{Value, json};

use super::*;
use crate::testing::epoch;

fn key(user: &str) -> MemberKey {
    MemberKey { user: UserId::parse(user).expect("a user id"), device: "D".into(), member_id: format!("{user}:D") }
}

fn event(id: &str, sender: &str, kind: &str, at: u64, content: Value) -> RoomEvent {
    let event = json!({ "type": kind, "event_id": id, "sender": sender, "origin_server_ts": at, "content": content });
    RoomEvent::from_json(&event).expect("an event")
}

fn hand(id: &str, sender: &str, target: &EventId, at: u64) -> RoomEvent {
    event(id, sender, reaction::RAISED_HAND_TYPE, at, reaction::hand_content(target))
}

fn emoji(sender: &str, target: &EventId) -> RoomEvent {
    event("$e", sender, reaction::EMOJI_TYPE, 1, reaction::emoji_content(target, "🐶", "dog"))
}

fn redaction(id: &str) -> RoomEvent {
    RoomEvent { redacts: EventId::parse(id).ok(), ..event("$x", "@a:a.org", "m.room.redaction", 1, json!({})) }
}

/// A and B are there.
fn reactions() -> Reactions {
    let mut reactions = Reactions::new();
    reactions.handle_members([(key("@a:a.org"), owned_event_id!("$a")), (key("@b:b.org"), owned_event_id!("$b"))]);
    reactions
}

fn drain(reactions: &mut Reactions) -> Vec<Change> {
    std::iter::from_fn(|| reactions.poll_output()).collect()
}

#[test]
fn a_hand_goes_up_and_down() {
    let mut reactions = reactions();
    reactions.handle_event(epoch(), &hand("$h", "@a:a.org", event_id!("$a"), 7));
    reactions.handle_event(epoch(), &hand("$h", "@a:a.org", event_id!("$a"), 7));
    let raised = Change::HandRaised { member: key("@a:a.org"), at: Timestamp::from_millis(7) };
    assert_eq!(drain(&mut reactions), [raised]);
    assert_eq!(reactions.hand_event(&key("@a:a.org")), Some(event_id!("$h")));
    reactions.handle_event(epoch(), &redaction("$h"));
    assert_eq!(drain(&mut reactions), [Change::HandLowered { member: key("@a:a.org") }]);
    reactions.handle_event(epoch(), &redaction("$h"));
    assert_eq!(drain(&mut reactions), []);
}

#[test]
fn nobody_raises_somebody_elses_hand() {
    let mut reactions = reactions();
    reactions.handle_event(epoch(), &hand("$h", "@b:b.org", event_id!("$a"), 7));
    reactions.handle_event(epoch(), &emoji("@b:b.org", event_id!("$a")));
    assert_eq!(drain(&mut reactions), []);
}

#[test]
fn hands_are_in_the_order_of_their_raising() {
    let mut reactions = reactions();
    reactions.handle_event(epoch(), &hand("$h1", "@a:a.org", event_id!("$a"), 9));
    reactions.handle_event(epoch(), &hand("$h2", "@b:b.org", event_id!("$b"), 8));
    assert_eq!(reactions.hands(), [&key("@b:b.org"), &key("@a:a.org")]);
}

#[test]
fn one_who_joins_anew_has_the_hand_down() {
    let mut reactions = reactions();
    reactions.handle_event(epoch(), &hand("$h", "@a:a.org", event_id!("$a"), 7));
    reactions.handle_event(epoch(), &emoji("@a:a.org", event_id!("$a")));
    drain(&mut reactions);
    reactions.handle_members([(key("@a:a.org"), owned_event_id!("$a2")), (key("@b:b.org"), owned_event_id!("$b"))]);
    let gone = [Change::HandLowered { member: key("@a:a.org") }, Change::EmojiGone { member: key("@a:a.org") }];
    assert_eq!(drain(&mut reactions), gone);
    assert!(reactions.hands().is_empty());
}

#[test]
fn a_hand_may_be_faster_than_its_member() {
    let mut reactions = Reactions::new();
    reactions.handle_event(epoch(), &hand("$h", "@a:a.org", event_id!("$a"), 7));
    reactions.handle_event(epoch(), &hand("$h2", "@b:b.org", event_id!("$b"), 7));
    reactions.handle_event(epoch(), &redaction("$h2"));
    reactions.handle_members([(key("@a:a.org"), owned_event_id!("$a")), (key("@b:b.org"), owned_event_id!("$b"))]);
    assert_eq!(reactions.hands(), [&key("@a:a.org")]);
    for number in 0..10 * EARLY_MAX {
        let id = format!("$x{number}");
        reactions.handle_event(epoch(), &hand(&id, "@m:m.org", event_id!("$nothing"), 7));
    }
    assert_eq!(reactions.early.len(), EARLY_MAX);
}

#[test]
fn an_emoji_is_shown_for_three_seconds_and_one_at_a_time() {
    let mut reactions = reactions();
    let dog = Change::EmojiShown { member: key("@a:a.org"), emoji: "🐶".to_owned(), name: Some("dog".to_owned()) };
    let start = epoch();
    for _ in 0..100 {
        reactions.handle_event(start, &emoji("@a:a.org", event_id!("$a")));
    }
    assert_eq!(drain(&mut reactions), std::slice::from_ref(&dog));
    let end = reactions.next_timeout().expect("an end");
    assert_eq!(end, start + EMOJI_TIME);
    reactions.handle_timeout(end - Duration::from_millis(1));
    assert_eq!(drain(&mut reactions), []);
    reactions.handle_timeout(end);
    assert_eq!(drain(&mut reactions), [Change::EmojiGone { member: key("@a:a.org") }]);
    reactions.handle_event(end, &emoji("@a:a.org", event_id!("$a")));
    assert_eq!(drain(&mut reactions), [dog]);
}
