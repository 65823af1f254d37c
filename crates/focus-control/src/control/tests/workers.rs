use focus_signaling::wire::Source;
use sfu_core::{Command, ConferenceId, DisconnectReason, Event, LinkId, Mid, Quality, Speaker, TrackId};

use super::worker::Home;
use super::world::{Client, World, ms};
use crate::ControlBounds;

fn worker_of(w: &World, client: &Client) -> usize {
    w.workers.iter().position(|worker| worker.peers.contains_key(&client.peer())).unwrap()
}

/// What a worker knows of remote tracks.
fn remote(w: &World, worker: usize) -> Vec<(TrackId, LinkId)> {
    let link = |(id, (_, home)): (&TrackId, &(ConferenceId, Home))| match home {
        Home::Link(link) => Some((*id, *link)),
        Home::Peer(_) => None,
    };
    w.workers[worker].tracks.iter().filter_map(link).collect()
}

fn id(text: &str) -> TrackId {
    TrackId::parse(text).unwrap()
}

#[test]
fn a_conference_stays_at_home_until_it_is_large() {
    let mut w = World::with(3, 2, ControlBounds::default());
    let a1 = w.join("a", "one");
    let b1 = w.join("a", "two");
    let a2 = w.join("b", "one");
    let a3 = w.join("c", "one");
    let a4 = w.join("d", "one");
    assert_eq!([a1, b1, a2, a3, a4].map(|c| worker_of(&w, &c)), [0, 1, 0, 2, 1]);
}

#[test]
fn tracks_are_known_where_the_conference_is_and_nowhere_else() {
    let mut w = World::with(2, 1, ControlBounds::default());
    let alice = w.join("alice", "call");
    let first = id(&w.publish(&alice, 1, &[("0", Source::Camera)])[0]);
    assert!(remote(&w, 1).is_empty());
    // The worker's first participant of the conference brings it there.
    let bob = w.join("bob", "call");
    assert_eq!((worker_of(&w, &bob), remote(&w, 1)), (1, vec![(first, LinkId(0))]));
    let carol = w.join("carol", "call");
    assert_eq!(worker_of(&w, &carol), 0);
    // New ones come at once.
    let second = id(&w.publish(&bob, 1, &[("0", Source::Microphone)])[0]);
    assert_eq!(remote(&w, 0), [(second, LinkId(1))]);
    // Subscribed to where the subscriber is.
    w.read(&bob);
    w.subscribe(&bob, &[(&first.to_string(), "3")]);
    assert!(w.workers[1].subscriptions.contains_key(&(bob.peer(), first)));
    assert_eq!(w.heard(&bob), ["subscribed 3"]);
    // Ended by its publisher.
    w.offer(&alice, 2, &[]);
    assert!(remote(&w, 1).is_empty());
    assert_eq!(w.heard(&bob), ["subscribed 3:Off", "updated alice 0"]);
    // Gone with the worker's last participant, whose own tracks are gone elsewhere.
    let third = id(&w.publish(&alice, 3, &[("0", Source::Screen)])[0]);
    assert_eq!(remote(&w, 1), [(third, LinkId(0))]);
    w.leave(&bob);
    assert!(remote(&w, 1).is_empty() && remote(&w, 0).is_empty());
    w.leave(&alice);
    w.leave(&carol);
    assert!(w.workers.iter().all(|worker| worker.tracks.is_empty() && worker.peers.is_empty()));
}

#[test]
fn tracks_of_an_offer_on_its_way_reach_a_worker_that_comes_meanwhile_once() {
    let mut w = World::with(2, 1, ControlBounds::default());
    let alice = w.join("alice", "call");
    w.hold = true;
    w.offer(&alice, 1, &[("0", Source::Camera)]);
    let token = w.token("bob", "call");
    w.hello(token);
    w.release();
    assert_eq!(remote(&w, 1).len(), 1);
}

#[test]
fn a_worker_is_heard_only_about_what_it_hosts() {
    let mut w = World::with(2, 1, ControlBounds::default());
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    let track = id(&w.publish(&alice, 1, &[("0", Source::Camera)])[0]);
    w.subscribe(&bob, &[(&track.to_string(), "3")]);
    w.read(&alice);
    w.read(&bob);
    let (peer, mid) = (bob.peer(), Mid::new("3").unwrap());
    let loud = Speaker { participant: bob.participant(), level: 0 };
    let bad = Quality { uplink_loss: 1.0, downlink_loss: 1.0, rtt: None, silent: true, quiet: ms(9000) };
    w.event(0, Event::Disconnected { peer, reason: DisconnectReason::Silent });
    w.event(0, Event::Subscribed { peer, track, mid, rid: None, paused: Some(sfu_core::Pause::Muted) });
    w.event(0, Event::Speakers { conference: ConferenceId(0), speakers: vec![loud] });
    w.event(0, Event::Quality { peer, quality: bad });
    // The relayed copy has ended, not the track.
    w.event(1, Event::TrackEnded { track });
    assert!(w.heard(&alice).is_empty() && w.heard(&bob).is_empty());
    assert_eq!((w.control.gauges().sessions, w.control.gauges().tracks), (2, 1));
}

#[test]
fn failed_housekeeping_is_counted() {
    let mut w = World::with(2, 1, ControlBounds::default());
    let alice = w.join("alice", "call");
    w.join("bob", "call");
    w.workers[1].fail = Some(sfu_core::CommandError::TrackExists);
    w.publish(&alice, 1, &[("0", Source::Camera)]);
    assert_eq!(w.control.counters().command_failures, 1);
    assert!(matches!(w.workers[1].log.last(), Some(Command::AddRemoteTrack { .. })));
    w.workers[1].tracks = w.workers[0].tracks.clone();
}
