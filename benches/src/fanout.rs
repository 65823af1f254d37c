//! `sfu-bench fanout`: what a forwarded packet costs a real server in a real call.
//!
//! One run, in order: everybody joins (memory per peer) · a second of silence (idle cost) · subscriptions and media,
//! until every subscription has its first packet · a warm-up · the measured window · the limit loop · probes that join
//! a small call of their own on the same server (join time). The idle cost is reported beside, not subtracted: a server's
//! timers are part of what forwarding costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use str0m::crypto::dtls::SrtpProfile;

use crate::cli::FanoutArgs;
use crate::client::Plan;
use crate::client::publisher::MediaShape;
use crate::limit;
use crate::load::Load;
use crate::machine::{Cores, Cpu, resident};
use crate::payload::SIZE_MIN;
use crate::report;
use crate::stats::{median_by, percentile};

/// Clients that join at a time: a room fills, it is not stormed.
const JOINING_AT_ONCE: usize = 8;
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
const FIRST_MEDIA_TIMEOUT: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_secs(2);
/// Until the last packets of the window have arrived.
const DRAIN: Duration = Duration::from_millis(500);
/// A run that lost more is none.
const LOSS_MAX: f64 = 0.001;
const LIMIT_DURATION: Duration = Duration::from_secs(3);
const PROBES: usize = 9;
/// Between two probes: more than the server waits between two key-frame requests to one publisher, and no multiple of
/// a frame interval, so that they fall on all phases of it.
const PROBE_INTERVAL: Duration = Duration::from_millis(373);

/// What the arguments mean.
#[derive(Debug, Clone, Copy)]
struct Room {
    publishers: usize,
    subscribers: usize,
    mesh: bool,
    shape: MediaShape,
    duration: Duration,
}

impl Room {
    fn new(args: &FanoutArgs) -> Result<Self> {
        let shape = args.media.shape();
        ensure!(args.publishers > 0 && args.subscribers > 0, "at least one of each");
        ensure!(shape.size >= SIZE_MIN + shape.jitter, "a packet needs {} bytes at least", SIZE_MIN + shape.jitter);
        ensure!(shape.size <= 1200, "1200 bytes at most: with headers it must fit an Ethernet frame");
        let (publishers, subscribers) = (args.publishers, args.subscribers);
        let mesh = publishers == subscribers && publishers > 1;
        Ok(Self { publishers, subscribers, mesh, shape, duration: args.duration.into() })
    }

    /// Receivers of each publisher.
    fn receivers(&self) -> usize {
        if self.mesh { self.subscribers - 1 } else { self.subscribers }
    }

    fn subscriptions(&self) -> usize {
        self.publishers * self.receivers()
    }

    fn clients(&self) -> usize {
        if self.mesh { self.publishers } else { self.publishers + self.subscribers }
    }

    fn plan(&self, index: usize) -> Plan {
        let publishes = index < self.publishers;
        let slots = match (self.mesh, publishes) {
            (true, _) => self.publishers - 1,
            (false, true) => 0,
            (false, false) => self.publishers,
        };
        let (audio_slots, video_slots) = if self.shape.audio { (slots, 0) } else { (0, slots) };
        Plan { id: index as u16, publish: publishes.then_some(self.shape), audio_slots, video_slots }
    }

    fn limit(&self, profile: SrtpProfile) -> limit::Load {
        let (publishers, receivers) = (self.publishers, self.receivers());
        limit::Load { publishers, receivers, shape: self.shape, profile, duration: LIMIT_DURATION.min(self.duration) }
    }
}

