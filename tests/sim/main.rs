//! Stories in a simulated world: seeded, in virtual time, each under many seeds. What must hold in all of them is checked
//! by `sfu_testkit::checkers`; a story asserts what its users would notice.
//!
//! `SIM_SEED=<n>` replays one seed, `SIM_SEEDS=<n>` sweeps that many; a seed that failed once is kept in `seeds.rs`.

mod harness;
mod seeds;

mod join_leave;
mod resume;
mod ice_restart;
mod simulcast;
mod mute;
mod keyframes;
mod speakers;
mod loss;
mod workers;
mod isolation;
mod hostile;
mod tokens;
mod drain;
mod churn;
mod data_channel;
mod idle;
mod determinism;

use harness::story;
