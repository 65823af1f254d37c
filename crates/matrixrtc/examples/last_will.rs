//! The last will of a member, driven as a client drives it: actions become HTTP requests, answers go back in. The homeserver is
//! played by a few lines; it knows only the older dialect, forgets what was scheduled once, and never hears of one restart.
//!
//! ```text
//! cargo run -p matrixrtc --example last_will
//! ```

use std::time::{Duration, Instant};

use matrixrtc::delayed_leave::http::{Address, Answer, Method, Request};
use matrixrtc::delayed_leave::{Ask, Config, DelayedLeave, Event, Output, Support};
use ruma::room_id;
use serde_json::{Value, json};

/// Virtual time begins somewhere.
#[expect(clippy::disallowed_methods, reason = "an example's time is virtual; a client reads its clock here")]
fn epoch() -> Instant {
    Instant::now()
}

fn main() {
    let address = Address {
        room_id: room_id!("!room:example.org").to_owned(),
        event_type: "org.matrix.msc3401.call.member".to_owned(),
        state_key: Some("_@alice:example.org_DEVICE_m.call".to_owned()),
        sticky: None,
        leave: json!({ "leave_reason": "delayed" }),
    };
    let versions = json!({ "unstable_features": { "org.matrix.msc4140": true } });
    let support = Support::read(&versions, &Value::Null);

    let start = epoch();
    let mut now = start;
    let mut will = DelayedLeave::new(now, Config::default(), support, "device1".to_owned());
    will.join(now);

    let (mut requests, mut leaving) = (0, false);
    loop {
        match will.poll_output() {
            Output::Ask(action) => {
                let content = json!({ "application": "m.call", "and": "the rest of the member event" });
                let Some(request) = action.ask.to_http(&address, &content) else { continue };
                requests += 1;
                let (status, body) = homeserver(&request, requests);
                println!("{:>5.1} s  {} → {status}", (now - start).as_secs_f64(), short(&request));
                let answer = Answer::read(&action.ask, status, None, body.to_string().as_bytes());
                will.handle_answer(now, action.request_id, answer);
                debug_assert!(!matches!(action.ask, Ask::Delegate { .. }));
            }
            Output::Event(event) => {
                println!("{:>5.1} s  *** {event:?}", (now - start).as_secs_f64());
                if event == Event::Left {
                    return;
                }
            }
            Output::Timeout(at, _) => {
                let leave_at = start + Duration::from_secs(25);
                now = at.filter(|at| leaving || *at < leave_at).unwrap_or(leave_at);
                if now == leave_at && !leaving {
                    leaving = true;
                    will.leave(now);
                }
                will.handle_timeout(now);
            }
        }
    }
}

/// Its answers, by what is asked and how many requests there were.
fn homeserver(request: &Request, number: u32) -> (u16, Value) {
    let path = &request.path;
    if path.contains("/delayed_event/") {
        (404, json!({ "errcode": "M_UNRECOGNIZED" }))
    } else if number == 6 && path.ends_with("/restart") {
        (404, json!({ "errcode": "M_NOT_FOUND" }))
    } else if number == 9 && path.ends_with("/restart") {
        (502, json!({}))
    } else if request.query.iter().any(|(key, _)| *key == "org.matrix.msc4140.delay") {
        (200, json!({ "delay_id": format!("delay{number}") }))
    } else {
        (200, json!({}))
    }
}

fn short(request: &Request) -> String {
    let method = match request.method {
        Method::Put => "PUT",
        Method::Post => "POST",
    };
    let path = request.path.trim_start_matches("/_matrix/client/");
    let query: String = request.query.iter().map(|(key, value)| format!("?{key}={value}")).collect();
    format!("{method} …/{path}{query}")
}
