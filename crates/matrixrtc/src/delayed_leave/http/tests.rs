use ruma::room_id;

use super::*;
use crate::delayed_leave::Support;

fn address() -> Address {
    Address {
        room_id: room_id!("!r:example.org").to_owned(),
        event_type: "org.matrix.msc3401.call.member".to_owned(),
        state_key: Some("_@a:example.org_DEV_m.call".to_owned()),
        sticky: None,
        leave: json!({ "leave_reason": "delayed" }),
    }
}

fn schedule_ask(dialect: Schedule) -> Ask {
    Ask::Schedule { dialect, delay: Duration::from_secs(10), transaction: "t.1".to_owned() }
}

fn http(ask: &Ask, address: &Address) -> Request {
    ask.to_http(address, &json!({ "application": "m.call" })).expect("it goes to the homeserver")
}

#[test]
fn a_leave_is_scheduled_in_three_dialects() {
    let stable = http(&schedule_ask(Schedule::Stable), &address());
    assert_eq!(stable.method, Method::Put);
    assert_eq!(
        stable.path,
        "/_matrix/client/v3/rooms/%21r%3Aexample.org/delayed_event/org.matrix.msc3401.call.member/t.1"
    );
    assert_eq!(stable.body["delay_ms"], 10_000);
    assert_eq!(stable.body["state_key"], "_@a:example.org_DEV_m.call");
    assert_eq!(stable.body["content"], json!({ "leave_reason": "delayed" }));

    let unstable = http(&schedule_ask(Schedule::Unstable), &address());
    assert!(unstable.path.starts_with("/_matrix/client/unstable/org.matrix.msc4140/rooms/%21r"));

    let query = http(&schedule_ask(Schedule::Query), &address());
    assert_eq!(
        query.path,
        "/_matrix/client/v3/rooms/%21r%3Aexample.org/state/org.matrix.msc3401.call.member/_%40a%3Aexample.org_DEV_m.call"
    );
    assert_eq!(query.query, [("org.matrix.msc4140.delay", "10000".to_owned())]);
    assert_eq!(query.body, json!({ "leave_reason": "delayed" }));
}

#[test]
fn a_sticky_event_is_sent_and_not_set() {
    let sticky = Address { state_key: None, sticky: Some(Duration::from_secs(3600)), ..address() };
    let request = http(&schedule_ask(Schedule::Query), &sticky);
    assert!(request.path.ends_with("/send/org.matrix.msc3401.call.member/t.1"), "{}", request.path);
    let sticky_key = ("org.matrix.msc4354.sticky_duration_ms", "3600000".to_owned());
    assert_eq!(request.query, [sticky_key.clone(), ("org.matrix.msc4140.delay", "10000".to_owned())]);
    let request = http(&schedule_ask(Schedule::Stable), &sticky);
    assert_eq!(request.query, std::slice::from_ref(&sticky_key));
    assert!(request.body.get("state_key").is_none());
    let join = Ask::SendJoin { fresh: true, periods: 1, transaction: "t.2".to_owned() };
    let request = join.to_http(&sticky.encrypted(), &json!({"ciphertext": ""})).expect("for the homeserver");
    assert!(request.path.ends_with("/send/m.room.encrypted/t.2"), "{}", request.path);
    assert_eq!((request.query, request.body), (vec![sticky_key], json!({"ciphertext": ""})));
}

#[test]
fn where_the_leave_goes_is_where_the_membership_is() {
    let content = json!({"msc4354_sticky_key": "xyz"});
    let leave = Outgoing {
        kind: "org.matrix.msc4143.rtc.member",
        state_key: None,
        content: content.as_object().cloned().unwrap_or_default(),
        sticky: Some(crate::event::STICKY_MAX),
    };
    let address = Address::of(address().room_id, leave);
    let request = http(&Ask::SendLeave { transaction: "t.1".to_owned() }, &address);
    assert_eq!(request.path, "/_matrix/client/v3/rooms/%21r%3Aexample.org/send/org.matrix.msc4143.rtc.member/t.1");
    assert_eq!(request.body, content);
}

#[test]
fn a_scheduled_leave_is_managed_in_three_dialects() {
    let request = manage(Manage::Stable, "a/b", "restart");
    assert_eq!(request.path, "/_matrix/client/v1/delayed_events/a%2Fb/restart");
    let request = manage(Manage::Unstable, "id", "send");
    assert_eq!(request.path, "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/id/send");
    let request = manage(Manage::Body, "id", "cancel");
    assert_eq!(request.path, "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/id");
    assert_eq!(request.body, json!({ "action": "cancel" }));
}

