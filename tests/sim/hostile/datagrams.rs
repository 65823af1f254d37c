//! Bytes on the media port.

use std::time::Duration;

use focus_signaling::wire::Source;
use sfu_testkit::{ClientSetup, Setup};

use super::{assert_call_goes_on, call_with, noise, random};
use crate::story;

/// First bytes of every kind of datagram: STUN, nothing, DTLS, TURN channels, RTP and RTCP with and without padding,
/// extension and CSRCs.
const FIRST: [u8; 14] = [0, 1, 2, 4, 19, 20, 22, 23, 63, 64, 0x80, 0x90, 0xb0, 0xff];

story!(junk_from_a_strangers_address_is_counted, Setup::workers(2, 50), |w| {
    let (call, _) = call_with(w, ClientSetup::caller("mallory"));
    let focus = w.foci[0].address;
    let mut random = random(w);
    let before = w.foci[0].counter("datagrams_junk") + w.foci[0].counter("datagrams_unknown");
    let stranger = w.add(ClientSetup::viewer("stranger"));
    let address = w.clients[stranger].local;
    for round in 0..500u64 {
        let length = random.below(1400) as usize;
        let bytes = noise(&mut random, FIRST[(round % 14) as usize], length);
        w.send_to_focus(stranger, address, focus, bytes);
        w.run_for(Duration::from_millis(2));
    }
    assert!(w.foci[0].counter("datagrams_junk") + w.foci[0].counter("datagrams_unknown") >= before + 450);
    assert_call_goes_on(w, call);
});

story!(junk_from_a_members_own_address_hurts_at_most_itself, Setup::default(), |w| {
    let (call, m) = call_with(w, ClientSetup::caller("mallory"));
    let (focus, address) = (w.foci[0].address, w.clients[m].local);
    let mut random = random(w);
    for round in 0..700u64 {
        let length = random.below(1400) as usize;
        let bytes = noise(&mut random, FIRST[(round % 14) as usize], length);
        w.send_to_focus(m, address, focus, bytes);
        w.run_for(Duration::from_millis(2));
    }
    assert_call_goes_on(w, call);
    assert!(w.gets(call[0], m, Source::Camera), "what it sends beside the junk is good");
    assert!(w.foci[0].counter("datagrams_refused") + w.foci[0].counter("datagrams_junk") > 100);
});

story!(what_was_changed_on_the_way_is_dropped, Setup::default(), |w| {
    // A box between mallory and the focus repeats each of her packets with a bit turned over.
    let (call, m) = call_with(w, ClientSetup::caller("mallory"));
    w.tamper(m);
    w.run_secs(3);
    assert_call_goes_on(w, call);
    w.assert_undisturbed(&call, &[m], Duration::from_millis(250));
});

story!(anothers_address_can_be_forged_and_gains_nothing, Setup::workers(2, 50), |w| {
    let (call, m) = call_with(w, ClientSetup::caller("mallory"));
    let (focus, victim) = (w.foci[0].address, w.clients[call[0]].local);
    let mut random = random(w);
    for round in 0..700u64 {
        let length = 20 + random.below(300) as usize;
        let mut bytes = noise(&mut random, FIRST[(round % 14) as usize], length);
        if bytes[0] == 1 || bytes[0] == 0 {
            // A STUN binding request as far as it can be seen without the password.
            bytes[..8].copy_from_slice(&[0, 1, 0, (length - 20) as u8 & !3, 0x21, 0x12, 0xa4, 0x42]);
        }
        if (20..64).contains(&bytes[0]) {
            bytes[1..4].copy_from_slice(&[0xfe, 0xfd, 1 + (round % 6) as u8]);
        }
        w.send_to_focus(m, victim, focus, bytes);
        w.run_for(Duration::from_millis(2));
    }
    assert_call_goes_on(w, call);
});

story!(replayed_datagrams_change_nothing, Setup::default(), |w| {
    let (call, m) = call_with(w, ClientSetup::caller("mallory"));
    w.replay(m, Duration::from_millis(20 + w.seed * 50));
    w.run_secs(3);
    assert_call_goes_on(w, call);
    w.assert_undisturbed(&call, &[m], Duration::from_millis(250));
});

story!(a_handshake_without_an_end_is_given_up, Setup::default(), |w| {
    let (call, _) = call_with(w, ClientSetup::caller("mallory"));
    // Offers, and then never answers a single packet.
    let silent = w.add(ClientSetup::caller("silent"));
    w.network.set_outage(sfu_testkit::Node::Client(silent), Duration::from_secs(3600));
    w.rejoin(silent);
    w.run_until("it is given up", Duration::from_secs(60), |w| w.clients[silent].view.ended.is_some());
    w.run_secs(1);
    assert_eq!(w.foci[0].gauges().sessions, 3);
    assert_call_goes_on(w, call);
});
