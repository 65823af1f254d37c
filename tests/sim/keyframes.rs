//! Key frames cost an uplink a multiple of an ordinary frame: nobody may ask for them too often.

use std::time::Duration;

use focus_signaling::wire::{ClientMessage, Keyframe, Source};
use sfu_testkit::{ClientSetup, Publish, Setup};

use crate::story;

story!(twenty_who_join_at_once_ask_a_few_times, Setup::default(), |w| {
    let a = w.join(ClientSetup::caller("alice").publishing(&[Publish::CAMERA]));
    w.run_secs(2);
    let before = w.with(a, |client, _| client.publisher(Source::Camera).requests);
    let viewers: Vec<_> = (0..20).map(|n| w.join(ClientSetup::viewer(&format!("viewer {n}")))).collect();
    w.run_until("all see", Duration::from_secs(4), |w| viewers.iter().all(|v| w.gets(*v, a, Source::Camera)));
    w.run_secs(2);
    let asked = w.with(a, |client, _| client.publisher(Source::Camera).requests) - before;
    assert!((1..=8).contains(&asked), "{asked} requests");
    assert!(w.foci[0].counter("keyframe_requests_sent") <= before + asked + 2);
});

story!(a_viewer_who_asks_all_the_time_is_answered_at_a_bearable_pace, Setup::default(), |w| {
    let [a, b, c] = ["alice", "bob", "carol"].map(|name| w.join(ClientSetup::caller(name)));
    w.until_all_get_all(&[a, b, c]);
    w.run_secs(1);
    let track = w.track(a, Source::Camera);
    let before = w.with(a, |client, _| client.publisher(Source::Camera).requests);
    w.reset_counts();
    for _ in 0..100 {
        w.say(b, ClientMessage::Keyframe(Keyframe { track: track.clone() }));
        w.run_for(Duration::from_millis(30));
    }
    let asked = w.with(a, |client, _| client.publisher(Source::Camera).requests) - before;
    // 3 s: at once, and then every 0.6 or 0.8 s.
    assert!((3..=6).contains(&asked), "{asked} requests");
    w.assert_undisturbed(&[a, b, c], &[a, b, c], Duration::from_millis(200));
});

story!(a_flood_of_plis_reaches_the_publisher_as_a_trickle, Setup::default(), |w| {
    let [a, b, c] = ["alice", "bob", "carol"].map(|name| w.join(ClientSetup::caller(name)));
    w.until_all_get_all(&[a, b, c]);
    w.run_secs(1);
    let before = w.with(a, |client, _| client.publisher(Source::Camera).requests);
    w.reset_counts();
    for _ in 0..1000 {
        w.with(b, |client, now| client.ask_for_keyframes(now));
        w.run_for(Duration::from_millis(3));
    }
    assert!(w.foci[0].counter("keyframe_requests_received") > 500);
    let asked = w.with(a, |client, _| client.publisher(Source::Camera).requests) - before;
    assert!((3..=6).contains(&asked), "{asked} requests");
    w.assert_undisturbed(&[a, b, c], &[a, b, c], Duration::from_millis(200));
});
