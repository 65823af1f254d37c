//! `sfu-bench engine`: the forwarding engine in process, with lean clients in memory and time that is only counted.
//!
//! Measured is everything that the engine does in a tick of a millisecond: publishers' packets, receivers' feedback, its
//! timers, and the polling of all output. The clients' own work is left out. Allocations are told apart: media (from
//! receipt to send of RTP), feedback, and what the clock causes. Of most datagrams only the head is kept, so
//! that taking them down costs next to nothing; every few frames a tick is kept whole, decrypted, and not measured.

mod world;

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, ensure};

use self::world::{Keep, World};
use crate::cli::EngineArgs;
use crate::client::publisher::MediaShape;
use crate::machine::{self, Cores};
use crate::stats::median_by;
use crate::{allocations, report};

const TICK: Duration = Duration::from_millis(1);
/// Until rings and histories have their size, also those of audio.
const WARM_UP: Duration = Duration::from_secs(4);
/// Long enough for allocations that only come now and then.
const ALLOCATIONS_TIME: Duration = Duration::from_secs(3);
const DRAIN: Duration = Duration::from_millis(200);
/// One tick in so many is decrypted: a prime, so that it meets all publishers.
const WHOLE_ONE_IN: u64 = 61;

/// What a part of the engine's work cost.
#[derive(Debug, Default, Clone, Copy)]
pub struct Cost {
    pub cpu: Duration,
    pub allocations: u64,
    pub allocated_bytes: u64,
}

impl Cost {
    /// Of this thread, since it began. Without the clock the CPU time stays at nought.
    fn so_far(clock: bool) -> Self {
        let (allocations, allocated_bytes) = allocations::so_far();
        let cpu = if clock { machine::thread_cpu() } else { Duration::ZERO };
        Self { cpu, allocations, allocated_bytes }
    }

    fn add_since(&mut self, before: Self, clock: bool) {
        let now = Self::so_far(clock);
        self.cpu += now.cpu.saturating_sub(before.cpu);
        self.allocations += now.allocations - before.allocations;
        self.allocated_bytes += now.allocated_bytes - before.allocated_bytes;
    }
}

/// What is taken down beside the counts.
#[derive(Debug, Clone, Copy)]
struct Observe {
    clock: bool,
    /// Where allocations come from.
    allocations: bool,
}

/// Sums over the measured ticks of a run.
#[derive(Debug, Default, Clone, Copy)]
pub struct Section {
    /// From the receipt of RTP to its sends.
    pub media: Cost,
    /// RTCP, STUN and DTLS of clients, and what they cause.
    pub feedback: Cost,
    /// What the clock causes and sends no media.
    pub timers: Cost,
    /// Sends with media in them.
    pub transmits: u64,
    /// RTP datagrams among what was sent.
    pub packets: u64,
}

pub fn run(args: &EngineArgs, cores: Cores) -> Result<()> {
    machine::pin(cores.load)?;
    let mut runs = Vec::new();
    let observe = Observe { clock: !args.no_clock, allocations: args.trace_allocations };
    for _ in 0..args.runs.max(1) {
        let report = run_once(args.publishers, args.subscribers, args.media.shape(), args.duration.into(), observe)?;
        eprintln!(
            "  {:.0} ns, {:.3} allocations ({:.0} B) per packet (feedback {:.3}, timers {:.3}), {:.1} datagrams per send",
            report.ns_per_forwarded_packet,
            report.allocations_per_packet,
            report.allocated_bytes_per_packet,
            report.feedback_allocations_per_packet,
            report.timer_allocations_per_packet,
            report.datagrams_per_transmit,
        );
        runs.push(report);
    }
    for (count, place) in allocations::places() {
        eprintln!("  {count:8} {place}");
    }
    let ns = |run: &report::Engine| run.ns_per_forwarded_packet;
    let Some(median) = median_by(&runs, ns) else { return Ok(()) };
    report::print(&report::Engine {
        runs: runs.len(),
        ns_min: runs.iter().map(ns).fold(f64::INFINITY, f64::min),
        ns_max: runs.iter().map(ns).fold(0.0, f64::max),
        ..runs[median].clone()
    })
}

