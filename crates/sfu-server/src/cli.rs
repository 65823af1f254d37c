//! The command line: `sfu-server [serve] [--dev] [--config FILE]`, `config example`, `config check`,
//! `matrix init`.

mod matrix;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config;

/// Exit codes: 0 well, 1 it failed or a check found something, 2 wrong usage (clap's own).
const FAILED: u8 = 1;

/// Media server (focus) for end-to-end encrypted MatrixRTC calls
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve(ServeArgs),
    /// Set up Matrix
    Matrix {
        #[command(subcommand)]
        command: MatrixCommand,
    },
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Default, Args)]
struct ServeArgs {
    #[command(flatten)]
    source: Source,
    /// Let in anybody who can reach the page. For your own machine only
    #[arg(long)]
    dev: bool,
}

#[derive(Debug, Default, Args)]
struct Source {
    /// Configuration file (TOML). Any option can also be set in the environment: SFU_SECTION__KEY
    #[arg(long, env = "SFU_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum MatrixCommand {
    /// Print the registration of this server at a homeserver, with fresh tokens, and the configuration of both
    Init(matrix::InitArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print a configuration file with every option, documented
    Example,
    /// Read the configuration as the server would, and say what is wrong with it
    Check(Source),
}

impl Source {
    fn load(&self, dev: bool) -> Result<config::Config, config::ConfigError> {
        // A variable that is not text cannot be one of ours.
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        config::load(self.config.as_deref(), environment, dev)
    }
}

impl Cli {
    pub fn run(self) -> ExitCode {
        let result = match self.command {
            None => serve::serve(&self.serve),
            Some(Command::Serve(args)) => serve::serve(&args),
            Some(Command::Matrix { command: MatrixCommand::Init(args) }) => matrix::init(&args),
            Some(Command::Config { command: ConfigCommand::Example }) => {
                print!("{}", config::example());
                Ok(())
            }
            Some(Command::Config { command: ConfigCommand::Check(source) }) => {
                source.load(false).map_err(Into::into).map(|_| {
                    println!("the configuration is good");
                })
            }
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("sfu-server: {error:#}");
                ExitCode::from(FAILED)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn serve_is_the_default() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["sfu-server", "--dev", "--config", "a.toml"]).expect("parsed");
        assert!(cli.command.is_none() && cli.serve.dev);
        assert_eq!(cli.serve.source.config, Some("a.toml".into()));
        let cli = Cli::try_parse_from(["sfu-server", "serve", "--dev"]).expect("parsed");
        assert!(matches!(cli.command, Some(Command::Serve(ServeArgs { dev: true, .. }))));
        assert!(Cli::try_parse_from(["sfu-server", "--dev", "config", "example"]).is_err());
    }
}
