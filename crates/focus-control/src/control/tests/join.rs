use focus_signaling::CloseCode;
use focus_signaling::wire::{Candidate, ClientMessage, Hello, ParticipantEvent, ServerMessage};
use sfu_core::{CommandError, DisconnectReason, Event};

use super::world::{UNIX, World, ms};
use crate::token::{LIFETIME_DEFAULT, Mint};
use crate::{ControlBounds, Gauges, WallClock};

#[test]
fn two_join_and_know_of_each_other() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    assert!(alice.welcome.participants.is_empty() && !alice.welcome.resumed);
    assert_eq!((alice.welcome.focus.as_str(), alice.welcome.resume_ms), ("focus.example", 30_000));
    let bob = w.join("bob", "call");
    let [known] = &bob.welcome.participants[..] else { panic!("{:?}", bob.welcome.participants) };
    assert_eq!((known.id.as_str(), known.name.as_str()), (alice.id(), "alice"));
    assert_eq!(known.identity.as_deref(), Some("alice"));
    assert_eq!(bob.welcome.identity.as_deref(), Some("bob"));
    assert_eq!(w.heard(&alice), ["joined bob"]);

    w.leave(&bob);
    assert_eq!(w.heard(&alice), ["left Left"]);
    assert_eq!(w.closed[&bob.connection], CloseCode::Normal);
    w.leave(&alice);
    assert_eq!(w.control.gauges(), Gauges { used_tokens: 2, ..Gauges::default() });
    assert!(w.workers[0].peers.is_empty());
    assert_eq!((w.control.counters().joins, w.control.counters().left), (2, 2));
    w.pass(ms(200_000));
    assert_eq!(w.control.gauges(), Gauges::default(), "expired tokens are forgotten");
    assert_eq!(w.next_timeout(), None);
}

#[test]
fn conferences_do_not_hear_of_each_other() {
    let mut w = World::new();
    let alice = w.join("alice", "one");
    let bob = w.join("bob", "two");
    assert!(bob.welcome.participants.is_empty());
    w.leave(&bob);
    assert!(w.heard(&alice).is_empty());
}

#[test]
fn a_token_is_good_once() {
    let mut w = World::new();
    let token = w.token("alice", "call");
    w.hello(token.clone());
    let again = w.hello(token.clone());
    assert_eq!(w.refused(again), ("M_UNAUTHORIZED".into(), CloseCode::BadToken));
    // As long as it would be good otherwise, and then it is too old.
    for _ in 0..30 {
        w.pass(ms(5_000));
        let again = w.hello(token.clone());
        assert_eq!(w.refused(again).1, CloseCode::BadToken);
    }
    assert_eq!(w.control.gauges().sessions, 1);
    assert_eq!(w.control.counters().refused_token, 31);
}

#[test]
fn a_bad_token_lets_nobody_in_and_is_not_used_up() {
    let mut w = World::new();
    let token = w.token("alice", "call");
    let forged = w.hello(format!("{token}x"));
    assert_eq!(w.refused(forged), ("M_UNAUTHORIZED".into(), CloseCode::BadToken));
    w.control.set_clock(WallClock { instant: w.now, unix: UNIX + ms(1_000_000) });
    let late = w.hello(token.clone());
    assert_eq!(w.refused(late).1, CloseCode::BadToken);
    w.control.set_clock(WallClock { instant: w.now, unix: UNIX });
    let connection = w.hello(token);
    w.welcomed(connection);
}

#[test]
fn without_an_authoriser_nobody_is_let_in() {
    let mut w = World::new();
    w.control.verifier = None;
    let token = w.token("alice", "call");
    let connection = w.hello(token);
    assert_eq!(w.refused(connection), ("M_FORBIDDEN".into(), CloseCode::Forbidden));
    assert_eq!(w.control.counters().refused_closed, 1);
}

