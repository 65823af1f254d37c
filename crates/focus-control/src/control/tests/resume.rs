use focus_signaling::CloseCode;
use focus_signaling::wire::{Candidate, ClientMessage, Source};
use sfu_core::{DisconnectReason, Event};

use super::world::{World, ms};

#[test]
fn a_session_is_resumed_within_its_window_and_nobody_notices() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    let track = w.publish(&bob, 1, &[("0", Source::Camera)]).remove(0);
    w.subscribe(&alice, &[(&track, "3")]);
    w.read(&alice);
    let commands = w.workers[0].log.len();

    w.drop_socket(&alice);
    w.pass(ms(29_999));
    let resumed = w.resume(&alice);
    assert!(resumed.welcome.resumed);
    assert_eq!((resumed.id(), &resumed.welcome.session), (alice.id(), &alice.welcome.session));
    assert_eq!(resumed.welcome.participants[0].tracks[0].track, track);
    assert_ne!(resumed.welcome.secret, alice.welcome.secret);
    assert_eq!(w.heard(&resumed), ["subscribed 3"]);
    assert!(w.heard(&bob).is_empty());
    assert_eq!(w.workers[0].log.len(), commands, "media was never touched");
    w.pass(ms(100_000));
    assert_eq!((w.control.gauges().sessions, w.control.counters().resumes), (2, 1));
}

#[test]
fn a_session_that_nobody_resumes_ends() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    w.read(&alice);
    w.drop_socket(&bob);
    w.pass(ms(29_999));
    assert!(w.heard(&alice).is_empty());
    w.pass(ms(1));
    assert_eq!(w.heard(&alice), ["left Lost"]);
    assert_eq!((w.workers[0].peers.len(), w.control.counters().lost), (1, 1));
    let late = w.try_resume(&bob.welcome.session, &bob.welcome.secret);
    assert_eq!(w.refused(late), ("M_UNAUTHORIZED".into(), CloseCode::BadToken));
}

#[test]
fn the_window_is_kept_even_when_the_timer_is_late() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    w.drop_socket(&alice);
    w.now += ms(30_000);
    let late = w.try_resume(&alice.welcome.session, &alice.welcome.secret);
    assert_eq!(w.refused(late).1, CloseCode::BadToken);
}

#[test]
fn a_wrong_secret_harms_nobody() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    let (session, secret) = (&alice.welcome.session, &alice.welcome.secret);
    for (session, secret) in [
        (session.as_str(), bob.welcome.secret.as_str()),
        (session, ""),
        (session, &secret[1..]),
        (&bob.welcome.session, secret),
        ("", secret),
        ("AAAAAAAAAAAAAAAAAAAAAA", secret),
        (alice.id(), secret),
    ] {
        let guess = w.try_resume(session, secret);
        assert_eq!(w.refused(guess), ("M_UNAUTHORIZED".into(), CloseCode::BadToken));
    }
    assert!(!w.closed.contains_key(&alice.connection));
    assert_eq!(w.control.counters().refused_resume, 7);
    w.drop_socket(&alice);
    w.resume(&alice);
}

#[test]
fn a_socket_that_hangs_is_taken_over() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let resumed = w.resume(&alice);
    assert_eq!(w.closed[&alice.connection], CloseCode::Replaced);
    w.drop_socket(&alice);
    w.pass(ms(60_000));
    assert_eq!(w.control.gauges().sessions, 1, "the end of the old socket means nothing");
    let bob = w.join("bob", "call");
    assert_eq!(w.heard(&resumed), ["joined bob"]);
    w.leave(&bob);
}

#[test]
fn a_secret_is_good_again_only_until_the_client_is_heard() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let lost = w.resume(&alice);
    // The welcome never arrived: the client has but its old secret.
    let resumed = w.resume(&alice);
    let guess = w.try_resume(&alice.welcome.session, &lost.welcome.secret);
    assert_eq!(w.refused(guess).1, CloseCode::BadToken);
    w.say(resumed.connection, 2, ClientMessage::Candidate(Candidate { candidate: String::new() }));
    let replayed = w.try_resume(&alice.welcome.session, &alice.welcome.secret);
    assert_eq!(w.refused(replayed).1, CloseCode::BadToken, "single use");
    w.resume(&resumed);
}

#[test]
fn what_happened_meanwhile_is_in_the_welcome() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    let track = w.publish(&bob, 1, &[("0", Source::Camera)]).remove(0);
    w.subscribe(&alice, &[(&track, "3")]);
    w.drop_socket(&alice);
    w.read(&alice);
    let carol = w.join("carol", "call");
    w.leave(&bob);
    assert!(w.read(&alice).is_empty());
    let resumed = w.resume(&alice);
    let names: Vec<_> = resumed.welcome.participants.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["carol"]);
    assert!(w.heard(&resumed).is_empty(), "no subscription is left");
    assert_eq!(w.heard(&carol), ["left Left"]);
}

#[test]
fn an_answer_does_not_follow_to_another_socket() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    w.hold = true;
    w.offer(&alice, 1, &[("0", Source::Camera)]);
    let resumed = w.resume(&alice);
    w.release();
    assert!(w.heard(&resumed).is_empty(), "its ids were given to requests of the old one");
    // The offer was done nevertheless; the client makes another.
    assert_eq!(w.control.gauges().tracks, 1);
    assert_eq!(w.publish(&resumed, 2, &[("0", Source::Camera)]).len(), 1);
    assert_eq!(w.control.gauges().tracks, 1);
}

#[test]
fn media_that_dies_ends_a_held_session() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    w.read(&alice);
    w.drop_socket(&bob);
    w.event(0, Event::Disconnected { peer: bob.peer(), reason: DisconnectReason::Silent });
    assert_eq!(w.heard(&alice), ["left Lost"]);
    assert_eq!(w.control.gauges().sessions, 1);
    assert!(w.read(&bob).is_empty());
}

#[test]
fn the_window_counts_from_the_last_socket() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    w.drop_socket(&alice);
    w.pass(ms(20_000));
    let alice = w.resume(&alice);
    w.drop_socket(&alice);
    w.pass(ms(20_000));
    let alice = w.resume(&alice);
    assert!(matches!(w.read(&alice)[..], []) && alice.welcome.resumed);
}
