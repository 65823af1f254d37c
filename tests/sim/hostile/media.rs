//! Properly encrypted nonsense.

use std::time::Duration;

use focus_signaling::wire::Source;
use sfu_core::{Command, Fault};
use sfu_testkit::client::Stray;
use sfu_testkit::{ClientSetup, Path, Setup, World};

use super::{assert_call_goes_on, call_with, noise, random};
use crate::story;

story!(rtp_that_was_never_offered_goes_nowhere, Setup::default(), |w| {
    let (call, m) = call_with(w, ClientSetup::caller("mallory"));
    let mut random = random(w);
    let lines = w.clients[m].slots.slots.len() + w.clients[m].publishers.len();
    for round in 0..600u64 {
        let stray = Stray {
            line: (round % lines as u64) as usize,
            rid: [None, Some("q"), Some("zz")][(round % 3) as usize],
            ssrc: 1 + random.below(200) as u32,
            sequence: random.below(1 << 16),
            payload: {
                let length = random.below(1100) as usize;
                noise(&mut random, 0x90, length)
            },
        };
        w.checkers.allow_garbage(m);
        w.with(m, |client, now| client.write_stray(now, &stray));
        w.run_for(Duration::from_millis(3));
    }
    assert_call_goes_on(w, call);
});

story!(payloads_without_a_valid_descriptor_hurt_nobody_else, Setup::default(), |w| {
    let (call, m) = call_with(w, ClientSetup::caller("mallory"));
    w.checkers.allow_garbage(m);
    w.with(m, |client, _| client.publisher(Source::Camera).garbage = true);
    w.run_secs(3);
    assert_call_goes_on(w, call);
    w.with(m, |client, _| client.publisher(Source::Camera).garbage = false);
    w.run_secs(3);
    assert!(call.iter().all(|client| w.gets(*client, m, Source::Microphone)));
});

story!(who_loses_two_thirds_asks_for_all_of_it_again_and_hurts_nobody_else, Setup::default(), |w| {
    let (call, m) = call_with(w, ClientSetup::caller("mallory"));
    w.set_path(m, &Path::lossy(0.66));
    w.run_secs(6);
    assert_call_goes_on(w, call);
});

fn panic_costs_only_its_peer(w: &mut World, at: Fault, within: Duration) {
    let (call, m) = call_with(w, ClientSetup::caller("mallory"));
    let name = w.clients[m].view.me().to_owned();
    let peer = w.peer_of(m);
    w.panics_injected = 1;
    w.command(0, 0, Command::InjectPanic { peer, at });
    w.run_until("it is gone", within, |w| w.clients[m].view.ended.is_some());
    w.run_secs(1);
    assert_eq!(w.foci[0].counter("panics"), 1);
    assert_eq!(w.foci[0].gauges().sessions, 2);
    for client in call {
        assert!(w.clients[client].view.left.iter().any(|(id, _)| *id == name));
    }
    assert_call_goes_on(w, call);
    w.rejoin(m);
    w.until_all_get_all(&[call[0], call[1], m]);
}

story!(a_panic_costs_only_its_peer, Setup::default(), |w| {
    panic_costs_only_its_peer(w, Fault::Datagram, Duration::from_secs(2));
});

story!(a_panic_in_the_fan_out_costs_only_the_publisher, Setup::default(), |w| {
    panic_costs_only_its_peer(w, Fault::FanOut, Duration::from_secs(2));
});

story!(a_panic_by_the_clock_costs_only_its_peer, Setup::default(), |w| {
    panic_costs_only_its_peer(w, Fault::Housekeeping, Duration::from_secs(4));
});