#[test]
fn every_bound_is_kept() {
    let full = |bounds: ControlBounds, conferences: [&str; 2]| {
        let mut w = World::with(1, usize::MAX, bounds);
        w.join("alice", conferences[0]);
        let token = w.token("bob", conferences[1]);
        let connection = w.hello(token);
        assert_eq!(w.refused(connection), ("M_RESOURCE_LIMIT_EXCEEDED".into(), CloseCode::Forbidden));
        assert_eq!((w.control.counters().refused_full, w.control.gauges().sessions), (1, 1));
        w
    };
    full(ControlBounds { sessions: 1, ..Default::default() }, ["one", "two"]);
    full(ControlBounds { conferences: 1, ..Default::default() }, ["one", "two"]);
    let mut w = full(ControlBounds { participants: 1, ..Default::default() }, ["one", "one"]);
    w.join("bob", "two");
    // Who comes again takes his own place.
    w.join("alice", "one");
    // Not even to somebody who comes again: his token would have to be remembered.
    let mut w = full(ControlBounds { used_tokens: 1, ..Default::default() }, ["one", "one"]);
    let token = w.token("alice", "one");
    let connection = w.hello(token);
    w.refused(connection);
    w.pass(ms(200_000));
    w.join("bob", "one");
}

#[test]
fn the_same_identity_replaces_its_session() {
    let mut w = World::new();
    let bob = w.join("bob", "call");
    let elsewhere = w.join("alice", "other");
    let alice = w.join("alice", "call");
    w.read(&bob);
    let again = w.join("alice", "call");
    assert_eq!(w.closed[&alice.connection], CloseCode::Replaced);
    assert_ne!(again.id(), alice.id());
    assert_eq!(w.heard(&bob), ["left Replaced", "joined alice"]);
    assert_eq!(again.welcome.participants.len(), 1, "not its own ghost");
    assert!(!w.closed.contains_key(&elsewhere.connection), "another conference");
    w.drop_socket(&alice);
    w.leave(&again);
    assert_eq!(w.heard(&bob), ["left Left"]);
    assert_eq!(w.control.counters().replaced, 1);

    // Alone in a conference, which ends and begins anew.
    let first = w.join("carol", "third");
    w.join("carol", "third");
    assert_eq!(w.closed[&first.connection], CloseCode::Replaced);
    assert_eq!(w.control.gauges().conferences, 3);
}

#[test]
fn hello_is_said_once_and_rightly() {
    let mut w = World::new();
    let connection = w.connect();
    w.say(connection, 4, ClientMessage::Candidate(Candidate { candidate: "candidate:x".into() }));
    assert!(!w.inboxes.contains_key(&connection) && !w.closed.contains_key(&connection));
    assert_eq!(w.control.counters().late_messages, 1);
    for hello in [
        Hello { v: 2, token: Some("t".into()), resume: None, client: None },
        Hello { v: 1, token: None, resume: None, client: None },
    ] {
        let connection = w.connect();
        w.say(connection, 1, ClientMessage::Hello(hello));
        assert_eq!(w.refused(connection).1, CloseCode::ProtocolError);
    }
    assert_eq!(w.control.counters().refused_protocol, 2);
    let alice = w.join("alice", "call");
    let token = Some(w.token("bob", "call"));
    w.say(alice.connection, 5, ClientMessage::Hello(Hello { v: 1, token, resume: None, client: None }));
    assert_eq!(w.heard(&alice), ["M_BAD_STATE re Some(5)"]);
    assert_eq!(w.control.gauges().sessions, 1);
}

#[test]
fn nothing_is_done_or_told_before_the_worker_has_made_the_peer() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    w.hold = true;
    let token = w.token("bob", "call");
    let bob = w.hello(token);
    w.say(bob, 2, ClientMessage::Candidate(Candidate { candidate: "candidate:x".into() }));
    assert!(matches!(&w.inboxes[&bob][..], [(Some(2), ServerMessage::Error(e))] if e.errcode == "M_BAD_STATE"));
    assert!(w.heard(&alice).is_empty());
    assert_eq!((w.control.gauges().sessions, w.control.gauges().participants), (2, 1));
    w.inboxes.clear();
    w.release();
    w.welcomed(bob);
    assert_eq!(w.heard(&alice), ["joined bob"]);
}

