use serde_json::json;

use super::*;
use crate::testing::epoch;
use crate::transport::RustSfu;

const HS: Source = Source::Homeserver;
const WK: Source = Source::WellKnown;

/// What a server answers, request by request; the last answer again and again.
enum Answer {
    Is(u16, Value),
    NotJson(u16),
    Busy(Duration),
    Nothing,
    Silence,
}

use Answer::{Busy, Is, NotJson, Nothing, Silence};

struct Outcome {
    url: Option<String>,
    source: Option<Source>,
    requests: Vec<Source>,
    took: Duration,
    failures: Vec<(Source, Failure)>,
}

fn discover(homeserver: &[Answer], well_known: &[Answer], configured: Vec<Transport>) -> Outcome {
    let start = epoch();
    let mut now = start;
    let mut discovery = Discovery::new(vec!["rust_sfu".to_owned()], configured);
    let mut requests = Vec::new();
    let mut steps = 0;
    loop {
        steps += 1;
        assert!(steps < 100, "it never ends");
        match discovery.poll_output(now) {
            Output::Request(source) => {
                let answers = if source == HS { homeserver } else { well_known };
                let asked = requests.iter().filter(|asked| **asked == source).count();
                requests.push(source);
                match answers.get(asked).or(answers.last()) {
                    Some(Is(status, body)) => discovery.handle_response(now, *status, Some(body), None),
                    Some(NotJson(status)) => discovery.handle_response(now, *status, None, None),
                    Some(Busy(pause)) => discovery.handle_response(now, 429, None, Some(*pause)),
                    Some(Nothing) | None => discovery.handle_failure(now),
                    Some(Silence) => {}
                }
            }
            Output::Timeout(at) => {
                assert!(at > now, "a deadline that is met must go");
                now = at;
                discovery.handle_timeout(now);
            }
            Output::Done { transports, source } => {
                let url = transports.first().and_then(Transport::as_rust_sfu).and_then(|focus| focus.url.clone());
                let failures = discovery.failures().to_vec();
                return Outcome { url, source, requests, took: now - start, failures };
            }
        }
    }
}

fn sfu(url: &str) -> Value {
    json!({"type": "rust_sfu", "url": url})
}

fn configured() -> Vec<Transport> {
    vec![Transport::RustSfu(RustSfu::at_url("wss://configured"))]
}

#[test]
fn the_homeserver_first_under_both_keys() {
    for key in ["rtc_transports", "transports"] {
        let livekit = json!({"type": "livekit", "livekit_service_url": "https://lk"});
        let body = json!({key: [livekit, {"no": "type"}, {"type": "rust_sfu"}, sfu("wss://hs"), sfu("wss://second")]});
        let outcome = discover(&[Is(200, body)], &[], configured());
        assert_eq!(outcome.url.as_deref(), Some("wss://hs"));
        assert_eq!(outcome.source, Some(HS));
        assert_eq!(outcome.requests, [HS]);
    }
}

/// In the field each of these has kept somebody from calling.
#[test]
fn nothing_there_means_the_next_one() {
    let well_known = json!({"org.matrix.msc4143.rtc_foci": [sfu("wss://wk")]});
    for nothing in [
        Is(404, json!({"errcode": "M_UNRECOGNIZED"})),
        Is(400, json!({"errcode": "M_UNRECOGNIZED"})),
        NotJson(404),
        Is(405, json!({})),
        Is(200, json!({})),
        Is(200, json!({"rtc_transports": []})),
        Is(200, json!({"rtc_transports": [], "transports": []})),
        Is(200, json!({"rtc_transports": "none"})),
    ] {
        let outcome = discover(&[nothing], &[Is(200, well_known.clone())], configured());
        assert_eq!(outcome.url.as_deref(), Some("wss://wk"));
        assert_eq!(outcome.requests, [HS, WK]);
        assert_eq!(outcome.failures, []);
        assert_eq!(outcome.took, Duration::ZERO);
    }
    let outcome = discover(&[NotJson(404)], &[NotJson(404)], configured());
    assert_eq!((outcome.url.as_deref(), outcome.source), (Some("wss://configured"), Some(Source::Configuration)));
    let outcome = discover(&[NotJson(404)], &[NotJson(404)], vec![]);
    assert_eq!((outcome.url, outcome.source), (None, None));
}

#[test]
fn trouble_is_tried_again_and_told() {
    let found = json!({"rtc_transports": [sfu("wss://hs")]});
    let outcome = discover(&[Nothing, NotJson(502), Is(200, found.clone())], &[], vec![]);
    assert_eq!(outcome.url.as_deref(), Some("wss://hs"));
    assert_eq!(outcome.took, RETRY_AFTER * 3);
    let outcome = discover(&[Busy(Duration::from_secs(5)), Is(200, found.clone())], &[], vec![]);
    assert_eq!(outcome.took, Duration::from_secs(5));
    let outcome = discover(&[Busy(Duration::from_secs(50_000)), Is(200, found)], &[], vec![]);
    assert_eq!(outcome.took, RETRY_AFTER_MAX);
    let outcome = discover(&[Silence], &[Is(403, json!({}))], configured());
    assert_eq!(outcome.url.as_deref(), Some("wss://configured"));
    assert_eq!(outcome.requests, [HS, HS, HS, WK]);
    assert_eq!(outcome.failures, [(HS, Failure::Unanswered), (WK, Failure::Status(403))]);
    assert_eq!(outcome.took, ANSWER_TIMEOUT * 3 + RETRY_AFTER * 3);
}

/// A homeserver with LiveKit only does not keep anybody from the focus that is configured.
#[test]
fn none_of_a_wanted_kind() {
    let livekit = json!({"rtc_transports": [{"type": "livekit", "livekit_service_url": "https://lk"}]});
    let outcome = discover(&[Is(200, livekit)], &[NotJson(404)], configured());
    assert_eq!(outcome.url.as_deref(), Some("wss://configured"));
    assert_eq!(outcome.failures, [(HS, Failure::NoneWanted)]);
}

#[test]
fn answers_that_nobody_asked_for() {
    let now = epoch();
    let mut discovery = Discovery::new(vec!["rust_sfu".to_owned()], configured());
    discovery.handle_response(now, 200, Some(&json!({"rtc_transports": [sfu("wss://early")]})), None);
    assert_eq!(discovery.poll_output(now), Output::Request(HS));
    discovery.handle_response(now, 404, None, None);
    discovery.handle_response(now, 200, Some(&json!({"rtc_transports": [sfu("wss://late")]})), None);
    assert_eq!(discovery.poll_output(now), Output::Request(WK));
}
