//! Several workers in one focus, seen alike by clients.

use std::collections::BTreeSet;
use std::time::Duration;

use sfu_testkit::trace::What;
use sfu_testkit::{ClientSetup, FocusSetup, Setup, World};

use crate::harness::{SEEDS, seeds};
use crate::story;

fn caller(ordinal: usize) -> ClientSetup {
    ClientSetup::caller(["alice", "bob", "carol", "dave"][ordinal])
}

/// Frames of a call of four, by the middle of which everything has settled.
fn served(seed: u64, setup: Setup) -> Vec<BTreeSet<What>> {
    let mut w = World::new(seed, setup);
    let all = w.join_many(4, caller);
    w.until_all_get_all(&all);
    w.run_secs(6);
    w.finish();
    let settled = |what: &What| if what.1 == 0 { (150..250).contains(&what.3) } else { (45..75).contains(&what.3) };
    w.trace.packets().into_iter().map(|client| client.into_iter().filter(settled).collect()).collect()
}

#[test]
fn one_and_four_workers_serve_alike() {
    for seed in seeds("workers::one_and_four_workers_serve_alike", SEEDS) {
        let one = served(seed, Setup::workers(1, 50));
        assert!(
            one.iter().all(|client| client.len() > 3 * (100 + 30)),
            "{:?}",
            one.iter().map(BTreeSet::len).collect::<Vec<_>>()
        );
        for (workers, spread_at) in [(4, 50), (4, 0), (2, 2)] {
            let many = served(seed, Setup::workers(workers, spread_at));
            assert_eq!(one, many, "seed {seed}: 1 worker and {workers} spread at {spread_at}");
        }
    }
}

story!(datagrams_that_come_to_the_wrong_worker_reach_the_right_one, Setup::workers(4, 50), |w| {
    let all = w.join_many(4, caller);
    w.until_all_get_all(&all);
    w.run_secs(2);
    assert!(w.foci[0].rings_tally.misrouted > 100, "{:?}", w.foci[0].rings_tally);
    w.reset_counts();
    w.run_secs(2);
    w.assert_undisturbed(&all, &all, Duration::from_millis(200));
});

story!(a_conference_spreads_over_workers, Setup::workers(2, 0), |w| {
    let all = w.join_many(4, caller);
    w.until_all_get_all(&all);
    w.run_secs(1);
    assert!(w.foci[0].rings_tally.relayed > 100, "{:?}", w.foci[0].rings_tally);
    assert!(w.foci[0].engines.iter().all(|engine| engine.counters().peers_connected == 2));
    w.reset_counts();
    w.run_secs(3);
    w.assert_undisturbed(&all, &all, Duration::from_millis(200));
    for client in all {
        w.leave(client);
    }
    w.run_secs(10);
    w.assert_empty(0);
});

fn narrow() -> Setup {
    let focus = FocusSetup { ring: 6, ring_delay: Duration::from_millis(1), ..FocusSetup::default() };
    Setup { focus: FocusSetup { workers: 2, spread_at: 0, ..focus }, ..Setup::default() }
}

story!(a_full_ring_loses_media_is_counted_and_recovers, narrow(), |w| {
    w.checkers.leniency.gaps = true;
    let all = w.join_many(4, caller);
    w.run_secs(6);
    let overflowed = w.foci[0].rings_tally.overflowed;
    assert!(overflowed > 0, "{:?}", w.foci[0].rings_tally);
    w.foci[0].set_ring(4096);
    w.run_secs(2);
    w.until_all_get_all(&all);
    w.run_secs(1);
    w.reset_counts();
    w.run_secs(3);
    w.assert_undisturbed(&all, &all, Duration::from_millis(200));
});
