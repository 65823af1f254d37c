//! Whoever joins or changes layers gets the last key frame and all since from the focus's ring, and the publisher need
//! not make another.

use std::time::Duration;

use focus_signaling::wire::{Announce, ClientMessage, KeySalt, Keyframe, Kind, Source};
use sfu_testkit::{ClientSetup, Publish, Setup, Wants, World};

use super::requests;
use crate::story;

const FULL: (u32, u32) = (1280, 720);
const SMALL: (u32, u32) = (320, 180);

/// A publisher whose media have a key index, one who watches in full size, and one who has not asked for anything yet.
fn three(w: &mut World) -> [usize; 3] {
    let a = w.join(ClientSetup { encrypted: true, ..ClientSetup::caller("alice") });
    let b = w.join(ClientSetup::viewer("bob"));
    let c = w.join(ClientSetup { slots: (0, 1), ..ClientSetup::viewer("carol").wanting(Wants::Nothing) });
    w.run_until("bob sees", Duration::from_secs(3), |w| w.gets(b, a, Source::Camera));
    w.run_secs(2);
    [a, b, c]
}

/// `who` asks for a key frame, and has it.
fn fresh_keyframe(w: &mut World, who: usize, of: usize) {
    let keyframes = |w: &World| w.clients[who].received.from(of, 1).keyframes;
    let (before, track) = (keyframes(w), w.track(of, Source::Camera));
    w.say(who, ClientMessage::Keyframe(Keyframe { track }));
    w.run_until("a key frame", Duration::from_secs(2), |w| keyframes(w) > before);
}

fn show(w: &mut World, who: usize, of: usize, size: (u32, u32)) {
    let track = w.track(of, Source::Camera);
    let slot = w.clients[who].slots.first(Kind::Video);
    w.with(who, |client, _| client.show(slot, &track, Some(size)));
}

story!(who_comes_soon_after_a_key_frame_needs_none, Setup::default(), |w| {
    let [a, b, c] = three(w);
    fresh_keyframe(w, b, a);
    w.run_for(Duration::from_millis(30 * (w.seed % 8)));
    let (asked, replayed) = (requests(w, a), w.foci[0].counter("packets_replayed"));
    show(w, c, a, FULL);
    let took = w.run_until("carol sees", Duration::from_secs(2), |w| w.gets(c, a, Source::Camera));
    // Her wish takes 20 ms to the focus, the picture 17 back.
    assert!(took < Duration::from_millis(50), "{took:?}");
    w.run_secs(1);
    assert_eq!(requests(w, a), asked, "the publisher was not asked");
    assert!(w.foci[0].counter("packets_replayed") > replayed);
});

story!(who_comes_late_asks_the_publisher_once, Setup::default(), |w| {
    let [a, b, c] = three(w);
    fresh_keyframe(w, b, a);
    w.run_for(Duration::from_millis(450));
    let asked = requests(w, a);
    show(w, c, a, FULL);
    let took = w.run_until("carol sees", Duration::from_secs(2), |w| w.gets(c, a, Source::Camera));
    assert!(took < Duration::from_millis(250), "{took:?}");
    w.run_secs(1);
    assert_eq!(requests(w, a), asked + 1);
});

story!(what_is_under_an_older_key_is_not_replayed, Setup::default(), |w| {
    let [a, b, c] = three(w);
    fresh_keyframe(w, b, a);
    let keys = vec![KeySalt { index: 1, salt: format!("{:021}A", 1) }];
    w.say(a, ClientMessage::Announce(Announce { keys, key_index: 1 }));
    w.run_for(Duration::from_millis(40));
    let (asked, replayed) = (requests(w, a), w.foci[0].counter("packets_replayed"));
    show(w, c, a, FULL);
    w.run_until("carol sees", Duration::from_secs(2), |w| w.gets(c, a, Source::Camera));
    w.run_secs(1);
    assert_eq!(w.foci[0].counter("packets_replayed"), replayed);
    assert_eq!(requests(w, a), asked + 1);
});

story!(a_change_of_layer_takes_what_another_asked_for, Setup::default(), |w| {
    let [a, b, c] = three(w);
    show(w, c, a, SMALL);
    w.run_until("carol sees", Duration::from_secs(2), |w| w.gets(c, a, Source::Camera));
    w.run_secs(1);
    fresh_keyframe(w, c, a);
    let asked = requests(w, a);
    let track = w.track(a, Source::Camera);
    w.with(b, |client, _| client.want(&track, Some(SMALL)));
    let layer = |w: &World| w.clients[b].received.from(a, 1).last_layer;
    let took = w.run_until("the small layer comes", Duration::from_secs(2), |w| layer(w) == 0);
    assert!(took < Duration::from_millis(50), "{took:?}");
    w.run_secs(1);
    assert_eq!((requests(w, a), layer(w)), (asked, 0));
    assert!(w.gets(b, a, Source::Camera));
});

story!(few five_hundred_who_join_within_a_second_cost_the_publisher_little, Setup::default(), |w| {
    let a = w.join(ClientSetup::caller("alice").publishing(&[Publish::CAMERA_SINGLE]));
    w.run_secs(2);
    let asked = requests(w, a);
    let viewers: Vec<_> = (0..500)
        .map(|n| {
            let viewer = w.join(ClientSetup { slots: (0, 1), ..ClientSetup::viewer(&format!("viewer {n}")) });
            w.run_for(Duration::from_millis(2));
            viewer
        })
        .collect();
    w.run_until("all see", Duration::from_secs(4), |w| viewers.iter().all(|v| w.gets(*v, a, Source::Camera)));
    w.run_for(Duration::from_millis(500));
    let asked = requests(w, a) - asked;
    assert!((1..=2).contains(&asked), "{asked} requests");
});
