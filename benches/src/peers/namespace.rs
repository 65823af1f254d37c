//! Starts this program again in a network namespace of its own.

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Where servers and clients are in there.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const SCRIPT: &str = include_str!("namespace.sh");
/// Set inside.
const MARK: &str = "SFU_BENCH_ADDRESS";

/// Returns inside the namespace only. Root needs nothing more; everybody else gets a user namespace around it.
pub fn enter() -> Result<()> {
    if std::env::var_os(MARK).is_some() {
        return Ok(());
    }
    let mut flags = vec!["--net"];
    if !rustix::process::geteuid().is_root() {
        flags.extend(["--user", "--map-root-user"]);
    }
    let possible = Command::new("unshare").args(&flags).arg("true").status().context("unshare (util-linux)")?;
    if !possible.success() {
        bail!("the kernel gives us no network namespace: run as root, or allow user namespaces");
    }
    let error = Command::new("unshare")
        .args(&flags)
        .args(["sh", "-c", SCRIPT, "namespace"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(MARK, ADDRESS.to_string())
        .exec();
    Err(error).context("cannot start again in a namespace")
}
