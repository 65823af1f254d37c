//! Which layer of a video comes, and what else an m-line may carry.

use std::time::Duration;

use focus_signaling::wire::{Kind, Pause, Source};
use sfu_testkit::{ClientSetup, Publish, Setup, Wants, World};

use crate::story;

const SIZES: [(u32, u32); 3] = [(320, 180), (640, 360), (1280, 720)];

/// alice, who publishes, and bob, who watches.
fn pair(w: &mut World) -> (usize, usize) {
    let (a, b) = (w.join(ClientSetup::caller("alice")), w.join(ClientSetup::viewer("bob")));
    w.run_until("bob sees", Duration::from_secs(3), |w| w.gets(b, a, Source::Camera));
    w.run_secs(1);
    (a, b)
}

fn layer(w: &World, from: usize, to: usize) -> u8 {
    w.clients[to].received.from(from, 1).last_layer
}

story!(the_wanted_size_picks_the_layer, Setup::default(), |w| {
    let a = w.join(ClientSetup::caller("alice"));
    let viewers: Vec<_> = SIZES
        .iter()
        .map(|(width, height)| {
            let wants = Wants::All { width: *width, height: *height };
            w.join(ClientSetup::viewer(&format!("viewer {width}")).wanting(wants))
        })
        .collect();
    w.run_secs(3);
    w.reset_counts();
    w.run_secs(2);
    for (expected, viewer) in viewers.iter().enumerate() {
        let tally = w.clients[*viewer].received.from(a, 1);
        assert_eq!(tally.layers.keys().copied().collect::<Vec<_>>(), [expected as u8], "{tally:?}");
        let rid = w.clients[*viewer].view.subscriptions.values().find_map(|s| s.rid.clone());
        assert_eq!(rid.as_deref(), Some(["q", "h", "f"][expected]));
    }
});

story!(another_size_is_another_layer_from_a_key_frame_on, Setup::default(), |w| {
    let (a, b) = pair(w);
    let track = w.track(a, Source::Camera);
    for step in 0..6 {
        let to = ((w.seed + step * 2) % 3) as usize;
        w.with(b, |client, _| client.want(&track, Some(SIZES[to])));
        let took = w.run_until("the layer is there", Duration::from_secs(3), |w| layer(w, a, b) == to as u8);
        assert!(took < Duration::from_secs(1), "{took:?}");
        w.run_for(Duration::from_millis(700));
        assert_eq!(layer(w, a, b), to as u8);
    }
    w.assert_undisturbed(&[b], &[a], Duration::from_millis(300));
});

story!(without_its_largest_layer_the_next_one_comes, Setup::default(), |w| {
    let (a, b) = pair(w);
    assert_eq!(layer(w, a, b), 2);
    w.reset_counts();
    w.with(a, |client, _| client.publisher(Source::Camera).set_layer("f", false));
    w.run_until("the next smaller one comes", Duration::from_secs(4), |w| layer(w, a, b) == 1);
    w.run_secs(1);
    w.with(a, |client, _| client.publisher(Source::Camera).set_layer("f", true));
    w.run_until("it is back", Duration::from_secs(4), |w| layer(w, a, b) == 2);
    w.run_secs(1);
    w.assert_undisturbed(&[b], &[a], Duration::from_secs(3));
});

story!(a_camera_without_layers_comes_whatever_is_wanted, Setup::default(), |w| {
    let single = ClientSetup::caller("alice").publishing(&[Publish::MICROPHONE, Publish::CAMERA_SINGLE]);
    let a = w.join(single);
    let b = w.join(ClientSetup::viewer("bob").wanting(Wants::All { width: 160, height: 90 }));
    w.run_until("bob sees", Duration::from_secs(3), |w| w.gets(b, a, Source::Camera));
    w.run_secs(2);
    assert!(w.gets(b, a, Source::Camera));
});

story!(off_is_silent_and_on_begins_with_a_key_frame, Setup::default(), |w| {
    let (a, b) = pair(w);
    let track = w.track(a, Source::Camera);
    w.with(b, |client, _| client.want(&track, None));
    w.run_for(Duration::from_millis(300));
    assert_eq!(w.clients[b].view.subscriptions[&track].paused, Some(Pause::Off));
    w.reset_counts();
    w.run_secs(2);
    assert_eq!(w.count(b, a, Kind::Video), 0);
    assert!(w.gets(b, a, Source::Microphone));
    let slot = w.clients[b].slots.first(Kind::Video);
    w.with(b, |client, _| client.show(slot, &track, Some(SIZES[2])));
    let took = w.run_until("it is back", Duration::from_secs(3), |w| w.gets(b, a, Source::Camera));
    assert!(took < Duration::from_secs(1), "{took:?}");
    w.run_secs(1);
});

story!(one_line_carries_one_track_after_another, Setup::default(), |w| {
    let names = ["alice", "carol", "dave"];
    let publishers = w.join_many(3, |ordinal| ClientSetup::caller(names[ordinal]).publishing(&[Publish::CAMERA]));
    let wants = Wants::Nothing;
    let b = w.join(ClientSetup { slots: (0, 1), ..ClientSetup::viewer("bob").wanting(wants) });
    w.run_until("bob is there", Duration::from_secs(3), |w| w.clients[b].is_connected());
    let slot = w.clients[b].slots.first(Kind::Video);
    for round in 0..6 {
        let from = publishers[round % 3];
        let track = w.track(from, Source::Camera);
        w.with(b, |client, _| client.show(slot, &track, Some(SIZES[(round * 2 + 1) % 3])));
        let took = w.run_until("it comes", Duration::from_secs(3), |w| w.gets(b, from, Source::Camera));
        assert!(took < Duration::from_secs(1), "{took:?}");
        w.run_for(Duration::from_millis(500));
        w.reset_counts();
        w.run_for(Duration::from_millis(500));
        for other in publishers.iter().filter(|other| **other != from) {
            assert_eq!(w.count(b, *other, Kind::Video), 0);
        }
        // One, and those of the publishers for each other.
        assert_eq!(w.foci[0].gauges().subscriptions, 1 + 6);
    }
});

story!(a_line_is_used_again_when_its_track_has_ended, Setup::default(), |w| {
    let b = w.join(ClientSetup { slots: (1, 1), ..ClientSetup::viewer("bob") });
    for name in ["alice", "carol", "dave"] {
        let from = w.join(ClientSetup::caller(name));
        w.run_until("bob sees and hears", Duration::from_secs(3), |w| {
            w.gets(b, from, Source::Camera) && w.gets(b, from, Source::Microphone)
        });
        w.run_secs(1);
        w.leave(from);
        w.run_for(Duration::from_millis(300));
        assert_eq!(w.clients[b].slots.slots.len(), 2, "no further m-line was needed");
    }
});
