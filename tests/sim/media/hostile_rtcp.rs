//! RTCP that a member seals properly and means badly. It may cost herself everything, and others nothing.

use std::time::Duration;

use focus_signaling::wire::{Kind, Source};
use sfu_testkit::random::Random;
use sfu_testkit::{ClientSetup, Setup, World};

use super::{ME, nack, rtcp, seen, words};
use crate::story;

/// alice and bob, and mallory with the SSRCs that she is sent.
fn call(w: &mut World) -> ([usize; 2], usize, Vec<u32>) {
    let [a, b] = ["alice", "bob"].map(|name| w.join(ClientSetup::caller(name)));
    let m = w.join(ClientSetup::caller("mallory"));
    w.until_all_get_all(&[a, b, m]);
    w.tap(m);
    w.run_secs(1);
    let mut ssrcs: Vec<u32> = w.tapped(m).iter().filter_map(|(_, bytes)| Some(seen(bytes)?.ssrc)).collect();
    ssrcs.sort_unstable();
    ssrcs.dedup();
    assert!(ssrcs.len() >= 4, "{ssrcs:?}");
    w.reset_counts();
    ([a, b], m, ssrcs)
}

/// Sends 300 packets in 3 s. Alice and bob go on; so does what mallory sends them.
fn send(w: &mut World, make: impl Fn(&mut Random, &[u32], u64) -> Vec<u8>) -> (u64, usize) {
    let ([a, b], m, ssrcs) = call(w);
    let mut random = Random::stream(w.seed, &[0xbad]);
    let asked = super::requests(w, a);
    for round in 0..300 {
        let packet = make(&mut random, &ssrcs, round);
        w.send_rtcp(m, &packet);
        w.run_for(Duration::from_millis(10));
    }
    w.run_for(Duration::from_millis(500));
    w.assert_undisturbed(&[a, b], &[a, b], Duration::from_millis(200));
    w.assert_undisturbed(&[a, b], &[m], Duration::from_millis(250));
    assert!(w.clients[m].is_connected());
    (super::requests(w, a) - asked, m)
}

fn assert_served(w: &World, m: usize) {
    assert!([0, 1].iter().all(|from| w.gets(m, *from, Source::Microphone) && w.gets(m, *from, Source::Camera)));
}

story!(lists_of_lost_packets_as_long_as_they_can_be, Setup::default(), |w| {
    let (_, m) = send(w, |random, ssrcs, _| {
        let ssrc = ssrcs[random.below(ssrcs.len() as u64) as usize];
        let pairs: Vec<_> = (0..250).map(|_| (random.u64() as u16, random.u64() as u16)).collect();
        nack(ssrc, &pairs)
    });
    assert_served(w, m);
});

story!(key_frames_asked_for_in_every_way, Setup::default(), |w| {
    let (asked, _) = send(w, |random, ssrcs, round| {
        let mut compound = Vec::new();
        for ssrc in ssrcs.iter().cycle().take(40) {
            // PLI (RFC 4585 §6.3.1), FIR (RFC 5104 §4.3.1) with whatever number.
            if round % 2 == 0 {
                compound.extend(rtcp(1, 206, &words(&[ME, *ssrc])));
            } else {
                compound.extend(rtcp(4, 206, &words(&[ME, 0, *ssrc, random.u64() as u32])));
            }
        }
        compound
    });
    // 3.5 s at one per 300 ms.
    assert!(asked <= 13, "{asked} requests");
});

story!(estimates_of_nothing_and_of_everything, Setup::default(), |w| {
    let (_, m) = send(w, |_, ssrcs, round| {
        // REMB: six bits of exponent, 18 of mantissa.
        let (exponent, mantissa) = [(0, 0), (63, 0x3ffff), (63, 1), (0, 1)][(round % 4) as usize];
        rtcp(15, 206, &words(&[ME, 0, u32::from_be_bytes(*b"REMB"), 1 << 24 | exponent << 18 | mantissa, ssrcs[0]]))
    });
    w.run_secs(1);
    // Her stack tells what arrives, and that is what counts.
    assert_served(w, m);
});

/// Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
fn feedback(base: u16, count: u16, reference: u32, body: &[u8]) -> Vec<u8> {
    let mut packet = words(&[ME, 0, u32::from(base) << 16 | u32::from(count), reference << 8]);
    packet.extend(body);
    packet.resize(packet.len().next_multiple_of(4), 0);
    rtcp(15, 205, &packet)
}

