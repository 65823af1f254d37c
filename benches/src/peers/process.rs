//! A rival's process: on the server's core, quiet, and ended with us.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::machine::{self, Cores};

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// See the module.
pub struct Process(Child);

impl Process {
    /// Starts it and waits until it takes connections at `listens`.
    pub fn start(command: &mut Command, cores: Cores, listens: SocketAddr) -> Result<Self> {
        // A child inherits the core of the thread that makes it.
        machine::pin(cores.server)?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        machine::pin(cores.load)?;
        let mut process = Self(child.with_context(|| format!("cannot start {:?}", command.get_program()))?);
        let end = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(listens).is_err() {
            if let Some(status) = process.0.try_wait()? {
                bail!("{:?} ended at once: {status}", command.get_program());
            }
            if Instant::now() > end {
                bail!("{:?} was not ready within {START_TIMEOUT:?}", command.get_program());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program in PATH.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The first line that a program prints when it is asked for its version; `None`: it cannot be started.
pub fn version(program: &Path) -> Result<Option<String>> {
    match Command::new(program).arg("--version").stdin(Stdio::null()).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Ok(Some(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot start {}", program.display())),
    }
}