/// Allocations from receipt to send of RTP in a call like this, by forwarded packets.
pub fn allocations_per_packet(publishers: usize, subscribers: usize, shape: MediaShape) -> Result<f64> {
    let observe = Observe { clock: true, allocations: false };
    Ok(run_once(publishers, subscribers, shape, ALLOCATIONS_TIME, observe)?.allocations_per_packet)
}

fn run_once(
    publishers: usize,
    subscribers: usize,
    shape: MediaShape,
    duration: Duration,
    observe: Observe,
) -> Result<report::Engine> {
    let mut world = World::new(publishers, subscribers, shape)?;
    world.clock = observe.clock;
    world.start();
    let mut section = Section::default();
    for_ticks(WARM_UP, |_| world.tick(TICK, Keep::Whole, &mut section))?;
    let from = world.numbers();
    world.trace = observe.allocations;
    section = Section::default();
    for_ticks(duration, |tick| {
        if tick.is_multiple_of(WHOLE_ONE_IN) {
            return world.tick(TICK, Keep::Whole, &mut Section::default());
        }
        world.tick(TICK, Keep::Heads, &mut section)
    })?;
    let to = world.numbers();
    world.stop();
    world.trace = false;
    for_ticks(DRAIN, |_| world.tick(TICK, Keep::Whole, &mut Section::default()))?;
    let (delivered, expected) = world.delivered(&from, &to);
    let faults = world.faults();
    ensure!(faults.total() == 0, "wrong packets: {faults:?}");
    ensure!(delivered == expected, "nothing can be lost here, but {} of {expected} were", expected - delivered);
    let section = black_box(section);
    let per_packet = |sum: f64| sum / section.packets.max(1) as f64;
    Ok(report::Engine {
        command: "engine",
        subscribers,
        publishers,
        audio: shape.audio,
        size: shape.size,
        duration_s: duration.as_secs_f64(),
        runs: 1,
        ns_per_forwarded_packet: per_packet(
            (section.media.cpu + section.feedback.cpu + section.timers.cpu).as_nanos() as f64
        ),
        allocations_per_packet: per_packet(section.media.allocations as f64),
        allocated_bytes_per_packet: per_packet(section.media.allocated_bytes as f64),
        feedback_allocations_per_packet: per_packet(section.feedback.allocations as f64),
        timer_allocations_per_packet: per_packet(section.timers.allocations as f64),
        packets: section.packets,
        datagrams_per_transmit: section.packets as f64 / section.transmits.max(1) as f64,
        delivered,
        expected,
        ..report::Engine::default()
    })
}

fn for_ticks(time: Duration, mut tick: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let ticks = time.as_nanos() / TICK.as_nanos();
    (0..ticks as u64).try_for_each(&mut tick)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::publisher::MediaShape;

    /// The whole path in memory: a mesh and a webinar, each packet counted.
    #[test]
    fn every_packet_arrives_in_both_shapes_of_a_call() {
        for (publishers, subscribers, receivers) in [(3, 3, 2), (1, 4, 4)] {
            let mut world = World::new(publishers, subscribers, MediaShape::video(200, 1)).expect("a call");
            world.start();
            let mut section = Section::default();
            for_ticks(Duration::from_secs(1), |_| world.tick(TICK, Keep::Whole, &mut section)).expect("ticks");
            let (from, to) = (vec![0; publishers], world.numbers());
            world.stop();
            for_ticks(DRAIN, |_| world.tick(TICK, Keep::Heads, &mut section)).expect("ticks");
            let (delivered, expected) = world.delivered(&from, &to);
            assert!(expected >= (24 * 8 * publishers * receivers) as u64, "{expected}");
            assert_eq!(delivered, expected);
            assert_eq!(world.faults().total(), 0);
            assert!(section.packets >= expected && section.transmits > 0);
        }
    }
}
