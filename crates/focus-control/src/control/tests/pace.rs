//! What is costly has a pace of its own for each session.

use focus_signaling::CloseCode;
use focus_signaling::wire::{Announce, ClientMessage, ErrorBody, ServerMessage};
use sfu_core::{Command, CommandError};

use super::world::{Client, World, ms};
use crate::bounds::{ANNOUNCE_BURST, OFFER_BURST, RESUME_BURST};
use crate::id::{RequestId, WorkerId};
use crate::pending::word;

fn announce(w: &mut World, client: &Client) {
    w.say(client.connection, 3, ClientMessage::Announce(Announce { keys: vec![], key_index: 1 }));
}

/// The one error that the client was told.
fn error(said: Vec<(Option<u64>, ServerMessage)>) -> (u64, String, Option<u64>) {
    match &said[..] {
        [(Some(re), ServerMessage::Error(ErrorBody { errcode, retry_after_ms, .. }))] => {
            (*re, errcode.clone(), *retry_after_ms)
        }
        other => panic!("not an error: {other:?}"),
    }
}

#[test]
fn offers_have_a_pace() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    let burst = u64::from(OFFER_BURST);
    for seq in 1..=burst {
        w.publish(&alice, seq, &[]);
    }
    w.offer(&alice, burst + 1, &[]);
    assert_eq!(error(w.read_with_re(&alice)), (101 + burst, "M_LIMIT_EXCEEDED".into(), Some(500)));
    w.publish(&bob, 1, &[]);
    w.pass(ms(499));
    w.offer(&alice, burst + 1, &[]);
    assert_eq!(error(w.read_with_re(&alice)).2, Some(1));
    w.pass(ms(1));
    w.publish(&alice, burst + 1, &[]);
    let offers = w.workers[0].log.iter().filter(|c| matches!(c, Command::Offer { .. })).count();
    assert_eq!(offers as u64, burst + 2, "no worker heard of the others");
}

#[test]
fn announcements_have_a_pace() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    w.read(&alice);
    (0..ANNOUNCE_BURST).for_each(|_| announce(&mut w, &alice));
    assert!(w.read(&alice).is_empty());
    assert_eq!(w.read(&bob).len(), ANNOUNCE_BURST as usize);
    announce(&mut w, &alice);
    assert_eq!(error(w.read_with_re(&alice)), (3, "M_LIMIT_EXCEEDED".into(), Some(500)));
    assert!(w.read(&bob).is_empty());
    announce(&mut w, &bob);
    w.pass(ms(500));
    w.read(&alice);
    announce(&mut w, &alice);
    assert_eq!((w.read(&alice).len(), w.read(&bob).len()), (0, 1));
}

#[test]
fn resumptions_have_a_pace_and_a_refused_one_loses_nothing() {
    let mut w = World::new();
    let mut alice = w.join("alice", "call");
    for _ in 0..RESUME_BURST {
        alice = w.resume(&alice);
    }
    // On a socket that lives, and in the window.
    for drop in [false, true] {
        if drop {
            w.drop_socket(&alice);
        }
        let hasty = w.try_resume(&alice.welcome.session, &alice.welcome.secret);
        assert_eq!(error(w.inboxes.remove(&hasty).unwrap()), (1, "M_LIMIT_EXCEEDED".into(), Some(1000)));
        assert_eq!(w.closed[&hasty], CloseCode::RateLimited);
        assert!(!w.closed.contains_key(&alice.connection));
    }
    let guess = w.try_resume(&alice.welcome.session, "AAAA");
    assert_eq!(w.refused(guess).1, CloseCode::BadToken);
    w.pass(ms(1000));
    let alice = w.resume(&alice);
    assert!(alice.welcome.resumed);
    w.drop_socket(&alice);
    w.pass(ms(29_500));
    w.resume(&alice);
    assert_eq!(w.control.counters().refused_resume, 3);
}

#[test]
fn a_resume_that_is_refused_for_its_pace_does_not_stretch_the_window() {
    let mut w = World::new();
    let mut alice = w.join("alice", "call");
    for _ in 0..RESUME_BURST {
        alice = w.resume(&alice);
    }
    w.drop_socket(&alice);
    w.try_resume(&alice.welcome.session, &alice.welcome.secret);
    w.pass(ms(30_000));
    assert_eq!(w.control.counters().lost, 1);
}

#[test]
fn no_log_quotes_an_sdp() {
    let secret = "a=candidate:1 1 UDP 1 192.0.2.1 9 typ host";
    let error = CommandError::Sdp(secret.into());
    assert_eq!(word(&error), "sdp");
    let lines = super::log::of(|| {
        let mut w = World::new();
        w.workers[0].fail = Some(error.clone());
        let token = w.token("alice", "call");
        w.hello(token);
        w.control.handle_reply(w.now, WorkerId(0), RequestId(u64::MAX), Err(error));
        w.settle();
    });
    assert_eq!(lines.matches("sdp").count(), 2, "{lines}");
    assert!(lines.contains("DEBUG command failed") && !lines.contains("192.0.2.1"), "{lines}");
}
