use focus_signaling::wire::{ClientMessage, DelegateLeave, Delegation, LeaveReason, ServerMessage, TakeBackLeave};
use focus_signaling::{CloseCode, Errcode};
use sfu_core::{DisconnectReason, Event, ParticipantId, Quality};

use super::world::{Client, World, ms};
use crate::io::{DelegationRequest, Sign};
use crate::token::{LIFETIME_DEFAULT, Mint};

fn delegate() -> DelegateLeave {
    let (delay_id, server_name) = ("id".to_owned(), "hs.example".to_owned());
    DelegateLeave { delay_id, delay_ms: 3_600_000, server_name, on_leave: false }
}

fn me(client: &Client) -> ParticipantId {
    ParticipantId(client.peer().0)
}

fn told(w: &mut World, client: &Client) -> Vec<(Option<u64>, Delegation)> {
    let delegated = |(re, message)| match message {
        ServerMessage::Delegated(delegated) => Some((re, delegated.state)),
        _ => None,
    };
    w.read_with_re(client).into_iter().filter_map(delegated).collect()
}

#[test]
fn whoever_may_publish_can_delegate_and_is_answered_where_he_asked() {
    let mut w = World::new();
    w.control.report_presence();
    let alice = w.join("alice", "call");
    w.read(&alice);
    w.say(alice.connection, 5, ClientMessage::DelegateLeave(delegate()));
    let (asker, request) = w.delegations.remove(0);
    assert_eq!((asker.participant, request), (me(&alice), DelegationRequest::Delegate(delegate())));
    w.control.delegated(asker, Ok(Delegation::Held));
    w.settle();
    assert_eq!(told(&mut w, &alice), [(Some(5), Delegation::Held)]);

    w.say(alice.connection, 6, ClientMessage::TakeBackLeave(TakeBackLeave {}));
    let (asker, request) = w.delegations.remove(0);
    assert_eq!(request, DelegationRequest::TakeBack);
    // The answer comes when the client is on another socket: news all the same, but no answer.
    w.drop_socket(&alice);
    let again = w.resume(&alice);
    w.control.delegated(asker, Ok(Delegation::Returned));
    w.control.delegated(asker, Err(Errcode::NotFound.body("late")));
    w.settle();
    assert_eq!(w.heard(&again), ["Delegated(Delegated { state: Returned })"]);
    w.control.delegation_changed(me(&alice), Delegation::Lost);
    w.settle();
    assert_eq!(told(&mut w, &again), [(None, Delegation::Lost)]);
}

#[test]
fn who_may_only_subscribe_cannot() {
    let mut w = World::new();
    w.control.report_presence();
    let mint = Mint { identity: "eve", conference: "call", name: "Eve", publish: false, lifetime: LIFETIME_DEFAULT };
    let token = w.mint(&mint);
    let connection = w.hello(token);
    let eve = w.welcomed(connection);
    w.read(&eve);
    w.say(eve.connection, 5, ClientMessage::DelegateLeave(delegate()));
    assert_eq!(w.heard(&eve), ["M_FORBIDDEN re Some(5)"]);
    assert!(w.delegations.is_empty());
}

#[test]
fn where_nobody_looks_after_wills_it_is_said_and_no_signs_are_given() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    w.read(&alice);
    w.say(alice.connection, 5, ClientMessage::DelegateLeave(delegate()));
    assert_eq!(w.heard(&alice), ["M_FORBIDDEN re Some(5)"]);
    assert!(w.delegations.is_empty() && w.signs.is_empty());
}

#[test]
fn every_sign_of_life_is_told_and_every_end_with_its_reason() {
    let mut w = World::new();
    w.control.report_presence();
    let alice = w.join("alice", "call");
    let signs = |w: &mut World| std::mem::take(&mut w.signs);
    let joined = |identity: &str| Sign::Joined { conference: "call".into(), identity: identity.into() };
    assert_eq!(signs(&mut w), [(me(&alice), joined("alice"))]);
    w.control.handle_heard(w.now, alice.connection);
    let quality = Quality { uplink_loss: 0.0, downlink_loss: 0.0, rtt: None, silent: false, quiet: ms(700) };
    w.event(0, Event::Quality { peer: alice.peer(), quality });
    assert_eq!(signs(&mut w), [(me(&alice), Sign::Heard), (me(&alice), Sign::Media { quiet: ms(700) })]);

    // A lost socket is no sign of anything, until the session is given up.
    w.drop_socket(&alice);
    assert_eq!(signs(&mut w), []);
    w.pass(ms(30_000));
    assert_eq!(signs(&mut w), [(me(&alice), Sign::Ended(Some(LeaveReason::Lost)))]);

    let bob = w.join("bob", "call");
    w.event(0, Event::Disconnected { peer: bob.peer(), reason: DisconnectReason::Closed });
    assert_eq!(w.closed[&bob.connection], CloseCode::Timeout);
    let first = w.join("carol", "call");
    let second = w.join("carol", "call");
    w.leave(&second);
    w.join("dave", "call");
    w.control.drain(w.now, ms(1));
    w.pass(ms(1));
    let reasons: Vec<_> = signs(&mut w).into_iter().filter(|(_, sign)| matches!(sign, Sign::Ended(_))).collect();
    let dave = ParticipantId(reasons[3].0.0);
    assert_eq!(
        reasons,
        [
            (me(&bob), Sign::Ended(Some(LeaveReason::Lost))),
            (me(&first), Sign::Ended(Some(LeaveReason::Replaced))),
            (me(&second), Sign::Ended(Some(LeaveReason::Left))),
            (dave, Sign::Ended(None)),
        ],
        "a drain says nothing about anybody"
    );
}
