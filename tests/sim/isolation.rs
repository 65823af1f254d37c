//! Conferences never mix: that no packet leaves its conference is checked in every story.

use std::time::Duration;

use focus_signaling::wire::{ClientMessage, Keyframe, Mute, Source, Subscribe, Want};
use sfu_testkit::{ClientSetup, Setup, World};

use crate::story;

fn want(track: &str, mid: &str) -> ClientMessage {
    let want = Want {
        track: track.into(),
        mid: Some(mid.into()),
        width: Some(1280),
        height: Some(720),
        fps: None,
        off: false,
    };
    ClientMessage::Subscribe(Subscribe { tracks: vec![want] })
}

fn guess(w: &mut World) {
    let first = w.join_many(2, |ordinal| ClientSetup::caller(["alice", "bob"][ordinal]));
    let second = w.join_many(2, |ordinal| ClientSetup::caller(["mallory", "trent"][ordinal]).in_conference(2));
    w.until_all_get_all(&first);
    w.until_all_get_all(&second);
    w.reset_counts();
    let mallory = second[0];
    let mid = w.clients[mallory].slots.slots[2].mid.clone().expect("an agreed m-line");
    for client in &first {
        for source in [Source::Microphone, Source::Camera] {
            let track = w.track(*client, source);
            let before = w.clients[mallory].view.errors.len();
            w.say(mallory, want(&track, &mid));
            w.say(mallory, ClientMessage::Mute(Mute { track: track.clone(), muted: true }));
            w.say(mallory, ClientMessage::Keyframe(Keyframe { track }));
            w.run_for(Duration::from_millis(300));
            let errors = &w.clients[mallory].view.errors[before..];
            assert!(errors.iter().any(|error| error.errcode == "M_NOT_FOUND"), "{errors:?}");
            assert!(errors.len() >= 2, "{errors:?}");
        }
    }
    w.run_secs(2);
    w.assert_undisturbed(&first, &first, Duration::from_millis(200));
    for client in &first {
        let tracks: Vec<_> = w.clients[*client].view.tracks().map(|(_, track)| track.muted).collect();
        assert_eq!(tracks, [false, false]);
    }
}

story!(a_guessed_track_is_not_found, Setup::default(), guess);

story!(a_guessed_track_on_another_worker_is_not_found, Setup::workers(3, 1), guess);

story!(many_conferences_share_a_focus, Setup::workers(2, 3), |w| {
    let callers: Vec<Vec<usize>> = (1..=5u32)
        .map(|conference| {
            w.join_many(2, |ordinal| ClientSetup::caller(["alice", "bob"][ordinal]).in_conference(conference))
        })
        .collect();
    for call in &callers {
        w.until_all_get_all(call);
    }
    assert_eq!(w.foci[0].gauges().conferences, 5);
    w.reset_counts();
    w.run_secs(2);
    for call in &callers {
        w.assert_undisturbed(call, call, Duration::from_millis(200));
    }
});

story!(one_who_only_watches_cannot_mute_others, Setup::default(), |w| {
    let [a, v] = [w.join(ClientSetup::caller("alice")), w.join(ClientSetup::viewer("viewer"))];
    w.run_until("it sees", Duration::from_secs(3), |w| w.gets(v, a, Source::Camera));
    let track = w.track(a, Source::Camera);
    w.say(v, ClientMessage::Mute(Mute { track, muted: true }));
    w.run_secs(1);
    assert_eq!(w.clients[v].view.errors.len(), 1);
    assert!(w.gets(v, a, Source::Camera));
});
