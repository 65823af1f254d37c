//! One seed is one history.

use std::time::Duration;

use focus_signaling::wire::Source;
use sfu_testkit::trace::Trace;
use sfu_testkit::{ClientSetup, Path, Setup, World};

use crate::harness::{SEEDS, seeds};

/// A call in which a bit of everything happens. `private` is what str0m draws at random for itself.
fn told(seed: u64, private: u64, path: Path) -> Trace {
    let mut setup = Setup { private_randomness: private, ..Setup::over(path) };
    (setup.focus.workers, setup.focus.spread_at) = (2, 2);
    let mut w = World::new(seed, setup);
    let all = w.join_many(3, |ordinal| ClientSetup::caller(["alice", "bob", "carol"][ordinal]));
    w.run_secs(2);
    w.set_muted(all[0], Source::Camera, true);
    w.cut_socket(all[1]);
    w.run_secs(2);
    w.set_muted(all[0], Source::Camera, false);
    w.leave(all[2]);
    w.run_secs(2);
    w.rejoin(all[2]);
    w.run_secs(3);
    w.finish();
    w.trace
}

fn compare(name: &str, path: &Path, private: [u64; 2]) {
    for seed in seeds(name, SEEDS) {
        let [once, twice] = private.map(|private| told(seed, private, path.clone()));
        assert!(once.len() > 2000, "{} deliveries", once.len());
        if let Some(difference) = once.difference(&twice) {
            panic!("seed {seed}: {difference}");
        }
    }
}

#[test]
fn one_seed_delivers_the_same_whatever_str0m_keeps_for_itself() {
    let path = Path { jitter: Duration::from_millis(10), ..Path::default() };
    compare("determinism::one_seed_delivers_the_same_whatever_str0m_keeps_for_itself", &path, [1, 2]);
}

#[test]
fn one_seed_delivers_the_same_over_a_bad_network() {
    let path = Path { loss: 0.03, duplicate: 0.02, reorder: 0.05, ..Path::default() };
    compare("determinism::one_seed_delivers_the_same_over_a_bad_network", &path, [1, 2]);
}

#[test]
fn another_seed_delivers_something_else() {
    let path = Path { loss: 0.03, ..Path::default() };
    assert!(told(1, 0, path.clone()).difference(&told(2, 0, path)).is_some());
}
