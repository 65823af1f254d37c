//! The server under test: our own child, pinned to its core, or one that runs already.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::http;
use crate::machine::{self, Cores};

/// A cold server on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// More than any run asks for, so that what is measured is not a limit.
const LIMIT: &str = "20000";

/// See the module.
pub struct Server {
    pub address: SocketAddr,
    /// Whose CPU time and memory are measured; `None`: they are not.
    pub pid: Option<u32>,
    child: Option<Child>,
}

impl Server {
    /// Starts `binary --dev` with one worker on ports of its own, on the server's core.
    pub fn start(binary: &Path, cores: Cores) -> Result<Self> {
        Self::start_at(binary, cores, Ipv4Addr::LOCALHOST)
    }

    /// With media at this address. HTTP stays on loopback: `--dev` lets everybody in.
    pub fn start_at(binary: &Path, cores: Cores, ip: Ipv4Addr) -> Result<Self> {
        let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let media = UdpSocket::bind((ip, 0))?.local_addr()?;
        // A child inherits the core of the thread that makes it.
        machine::pin(cores.server)?;
        let child = Command::new(binary)
            .arg("--dev")
            .env("SFU_HTTP__LISTEN", http.to_string())
            .env("SFU_MEDIA__LISTEN", media.to_string())
            .env("SFU_MEDIA__ADVERTISE", ip.to_string())
            .env("SFU_MEDIA__WORKERS", "1")
            .env("SFU_LIMITS__CONNECTIONS", LIMIT)
            .env("SFU_LIMITS__PARTICIPANTS", LIMIT)
            .env("SFU_LIMITS__CONFERENCE_PARTICIPANTS", LIMIT)
            .env("SFU_LOG__LEVEL", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()));
        machine::pin(cores.load)?;
        let mut server = Self { address: http, pid: None, child: Some(child?) };
        server.pid = server.child.as_ref().map(Child::id);
        server.wait_until_ready()?;
        Ok(server)
    }

    /// One that runs already.
    pub fn running(address: SocketAddr, pid: Option<u32>) -> Self {
        Self { address, pid, child: None }
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let end = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().transpose()) {
                bail!("the server ended at once: {}", status?);
            }
            if http::get_status(self.address, "/readyz").is_ok_and(|status| status == 200) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the server was not ready within {START_TIMEOUT:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It holds nothing that a drain would save.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The release build beside this one.
pub fn default_binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let binary = own.with_file_name("sfu-server");
    if !binary.exists() {
        bail!("no sfu-server beside {}: `cargo build --release -p sfu-server`, or --server-binary", own.display());
    }
    Ok(binary)
}
