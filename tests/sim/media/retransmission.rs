//! What is asked for is sent again: audio as it was, video as RTX, and neither without end.

use std::collections::BTreeMap;
use std::time::Duration;

use focus_signaling::wire::{Kind, Source};
use sfu_testkit::{ClientSetup, Setup, World};

use super::{Seen, nack, pair, sent};
use crate::story;

/// Datagrams with this header, of all that bob was sent since the last look.
fn copies(w: &mut World, client: usize, of: Seen) -> Vec<Vec<u8>> {
    sent(w, client, Kind::Audio).into_iter().filter(|(seen, _)| *seen == of).map(|(_, bytes)| bytes).collect()
}

story!(sound_is_sent_again_byte_by_byte, Setup::default(), |w| {
    let (_, b) = pair(w);
    w.tap(b);
    w.run_for(Duration::from_millis(400));
    let all = sent(w, b, Kind::Audio);
    // One that is a while ago, and one of just now.
    for back in [15, 1] {
        let (lost, datagram) = all[all.len() - back].clone();
        w.send_rtcp(b, &nack(lost.ssrc, &[(lost.sequence, 0)]));
        w.run_for(Duration::from_millis(60));
        assert_eq!(copies(w, b, lost), [datagram], "{back} back");
    }
});

story!(sound_is_sent_again_even_after_a_roll_over, Setup::default(), |w| {
    let (a, b) = pair(w);
    w.checkers.leniency.gaps = true;
    w.with(a, |client, _| client.publisher(Source::Microphone).skips = 150);
    w.tap(b);
    let mut all = Vec::new();
    let rolled = |all: &Vec<(Seen, Vec<u8>)>| {
        all.windows(2).position(|pair| pair[0].0.sequence > 0xc000 && pair[1].0.sequence < 0x4000)
    };
    for _ in 0..200 {
        w.run_for(Duration::from_millis(100));
        all.extend(sent(w, b, Kind::Audio));
        if rolled(&all).is_some() {
            break;
        }
    }
    let at = rolled(&all).expect("a roll-over");
    for (place, which) in [(at, "the last before it"), (at + 1, "the first after it")] {
        let (lost, datagram) = all[place].clone();
        w.send_rtcp(b, &nack(lost.ssrc, &[(lost.sequence, 0)]));
        w.run_for(Duration::from_millis(60));
        assert_eq!(copies(w, b, lost), [datagram], "{which}");
    }
});

story!(who_asks_for_everything_all_the_time_gets_no_more_than_half_as_much_again, Setup::default(), |w| {
    let [a, b] = ["alice", "bob"].map(|name| w.join(ClientSetup::caller(name)));
    let m = w.join(ClientSetup::caller("mallory"));
    w.until_all_get_all(&[a, b, m]);
    w.run_secs(1);
    w.reset_counts();
    w.tap(m);
    let (mut streams, mut bytes) = (BTreeMap::<u32, u16>::new(), [0, 0]);
    let ordinary = [Kind::Audio, Kind::Video].map(|kind| w.clients[m].payload_type(kind));
    for _ in 0..400 {
        w.run_for(Duration::from_millis(10));
        for (_, datagram) in w.tapped(m) {
            let Some(seen) = super::seen(&datagram) else { continue };
            // Sound comes again under its own SSRC, pictures under another.
            let first = ordinary.contains(&seen.payload_type)
                && streams.get(&seen.ssrc).is_none_or(|last| seen.sequence.wrapping_sub(*last) as i16 > 0);
            if first {
                streams.insert(seen.ssrc, seen.sequence);
            }
            bytes[usize::from(!first)] += datagram.len();
        }
        for (ssrc, last) in streams.clone() {
            // The last 272 packets, in one list.
            let pairs: Vec<_> = (0..16).map(|n: u16| (last.wrapping_sub(16 + 17 * n), u16::MAX)).collect();
            w.send_rtcp(m, &nack(ssrc, &pairs));
        }
    }
    let [once, again] = bytes;
    assert!(again > 20_000, "{again} bytes were sent again");
    assert!(again < once / 2 + 256 * 1024, "{again} bytes again to {once}");
    w.assert_undisturbed(&[a, b], &[a, b], Duration::from_millis(200));
    assert_eq!(served(w, m), [true; 4], "and she is not cut off");
});

/// Whether sound and pictures of the other two come.
fn served(w: &World, client: usize) -> [bool; 4] {
    let gets = |from, source| w.gets(client, from, source);
    [gets(0, Source::Camera), gets(0, Source::Microphone), gets(1, Source::Camera), gets(1, Source::Microphone)]
}
