//! `matrix init`: prints what an operator must put where.

use clap::Args;

use super::Source;
use crate::auth;
use crate::matrix::init::{Setup, text};

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Server name of the homeserver, as in its users' ids
    #[arg(long, value_name = "NAME")]
    server_name: String,
    /// Address of this server for clients
    #[arg(long, value_name = "URL")]
    public_url: String,
    /// Address of this server for the homeserver
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    focus_url: String,
    /// Address of the homeserver's client API for this server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8008")]
    homeserver_url: String,
    /// Let the homeserver push all events of its users: removals are seen at once, and rooms are asked about less often
    #[arg(long)]
    push: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn init(args: &InitArgs) -> anyhow::Result<()> {
    let config = args.source.load(false)?;
    let has_key = config.auth.signing_key_file.is_some() || config.state.dir.is_some();
    let minter = if has_key { Some(auth::minter(&config)?) } else { None };
    let setup = Setup {
        server_name: &args.server_name,
        public_url: &args.public_url,
        focus_url: &args.focus_url,
        homeserver_url: &args.homeserver_url,
        push: args.push,
    };
    print!("{}", text(&setup, minter.as_ref())?);
    Ok(())
}
