//! Removed by order, kept out, and counted by where one comes from.

use focus_signaling::CloseCode;
use focus_signaling::wire::{ServerMessage, Source};
use sfu_core::Command;

use super::world::{Client, UNIX, World, ms};
use crate::token::{LIFETIME_DEFAULT, Mint};
use crate::{ControlBounds, Origin};

fn token(w: &mut World, identity: &str, conference: &str, origin: &Origin) -> String {
    let mint = Mint { identity, conference, name: identity, publish: true, lifetime: LIFETIME_DEFAULT };
    w.minter.mint_for(&mint, Some(origin), UNIX + (w.now - w.start), &mut w.rng).unwrap()
}

fn join(w: &mut World, identity: &str, conference: &str, origin: &Origin) -> Client {
    let token = token(w, identity, conference, origin);
    let connection = w.hello(token);
    w.welcomed(connection)
}

fn local(user: &str) -> Origin {
    Origin::new(user, "home", "room", true)
}

fn foreign(user: &str) -> Origin {
    Origin::new(user, "far", "room", false)
}

#[test]
fn a_kick_ends_it_at_once_and_keeps_it_out() {
    let mut w = World::new();
    let alice = join(&mut w, "alice", "call", &local("alice"));
    let eve = join(&mut w, "eve", "call", &local("eve"));
    w.publish(&eve, 1, &[("0", Source::Camera)]);
    let spare = token(&mut w, "eve", "call", &local("eve"));
    w.read(&alice);
    w.hold = true;
    let until = w.control.kick(w.now, "call", "eve");
    w.settle();
    // The worker has the order before anything else happens.
    let disconnects = |c: &Command| matches!(c, Command::Disconnect { peer } if *peer == eve.peer());
    assert!(w.workers[0].inbox.iter().any(|(_, command)| disconnects(command)));
    w.release();
    let last = w.read(&eve).pop();
    assert!(matches!(&last, Some(ServerMessage::Leave(leave)) if leave.code == "M_FORBIDDEN"), "{last:?}");
    assert_eq!(w.closed[&eve.connection], CloseCode::Forbidden);
    assert_eq!(w.heard(&alice), ["left Removed"]);

    let resumed = w.try_resume(&eve.welcome.session, &eve.welcome.secret);
    assert_eq!(w.refused(resumed).1, CloseCode::BadToken);
    let again = w.hello(spare.clone());
    assert_eq!(w.refused(again), ("M_FORBIDDEN".into(), CloseCode::Forbidden));
    // Her other call, and other people, are not touched.
    join(&mut w, "eve", "other", &Origin::new("eve", "home", "room2", true));
    join(&mut w, "bob", "call", &local("bob"));

    // A new process that was told of it keeps her out as well.
    let mut w = World::new();
    w.control.deny(w.now, "call", "eve", until);
    let again = w.hello(spare);
    assert_eq!(w.refused(again), ("M_FORBIDDEN".into(), CloseCode::Forbidden));
    // Who looks again and lets her in knows better.
    w.pass(ms(1000));
    join(&mut w, "eve", "call", &local("eve"));
    assert_eq!(w.control.gauges().denied, 1);
    w.pass(ms(700_000));
    assert_eq!(w.control.gauges().denied, 0, "no token of then is good any more");
}

#[test]
fn who_is_removed_from_a_room_loses_all_devices_and_all_tokens_for_it() {
    let mut w = World::new();
    let elsewhere = Origin::new("eve", "home", "room2", true);
    let desk = join(&mut w, "eve/desk", "call", &local("eve"));
    let phone = join(&mut w, "eve/phone", "second", &local("eve"));
    let other = join(&mut w, "eve/desk", "other", &elsewhere);
    let bob = join(&mut w, "bob", "call", &local("bob"));
    let spare = [("eve/third", "call"), ("eve/desk", "second")].map(|(i, c)| token(&mut w, i, c, &local("eve")));
    let until = w.control.remove(w.now, "room", "eve");
    w.settle();
    for gone in [&desk, &phone] {
        assert_eq!(w.closed[&gone.connection], CloseCode::Forbidden);
    }
    assert!(!w.closed.contains_key(&other.connection) && !w.closed.contains_key(&bob.connection));
    for token in spare.clone() {
        let connection = w.hello(token);
        assert_eq!(w.refused(connection).1, CloseCode::Forbidden);
    }
    let mut w = World::new();
    w.control.deny(w.now, "room", "eve", until);
    for token in spare {
        let connection = w.hello(token);
        assert_eq!(w.refused(connection).1, CloseCode::Forbidden);
    }
    join(&mut w, "eve/desk", "other", &elsewhere);
}

