//! `matrix init`: prints what an operator must put where.

use anyhow::ensure;
use clap::Args;

use super::Source;
use crate::auth;
use crate::config::MatrixDevice;
use crate::matrix::init::{Setup, text};

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Server name of the homeserver, as in its users' ids
    #[arg(long, value_name = "NAME")]
    server_name: String,
    /// Address of this server for clients
    #[arg(long, value_name = "URL", required_unless_present = "device_only")]
    public_url: Option<String>,
    /// Address of this server for the homeserver
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    focus_url: String,
    /// Address of the homeserver's client API for this server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8008")]
    homeserver_url: String,
    /// A plain account on that homeserver for this server's Matrix device, as @name:server: clients that cannot reach
    /// public-url reach it by to-device messages
    #[arg(long, value_name = "USER")]
    device_user: Option<String>,
    /// Id of that device. It is not to be changed: its keys belong to it
    #[arg(long, value_name = "ID", default_value = "RUSTSFU", requires = "device_user")]
    device_id: String,
    /// There is no public-url: clients have nothing but the Matrix device
    #[arg(long, requires = "device_user", conflicts_with = "public_url")]
    device_only: bool,
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
    let device = match &args.device_user {
        Some(user_id) => Some(MatrixDevice {
            user_id: user_id.clone(),
            device_id: args.device_id.clone(),
            ..MatrixDevice::default()
        }),
        // As it is already.
        None => config.matrix.device.clone(),
    };
    if let Some(device) = &device {
        let server = ruma::UserId::parse(&device.user_id).map(|user| user.server_name().to_string());
        ensure!(server.is_ok(), "--device-user: `{}` is no user id", device.user_id);
    }
    let setup = Setup {
        server_name: &args.server_name,
        public_url: args.public_url.as_deref(),
        device: device.as_ref().map(|device| (device.user_id.as_str(), device.device_id.as_str())),
        focus_url: &args.focus_url,
        homeserver_url: &args.homeserver_url,
        push: args.push,
    };
    print!("{}", text(&setup, minter.as_ref())?);
    Ok(())
}
