//! Bad networks.

use std::time::Duration;

use focus_signaling::wire::{Score, Source};
use sfu_testkit::{ClientSetup, Path, Setup, Wants, World};

use crate::story;

fn caller(ordinal: usize) -> ClientSetup {
    ClientSetup::caller(["alice", "bob", "carol"][ordinal])
}

story!(five_percent_loss_is_mended, Setup::over(Path::lossy(0.05)), |w| {
    let all = w.join_many(3, caller);
    w.until_all_get_all(&all);
    w.run_secs(20);
    w.checkers.finish(w.now);
    let totals = w.checkers.totals;
    assert!(w.network.tally.lost > 500, "{:?}", w.network.tally);
    let share = totals.missing_video as f64 / totals.video as f64;
    assert!(totals.video > 3000 && share < 0.001, "{share} of the video is missing: {totals:?}");
});

story!(twenty_percent_loss_is_survived, Setup::over(Path::lossy(0.2)), |w| {
    let all = w.join_many(2, caller);
    w.run_until("they find each other", Duration::from_secs(15), |w| w.all_get_all(&all));
    w.reset_counts();
    w.run_secs(10);
    assert!(all.iter().all(|client| w.clients[*client].is_connected()));
    w.assert_undisturbed(&all, &all, Duration::from_secs(3));
    w.checkers.finish(w.now);
    let totals = w.checkers.totals;
    assert!((totals.missing_video as f64) < 0.2 * totals.video as f64, "{totals:?}");
});

story!(
    duplicates_and_reordering_are_harmless,
    Setup::over(Path { duplicate: 0.1, reorder: 0.1, ..Path::default() }),
    |w: &mut World| {
        w.checkers.leniency.gaps = true;
        let all = w.join_many(3, caller);
        w.until_all_get_all(&all);
        w.reset_counts();
        w.run_secs(5);
        w.assert_undisturbed(&all, &all, Duration::from_millis(300));
        w.checkers.finish(w.now);
        // A packet that overtakes the beginning of its key frame comes before the switch to it, and is not kept.
        let totals = w.checkers.totals;
        assert!(totals.missing * 500 < totals.packets, "{totals:?}");
        assert!(w.network.tally.duplicated > 100 && w.network.tally.reordered > 100, "{:?}", w.network.tally);
    }
);

story!(sequence_numbers_wrap, Setup::over(Path { reorder: 0.05, ..Path::default() }), |w| {
    // RFC 3711 wants them to begin below 2^15, and then it would take minutes.
    w.checkers.leniency.gaps = true;
    let wrapping = |ordinal| ClientSetup { first_sequence: Some(65_535 - 200), ..caller(ordinal) };
    let all = w.join_many(2, wrapping);
    w.until_all_get_all(&all);
    w.reset_counts();
    w.run_secs(12);
    w.assert_undisturbed(&all, &all, Duration::from_millis(300));
    w.checkers.finish(w.now);
    let totals = w.checkers.totals;
    assert!(totals.missing * 500 < totals.packets, "{totals:?}");
});

story!(one_bad_downlink_is_nobody_elses, Setup::default(), |w| {
    let all = w.join_many(3, caller);
    w.until_all_get_all(&all);
    // Two thirds of everything to and from carol is lost: she asks for everything again, all the time.
    w.set_path(all[2], &Path::lossy(0.66));
    w.run_secs(1);
    w.reset_counts();
    w.run_secs(8);
    w.assert_undisturbed(&all[..2], &all[..2], Duration::from_millis(200));
    let me = w.clients[all[2]].view.me().to_owned();
    let score = w.clients[all[0]].view.quality.get(&me);
    assert!(matches!(score, Some(Score::Poor | Score::Lost)), "{score:?}");
});

story!(a_narrow_downlink_is_survived, Setup::default(), |w| {
    let all = w.join_many(2, |ordinal| caller(ordinal).wanting(Wants::All { width: 320, height: 180 }));
    w.until_all_get_all(&all);
    w.set_path(all[1], &Path { bandwidth: Some(150_000), ..Path::default() });
    w.run_secs(8);
    assert!(w.clients[all[1]].is_connected());
    assert!(w.gets_lately(all[1], all[0], Source::Microphone, Duration::from_secs(2)));
    w.set_path(all[1], &Path::default());
    w.until_all_get_all(&all);
});
