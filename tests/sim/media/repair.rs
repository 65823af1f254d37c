//! What the network loses or shuffles is whole again at the decoder.

use std::time::Duration;

use focus_signaling::wire::Source;
use sfu_testkit::{Node, Path, Setup};

use super::{lost_to, pair, pictures};
use crate::story;

/// 5, 10, 15 or 20 %.
fn loss(seed: u64) -> f64 {
    0.05 * (1 + seed % 4) as f64
}

story!(loss_on_the_downlink_is_repaired, Setup::default(), |w| {
    let (a, b) = pair(w);
    w.set_downlink(b, &Path::lossy(loss(w.seed)));
    let (since, nacks) = (w.now, w.foci[0].counter("nacks_received"));
    w.run_secs(10);
    w.set_downlink(b, &Path::default());
    w.run_secs(1);
    let (whole, all) = pictures(w, b, a, since);
    assert!(all > 150 && whole * 1000 >= all * 995, "{whole} of {all} pictures are whole");
    let (lost, nacked) = (lost_to(w, b), w.foci[0].counter("nacks_received") - nacks);
    // A client asks again for what did not come within a round trip or so; audio is not asked for.
    assert!(lost > 20 && nacked < 6 * lost + 50, "{nacked} packets asked for, {lost} lost");
});

story!(loss_on_the_uplink_is_repaired_before_it_is_forwarded, Setup::default(), |w| {
    let (a, b) = pair(w);
    w.set_uplink(a, &Path::lossy(loss(w.seed)));
    let (since, nacks, recovered) = (w.now, w.foci[0].counter("nacks_sent"), w.foci[0].counter("packets_recovered"));
    w.run_secs(10);
    w.set_uplink(a, &Path::default());
    w.run_secs(1);
    let (whole, all) = pictures(w, b, a, since);
    assert!(all > 140 && whole * 1000 >= all * 995, "{whole} of {all} pictures are whole");
    let lost = w.network.tally_of(Node::Client(a), Node::Focus(0)).lost;
    let (nacked, recovered) =
        (w.foci[0].counter("nacks_sent") - nacks, w.foci[0].counter("packets_recovered") - recovered);
    assert!(recovered > 20 && nacked < 6 * lost + 50, "{nacked} asked for, {recovered} recovered, {lost} lost");
});

story!(whatever_comes_out_of_order_is_put_in_order, Setup::default(), |w| {
    let (a, b) = pair(w);
    let shuffled = Path { reorder: 0.2, reorder_by: Duration::from_millis(60), ..Path::default() };
    w.set_uplink(a, &shuffled);
    w.set_downlink(b, &shuffled);
    let (since, again) = (w.now, w.foci[0].counter("packets_retransmitted"));
    w.run_secs(8);
    w.set_uplink(a, &Path::default());
    w.set_downlink(b, &Path::default());
    w.run_secs(1);
    let (whole, all) = pictures(w, b, a, since);
    assert!(all > 100 && whole * 1000 >= all * 995, "{whole} of {all} pictures are whole");
    // What is only late need not be sent again; some of it is.
    let again = w.foci[0].counter("packets_retransmitted") - again;
    assert!(again * 3 < w.foci[0].counter("packets_forwarded"), "{again} packets were sent again");
});

story!(a_publisher_that_restarts_its_ssrcs_is_followed, Setup::default(), |w| {
    let (a, b) = pair(w);
    for round in 0..6u64 {
        w.reset_counts();
        w.with(a, |client, _| {
            client.restart_ssrcs(Source::Camera);
            if round % 2 == 0 {
                client.restart_ssrcs(Source::Microphone);
            }
        });
        w.run_for(Duration::from_millis(300 + 200 * ((w.seed + round) % 4)));
        w.assert_undisturbed(&[b], &[a], Duration::from_millis(250));
    }
    w.run_secs(1);
    assert_eq!(w.clients[b].received.from(a, 1).last_layer, 2, "and to the same layer");
});
