//! `sfu-server`: see [`sfu_server::cli`].

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    sfu_server::cli::Cli::parse().run()
}
