use focus_signaling::wire::{ClientMessage, Keyframe, ServerMessage, Source};
use sfu_core::{Command, CommandError, Event, Mid, Pause, Rid, TrackId};

use super::world::{Client, World, ms};
use crate::ControlBounds;

/// Bob, and the two tracks of alice that he may subscribe to.
fn call(w: &mut World) -> (Client, Client, Vec<String>) {
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    let ids = w.publish(&alice, 1, &[("0", Source::Camera), ("1", Source::Microphone)]);
    w.read(&bob);
    (alice, bob, ids)
}

#[test]
fn changes_of_one_round_come_in_one_message() {
    let mut w = World::new();
    let (_, bob, ids) = call(&mut w);
    w.subscribe(&bob, &[(&ids[0], "5"), (&ids[1], "6")]);
    assert_eq!(w.heard(&bob), ["subscribed 5 6"]);
    assert_eq!(w.control.gauges().subscriptions, 2);

    let track = TrackId::parse(&ids[0]).unwrap();
    let (peer, mid) = (bob.peer(), Mid::new("5").unwrap());
    let event = |rid: Option<&str>, paused| Event::Subscribed { peer, track, mid, rid: rid.and_then(Rid::new), paused };
    w.event(0, event(Some("h"), None));
    let [ServerMessage::Subscribed(told)] = &w.read(&bob)[..] else { panic!() };
    assert_eq!(told.tracks[0].rid.as_deref(), Some("h"));
    w.event(0, event(Some("h"), None));
    assert!(w.heard(&bob).is_empty(), "nothing has changed");
    for pause in [Pause::Muted, Pause::NoSource, Pause::Bandwidth] {
        w.event(0, event(None, Some(pause)));
        assert_eq!(w.heard(&bob), [format!("subscribed 5:{pause:?}")]);
    }
    // Of the last of several changes.
    w.control.handle_event(w.now, crate::WorkerId(0), event(None, None));
    w.event(0, event(None, Some(Pause::Muted)));
    assert_eq!(w.heard(&bob), ["subscribed 5:Muted"]);
}

#[test]
fn a_subscription_is_switched_off() {
    let mut w = World::new();
    let (_, bob, ids) = call(&mut w);
    w.subscribe(&bob, &[(&ids[0], "5")]);
    w.read(&bob);
    w.subscribe(&bob, &[(&ids[0], "")]);
    assert_eq!(w.heard(&bob), ["subscribed 5:Off"]);
    assert_eq!(w.control.gauges().subscriptions, 0);
    // Off again, off what never was, off what has ended: as was wanted.
    w.subscribe(&bob, &[(&ids[0], ""), (&ids[1], ""), ("t1", "")]);
    w.workers[0].fail = Some(CommandError::UnknownTrack);
    w.subscribe(&bob, &[(&ids[0], "")]);
    assert!(w.heard(&bob).is_empty());
}

#[test]
fn an_m_line_carries_one_track() {
    let mut w = World::new();
    let (_, bob, ids) = call(&mut w);
    w.subscribe(&bob, &[(&ids[0], "5")]);
    w.read(&bob);
    w.subscribe(&bob, &[(&ids[1], "5")]);
    assert_eq!(w.heard(&bob), ["subscribed 5 5:Off"]);
    assert_eq!(w.control.gauges().subscriptions, 1);
    // Even if the engine says only what is there now.
    let (peer, mid) = (bob.peer(), Mid::new("5").unwrap());
    let track = TrackId::parse(&ids[0]).unwrap();
    w.event(0, Event::Subscribed { peer, track, mid, rid: None, paused: None });
    assert_eq!(w.heard(&bob), ["subscribed 5 5:Off"]);
    assert_eq!(w.control.gauges().subscriptions, 1);
}

