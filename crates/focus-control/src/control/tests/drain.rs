use focus_signaling::CloseCode;
use focus_signaling::wire::{Move, ServerMessage};

use super::world::{World, ms};

fn moves(messages: Vec<ServerMessage>) -> Vec<Move> {
    let one = |message| if let ServerMessage::Move(m) = message { Some(m) } else { None };
    messages.into_iter().filter_map(one).collect()
}

#[test]
fn a_drain_asks_everybody_to_move_and_ends_when_they_have() {
    let mut w = World::new();
    let clients: Vec<_> = ["a", "b", "c", "d"].map(|name| w.join(name, "call")).into();
    clients.iter().for_each(|c| drop(w.read(c)));
    w.control.drain(w.now, ms(10_000));
    w.settle();
    let mut told: Vec<Move> = clients.iter().flat_map(|c| moves(w.read(c))).collect();
    told.sort_by_key(|m| m.after_ms);
    let expected = [0, 500, 1_000, 1_500].map(|after_ms| Move { url: None, after_ms, deadline_ms: 10_000 });
    assert_eq!(told, expected, "not all at once");

    let token = w.token("e", "call");
    let refused = w.hello(token);
    assert_eq!(w.refused(refused), ("M_RESOURCE_LIMIT_EXCEEDED".into(), CloseCode::Draining));
    assert_eq!(w.control.counters().refused_draining, 1);

    // A socket that is lost now costs no media, and its client is told again.
    w.pass(ms(1_000));
    w.drop_socket(&clients[0]);
    let resumed = w.resume(&clients[0]);
    let again = moves(w.read(&resumed));
    assert!(again.len() == 1 && again[0].after_ms <= 2_000 && again[0].deadline_ms == 9_000, "{again:?}");

    clients[1..].iter().for_each(|c| w.leave(c));
    assert_eq!(w.drained, 0);
    w.leave(&resumed);
    assert_eq!(w.drained, 1);
    w.pass(ms(20_000));
    assert_eq!(w.drained, 1);
}

#[test]
fn at_the_deadline_the_rest_is_ended() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    w.hold = true;
    let token = w.token("late", "call");
    let late = w.hello(token);
    w.control.drain(w.now, ms(5_000));
    w.settle();
    w.release();
    let late = w.welcomed(late);
    assert_eq!(w.heard(&late), ["move"]);
    w.drop_socket(&bob);
    w.read(&alice);
    w.pass(ms(4_999));
    assert_eq!((w.drained, w.heard(&alice).len()), (0, 0));
    w.pass(ms(1));
    assert_eq!(w.heard(&alice), ["leave M_RESOURCE_LIMIT_EXCEEDED"], "and not that the others leave");
    assert_eq!((w.closed[&alice.connection], w.closed[&late.connection]), (CloseCode::Draining, CloseCode::Draining));
    assert_eq!((w.drained, w.control.gauges().sessions, w.control.counters().removed), (1, 0, 3));
    assert!(w.workers[0].peers.is_empty());
}

#[test]
fn an_empty_focus_is_drained_at_once_and_a_second_drain_can_only_be_sooner() {
    let mut w = World::new();
    w.control.drain(w.now, ms(5_000));
    w.settle();
    assert_eq!((w.drained, w.next_timeout()), (1, None));

    let mut w = World::new();
    w.join("alice", "call");
    w.control.drain(w.now, ms(5_000));
    w.control.drain(w.now, ms(1_000));
    w.control.drain(w.now, ms(9_000));
    w.pass(ms(999));
    assert_eq!(w.drained, 0);
    w.pass(ms(1));
    assert_eq!(w.drained, 1);
}
