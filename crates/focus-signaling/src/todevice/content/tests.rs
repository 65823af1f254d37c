use super::*;
use crate::todevice::MESSAGE_BYTES_MAX;

fn json(extra: &str) -> String {
    format!(r#"{{"room_id":"!r:x","slot_id":"m.call#ROOM","member_id":"m","session":"c1"{extra}}}"#)
}

#[test]
fn a_message_stays_as_it_was_written() {
    let message = r#"{"t":"hello","id":1,"b":{"v":1,"later":[1.50]}}"#;
    let content =
        Content::parse(&json(&format!(r#","dest_session":"f1","seq":1,"ack":2,"m":{message}"#))).expect("good");
    assert_eq!(content.m.as_ref().map(|m| m.get()), Some(message));
    assert_eq!((content.seq, content.ack, content.close), (Some(1), Some(2), None));
    let again = Content::parse(&content.to_json()).expect("good");
    assert_eq!(again.to_json(), content.to_json());
}

#[test]
fn what_is_no_content_is_refused() {
    assert_eq!(Content::parse("[]").err(), Some(ContentError::Json));
    assert_eq!(Content::parse(r#"{"room_id":"!r:x"}"#).err(), Some(ContentError::Json));
    for field in [r#","dest_session":"""#, r#","seq":9007199254740992,"m":{}"#, r#","ack":9007199254740992"#] {
        assert_eq!(Content::parse(&json(field)).err(), Some(ContentError::Field), "{field}");
    }
    let long = json("").replace("c1", &"c".repeat(SESSION_BYTES_MAX + 1));
    assert_eq!(Content::parse(&long).err(), Some(ContentError::Field));
    for field in [r#","seq":0,"m":{}"#, r#","seq":1"#, r#","m":{}"#, r#","seq":1,"m":{},"close":1000"#] {
        assert_eq!(Content::parse(&json(field)).err(), Some(ContentError::Shape), "{field}");
    }
    let large = json(&format!(r#","seq":1,"m":{{"x":"{}"}}"#, "x".repeat(CONTENT_BYTES_MAX)));
    assert_eq!(Content::parse(&large).err(), Some(ContentError::TooLarge));
}

#[test]
fn the_largest_message_fits_with_the_longest_words() {
    let word = "w".repeat(WORD_BYTES_MAX);
    let session = "s".repeat(SESSION_BYTES_MAX);
    let content = Content {
        room_id: word.clone(),
        slot_id: word.clone(),
        member_id: word,
        session: session.clone(),
        dest_session: Some(session),
        seq: Some(INTEGER_MAX),
        ack: Some(INTEGER_MAX),
        m: RawValue::from_string(format!("{:?}", "x".repeat(MESSAGE_BYTES_MAX - 2))).ok(),
        close: None,
    };
    assert!(Content::parse(&content.to_json()).is_ok());
}

#[test]
fn ids_are_not_shown() {
    let content = Content::parse(&json("")).expect("good");
    let address = Address { user_id: "@a:x".into(), device_id: "D".into() };
    let shown = format!("{content:?} {:?} {address:?}", content.claims());
    for id in ["!r:x", "m.call", "c1", "@a:x"] {
        assert!(!shown.contains(id), "{shown}");
    }
}
