use focus_signaling::wire::{Score, ServerMessage};
use sfu_core::{ConferenceId, Event, ParticipantId, Quality, Speaker};

use super::world::{Client, World, ms};
use crate::ControlBounds;

fn speaks(w: &mut World, worker: usize, who: &[(&Client, u8)]) {
    let speakers = who.iter().map(|(c, level)| Speaker { participant: c.participant(), level: *level }).collect();
    w.event(worker, Event::Speakers { conference: ConferenceId(0), speakers });
}

fn quality(w: &mut World, client: &Client, loss: f32) {
    let quality = Quality { uplink_loss: loss, downlink_loss: 0.0, rtt: None, silent: false, quiet: ms(0) };
    w.event(0, Event::Quality { peer: client.peer(), quality });
}

#[test]
fn speakers_of_all_workers_are_told_loudest_first_and_not_too_often() {
    let mut w = World::with(2, 1, ControlBounds::default());
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    w.read(&alice);
    speaks(&mut w, 0, &[(&alice, 40)]);
    assert_eq!((w.heard(&alice), w.heard(&bob)), (vec!["speakers [40]".to_owned()], vec!["speakers [40]".to_owned()]));
    w.pass(ms(100));
    speaks(&mut w, 1, &[(&bob, 20)]);
    speaks(&mut w, 0, &[(&alice, 30)]);
    w.pass(ms(99));
    assert!(w.heard(&alice).is_empty());
    w.pass(ms(1));
    assert_eq!(w.heard(&alice), ["speakers [20, 30]"]);
    // A newcomer learns who speaks.
    let carol = w.join("carol", "call");
    assert_eq!(w.heard(&carol), ["speakers [20, 30]"]);
    w.pass(ms(5_000));
    assert_eq!(w.heard(&alice), ["joined carol"], "no change, no message");
    // Back and forth within the pause is no change.
    speaks(&mut w, 0, &[(&alice, 31)]);
    speaks(&mut w, 0, &[(&alice, 32)]);
    speaks(&mut w, 0, &[(&alice, 31)]);
    assert_eq!(w.heard(&alice), ["speakers [20, 31]"]);
    w.pass(ms(1_000));
    assert!(w.heard(&alice).is_empty());
    // Who leaves is silent.
    w.read(&carol);
    w.leave(&bob);
    assert_eq!(w.heard(&carol), ["speakers [31]", "left Left"]);
    speaks(&mut w, 0, &[(&alice, 31), (&carol, 35)]);
    w.pass(ms(200));
    assert_eq!(w.heard(&carol), ["speakers [31, 35]"]);
    w.leave(&alice);
    w.pass(ms(200));
    assert_eq!(w.heard(&carol), ["left Left", "speakers [35]"], "its worker has not noticed yet");
    speaks(&mut w, 0, &[]);
    w.pass(ms(200));
    assert_eq!(w.heard(&carol), ["speakers []"]);
}

#[test]
fn nobody_speaks_who_is_not_there() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let eve = w.join("eve", "other");
    speaks(&mut w, 0, &[(&eve, 1)]);
    w.event(0, Event::Speakers { conference: ConferenceId(99), speakers: vec![] });
    let ghost = Speaker { participant: ParticipantId(1), level: 1 };
    w.event(0, Event::Speakers { conference: ConferenceId(0), speakers: vec![ghost] });
    assert!(w.heard(&alice).is_empty() && w.heard(&eve).is_empty());
}

#[test]
fn quality_is_told_when_it_changes_and_not_too_often() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    w.read(&alice);
    quality(&mut w, &alice, 0.0);
    assert_eq!(w.heard(&bob), ["quality [Good]"]);
    w.pass(ms(1_000));
    quality(&mut w, &alice, 0.0);
    quality(&mut w, &bob, 0.05);
    quality(&mut w, &alice, 0.5);
    quality(&mut w, &alice, 0.0);
    w.pass(ms(999));
    assert_eq!(w.heard(&alice), ["quality [Good]"]);
    w.pass(ms(1));
    let [ServerMessage::Quality(told)] = &w.read(&alice)[..] else { panic!() };
    let told: Vec<_> = told.participants.iter().map(|p| (p.participant.as_str(), p.score)).collect();
    assert_eq!(told, [(bob.id(), Score::Fair)], "only what has changed");
    let carol = w.join("carol", "call");
    let [ServerMessage::Quality(told)] = &w.read(&carol)[..] else { panic!() };
    assert_eq!(told.participants.len(), 2, "a newcomer is told all");
    w.pass(ms(10_000));
    w.read(&bob);
    assert!(w.heard(&bob).is_empty());
    quality(&mut w, &carol, 0.5);
    quality(&mut w, &bob, 0.5);
    w.leave(&bob);
    w.read(&carol);
    w.pass(ms(2_000));
    assert!(w.heard(&carol).is_empty(), "nothing of who has left");
}
