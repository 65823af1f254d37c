use ruma::event_id;

use super::*;

fn parsed(kind: &str, content: Value) -> Option<Shown> {
    let event = json!({
        "type": kind, "event_id": "$r", "sender": "@a:a.org", "origin_server_ts": 1, "content": content,
    });
    let (shown, target) = parse(&RoomEvent::from_json(&event).expect("an event"))?;
    assert_eq!(target, event_id!("$m"));
    Some(shown)
}

#[test]
fn what_we_send_is_what_we_read() {
    assert_eq!(parsed(RAISED_HAND_TYPE, hand_content(event_id!("$m"))), Some(Shown::Hand));
    let dog = Shown::Emoji { emoji: "🐶".to_owned(), name: Some("dog".to_owned()) };
    assert_eq!(parsed(EMOJI_TYPE, emoji_content(event_id!("$m"), "🐶", "dog")), Some(dog));
}

#[test]
fn other_reactions_are_none_of_ours() {
    let mut content = hand_content(event_id!("$m"));
    content["m.relates_to"]["key"] = json!("👍");
    assert_eq!(parsed(RAISED_HAND_TYPE, content), None);
    let mut content = hand_content(event_id!("$m"));
    content["m.relates_to"]["rel_type"] = json!("m.reference");
    assert_eq!(parsed(RAISED_HAND_TYPE, content), None);
    for junk in [json!({}), json!({ "m.relates_to": 1 }), json!({ "m.relates_to": { "event_id": "m" } })] {
        assert_eq!(parsed(RAISED_HAND_TYPE, junk.clone()).or(parsed(EMOJI_TYPE, junk)), None);
    }
}

#[test]
fn only_the_first_emoji_counts() {
    let family = "👨\u{200D}👩\u{200D}👧";
    for (text, first) in [
        ("🐶🐱", Some("🐶")),
        ("👍🏽👍", Some("👍🏽")),
        ("🇩🇪🇫🇷", Some("🇩🇪")),
        (&format!("{family}x"), Some(family)),
        ("❤️!", Some("❤️")),
        ("1️⃣2", Some("1️⃣")),
        (" a", Some("a")),
        ("", None),
        ("\u{7}", None),
        ("\u{200D}a", None),
        (&"a\u{200D}".repeat(100), None),
    ] {
        let shown = parsed(EMOJI_TYPE, emoji_content(event_id!("$m"), text, "x"));
        let emoji = shown.map(|shown| match shown {
            Shown::Emoji { emoji, .. } => emoji,
            Shown::Hand => panic!("a hand"),
        });
        assert_eq!(emoji.as_deref(), first, "{text}");
    }
}
