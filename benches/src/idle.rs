//! `sfu-bench idle`: what connected peers cost that carry nothing.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cli::IdleArgs;
use crate::client::Plan;
use crate::load::Load;
use crate::machine::{Cores, Cpu, resident};
use crate::report;
use crate::stats::percentile;

/// Peers of one conference: each hears of all others there, which is not what is measured.
const CONFERENCE: usize = 10;
const JOINING_AT_ONCE: usize = 8;
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// From the last join to the measurement.
const SETTLE: Duration = Duration::from_secs(3);

pub fn run(args: &IdleArgs, cores: Cores) -> Result<()> {
    let server = args.server.start(cores)?;
    let memory = || server.pid.map(resident).transpose();
    let cpu = || server.pid.map(Cpu::of).transpose();
    let plan = |index: usize| Plan { audio_slots: 1, video_slots: args.video_slots, ..Plan::bare(index as u16) };
    Load::warm_up(server.address, &[plan(0)])?;
    let mut load = Load::new(server.address)?;
    let empty = memory()?;
    for first in (0..args.peers).step_by(JOINING_AT_ONCE) {
        let batch = first..args.peers.min(first + JOINING_AT_ONCE);
        for index in batch.clone() {
            load.join(&format!("idle-{}", index / CONFERENCE), plan(index))?;
        }
        load.run_until("connecting", JOIN_TIMEOUT, |load| {
            batch.clone().all(|member| load.members[member].client.connected_at.is_some())
        })?;
        if first % 200 == 0 {
            eprintln!("{} of {} joined", batch.end, args.peers);
        }
    }
    let connected = load.members.iter().filter_map(|m| Some((m.client.connected_at? - m.opened_at?).as_nanos() as u64));
    let mut connected: Vec<u64> = connected.collect();
    load.run_for(SETTLE)?;
    let full = memory()?;
    let (from, started) = (cpu()?, Instant::now());
    load.run_for(args.duration.into())?;
    let lasted = started.elapsed();
    let spent = cpu()?.zip(from).map(|(to, from)| to.since(from).0);
    let share = spent.map(|spent| spent.as_secs_f64() / lasted.as_secs_f64());
    report::print(&report::Idle {
        command: "idle",
        peers: args.peers,
        duration_s: lasted.as_secs_f64(),
        core_share: share,
        us_per_peer_second: share.map(|share| share * 1e6 / args.peers as f64),
        bytes_per_peer: full.zip(empty).map(|(full, empty)| (full as f64 - empty as f64) / args.peers as f64),
        connect_ms_p50: percentile(&mut connected, 0.5).map(|nanos| nanos as f64 / 1e6),
        server_bytes_empty: empty,
    })
}
