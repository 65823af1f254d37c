//! LiveKit, with a load client on its own Go SDK (`benches/livekit-load`): its clients speak its dialect.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::namespace::ADDRESS;
use super::process::{self, Process};
use crate::fanout::Room;
use crate::fanout::window::Window;
use crate::machine::{Cores, Cpu};

pub const INSTALL: &str = "make bench-rivals (needs Go)";
const PORT: u16 = 7880;
/// Good in this namespace only.
const KEY: &str = "bench";
const SECRET: &str = "a-secret-that-opens-nothing-but-this-bench";

/// LiveKit's own packets (it probes the way with them), by those that it forwarded. They are not counted as delivered.
const OWN_MAX: f64 = 0.05;

/// Server and load client.
#[derive(Debug)]
pub struct Programs {
    pub server: PathBuf,
    load: PathBuf,
}

/// `rivals/` beside the folder of this program, as `make bench-rivals` fills it, or PATH.
pub fn find() -> Option<Programs> {
    let own = std::env::current_exe().ok()?;
    let folder = own.parent()?.parent()?.join("rivals");
    let program = |name: &str| Some(folder.join(name)).filter(|file| file.is_file()).or_else(|| process::in_path(name));
    Some(Programs { server: program("livekit-server")?, load: program("livekit-load")? })
}

/// The last line of the load client.
#[derive(Deserialize)]
struct Counted {
    delivered: u64,
    expected: u64,
    /// Of LiveKit's making.
    strangers: u64,
    duration_s: f64,
}

/// One run.
pub fn measure(programs: &Programs, room: Room, cores: Cores) -> Result<Window> {
    let listens = SocketAddr::from((ADDRESS, PORT));
    let server = Process::start(
        Command::new(&programs.server).args(["--config-body", &configuration()]).env("GOMAXPROCS", "1"),
        cores,
        listens,
    )?;
    let mut child = load_client(&programs.load, room)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start livekit-load")?;
    let lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let watched = watch(lines, server.pid());
    if watched.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    let (spent, counted) = watched?;
    ensure!(status.success(), "livekit-load: {status}");
    let own = counted.strangers as f64 / counted.delivered.max(1) as f64;
    ensure!(own <= OWN_MAX, "{} packets arrived that nobody sent", counted.strangers);
    let window = Window {
        spent: Some(spent),
        lasted: std::time::Duration::from_secs_f64(counted.duration_s),
        delivered: counted.delivered,
        expected: counted.expected,
        ..Window::default()
    };
    window.check()?;
    let due = window.lasted.as_secs_f64() / room.shape.interval.as_secs_f64() * room.shape.burst as f64;
    let sent = window.expected as f64 / room.subscribers as f64;
    ensure!(sent > 0.97 * due, "the load did not keep its pace: {sent} packets sent");
    Ok(window)
}

type Spent = (std::time::Duration, std::time::Duration, std::time::Duration);

/// Takes the server's CPU time when the load client says that the window begins and ends.
fn watch(lines: impl Iterator<Item = std::io::Result<String>>, server: u32) -> Result<(Spent, Counted)> {
    let (mut from, mut to) = (None, None);
    for line in lines {
        match line?.as_str() {
            "begin" => from = Some(Cpu::of(server)?),
            "end" => to = Some(Cpu::of(server)?),
            line if line.starts_with('{') => {
                let spent = to.zip(from).map(|(to, from): (Cpu, Cpu)| to.since(from));
                return Ok((spent.context("no window")?, serde_json::from_str(line)?));
            }
            _ => {}
        }
    }
    bail!("livekit-load ended without a result; start it by hand to see why")
}

fn load_client(program: &Path, room: Room) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--url", &format!("ws://{ADDRESS}:{PORT}"), "--key", KEY, "--secret", SECRET])
        .args(["--subscribers", &room.subscribers.to_string(), "--size", &room.shape.size.to_string()])
        .args(["--duration", &format!("{}ms", room.duration.as_millis())]);
    if room.shape.audio {
        command.arg("--audio");
    }
    command
}

fn configuration() -> String {
    format!(
        "port: {PORT}\nbind_addresses: [\"{ADDRESS}\"]\nlogging: {{level: error}}\nkeys: {{{KEY}: {SECRET}}}\n\
         rtc: {{udp_port: 7882, tcp_port: 0, node_ip: {ADDRESS}, use_external_ip: false, enable_loopback_candidate: true}}\n"
    )
}
