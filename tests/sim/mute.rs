//! Silence on request. That a muted source stays silent is checked in every story.

use std::time::Duration;

use focus_signaling::wire::{Kind, Pause, Source};
use sfu_testkit::{ClientSetup, Publish, Setup};

use crate::story;

story!(muted_is_silent_and_unmuted_is_back, Setup::default(), |w| {
    let [a, b] = ["alice", "bob"].map(|name| w.join(ClientSetup::caller(name)));
    w.until_all_get_all(&[a, b]);
    for source in [Source::Microphone, Source::Camera] {
        let track = w.track(a, source);
        w.set_muted(a, source, true);
        w.run_secs(1);
        assert!(w.clients[b].view.track(&track).is_some_and(|track| track.muted));
        assert_eq!(w.clients[b].view.subscriptions[&track].paused, Some(Pause::Muted));
        w.reset_counts();
        w.run_secs(2);
        let ordinal = w.ordinal(a, source);
        assert_eq!(w.clients[b].received.from(a, ordinal).packets, 0);
        w.set_muted(a, source, false);
        let took = w.run_until("it is back", Duration::from_secs(2), |w| w.gets(b, a, source));
        assert!(took < Duration::from_millis(600), "{took:?}");
        w.run_for(Duration::from_millis(100));
        assert_eq!(w.clients[b].view.subscriptions[&track].paused, None);
        w.run_secs(1);
    }
});

story!(who_is_muted_and_sends_all_the_same_is_not_heard, Setup::default(), |w| {
    let [a, b] = ["alice", "bob"].map(|name| w.join(ClientSetup::caller(name)));
    w.until_all_get_all(&[a, b]);
    for source in [Source::Microphone, Source::Camera] {
        w.with(a, |client, _| client.publisher(source).sends_while_muted = true);
        w.set_muted(a, source, true);
    }
    w.run_secs(1);
    w.reset_counts();
    w.run_secs(2);
    assert_eq!(w.clients[b].received.packets, 0);
    assert!(w.foci[0].counter("packets_muted") > 100);
    w.set_muted(a, Source::Camera, false);
    w.run_until("it is seen", Duration::from_secs(2), |w| w.gets(b, a, Source::Camera));
    w.run_secs(1);
    assert_eq!(w.count(b, a, Kind::Audio), 0);
});

story!(one_may_join_muted, Setup::workers(2, 0), |w| {
    let microphone = Publish { muted: true, ..Publish::MICROPHONE };
    let a = w.join(ClientSetup::caller("alice").publishing(&[microphone, Publish::CAMERA]));
    let b = w.join(ClientSetup::caller("bob"));
    w.run_until("bob sees", Duration::from_secs(3), |w| w.gets(b, a, Source::Camera));
    w.run_secs(1);
    assert!(w.clients[b].view.track_of("alice", Source::Microphone).is_some_and(|track| track.muted));
    assert_eq!(w.count(b, a, Kind::Audio), 0);
    w.set_muted(a, Source::Microphone, false);
    w.run_until("bob hears", Duration::from_secs(2), |w| w.gets(b, a, Source::Microphone));
});
