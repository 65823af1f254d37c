//! `sfu-bench`: see `benches/scoreboard.md`.
mod client;
mod payload;
fn main() {}