/// All runs; prints the median one. An error if one of them is no run.
pub fn run(args: &FanoutArgs, cores: Cores) -> Result<()> {
    let room = Room::new(args)?;
    let mut runs = Vec::new();
    let mut failures = 0;
    for number in 1..=args.runs.max(1) {
        eprintln!("run {number} of {}: {} publishers, {} subscriptions", args.runs, room.publishers, room.subscriptions());
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
    let extreme = |of: fn(&report::Fanout) -> Option<f64>, pick: fn(f64, f64) -> f64| runs.iter().filter_map(of).reduce(pick);
    let report = report::Fanout {
        runs: runs.len(),
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
    let mut load = Load::new(server.address)?;
    load.run_for(SETTLE)?;
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
    let idle = cpu()?.zip(idle_from).map(|(now, from)| now.since(from).0.as_secs_f64() / idle_since.elapsed().as_secs_f64());

    subscribe(&mut load, room)?;
    publish(&mut load, room);
    load.run_until("first packets of all", FIRST_MEDIA_TIMEOUT, |load| {
        load.members.iter().all(|member| member.client.subscriptions.iter().all(|s| s.is_known()))
    })?;
    load.run_for(WARM_UP)?;

    let numbers = |load: &Load| -> Vec<u64> {
        load.members.iter().map(|member| member.client.publisher.as_ref().map_or(0, |p| p.next)).collect()
    };
    for member in &mut load.members {
        member.client.latencies = Some(Vec::new());
    }
    let (from, cpu_from, started) = (numbers(&load), cpu()?, Instant::now());
    load.run_for(room.duration)?;
    let (to, cpu_to, lasted) = (numbers(&load), cpu()?, started.elapsed());
    let busy = memory()?;
    for member in &mut load.members {
        if let Some(publisher) = &mut member.client.publisher {
            publisher.stop();
        }
    }
    let mut latencies: Vec<u64> =
        load.members.iter_mut().filter_map(|member| member.client.latencies.take()).flatten().collect();
    load.run_for(DRAIN)?;

    let mut delivered = 0;
    let mut expected = 0;
    for (member, subscription) in load.members.iter().flat_map(|m| m.client.subscriptions.iter().map(move |s| (m, s))) {
        let publisher = usize::from(subscription.publisher.with_context(|| format!("{} expects nobody", member.client.plan.id))?);
        let window = from[publisher]..to[publisher];
        expected += window.end - window.start;
        delivered += subscription.delivered(window);
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
    let keyframe_requests = load.members.iter().filter_map(|m| m.client.publisher.as_ref()).map(|p| p.keyframe_requests).sum();
    let profile = load.members[0].client.profile().context("no keys")?;
    let limit_ns = match args.no_limit {
        true => None,
        false => Some(limit::measure(room.limit(profile), cores)?),
    };
    let (mut join, mut connect) = probe(&mut load, room)?;

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
        bytes_per_subscription: difference(busy, connected).map(|bytes| bytes / room.subscriptions() as f64),
        join_ms: percentile(&mut join, 0.5).map(ms),
        connect_ms: percentile(&mut connect, 0.5).map(ms),
        allocations_per_packet: None,
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
        let others = (0..room.publishers).filter(|publisher| *publisher != member);
        let wants: Vec<(usize, usize)> = others.enumerate().collect();
        if room.plan(member).audio_slots + room.plan(member).video_slots > 0 {
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

/// Nanoseconds from the WebSocket request to the first media, and to the connection, of clients that join one by one.
fn probe(load: &mut Load, room: Room) -> Result<(Vec<u64>, Vec<u64>)> {
    let conference = format!("probes-{}", std::process::id());
    let plan = |id: usize, publish| {
        let (audio_slots, video_slots) = match (publish, room.shape.audio) {
            (Some(_), _) => (0, 0),
            (None, audio) => (usize::from(audio), usize::from(!audio)),
        };
        Plan { id: id as u16, publish, audio_slots, video_slots }
    };
    let publisher = load.join(&conference, plan(load.members.len(), Some(room.shape)))?;
    load.run_until("connecting", JOIN_TIMEOUT, |load| load.members[publisher].client.connected_at.is_some())?;
    load.publish_from(publisher, Instant::now());
    load.run_for(SETTLE)?;
    let track = load.members[publisher].track.clone().context("the publisher has no track")?;
    let (mut join, mut connect) = (Vec::new(), Vec::new());
    for _ in 0..PROBES {
        let member = load.join(&conference, plan(load.members.len(), None))?;
        load.members[member].subscribe_to = Some((track.clone(), load.members[publisher].client.plan.id));
        load.run_until("a probe's first packet", FIRST_MEDIA_TIMEOUT, |load| {
            load.members[member].client.first_media_at.is_some()
        })?;
        let of = &load.members[member];
        let since = |at: Option<Instant>| at.zip(of.opened_at).map(|(at, from)| (at - from).as_nanos() as u64);
        join.extend(since(of.client.first_media_at));
        connect.extend(since(of.client.connected_at));
        load.leave(member);
        load.run_for(PROBE_INTERVAL)?;
    }
    if load.faults().total() > 0 {
        bail!("wrong packets arrived at a probe: {:?}", load.faults());
    }
    load.leave(publisher);
    Ok((join, connect))
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
