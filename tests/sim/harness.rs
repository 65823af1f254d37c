//! Runs a story under its seeds, and says how to replay the one that failed.

use std::env;

use sfu_testkit::{Setup, World};

use crate::seeds::FOUND;

/// Seeds per story in the default run.
pub(crate) const SEEDS: u64 = 8;
/// And of one that takes seconds.
const SEEDS_FEW: u64 = 2;

/// A test that tells one story under many seeds.
macro_rules! story {
    // One that takes seconds per seed.
    (few $name:ident, $setup:expr, $body:expr) => {
        #[test]
        fn $name() {
            crate::harness::run_few(concat!(module_path!(), "::", stringify!($name)), || $setup, $body);
        }
    };
    ($(#[$meta:meta])* $name:ident, $setup:expr, $body:expr) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            crate::harness::run(concat!(module_path!(), "::", stringify!($name)), || $setup, $body);
        }
    };
}
pub(crate) use story;

pub(crate) fn run(path: &str, setup: impl Fn() -> Setup, body: impl Fn(&mut World)) {
    let name = path.strip_prefix("sim::").unwrap_or(path);
    run_seeds(name, seeds(name, SEEDS), setup, body);
}

pub(crate) fn run_few(path: &str, setup: impl Fn() -> Setup, body: impl Fn(&mut World)) {
    let name = path.strip_prefix("sim::").unwrap_or(path);
    run_seeds(name, seeds(name, SEEDS_FEW), setup, body);
}

fn run_seeds(name: &str, seeds: Vec<u64>, setup: impl Fn() -> Setup, body: impl Fn(&mut World)) {
    for seed in seeds {
        let _replay = Replay { name, seed };
        let mut world = World::new(seed, setup());
        body(&mut world);
        world.finish();
    }
}

/// The seeds of a story: one, many, or the default ones and those that found something.
pub(crate) fn seeds(name: &str, default: u64) -> Vec<u64> {
    let number = |name| env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}?")));
    if let Some(seed) = number("SIM_SEED") {
        return vec![seed];
    }
    let found = FOUND.iter().filter(|(story, _)| *story == name).map(|(_, seed)| *seed);
    (0..number("SIM_SEEDS").unwrap_or(default)).chain(found).collect()
}

/// Speaks up when its story panics.
struct Replay<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\nreplay: SIM_SEED={} cargo test -p sfu-tests --test sim {}\n", self.seed, self.name);
        }
    }
}
