//! `sfu-bench latency`: what the server adds to a packet's way when its core is half busy.
//!
//! The number of publishers is raised until the server's core has the wanted share. Latency is from the publisher's stamp
//! (taken when it begins to seal the frame) to the kernel's stamp when the packet reaches the receiver's socket: the
//! load's own queues are not in it.

use anyhow::{Context as _, Result, ensure};

use crate::cli::LatencyArgs;
use crate::fanout::Room;
use crate::fanout::window::{self, Window};
use crate::load::Load;
use crate::machine::Cores;
use crate::report;
use crate::stats::percentile;

/// Steps towards the wanted share: each is a server and a call of its own.
const STEPS_MAX: usize = 6;
/// Near enough.
const NEAR: f64 = 0.15;
/// m-lines of a receiver; more than any call that this machine can carry.
const PUBLISHERS_MAX: usize = 200;

pub fn run(args: &LatencyArgs, cores: Cores) -> Result<()> {
    ensure!(args.core_share > 0.0 && args.core_share < 1.0, "--core-share is between 0 and 1");
    let shape = args.media.shape();
    let mut publishers = 1;
    let mut best: Option<(usize, Window)> = None;
    for _ in 0..STEPS_MAX {
        let room = Room { publishers, ..Room::one_to_many(args.subscribers, shape, args.duration.into()) };
        let window = match measure(args, room, cores) {
            Ok(window) => window,
            Err(error) => {
                // More than the load's core can take, or the server's: what was reached before stands.
                eprintln!("  {publishers} publishers: no run: {error:#}");
                let Some((reached, _)) = &best else { return Err(error) };
                let between = reached.midpoint(publishers);
                if between == *reached {
                    break;
                }
                publishers = between;
                continue;
            }
        };
        let share = window.core_share().context("the server's CPU is not known: --server-pid")?;
        eprintln!(
            "  {publishers} publishers: {share:.2} of a core, {:.0} ns per packet",
            window.ns().unwrap_or_default()
        );
        let wanted = (publishers as f64 * args.core_share / share).round().clamp(1.0, PUBLISHERS_MAX as f64) as usize;
        let near = (share / args.core_share - 1.0).abs() < NEAR || wanted == publishers;
        best = Some((publishers, window));
        if near {
            break;
        }
        publishers = wanted;
    }
    let (publishers, mut window) = best.context("no valid run")?;
    let us = |nanos: u64| nanos as f64 / 1e3;
    report::print(&report::Latency {
        command: "latency",
        subscribers: args.subscribers,
        publishers,
        audio: shape.audio,
        size: shape.size,
        core_share_wanted: args.core_share,
        core_share: window.core_share(),
        ns_per_forwarded_packet: window.ns(),
        p50_us: percentile(&mut window.latencies, 0.5).map(us),
        p99_us: percentile(&mut window.latencies, 0.99).map(us),
        p999_us: percentile(&mut window.latencies, 0.999).map(us),
        load_wait_p50_us: percentile(&mut window.waits, 0.5).map(us),
        samples: window.latencies.len(),
        delivered: window.delivered,
        expected: window.expected,
    })
}

fn measure(args: &LatencyArgs, room: Room, cores: Cores) -> Result<Window> {
    let server = args.server.start(cores)?;
    let mut load = Load::new(server.address)?;
    window::join_all(&mut load, room)?;
    load.stamp_arrivals()?;
    window::subscribe(&mut load, room)?;
    window::publish(&mut load, room);
    window::measure(&mut load, room, server.pid)
}