#[test]
fn what_cannot_be_subscribed_is_an_error_and_the_rest_is_done() {
    let mut w = World::new();
    let (alice, bob, ids) = call(&mut w);
    let eve = w.join("eve", "other");
    let hers = w.publish(&eve, 1, &[("0", Source::Camera)]).remove(0);
    w.subscribe(&bob, &[(&hers, "1"), ("t1", "2"), ("x", "3"), ("x", ""), (&ids[0], "not a mid"), (&ids[1], "4")]);
    let mut said = vec!["M_NOT_FOUND re Some(7)"; 4];
    said.extend(["M_INVALID_PARAM re Some(7)", "subscribed 4"]);
    assert_eq!(w.heard(&bob), said);
    w.read(&alice);
    w.subscribe(&alice, &[(&ids[0], "1")]);
    assert_eq!(w.heard(&alice), ["M_INVALID_PARAM re Some(7)"], "her own");

    for (error, code) in [
        (CommandError::UnknownTrack, "M_NOT_FOUND"),
        (CommandError::WrongConference, "M_NOT_FOUND"),
        (CommandError::WrongMid(Mid::new("1").unwrap()), "M_INVALID_PARAM"),
        (CommandError::UnknownPeer, "M_UNKNOWN"),
    ] {
        w.workers[0].fail = Some(error);
        w.subscribe(&bob, &[(&ids[0], "1")]);
        assert_eq!(w.heard(&bob), [format!("{code} re Some(7)")]);
    }
    assert_eq!(w.control.gauges().subscriptions, 1);
}

#[test]
fn late_events_of_what_has_ended_are_not_passed_on() {
    let mut w = World::new();
    let (alice, bob, ids) = call(&mut w);
    let (peer, mid) = (bob.peer(), Mid::new("5").unwrap());
    let track = TrackId::parse(&ids[0]).unwrap();
    w.event(0, Event::Subscribed { peer, track, mid, rid: None, paused: Some(Pause::Off) });
    assert!(w.heard(&bob).is_empty(), "never told of");
    w.leave(&alice);
    w.read(&bob);
    w.event(0, Event::Subscribed { peer, track, mid, rid: None, paused: None });
    assert!(w.heard(&bob).is_empty());
    w.leave(&bob);
    w.event(0, Event::Subscribed { peer, track, mid, rid: None, paused: None });
    assert_eq!(w.control.gauges().subscriptions, 0);
}

#[test]
fn unanswered_commands_are_bounded() {
    let mut w = World::with(1, 9, ControlBounds { pending: 2, ..Default::default() });
    let (_, bob, ids) = call(&mut w);
    w.hold = true;
    w.subscribe(&bob, &[(&ids[0], "1"), (&ids[1], "2"), (&ids[1], "3")]);
    w.offer(&bob, 1, &[]);
    assert_eq!(w.heard(&bob), ["M_LIMIT_EXCEEDED re Some(7)", "M_LIMIT_EXCEEDED re Some(101)"]);
    w.release();
    assert_eq!(w.heard(&bob), ["subscribed 1 2"]);
    assert!(w.publish(&bob, 2, &[]).is_empty(), "the refused offer is not on its way");
}

#[test]
fn key_frame_requests_are_passed_on_at_a_pace() {
    let mut w = World::new();
    let (_, bob, ids) = call(&mut w);
    let ask = |w: &mut World, track: &str| {
        w.say(bob.connection, 3, ClientMessage::Keyframe(Keyframe { track: track.into() }));
    };
    let asked = |w: &World| w.workers[0].log.iter().filter(|c| matches!(c, Command::RequestKeyframe { .. })).count();
    ask(&mut w, "t1");
    assert_eq!(w.heard(&bob), ["M_NOT_FOUND re Some(3)"]);
    for _ in 0..11 {
        ask(&mut w, &ids[0]);
    }
    assert_eq!(asked(&w), 10, "a burst");
    let [ServerMessage::Error(error)] = &w.read(&bob)[..] else { panic!() };
    assert_eq!((error.errcode.as_str(), error.retry_after_ms), ("M_LIMIT_EXCEEDED", Some(200)));
    w.pass(ms(199));
    ask(&mut w, &ids[0]);
    w.pass(ms(1));
    ask(&mut w, &ids[0]);
    assert_eq!((asked(&w), w.heard(&bob)), (11, vec!["M_LIMIT_EXCEEDED re Some(3)".to_owned()]));
    w.pass(ms(1_000));
    (0..6).for_each(|_| ask(&mut w, &ids[0]));
    assert_eq!(asked(&w), 16, "five a second");
}
