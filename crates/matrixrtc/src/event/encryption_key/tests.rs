use ruma::{device_id, room_id, user_id};

use super::*;

fn me() -> MemberKey {
    let (user, device) = (user_id!("@alice:example.org").to_owned(), device_id!("DEV").to_owned());
    MemberKey { user, device, member_id: "@alice:example.org:DEV".to_owned() }
}

fn key() -> MediaKey {
    MediaKey::new(&(0..16).collect::<Vec<u8>>()).expect("16 bytes")
}

/// As the reference client's own tests have it.
fn deployed_message() -> Value {
    json!({
        "keys": { "index": 2, "key": "AAECAwQFBgcICQoLDA0ODw" },
        "member": { "id": "@alice:example.org:DEV", "claimed_device_id": "DEV" },
        "room_id": "!r:example.org",
        "session": { "application": "m.call", "call_id": "", "scope": "m.room" },
        "sent_ts": 1_750_000_000_000_u64,
    })
}

#[test]
fn what_we_send_is_what_deployed_clients_send() {
    let sent_at = Timestamp::from_millis(1_750_000_000_000);
    let content = deployed(&me(), room_id!("!r:example.org"), &SlotId::default(), 2, &key(), sent_at);
    assert_eq!(content, deployed_message());
}

#[test]
fn both_types_are_read() {
    let room = room_id!("!r:example.org");
    let read = KeyMessage::read(TYPE, &deployed_message()).expect("a key");
    assert_eq!((read.index, read.key), (2, key()));
    assert_eq!(read.slot, Some(SlotId::default()));
    assert_eq!(read.device.as_deref(), Some(device_id!("DEV")));
    let content = spec(&me(), room, 255, &key());
    for kind in SPEC_TYPES {
        let read = KeyMessage::read(kind, &content).expect("a key");
        assert_eq!((read.index, read.key, read.slot), (255, key(), None));
        assert_eq!(read.member_id, Some(me().member_id));
    }
    assert!(KeyMessage::read("m.room_key", &content).is_err());
}

#[test]
fn padding_and_length_are_what_clients_send() {
    let mut content = deployed_message();
    for (text, bytes) in [
        ("AAECAwQFBgcICQoLDA0ODw==", Some(16)),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", Some(32)),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Some(32)),
        ("AAAA", None),
        ("", None),
        ("not base64 at all!", None),
    ] {
        content["keys"]["key"] = json!(text);
        let read = KeyMessage::read(TYPE, &content).ok().map(|message| message.key.as_bytes().len());
        assert_eq!(read, bytes, "{text}");
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let broken = [
        ("/keys/index", json!(256), "index"),
        ("/keys/index", json!(-1), "index"),
        ("/keys/index", json!("2"), "index"),
        ("/keys/key", Value::Null, "key"),
        ("/member/claimed_device_id", json!(""), "claimed_device_id"),
        ("/room_id", json!("r"), "room_id"),
        ("/session", Value::Null, "session"),
        ("/session/application", json!("a#b"), "session"),
    ];
    for (pointer, value, field) in broken {
        let mut content = deployed_message();
        *content.pointer_mut(pointer).expect("it is there") = value;
        let error = KeyMessage::read(TYPE, &content).err();
        assert_eq!(error, Some(BadKeyMessage::BadField(field)), "{pointer}");
    }
    for junk in [Value::Null, json!([]), json!({ "keys": [{ "index": 0 }] })] {
        assert!(KeyMessage::read(TYPE, &junk).is_err() && KeyMessage::read(SPEC_TYPES[0], &junk).is_err());
    }
}