#[test]
fn a_session_without_a_socket_is_kicked_as_well() {
    let mut w = World::new();
    let eve = join(&mut w, "eve", "call", &local("eve"));
    w.drop_socket(&eve);
    w.control.kick(w.now, "call", "eve");
    w.settle();
    assert!(w.workers[0].peers.is_empty());
    let resumed = w.try_resume(&eve.welcome.session, &eve.welcome.secret);
    assert_eq!(w.refused(resumed).1, CloseCode::BadToken);
    assert_eq!((w.control.counters().kicked, w.control.counters().removed), (1, 1));
}

#[test]
fn who_may_not_begin_a_conference_comes_in_when_it_is_there() {
    let mut w = World::new();
    let early = token(&mut w, "zoe", "call", &foreign("zoe"));
    let refused = w.hello(early.clone());
    assert_eq!(w.refused(refused), ("M_FORBIDDEN".into(), CloseCode::Forbidden));
    let alice = join(&mut w, "alice", "call", &local("alice"));
    // A token that was refused for that is not used up.
    let connection = w.hello(early);
    let zoe = w.welcomed(connection);
    assert!(w.control.has_conference("call") && !w.control.has_conference("other"));
    w.leave(&alice);
    w.leave(&zoe);
    assert!(!w.control.has_conference("call"));
    assert_eq!(w.control.counters().refused_forbidden, 1);
}

#[test]
fn watchers_hear_of_those_whose_origin_is_known() {
    let mut w = World::new();
    w.join("somebody", "call");
    let alice = join(&mut w, "alice", "call", &local("alice"));
    w.leave(&alice);
    let [(true, came), (false, went)] = &w.watched[..] else { panic!("{:?}", w.watched) };
    assert_eq!(came, went);
    assert_eq!((came.identity.as_str(), came.conference.as_str()), ("alice", "call"));
    assert_eq!((came.origin.user.as_str(), came.origin.room.as_str()), ("alice", "room"));
    assert_eq!(format!("{:?}", came.identity), "[private]");
}

#[test]
fn quotas_are_exact_and_who_comes_again_takes_his_own_place() {
    let bounds = ControlBounds {
        user_participants: 2,
        server_participants: 4,
        foreign_participants: 1,
        room_participants: 5,
        room_conferences: 2,
        ..ControlBounds::default()
    };
    let mut w = World::with(1, usize::MAX, bounds);
    let refused = |w: &mut World, identity: &str, conference: &str, origin: &Origin| {
        let token = token(w, identity, conference, origin);
        let connection = w.hello(token);
        assert_eq!(w.refused(connection), ("M_RESOURCE_LIMIT_EXCEEDED".into(), CloseCode::Forbidden));
    };
    let phone = join(&mut w, "alice/phone", "call", &local("alice"));
    join(&mut w, "alice/desk", "call", &local("alice"));
    refused(&mut w, "alice/watch", "call", &local("alice"));
    join(&mut w, "alice/desk", "call", &local("alice"));
    join(&mut w, "zoe", "call", &foreign("zoe"));
    refused(&mut w, "yan", "call", &foreign("yan"));
    join(&mut w, "bob", "second", &local("bob"));
    refused(&mut w, "carol", "third", &local("carol"));
    join(&mut w, "carol", "second", &local("carol"));
    refused(&mut w, "dan", "call", &local("dan"));
    w.leave(&phone);
    join(&mut w, "dan", "call", &local("dan"));
    refused(&mut w, "emil", "call", &Origin::new("emil", "third", "room", true));
    assert_eq!(w.control.counters().refused_full, 5);
}
