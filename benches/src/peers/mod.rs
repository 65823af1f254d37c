//! `sfu-bench peers`: other media servers under the load that ours has, in one run, on one machine.
//!
//! One publisher, many subscribers, video and then audio; the server on one core, the load on the other, all in a network
//! namespace of their own (rivals do not gather loopback addresses, so ours does without it too). Every server has the
//! same figure: CPU time of its whole process by packets that were counted at the receivers. In each round all servers
//! have their turn, so that a noisy minute disturbs them alike. Ours and Janus have our lean clients; LiveKit has clients
//! of its own SDK, whose cost is on the other core.

mod janus;
mod livekit;
mod namespace;
mod process;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cli::PeersArgs;
use crate::client::publisher::MediaShape;
use crate::fanout::Room;
use crate::fanout::window::{self, Window};
use crate::load::Load;
use crate::machine::Cores;
use crate::report;
use crate::server::{self, Server};
use crate::stats::median_by;

pub use namespace::enter;

/// A server that can carry the load.
enum Peer {
    Ours(std::path::PathBuf),
    Janus(std::path::PathBuf),
    LiveKit(livekit::Programs),
}

impl Peer {
    fn name(&self) -> &'static str {
        match self {
            Self::Ours(_) => "sfu-server",
            Self::Janus(_) => "janus",
            Self::LiveKit(_) => "livekit",
        }
    }

    fn version(&self) -> Result<Option<String>> {
        match self {
            Self::Ours(binary) | Self::Janus(binary) => process::version(binary),
            Self::LiveKit(programs) => process::version(&programs.server),
        }
    }

    fn measure(&self, room: Room, cores: Cores) -> Result<Window> {
        match self {
            Self::Ours(binary) => ours(binary, room, cores),
            Self::Janus(binary) => janus::measure(binary, room, cores),
            Self::LiveKit(programs) => livekit::measure(programs, room, cores),
        }
    }
}

fn ours(binary: &std::path::Path, room: Room, cores: Cores) -> Result<Window> {
    let server = Server::start_at(binary, cores, namespace::ADDRESS)?;
    let mut load = Load::at(server.address, namespace::ADDRESS.into())?;
    window::join_all(&mut load, room)?;
    window::subscribe(&mut load, room)?;
    window::publish(&mut load, room);
    window::measure(&mut load, room, server.pid)
}

pub fn run(args: &PeersArgs, cores: Cores) -> Result<()> {
    ensure!(args.subscribers > 0, "at least one subscriber");
    let binary = args.server_binary.clone().map_or_else(server::default_binary, Ok)?;
    let (peers, skipped) = peers(args, binary);
    if peers.len() == 1 {
        bail!("no rival is installed: nothing to compare with");
    }
    let shapes = [("video", MediaShape::video(1100, 1)), ("audio", MediaShape::audio(80))];
    let mut rows = Vec::new();
    let mut failures = 0;
    for (load, shape) in shapes {
        let room = Room::one_to_many(args.subscribers, shape, args.duration.into());
        let mut runs: Vec<Vec<Window>> = peers.iter().map(|_| Vec::new()).collect();
        for number in 1..=args.runs.max(1) {
            for (peer, runs) in peers.iter().zip(&mut runs) {
                match peer.measure(room, cores) {
                    Ok(window) => {
                        let ns = window.ns().unwrap_or_default();
                        eprintln!("  {load} run {number}: {:10} {ns:>7.0} ns per packet", peer.name());
                        runs.push(window);
                    }
                    Err(error) => {
                        eprintln!("  {load} run {number}: {:10} is no run: {error:#}", peer.name());
                        failures += 1;
                    }
                }
            }
        }
        let ours = rows.len();
        for (peer, runs) in peers.iter().zip(&runs) {
            let Some(row) = row(load, peer, runs)? else { continue };
            rows.push(row);
        }
        let own = rows.get(ours).filter(|row| row.server == "sfu-server").context("no valid run of ours")?;
        let own_ns = own.ns_per_forwarded_packet;
        for row in &mut rows[ours..] {
            row.ratio = row.ns_per_forwarded_packet / own_ns;
        }
    }
    table(&rows);
    let ratio = |server: &str, load: &str| {
        rows.iter().find(|row| row.server == server && row.load == load).map(|row| row.ratio)
    };
    report::print(&report::Peers {
        command: "peers",
        subscribers: args.subscribers,
        janus_ratio: ratio("janus", "video"),
        janus_audio_ratio: ratio("janus", "audio"),
        livekit_ratio: ratio("livekit", "video"),
        livekit_audio_ratio: ratio("livekit", "audio"),
        skipped,
        rows: rows.clone(),
    })?;
    ensure!(failures == 0, "{failures} were no runs");
    Ok(())
}

/// Ours, and those that were asked for and are there. What is absent is said, with the way to get it.
fn peers(args: &PeersArgs, binary: std::path::PathBuf) -> (Vec<Peer>, Vec<&'static str>) {
    let all = !args.janus && !args.livekit;
    let mut peers = vec![Peer::Ours(binary)];
    let mut skipped = Vec::new();
    let mut skip = |name, install| {
        eprintln!("peers: SKIPPED {name}, it is not installed: {install}");
        skipped.push(name);
    };
    if all || args.janus {
        match janus::find() {
            Some(binary) => peers.push(Peer::Janus(binary)),
            None => skip("janus", janus::INSTALL),
        }
    }
    if all || args.livekit {
        match livekit::find() {
            Some(programs) => peers.push(Peer::LiveKit(programs)),
            None => skip("livekit", livekit::INSTALL),
        }
    }
    (peers, skipped)
}

/// The median run of a server; `None`: it has none.
fn row(load: &'static str, peer: &Peer, runs: &[Window]) -> Result<Option<report::PeerRow>> {
    let ns = |run: &Window| run.ns().unwrap_or_default();
    let Some(median) = median_by(runs, ns) else { return Ok(None) };
    let run = &runs[median];
    Ok(Some(report::PeerRow {
        load,
        server: peer.name(),
        version: peer.version()?.unwrap_or_default(),
        runs: runs.len(),
        ns_per_forwarded_packet: ns(run),
        user_ns: run.user_ns(),
        system_ns: run.system_ns(),
        ns_min: runs.iter().map(ns).fold(f64::INFINITY, f64::min),
        ns_max: runs.iter().map(ns).fold(0.0, f64::max),
        core_share: run.core_share(),
        delivered: run.delivered,
        expected: run.expected,
        ratio: 1.0,
    }))
}

fn table(rows: &[report::PeerRow]) {
    eprintln!(
        "\n{:6} {:12} {:>10} {:>17} {:>10} {:>8}",
        "load", "server", "ns/packet", "min – max", "delivered", "÷ ours"
    );
    for row in rows {
        eprintln!(
            "{:6} {:12} {:>10.0} {:>8.0} – {:>6.0} {:>9.2} % {:>7.1}",
            row.load,
            row.server,
            row.ns_per_forwarded_packet,
            row.ns_min,
            row.ns_max,
            row.delivered as f64 * 100.0 / row.expected as f64,
            row.ratio
        );
    }
}
