//! Two clients of different homeservers join by the events that they would send, and each finds out where the other's media are.
//!
//! ```text
//! cargo run -p matrixrtc --example join_and_find_each_other
//! ```

use std::time::{Duration, Instant};

use matrixrtc::discovery::{Discovery, Output as Asked, Source};
use matrixrtc::event::{Sticky, legacy_member, member};
use matrixrtc::mesh::{self, Topology};
use matrixrtc::reachability::{self, Means};
use matrixrtc::ruma::{EventId, OwnedDeviceId, OwnedUserId, RoomVersionId, owned_device_id, owned_user_id};
use matrixrtc::session::Options;
use matrixrtc::{Join, Outgoing, Profile, RoomEvent, Session, Timestamp, Transport};
use serde_json::{Value, json};

const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);

#[expect(clippy::disallowed_methods, reason = "an example does its own IO, and a clock is IO")]
fn main() {
    let now = Instant::now();
    let alice = owned_user_id!("@alice:example.org");
    let bob = owned_user_id!("@bob:example.net");

    // 1. Each asks where to publish to. Alice's homeserver knows; Bob's has never heard of it, but his .well-known has.
    let hers = discover(now, |source| match source {
        Source::Homeserver => (200, json!({"rtc_transports": [focus("wss://sfu.example.org/rtc/v1")]})),
        _ => (404, json!({})),
    });
    let his = discover(now, |source| match source {
        Source::WellKnown => (200, json!({Source::WELL_KNOWN_KEY: [focus("wss://sfu.example.net/rtc/v1")]})),
        _ => (404, json!({"errcode": "M_UNRECOGNIZED"})),
    });

    // 2. Each joins: Alice as clients do today, Bob by a sticky event.
    let her_join = Join::new(alice.clone(), owned_device_id!("PHONE"), "random-of-alice", hers);
    let his_join = Join::new(bob.clone(), owned_device_id!("DESKTOP"), "random-of-bob", his);
    let events = [
        sent(1, &alice, legacy_member::join(&her_join, Profile::Interop, &RoomVersionId::V11), None),
        sent(2, &bob, member::join(&his_join, Profile::Interop), Some(his_join.device.clone())),
    ];

    // 3. Each looks at the session, which is the same for both.
    let mut session = Session::new(Options::default(), now, START);
    for user in [&alice, &bob] {
        session.handle_room_member(now, user, true, START);
    }
    for event in &events {
        session.handle_event(now, event);
    }
    let members = session.members();
    for join in [&her_join, &his_join] {
        let Some(me) = members.iter().find(|member| member.key.member_id == join.member_id) else { continue };
        let mut means = Means {
            me: &me.key,
            can_subscribe: &join.can_subscribe,
            has_to_device: false,
            own_focus: join.transports.iter().find_map(Transport::as_rust_sfu),
            relayed: &[],
            topology: mesh::decide(&members, session.last_left_at(), START.plus(Duration::from_secs(3))),
        };
        println!("{}, known to its focus as {}:", me.key.user, me.key.identity());
        println!("    two of them, so now: {:?}", reachability::paths(&means, &members));
        means.topology = Topology::Focus { until: None };
        println!("    with a third: {:?}", reachability::paths(&means, &members));
    }
}

fn focus(url: &str) -> Value {
    json!({"type": "rust_sfu", "version": 1, "url": url})
}

fn discover(now: Instant, server: impl Fn(Source) -> (u16, Value)) -> Vec<Transport> {
    let mut discovery = Discovery::new(vec!["rust_sfu".to_owned()], Vec::new());
    loop {
        match discovery.poll_output(now) {
            Asked::Request(source) => {
                let (status, body) = server(source);
                discovery.handle_response(now, status, Some(&body), None);
            }
            Asked::Timeout(_) => return Vec::new(),
            Asked::Done { mut transports, .. } => {
                // Two can do without a focus.
                transports.extend(Transport::parse(&json!({"type": "full_mesh"})));
                return transports;
            }
        }
    }
}

/// As it comes back from the homeserver.
fn sent(number: u64, sender: &OwnedUserId, outgoing: Outgoing, encrypted_by: Option<OwnedDeviceId>) -> RoomEvent {
    RoomEvent {
        kind: outgoing.kind.to_owned(),
        event_id: EventId::parse(format!("$event{number}")).expect("an event id"),
        sender: sender.clone(),
        sent_at: START.plus(Duration::from_secs(number)),
        state_key: outgoing.state_key,
        content: outgoing.content,
        sticky: outgoing.sticky.map(|duration| Sticky { duration, left: None }),
        redacts: None,
        is_redacted: false,
        encrypted_by,
    }
}