#[test]
fn the_join_event_has_the_content_that_it_is_given_and_the_focus_gets_no_http() {
    let join = Ask::SendJoin { fresh: true, periods: 1, transaction: "t.2".to_owned() };
    assert_eq!(http(&join, &address()).body, json!({ "application": "m.call" }));
    assert!(Ask::TakeBack { delay_id: "id".into() }.to_http(&address(), &Value::Null).is_none());
}

#[test]
fn answers_are_read() {
    let schedule = schedule_ask(Schedule::Query);
    let restart = Ask::Restart { dialect: Manage::Stable, delay_id: "id".into() };
    let read = |ask: &Ask, status, body: &str| Answer::read(ask, status, None, body.as_bytes());
    assert_eq!(read(&schedule, 200, r#"{"delay_id":"x"}"#), Answer::Scheduled { delay_id: "x".into() });
    for accident in [r#"{"event_id":"$x"}"#, r#"{"delay_id":""}"#, "{}", "junk", ""] {
        assert_eq!(read(&schedule, 200, accident), Answer::SentAtOnce, "{accident}");
    }
    assert_eq!(read(&restart, 200, "{}"), Answer::Done);
    assert_eq!(read(&restart, 404, r#"{"errcode":"M_NOT_FOUND"}"#), Answer::Lost);
    assert_eq!(read(&restart, 404, r#"{"errcode":"M_UNRECOGNIZED"}"#), Answer::Unrecognised);
    assert_eq!(read(&restart, 404, "<html>"), Answer::Unrecognised);
    assert_eq!(read(&restart, 409, r#"{"errcode":"M_UNKNOWN"}"#), Answer::Conflict);
    assert_eq!(read(&restart, 401, r#"{"errcode":"M_MISSING_TOKEN"}"#), Answer::Forbidden);
    assert_eq!(read(&restart, 502, "<html>"), Answer::Failed);
    assert_eq!(read(&schedule, 405, ""), Answer::Unrecognised);
    let exceeded = r#"{"errcode":"M_UNKNOWN","org.matrix.msc4140.errcode":"M_MAX_DELAY_EXCEEDED","org.matrix.msc4140.max_delay":4000}"#;
    assert_eq!(read(&schedule, 400, exceeded), Answer::TooLong { max: Some(Duration::from_secs(4)) });
    let off = r#"{"errcode":"M_UNKNOWN","org.matrix.msc4140.errcode":"M_MAX_DELAY_UNSUPPORTED"}"#;
    assert_eq!(read(&schedule, 400, off), Answer::Unrecognised);
    let limited = |header, body: &str| Answer::read(&restart, 429, header, body.as_bytes());
    let seconds = |s| Answer::RateLimited { retry_after: Some(Duration::from_secs(s)) };
    assert_eq!(limited(Some("3"), "{}"), seconds(3));
    assert_eq!(limited(None, r#"{"retry_after_ms":2000}"#), seconds(2));
    assert_eq!(limited(Some("soon"), ""), Answer::RateLimited { retry_after: None });
}

#[test]
fn what_a_server_says_of_itself() {
    let versions = |flags: Value| json!({ "versions": ["v1.11"], "unstable_features": flags });
    let none = Support::read(&versions(json!({})), &Value::Null);
    assert!(!none.is_enough());
    let deployed = Support::read(&versions(json!({ "org.matrix.msc4140": true })), &Value::Null);
    assert_eq!(deployed.schedule, [Schedule::Unstable, Schedule::Query]);
    let merged =
        json!({ "capabilities": { "m.delayed_events": { "max_delay_ms": 86_400_000, "max_scheduled": 100 } } });
    let merged = Support::read(&versions(json!({ "org.matrix.msc4140.stable": true })), &merged);
    assert_eq!(merged.schedule[0], Schedule::Stable);
    assert_eq!(merged.max_delay, Some(Duration::from_secs(86_400)));
    let off = json!({ "capabilities": { "m.delayed_events": { "max_delay_ms": 0 } } });
    assert!(!Support::read(&versions(json!({ "org.matrix.msc4140": true })), &off).is_enough());
}
