//! The golden events: what is on the wire, and what it means. Clients in other languages read the same files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::*;

#[derive(serde::Deserialize)]
struct Golden {
    event: Value,
    encrypted_by: Option<OwnedDeviceId>,
    /// Wall clock of the reader.
    received: Timestamp,
    expected: Value,
}

fn goldens() -> Vec<(String, Golden)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let entries = fs::read_dir(folder).expect("golden").map(|entry| entry.expect("an entry").path());
    let files: BTreeSet<_> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "json")).collect();
    let read = |path: &std::path::PathBuf| fs::read_to_string(path).expect("readable");
    let name = |path: &std::path::PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), serde_json::from_str(&read(path)).expect("a golden event"))).collect()
}

fn outcome(golden: &Golden) -> Value {
    let mut event = RoomEvent::from_json(&golden.event).expect("an event");
    event.encrypted_by.clone_from(&golden.encrypted_by);
    match parse_member(&event, golden.received) {
        Ok(Claim::Joined(membership)) => json!({"joined": membership}),
        Ok(Claim::Left(leave)) => json!({"left": leave}),
        Err(refusal) => json!({"refused": refusal.as_str()}),
    }
}

/// `GOLDEN_WRITE=1` writes what comes out as what is expected: read the diff.
#[test]
fn golden_events() {
    let write = std::env::var_os("GOLDEN_WRITE").is_some();
    let mut wrong = Vec::new();
    let mut outcomes = BTreeSet::new();
    for (name, golden) in goldens() {
        let outcome = outcome(&golden);
        outcomes.extend(outcome.get("refused").and_then(Value::as_str).map(str::to_owned));
        if write {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.json"));
            let mut whole: Value = serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON");
            whole["expected"] = outcome;
            let text = serde_json::to_string_pretty(&whole).expect("JSON") + "\n";
            fs::write(path, text).expect("writable");
        } else if outcome != golden.expected {
            wrong.push(format!("{name}:\n  is       {outcome}\n  expected {}", golden.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Every reason that a single event can give is in one of them.
    let of_one_event = [
        "not_member",
        "bad_field",
        "old_list",
        "bad_slot",
        "bad_transport",
        "foreign_state_key",
        "foreign_user",
        "foreign_device",
        "not_sticky",
        "bad_sticky_key",
    ];
    for reason in of_one_event {
        assert!(outcomes.contains(reason), "no golden event is refused as {reason}");
    }
}

/// Each key of a golden event is spoilt in turn: nothing panics, and nobody is turned into somebody else.
#[test]
fn spoilt_events() {
    for (name, golden) in goldens() {
        let mut event = RoomEvent::from_json(&golden.event).expect("an event");
        event.encrypted_by.clone_from(&golden.encrypted_by);
        for spoilt in spoil(&Value::Object(event.content.clone())) {
            let Value::Object(content) = spoilt else { continue };
            let event = RoomEvent { content, ..event.clone() };
            if let Ok(Claim::Joined(membership)) = parse_member(&event, golden.received) {
                assert_eq!(membership.key.user, event.sender, "{name}");
                assert!(membership.created_at <= event.sent_at, "{name}");
                assert!(membership.transports.len() <= crate::transport::TRANSPORTS_MAX, "{name}");
            }
        }
    }
}

/// All variants of a value in which one thing is missing or of another type.
fn spoil(value: &Value) -> Vec<Value> {
    let mut all: Vec<Value> = vec![json!(null), json!(-1.5), json!("x".repeat(300)), json!([]), json!({}), json!([{}])];
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                let mut without = object.clone();
                without.remove(key);
                all.push(Value::Object(without));
                for spoilt in spoil(inner) {
                    let mut with = object.clone();
                    with.insert(key.clone(), spoilt);
                    all.push(Value::Object(with));
                }
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                for spoilt in spoil(inner) {
                    let mut with = list.clone();
                    with[index] = spoilt;
                    all.push(Value::Array(with));
                }
            }
            all.push(Value::Array(vec![list.first().cloned().unwrap_or_default(); 100]));
        }
        _ => {}
    }
    all
}

#[test]
fn not_an_event() {
    let whole = json!({"type": "a", "event_id": "$a", "sender": "@a:b", "origin_server_ts": 1, "content": {}});
    assert!(RoomEvent::from_json(&whole).is_ok());
    for key in ["type", "event_id", "sender", "origin_server_ts", "content"] {
        let mut without = whole.clone();
        without.as_object_mut().expect("an object").remove(key);
        assert_eq!(RoomEvent::from_json(&without), Err(NotAnEvent(key)));
    }
}