story!(feedback_on_what_was_never_sent, Setup::default(), |w| {
    let (_, m) = send(w, |random, _, round| {
        let (base, reference) = (random.u64() as u16, random.u64() as u32 & 0xff_ffff);
        match round % 4 {
            // All of 65535 came, says one run after another, and no times follow.
            0 => feedback(base, u16::MAX, reference, &[0x3f, 0xff].repeat(9)),
            // 100 came, each 8 seconds before the last.
            1 => feedback(base, 100, reference, &[&[0x40, 100][..], &[0x80, 0].repeat(100)].concat()),
            // A count of nothing.
            2 => feedback(base, 0, reference, &[]),
            _ => {
                let mut noise = vec![0; random.below(200) as usize];
                random.fill(&mut noise);
                feedback(base, random.u64() as u16, reference, &noise)
            }
        }
    });
    w.run_secs(2);
    assert!([0, 1].iter().all(|from| w.gets(m, *from, Source::Microphone)));
});

story!(feedback_that_promises_the_world_gives_no_more_than_the_world, Setup::default(), |w| {
    // Everything that could have been sent came at once: an endless path. What is sent stays what is published.
    let (_, m) = send(w, |_, _, round| {
        let (base, run) = ((round * 40) as u16, 200u16);
        feedback(base, run, round as u32, &[&(0x2000 | run).to_be_bytes()[..], &[0; 200]].concat())
    });
    w.tap(m);
    w.run_secs(4);
    let bytes: usize = w.tapped(m).iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes < 4 * 400_000, "{bytes} bytes in 4 s");
});

story!(lengths_that_lie, Setup::default(), |w| {
    let (_, m) = send(w, |random, ssrcs, round| {
        let mut packet = rtcp(1, 206, &words(&[ME, ssrcs[0]]));
        match round % 5 {
            0 => packet[2..4].copy_from_slice(&u16::MAX.to_be_bytes()),
            1 => packet[2..4].copy_from_slice(&0u16.to_be_bytes()),
            // More reports than fit.
            2 => packet = rtcp(31, 201, &words(&[ME, ssrcs[0], 1, 2, 3])),
            // Padding longer than the packet.
            3 => {
                packet[0] |= 0x20;
                let last = packet.len() - 1;
                packet[last] = 255;
            }
            _ => {
                let mut noise = vec![0; 8 + random.below(300) as usize];
                random.fill(&mut noise);
                noise[..2].copy_from_slice(&[0x80 | round as u8 & 31, 200 + (round % 8) as u8]);
                packet = noise;
            }
        }
        packet
    });
    assert!(w.foci[0].counter("rtcp_malformed") > 50);
    assert_served(w, m);
});

story!(a_goodbye_of_others, Setup::default(), |w| {
    // For what she is sent, for what others send, and for anything.
    let (calls, m, mut all) = call(w);
    w.tap(calls[0]);
    w.run_for(Duration::from_millis(300));
    all.extend(w.tapped(calls[0]).iter().filter_map(|(_, bytes)| Some(seen(bytes)?.ssrc)));
    for round in 0..200 {
        let some: Vec<u32> = (0..31).map(|n| all[(round * 31 + n) % all.len()]).collect();
        w.send_rtcp(m, &rtcp(31, 203, &words(&some)));
        w.run_for(Duration::from_millis(10));
    }
    w.assert_undisturbed(&calls, &calls, Duration::from_millis(200));
    w.assert_undisturbed(&calls, &[m], Duration::from_millis(250));
    assert_served(w, m);
});

story!(sound_asked_for_again_without_end, Setup::default(), |w| {
    let ([a, b], m, _) = call(w);
    let payload_type = w.clients[m].payload_type(Kind::Audio);
    let mut again = 0;
    for _ in 0..200 {
        w.run_for(Duration::from_millis(10));
        let audio: Vec<_> = w.tapped(m).iter().filter_map(|(_, bytes)| seen(bytes)).collect();
        let audio: Vec<_> = audio.into_iter().filter(|seen| seen.payload_type == payload_type).collect();
        again += audio.len();
        for seen in audio {
            w.send_rtcp(m, &nack(seen.ssrc, &[(seen.sequence.wrapping_sub(17), u16::MAX)]));
        }
    }
    // 100 packets a second are sent of two, and of these each no more than once per round trip of 30 ms while it is there.
    assert!(again < 200 * 20, "{again} packets of sound in 2 s");
    w.assert_undisturbed(&[a, b], &[a, b], Duration::from_millis(200));
});
