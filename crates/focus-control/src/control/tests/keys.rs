//! The key that a track is under: announced by its publisher, known to every engine that has the track.

use focus_signaling::wire::{Announce, ClientMessage, Encryption, Offer, PublishedTrack, Source};
use sfu_core::TrackId;

use super::world::{Client, World, ms};
use crate::ControlBounds;

fn announce(w: &mut World, client: &Client, key_index: u32) {
    w.say(client.connection, 3, ClientMessage::Announce(Announce { keys: vec![], key_index }));
}

fn offer(w: &mut World, client: &Client, seq: u64, tracks: &[(&str, Option<u32>)]) {
    let track = |(mid, key_index): &(&str, Option<u32>)| PublishedTrack {
        mid: (*mid).to_owned(),
        source: Source::Camera,
        muted: false,
        enc: key_index.map(|key_index| Encryption { format: "sframe".into(), key_index }),
        width: None,
        height: None,
    };
    let tracks = tracks.iter().map(track).collect();
    w.say(client.connection, 100 + seq, ClientMessage::Offer(Offer { sdp: "sdp".into(), seq, tracks }));
}

/// What the engines take tracks to be under, other than 0.
fn known(w: &World) -> Vec<Vec<u32>> {
    w.workers.iter().map(|worker| worker.key_indexes.values().copied().collect()).collect()
}

#[test]
fn every_engine_with_the_track_learns_of_its_key() {
    let mut w = World::with(2, 1, ControlBounds::default());
    let alice = w.join("alice", "call");
    let _bob = w.join("bob", "call");
    offer(&mut w, &alice, 1, &[("0", Some(0)), ("1", None)]);
    assert_eq!(known(&w), [[0_u32; 0]; 2], "every track begins under 0");
    announce(&mut w, &alice, 7);
    assert_eq!(known(&w), [[7], [7]], "nobody needs to know of one without encryption");
    offer(&mut w, &alice, 2, &[("0", Some(u32::MAX)), ("1", Some(u32::MAX))]);
    assert_eq!(known(&w), [[u32::MAX; 2]; 2]);
    // The worker checks that none is told twice.
    offer(&mut w, &alice, 3, &[("0", Some(u32::MAX)), ("1", Some(u32::MAX))]);
    announce(&mut w, &alice, u32::MAX);
    offer(&mut w, &alice, 4, &[("0", Some(u32::MAX))]);
    assert_eq!(known(&w), [[u32::MAX]; 2]);
    offer(&mut w, &alice, 5, &[("0", None)]);
    assert_eq!(known(&w), [[0]; 2], "not encrypted any more");
}

#[test]
fn a_worker_that_comes_later_learns_of_it() {
    let mut w = World::with(2, 1, ControlBounds::default());
    let alice = w.join("alice", "call");
    offer(&mut w, &alice, 1, &[("0", Some(2))]);
    w.join("bob", "call");
    assert_eq!(known(&w), [[2], [2]]);
}

#[test]
fn an_announcement_overtakes_the_answer_to_an_offer() {
    let mut w = World::with(2, 1, ControlBounds::default());
    let alice = w.join("alice", "call");
    w.hold = true;
    offer(&mut w, &alice, 1, &[("0", Some(0))]);
    announce(&mut w, &alice, 1);
    let token = w.token("bob", "call");
    w.hello(token);
    w.release();
    assert_eq!(known(&w), [[1], [1]]);
}

#[test]
fn it_outlives_the_socket() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    let track = TrackId::parse(&w.publish(&alice, 1, &[("0", Source::Camera)])[0]).unwrap();
    announce(&mut w, &alice, 3);
    w.drop_socket(&alice);
    w.pass(ms(10_000));
    let alice = w.resume(&alice);
    // The client tells everything again.
    announce(&mut w, &alice, 3);
    assert_eq!(known(&w), [[3]]);
    let enc = w.resume(&bob).welcome.participants[0].tracks[0].enc.clone();
    assert_eq!(enc.map(|enc| enc.key_index), Some(3));
    assert!(w.workers[0].key_indexes.contains_key(&track));
}
