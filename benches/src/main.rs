//! `sfu-bench`: what a media server costs, counted at real clients. `benches/scoreboard.md` has the figures and says how
//! they are made.

mod allocations;
mod churn;
mod cli;
mod client;
mod engine;
mod fanout;
mod gate;
mod http;
mod idle;
mod latency;
mod limit;
mod load;
mod machine;
#[cfg(feature = "matrix")]
mod matrix;
mod payload;
mod peers;
mod report;
mod run;
mod server;
mod signalling;
mod stamps;
mod stats;
mod storm;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sfu-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
