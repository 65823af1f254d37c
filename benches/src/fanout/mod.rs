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

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::room::Room;
use crate::cli::FanoutArgs;
use crate::load::Load;
use crate::machine::{Cores, Cpu, resident, udp_drops};
use crate::stats::{median_by, percentile};
use crate::{engine, limit, report};

/// Clients that join at a time: a room fills, it is not stormed.
const JOINING_AT_ONCE: usize = 8;
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
const FIRST_MEDIA_TIMEOUT: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_secs(2);
/// Until the last packets of the window have arrived.
const DRAIN: Duration = Duration::from_millis(500);
/// Missing packets that are named.
const NAMED_MAX: usize = 8;
/// A run that lost more is none.
const LOSS_MAX: f64 = 0.001;

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

    let conference = format!("bench-{}", std::process::id());
    for first in (0..room.clients()).step_by(JOINING_AT_ONCE) {
        let batch = first..room.clients().min(first + JOINING_AT_ONCE);
        for index in batch.clone() {
            load.join(&conference, room.plan(index))?;
        }
        load.run_until("connecting", JOIN_TIMEOUT, |load| {
            batch.clone().all(|member| load.members[member].client.connected_at.is_some())
        })?;
    }
    load.run_for(SETTLE)?;
    let connected = memory()?;
    let (idle_from, idle_since) = (cpu()?, Instant::now());
    load.run_for(SETTLE)?;
    let idle =
        cpu()?.zip(idle_from).map(|(now, from)| now.since(from).0.as_secs_f64() / idle_since.elapsed().as_secs_f64());

    subscribe(&mut load, room)?;
    publish(&mut load, room);
    load.run_until("first packets of all", FIRST_MEDIA_TIMEOUT, |load| {
        load.members.iter().all(|member| member.client.subscriptions.iter().all(|s| s.idle || s.is_known()))
    })?;
    load.busy = true;
    load.run_for(WARM_UP)?;

    let numbers = |load: &Load| -> Vec<u64> {
        load.members.iter().map(|member| member.client.publisher.as_ref().map_or(0, |p| p.next)).collect()
    };
    for member in &mut load.members {
        member.client.latencies = Some(Vec::new());
    }
    let drops_from = udp_drops()?;
    let (from, cpu_from, started) = (numbers(&load), cpu()?, Instant::now());
    load.run_for(room.duration)?;
    let (to, cpu_to, lasted) = (numbers(&load), cpu()?, started.elapsed());
    let busy = memory()?;
    load.busy = false;
    for member in &mut load.members {
        if let Some(publisher) = &mut member.client.publisher {
            publisher.stop();
        }
    }
    let mut latencies: Vec<u64> =
        load.members.iter_mut().filter_map(|member| member.client.latencies.take()).flatten().collect();
    load.run_for(DRAIN)?;

    let (delivered, expected) = count(&load, &from, &to)?;
    let kernel_drops = udp_drops()?.saturating_sub(drops_from);
    if kernel_drops > 0 {
        eprintln!("  the kernel dropped {kernel_drops} datagrams for want of buffers");
    }
    let faults = load.faults();
    ensure!(load.send_failures == 0, "the load itself lost {} datagrams", load.send_failures);
    ensure!(faults.total() == 0, "wrong packets arrived: {faults:?}");
    ensure!(expected > 0, "nothing was sent");
    ensure!(
        (expected - delivered) as f64 <= expected as f64 * LOSS_MAX,
        "{} of {expected} packets were lost",
        expected - delivered
    );

    let frames_due = room.publishers as f64 * lasted.as_secs_f64() / room.shape.interval.as_secs_f64();
    let sent: u64 = from.iter().zip(&to).map(|(from, to)| to - from).sum();
    ensure!(
        sent as f64 > 0.97 * frames_due * room.shape.burst as f64,
        "the load did not keep its pace: {sent} packets sent"
    );
    let keyframe_requests =
        load.members.iter().filter_map(|m| m.client.publisher.as_ref()).map(|p| p.keyframe_requests).sum();
    let profile = load.members[0].client.profile().context("no keys")?;
    let limit_ns = match args.no_limit {
        true => None,
        false => Some(limit::measure(room.limit(profile), cores)?),
    };
    let (mut join, mut connect) = probe::probe(&mut load, room)?;

    let per_packet = |time: Duration| time.as_nanos() as f64 / delivered as f64;
    let spent = cpu_to.zip(cpu_from).map(|(to, from)| to.since(from));
    let ns = spent.map(|(total, ..)| per_packet(total));
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
        duration_s: lasted.as_secs_f64(),
        runs: 1,
        ns_per_forwarded_packet: ns,
        user_ns: spent.map(|(_, user, _)| per_packet(user)),
        system_ns: spent.map(|(.., system)| per_packet(system)),
        limit_ns,
        ratio: ns.zip(limit_ns).map(|(ns, limit)| ns / limit),
        p50_us: percentile(&mut latencies, 0.5).map(us),
        p99_us: percentile(&mut latencies, 0.99).map(us),
        bytes_per_peer: difference(connected, empty).map(|bytes| bytes / room.clients() as f64),
        bytes_per_subscription: difference(busy, connected).map(|bytes| bytes / room.all_subscriptions() as f64),
        join_ms: percentile(&mut join, 0.5).map(ms),
        connect_ms: percentile(&mut connect, 0.5).map(ms),
        delivered,
        expected,
        idle_core_share: idle,
        core_share: spent.map(|(total, ..)| total.as_secs_f64() / lasted.as_secs_f64()),
        keyframe_requests,
        cipher: format!("{profile:?}"),
        ..report::Fanout::default()
    })
}

fn subscribe(load: &mut Load, room: Room) -> Result<()> {
    for member in 0..room.clients() {
        let wants = room.wants(member);
        if !wants.is_empty() {
            load.subscribe(member, &wants)?;
        }
    }
    Ok(())
}

/// Publishers send in turn, spread evenly over a frame interval.
fn publish(load: &mut Load, room: Room) {
    let start = Instant::now();
    for publisher in 0..room.publishers {
        let phase = room.shape.interval * publisher as u32 / room.publishers as u32;
        load.publish_from(publisher, start + phase);
    }
}

/// Packets of the window that arrived, and all of them. Names the first that are missing.
fn count(load: &Load, from: &[u64], to: &[u64]) -> Result<(u64, u64)> {
    let (mut delivered, mut expected, mut named) = (0, 0, 0);
    for (receiver, member) in load.members.iter().enumerate() {
        for subscription in member.client.subscriptions.iter().filter(|subscription| !subscription.idle) {
            let publisher = usize::from(subscription.publisher.context("a slot without a publisher")?);
            let window = from[publisher]..to[publisher];
            expected += window.end - window.start;
            delivered += subscription.delivered(window.clone());
            for number in subscription.missing(window.clone()).take(NAMED_MAX - named) {
                let place = number - window.start;
                let gap = member.client.transport_gap();
                eprintln!(
                    "  client {receiver} misses packet {number} ({place} of the window) of publisher {publisher}; \
                     {gap} of its transport-wide numbers are missing"
                );
                named += 1;
            }
        }
    }
    Ok((delivered, expected))
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