#[test]
fn who_goes_before_he_was_welcomed_was_never_there() {
    for says_so in [true, false] {
        let mut w = World::new();
        let alice = w.join("alice", "call");
        w.hold = true;
        let token = w.token("bob", "call");
        let bob = w.hello(token);
        if says_so {
            w.say(bob, 2, ClientMessage::Leave(focus_signaling::wire::Leave { code: "left".into(), reason: None }));
        } else {
            w.control.handle_closed(w.now, bob);
        }
        w.release();
        assert!(w.heard(&alice).is_empty());
        assert_eq!((w.workers[0].peers.len(), w.control.gauges().sessions), (1, 1));
        assert!(!w.inboxes.contains_key(&bob));
    }
}

#[test]
fn a_worker_that_makes_no_peer_is_an_error_to_the_client_only() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    for (error, code, close) in [
        (CommandError::TooMany { what: "peers", limit: 1 }, "leave M_RESOURCE_LIMIT_EXCEEDED", CloseCode::Forbidden),
        (CommandError::PeerFailed, "leave M_UNKNOWN", CloseCode::Internal),
    ] {
        w.workers[0].fail = Some(error);
        let token = w.token("bob", "call");
        let connection = w.hello(token);
        let bob = super::world::Client { connection, welcome: alice.welcome.clone() };
        assert_eq!(w.heard(&bob), [code]);
        assert_eq!(w.closed[&connection], close);
    }
    assert!(w.heard(&alice).is_empty());
    assert_eq!((w.control.gauges().sessions, w.control.counters().refused_engine), (1, 2));
}

#[test]
fn a_peer_that_the_engine_gives_up_ends_the_session() {
    for (reason, said, close) in [
        (DisconnectReason::Closed, "leave M_CONNECTION_TIMEOUT", CloseCode::Timeout),
        (DisconnectReason::Silent, "leave M_CONNECTION_TIMEOUT", CloseCode::Timeout),
        (DisconnectReason::NeverConnected, "leave M_CONNECTION_TIMEOUT", CloseCode::Timeout),
        (DisconnectReason::Failed, "leave M_UNKNOWN", CloseCode::Internal),
        (DisconnectReason::Panicked, "leave M_UNKNOWN", CloseCode::Internal),
    ] {
        let mut w = World::new();
        let alice = w.join("alice", "call");
        let bob = w.join("bob", "call");
        w.read(&alice);
        w.event(0, Event::Disconnected { peer: bob.peer(), reason });
        assert_eq!((w.heard(&bob), w.closed[&bob.connection]), (vec![said.to_owned()], close));
        assert_eq!(w.heard(&alice), ["left Lost"]);
        let refused = w.try_resume(&bob.welcome.session, &bob.welcome.secret);
        assert_eq!(w.refused(refused).1, CloseCode::BadToken);
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = || {
        let mut w = World::new();
        let alice = w.join("alice", "call");
        let bob = w.join("bob", "call");
        (format!("{:?}", w.inboxes), alice.welcome, bob.welcome)
    };
    assert_eq!(story(), story());
}

#[test]
fn an_identity_is_told_and_never_shown() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let mint = Mint {
        identity: "@secret:example.org",
        conference: "call",
        name: "Bob",
        publish: false,
        lifetime: LIFETIME_DEFAULT,
    };
    let token = w.mint(&mint);
    w.hello(token);
    let heard = w.read(&alice);
    let shown = format!("{heard:?}");
    assert!(shown.contains("Bob") && !shown.contains("secret"), "{shown}");
    let [ServerMessage::Participant(ParticipantEvent::Joined { participant })] = &heard[..] else { panic!("{shown}") };
    assert_eq!(participant.identity.as_deref(), Some("@secret:example.org"));
}
