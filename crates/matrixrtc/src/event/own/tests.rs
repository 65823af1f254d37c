//! The golden events that one writes about oneself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ruma::{EventId, OwnedDeviceId, OwnedUserId};
use serde_json::{Map, json};

use super::*;
use crate::event::{Claim, RoomEvent, Sticky, parse_member};
use crate::time::Timestamp;
use crate::transport;

#[derive(serde::Deserialize)]
struct Golden {
    format: MemberFormat,
    profile: String,
    join: Value,
    /// The join, the leave, and the leave that the homeserver holds back.
    expected: Value,
}

fn goldens() -> Vec<(PathBuf, Golden)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/own");
    let files: BTreeSet<_> =
        fs::read_dir(folder).expect("golden/own").map(|entry| entry.expect("an entry").path()).collect();
    let read = |path: &PathBuf| serde_json::from_slice(&fs::read(path).expect("readable")).expect("a golden event");
    files.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

fn the_join(golden: &Golden) -> Join {
    let text = |key: &str| golden.join[key].as_str().expect("a text");
    let transports = golden.join["transports"].as_array().expect("transports");
    let user: OwnedUserId = text("user").try_into().expect("a user");
    let transports = transport::parse_list(transports).expect("transports");
    Join {
        intent: Some(text("intent").to_owned()),
        created_at: golden.join["created_at"].as_u64().map(Timestamp::from_millis),
        ..Join::new(user, OwnedDeviceId::from(text("device")), text("member_id"), transports)
    }
}

fn profile(golden: &Golden) -> Profile {
    if golden.profile == "pure" { Profile::Pure } else { Profile::Interop }
}

fn written(golden: &Golden) -> [Outgoing; 3] {
    let (it, format, profile) = (the_join(golden), golden.format, profile(golden));
    let version = RoomVersionId::V11;
    let leave = |code: &str| {
        let reason = Leave { code: Some(code.to_owned()), reason: None };
        super::leave(&it, format, profile, &version, &reason)
    };
    [join(&it, format, profile, &version), leave("leave"), leave("delayed_leave")]
}

fn as_json(outgoing: &Outgoing) -> Value {
    let mut json = Map::new();
    json.insert("type".to_owned(), outgoing.kind.into());
    json.extend(outgoing.state_key.as_ref().map(|key| ("state_key".to_owned(), key.as_str().into())));
    let sticky =
        outgoing.sticky.map(|duration| ("sticky_duration_ms".to_owned(), (duration.as_millis() as u64).into()));
    json.extend(sticky);
    json.insert("content".to_owned(), Value::Object(outgoing.content.clone()));
    Value::Object(json)
}

/// `GOLDEN_WRITE=1` writes what comes out as what is expected: read the diff.
#[test]
fn golden_own_events() {
    let goldens = goldens();
    let kinds: BTreeSet<_> =
        goldens.iter().map(|(_, golden)| (golden.format == MemberFormat::Sticky, golden.profile.clone())).collect();
    assert_eq!(kinds.len(), 4, "each format for each profile");
    for (path, golden) in goldens {
        let [join, leave, delayed] = written(&golden).map(|outgoing| as_json(&outgoing));
        let outcome = json!({"join": join, "leave": leave, "delayed_leave": delayed});
        if std::env::var_os("GOLDEN_WRITE").is_some() {
            let mut whole: Value = serde_json::from_slice(&fs::read(&path).expect("readable")).expect("JSON");
            whole["expected"] = outcome;
            let text = serde_json::to_string_pretty(&whole).expect("JSON") + "\n";
            fs::write(path, text).expect("writable");
        } else {
            assert_eq!(outcome, golden.expected, "{}", path.display());
        }
    }
}

/// The join is a member and the leaves end just that one, also in clear where the join was encrypted.
#[test]
fn what_is_written_is_read() {
    for (path, golden) in goldens() {
        let it = the_join(&golden);
        let events = written(&golden).map(|outgoing| RoomEvent {
            kind: outgoing.kind.to_owned(),
            event_id: EventId::parse("$a").expect("an id"),
            sender: it.user.clone(),
            sent_at: Timestamp::from_millis(2_000_000_000_000),
            state_key: outgoing.state_key,
            content: outgoing.content,
            sticky: outgoing.sticky.map(|duration| Sticky { duration, left: None }),
            redacts: None,
            is_redacted: false,
            encrypted_by: None,
        });
        let place = |event: &RoomEvent| (event.state_key.clone(), member::sticky_key(event).ok().map(str::to_owned));
        let claims = events.each_ref().map(|event| parse_member(event, event.sent_at));
        let encrypted = RoomEvent { encrypted_by: Some(it.device.clone()), ..events[0].clone() };
        let Ok(Claim::Joined(membership)) = parse_member(&encrypted, encrypted.sent_at) else {
            panic!("{}: {:?}", path.display(), claims[0])
        };
        assert_eq!((membership.key.member_id, membership.transports), (it.member_id, it.transports));
        for leave in [1, 2] {
            assert!(matches!(claims[leave], Ok(Claim::Left(_))), "{}: {:?}", path.display(), claims[leave]);
            assert_eq!(place(&events[leave]), place(&events[0]), "{}", path.display());
        }
    }
}

#[test]
fn sticky_events_only_where_they_are_announced() {
    let yes = json!({"unstable_features": {"org.matrix.msc4354": true}});
    assert_eq!(MemberFormat::Sticky.at(&yes), MemberFormat::Sticky);
    assert_eq!(MemberFormat::State.at(&yes), MemberFormat::State);
    for no in [json!({"unstable_features": {"org.matrix.msc4354": false}}), json!({"versions": ["v1.11"]}), json!(null)]
    {
        assert_eq!(MemberFormat::Sticky.at(&no), MemberFormat::State, "{no}");
    }
}
