//! Stories in a simulated world: seeded, in virtual time, each under many seeds. What must hold in all of them is checked
//! by `sfu_testkit::checkers`; a story asserts what its users would notice.
//!
//! `SIM_SEED=<n>` replays one seed, `SIM_SEEDS=<n>` sweeps that many; a seed that failed once is kept in `seeds.rs`.

mod harness;
mod seeds;

mod churn;
mod data_channel;
mod determinism;
mod drain;
mod hostile;
mod ice_restart;
mod idle;
mod isolation;
mod join_leave;
mod keyframes;
mod keys;
mod loss;
mod matrix_sessions;
mod media;
mod mute;
mod resume;
mod simulcast;
mod speakers;
mod to_device;
mod tokens;
mod workers;

use harness::story;
