//! Sequence numbers have 16 bits, and SRTP counts their roll-overs on both sides without ever saying so (RFC 3711
//! §3.3.1).

use std::time::Duration;

use focus_signaling::wire::{Kind, Source};
use sfu_testkit::{Node, Path, Setup, World};

use super::{pair, sent};
use crate::story;

/// Lets a source leave out numbers after each of its frames.
fn skip(w: &mut World, client: usize, source: Source, numbers: u64) {
    // Numbers that were never used are gaps to whoever looks at numbers.
    w.checkers.leniency.gaps = true;
    w.with(client, |client, _| client.publisher(source).skips = numbers);
}

story!(numbers_roll_over_again_and_again_on_both_sides, Setup::default(), |w| {
    let (a, b) = pair(w);
    // 20,000 numbers a second of sound, 6,000 of pictures.
    skip(w, a, Source::Microphone, 400);
    skip(w, a, Source::Camera, 400);
    w.tap(b);
    w.reset_counts();
    w.run_secs(25);
    w.assert_undisturbed(&[b], &[a], Duration::from_millis(200));
    let tapped = w.tapped(b);
    let all: Vec<_> = tapped.iter().filter_map(|(_, bytes)| super::seen(bytes)).collect();
    for (kind, times) in [(Kind::Audio, 6), (Kind::Video, 1)] {
        let payload_type = w.clients[b].payload_type(kind);
        let of_kind: Vec<u16> =
            all.iter().filter(|seen| seen.payload_type == payload_type).map(|seen| seen.sequence).collect();
        let wraps = of_kind.windows(2).filter(|pair| pair[0] > 0xc000 && pair[1] < 0x4000).count();
        assert!(wraps >= times, "{wraps} roll-overs of {kind:?}");
    }
});

story!(a_roll_over_that_the_subscriber_does_not_see_is_still_counted, Setup::default(), |w| {
    let (a, b) = pair(w);
    skip(w, a, Source::Microphone, 200);
    w.tap(b);
    let sequence = |w: &mut World| sent(w, b, Kind::Audio).last().map(|(seen, _)| seen.sequence);
    // Until just before a roll-over; then nothing gets through while it happens.
    let mut last = 0;
    for _ in 0..1000 {
        w.run_for(Duration::from_millis(20));
        last = sequence(w).unwrap_or(last);
        if last > 65_535 - 3_000 {
            break;
        }
    }
    assert!(last > 65_535 - 3_000, "{last}");
    w.network.set_outage(Node::Client(b), w.now + Duration::from_millis(700));
    w.run_for(Duration::from_millis(700));
    assert!(sequence(w).is_some_and(|sequence| sequence < 10_000), "it has rolled over");
    w.run_for(Duration::from_millis(500));
    assert!(w.gets(b, a, Source::Microphone));
});

story!(a_publisher_that_jumps_ahead_is_followed, Setup::default(), |w| {
    let (a, b) = pair(w);
    w.checkers.leniency.gaps = true;
    for round in 0..8u64 {
        w.reset_counts();
        let numbers = [30_000, 513, 32_000, 5_000][((w.seed + round) % 4) as usize];
        w.with(a, |client, _| {
            client.publisher(Source::Camera).jump(numbers);
            client.publisher(Source::Microphone).jump(numbers);
        });
        w.run_for(Duration::from_millis(600));
        w.assert_undisturbed(&[b], &[a], Duration::from_millis(250));
    }
});

story!(a_roll_over_amid_loss_and_disorder, Setup::default(), |w| {
    let (a, b) = pair(w);
    skip(w, a, Source::Microphone, 400);
    let path = Path { loss: 0.1, reorder: 0.1, duplicate: 0.05, ..Path::default() };
    w.set_uplink(a, &path);
    w.set_downlink(b, &path);
    w.reset_counts();
    w.run_secs(10);
    w.assert_undisturbed(&[b], &[a], Duration::from_millis(700));
});
