//! `sfu-bench fanout`: what a forwarded packet costs a real server in a real call.
//!
//! One run, in order: two clients come and go · everybody joins (memory per peer) · a second of silence (idle cost) ·
//! subscriptions and media, until every subscription has its first packet · a warm-up · the measured window · the limit
//! loop · probes that join a small call of their own on the same server (join time). The idle cost is reported beside,
//! not subtracted: a server's timers are part of what forwarding costs.
//!
//! Allocations cannot be seen from outside the server's process. They are counted in this one, after the runs: the same
//! engine, linked in, carries the same call, and a counting allocator watches it from a packet's receipt to its sends.

mod probe;
mod room;
pub mod window;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

pub use self::room::Room;
use crate::cli::FanoutArgs;
use crate::load::Load;
use crate::machine::{Cores, Cpu, resident};
use crate::stats::{median_by, percentile};
use crate::{engine, limit, report};

const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
const FIRST_MEDIA_TIMEOUT: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(1);

/// All runs; prints the median one. An error if one of them is no run.
pub fn run(args: &FanoutArgs, cores: Cores) -> Result<()> {
    let room = Room::new(args)?;
    let mut runs = Vec::new();
    let mut failures = 0;
    for number in 1..=args.runs.max(1) {
        eprintln!(
            "run {number} of {}: {} publishers, {} subscriptions",
            args.runs,
            room.publishers,
            room.subscriptions()
        );
        match run_once(args, room, cores) {
            Ok(report) => {
                describe(&report);
                runs.push(report);
            }
            Err(error) => {
                eprintln!("run {number} is no run: {error:#}");
                failures += 1;
            }
        }
    }
    let median = median_by(&runs, |run| run.ns_per_forwarded_packet.unwrap_or_default()).context("no valid run")?;
    let extreme =
        |of: fn(&report::Fanout) -> Option<f64>, pick: fn(f64, f64) -> f64| runs.iter().filter_map(of).reduce(pick);
    eprintln!("allocations: the same packets through the engine in this process");
    let allocations = engine::allocations_per_packet(args.publishers, args.subscribers, room.shape)?;
    let report = report::Fanout {
        runs: runs.len(),
        allocations_per_packet: Some(allocations),
        ns_min: extreme(|run| run.ns_per_forwarded_packet, f64::min),
        ns_max: extreme(|run| run.ns_per_forwarded_packet, f64::max),
        ratio_min: extreme(|run| run.ratio, f64::min),
        ratio_max: extreme(|run| run.ratio, f64::max),
        ..runs[median].clone()
    };
    report::print(&report)?;
    ensure!(failures == 0, "{failures} of {} were no runs", args.runs);
    Ok(())
}

fn run_once(args: &FanoutArgs, room: Room, cores: Cores) -> Result<report::Fanout> {
    let server = args.server.start(cores)?;
    let memory = || server.pid.map(resident).transpose();
    let cpu = || server.pid.map(Cpu::of).transpose();
    Load::warm_up(server.address, &[room.plan(0), room.plan(room.clients() - 1)])?;
    let mut load = Load::new(server.address)?;
    let empty = memory()?;

    window::join_all(&mut load, room)?;
    load.run_for(SETTLE)?;
    let connected = memory()?;
    let (idle_from, idle_since) = (cpu()?, Instant::now());
    load.run_for(SETTLE)?;
    let idle =
        cpu()?.zip(idle_from).map(|(now, from)| now.since(from).0.as_secs_f64() / idle_since.elapsed().as_secs_f64());

    window::subscribe(&mut load, room)?;
    window::publish(&mut load, room);
    let mut window = window::measure(&mut load, room, server.pid)?;
    let keyframe_requests =
        load.members.iter().filter_map(|m| m.client.publisher.as_ref()).map(|p| p.keyframe_requests).sum();
    let profile = load.members[0].client.profile().context("no keys")?;
    let limit_ns = match args.no_limit {
        true => None,
        false => Some(limit::measure(room.limit(profile), cores)?),
    };
    let (mut join, mut connect) = probe::probe(&mut load, room)?;

    let ns = window.ns();
    let difference = |after: Option<u64>, before: Option<u64>| Some(after? as f64 - before? as f64);
    let us = |nanos: u64| nanos as f64 / 1e3;
    let ms = |nanos: u64| nanos as f64 / 1e6;
    Ok(report::Fanout {
        command: "fanout",
        subscribers: room.subscribers,
        publishers: room.publishers,
        idle_streams: room.idle_streams,
        audio: room.shape.audio,
        size: room.shape.size,
        size_jitter: room.shape.jitter,
        duration_s: window.lasted.as_secs_f64(),
        runs: 1,
        ns_per_forwarded_packet: ns,
        user_ns: window.user_ns(),
        system_ns: window.system_ns(),
        limit_ns,
        ratio: ns.zip(limit_ns).map(|(ns, limit)| ns / limit),
        p50_us: percentile(&mut window.latencies, 0.5).map(us),
        p99_us: percentile(&mut window.latencies, 0.99).map(us),
        bytes_per_peer: difference(connected, empty).map(|bytes| bytes / room.clients() as f64),
        bytes_per_subscription: difference(window.memory, connected)
            .map(|bytes| bytes / room.all_subscriptions() as f64),
        join_ms: percentile(&mut join, 0.5).map(ms),
        connect_ms: percentile(&mut connect, 0.5).map(ms),
        delivered: window.delivered,
        expected: window.expected,
        idle_core_share: idle,
        core_share: window.core_share(),
        keyframe_requests,
        cipher: format!("{profile:?}"),
        ..report::Fanout::default()
    })
}

fn describe(run: &report::Fanout) {
    let show = |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |value| format!("{value:.digits$}"));
    eprintln!(
        "  {} ns per packet ({} user, {} system), limit {}, ratio {}; latency p50 {} p99 {} µs; {} of {} delivered; \
         core busy {}; peer {} B, subscription {} B; join {} ms (connect {})",
        show(run.ns_per_forwarded_packet, 0),
        show(run.user_ns, 0),
        show(run.system_ns, 0),
        show(run.limit_ns, 0),
        show(run.ratio, 2),
        show(run.p50_us, 0),
        show(run.p99_us, 0),
        run.delivered,
        run.expected,
        show(run.core_share, 2),
        show(run.bytes_per_peer, 0),
        show(run.bytes_per_subscription, 0),
        show(run.join_ms, 1),
        show(run.connect_ms, 1),
    );
}
