use ruma::{event_id, user_id};

use super::*;

fn event(kind: &str, content: Value) -> RoomEvent {
    let event = json!({
        "type": kind, "event_id": "$n", "sender": "@a:a.org", "origin_server_ts": 1_000_000, "content": content,
    });
    RoomEvent::from_json(&event).expect("an event")
}

fn deployed() -> Value {
    let users = Mentions { users: vec![user_id!("@b:b.org").to_owned()], room: false };
    let started = Timestamp::from_millis(999_000);
    content(event_id!("$m"), Loudness::Ring, &users, started, Duration::from_secs(30), Some("audio"))
}

#[test]
fn what_we_send_is_what_we_read() {
    assert_eq!(
        deployed(),
        json!({
            "m.mentions": { "user_ids": ["@b:b.org"], "room": false },
            "notification_type": "ring",
            "m.relates_to": { "rel_type": "m.reference", "event_id": "$m" },
            "sender_ts": 999_000, "lifetime": 30_000, "m.call.intent": "audio",
        })
    );
    let read = parse(&event(TYPE, deployed())).expect("a notification");
    assert_eq!((read.loudness, read.started_at.as_millis()), (Loudness::Ring, 999_000));
    assert_eq!((read.lifetime, read.intent.as_deref()), (Duration::from_secs(30), Some("audio")));
    assert_eq!(read.member_event.as_deref(), Some(event_id!("$m")));
    assert!(read.mentions.includes(user_id!("@b:b.org")) && !read.mentions.includes(user_id!("@c:b.org")));

    let everybody = Mentions { users: vec![], room: true };
    let invite = invite_content(&SlotId::default(), &everybody, Timestamp::from_millis(1), Duration::from_secs(500));
    let read = parse(&event("m.rtc.invite", invite.clone())).expect("an invite");
    assert_eq!((&read.slot, read.lifetime), (&SlotId::default(), INVITE_LIFETIME_MAX));
    assert!(read.mentions.includes(user_id!("@c:b.org")));
    assert!(parse(&event(TYPE, invite)).is_ok(), "its unstable type is the old one's");
    let decline = event(DECLINE_TYPE, decline_content(event_id!("$n")));
    assert_eq!(parse_decline(&decline).ok().as_deref(), Some(event_id!("$n")));
}

#[test]
fn a_clock_that_is_far_off_is_not_believed() {
    let server = 1_000_000;
    for (sender_ts, started_at) in [(980_000, 980_000), (979_999, server), (1_020_000, 1_020_000), (9_000_000, server)]
    {
        let mut content = deployed();
        content["sender_ts"] = json!(sender_ts);
        assert_eq!(parse(&event(TYPE, content)).expect("one").started_at.as_millis(), started_at, "{sender_ts}");
    }
}

#[test]
fn nobody_rings_for_ever() {
    let mut content = deployed();
    content["lifetime"] = json!(u64::MAX);
    let read = parse(&event(TYPE, content)).expect("one");
    assert_eq!(read.lifetime, LIFETIME_MAX);
    assert_eq!(read.ends_at().as_millis(), 999_000 + 90_000);
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let broken = [
        ("m.mentions", json!([]), "m.mentions"),
        ("m.mentions", json!({ "room": "yes" }), "m.mentions"),
        ("m.mentions", json!({ "user_ids": ["nobody"] }), "m.mentions"),
        ("notification_type", json!("shout"), "notification_type"),
        ("sender_ts", json!("now"), "sender_ts"),
        ("lifetime", json!(-1), "lifetime"),
        ("m.relates_to", json!({ "rel_type": "m.thread", "event_id": "$m" }), "m.relates_to"),
        ("m.relates_to", json!({ "rel_type": "m.reference", "event_id": "m" }), "m.relates_to"),
        ("slot_id", json!("no slot"), "slot_id"),
    ];
    for (key, value, field) in broken {
        let mut content = deployed();
        content[key] = value.clone();
        assert_eq!(parse(&event(TYPE, content)), Err(BadNotification::BadField(field)), "{key}: {value}");
    }
    assert_eq!(parse(&event(TYPE, json!({}))), Err(BadNotification::Withdrawn));
    assert_eq!(parse(&event(TYPE, json!({ "sticky_key": "m.call#ROOM" }))), Err(BadNotification::Withdrawn));
    assert_eq!(parse(&event("m.room.message", deployed())), Err(BadNotification::OtherType));
}
