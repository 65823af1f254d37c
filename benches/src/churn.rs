//! `sfu-bench churn`: very many clients come and go. Memory, descriptors, threads and the server's own gauges must be
//! back where they began.
//!
//! Clients come in groups. The first of a group publishes (it sends nothing), the others subscribe to it; each leaves once
//! its DTLS is up, so that everything a participant sets up has been set up. The next group comes when all sockets of the
//! last are closed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::cli::ChurnArgs;
use crate::client::Plan;
use crate::client::publisher::MediaShape;
use crate::http;
use crate::load::Load;
use crate::machine::{self, Cores};
use crate::report;
use crate::server::Server;

const GROUP_TIMEOUT: Duration = Duration::from_secs(60);
/// Gauges of `/metrics` that must be where they were.
const GAUGES: [&str; 5] = ["sfu_sessions", "sfu_participants", "sfu_conferences", "sfu_tracks", "sfu_subscriptions"];
/// A server keeps the ids of tokens until it would refuse them anyway (two minutes, and leeway): memory that goes by
/// itself, and is no growth.
const TOKENS_EXPIRE: Duration = Duration::from_secs(140);
/// Back to the start within this share.
const TOLERANCE: f64 = 0.05;

/// What a server holds.
#[derive(Debug, Clone, Copy)]
struct Holdings {
    bytes: u64,
    descriptors: u64,
    threads: u64,
    /// Sum of [`GAUGES`].
    gauges: f64,
}

impl Holdings {
    fn of(server: &Server) -> Result<Self> {
        let pid = server.pid.context("churn needs the server's process: --server-pid")?;
        let metrics = http::get(server.address, "/metrics")?;
        let gauges = metrics.lines().filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            GAUGES.contains(&name).then(|| value.parse::<f64>().ok()).flatten()
        });
        Ok(Self {
            bytes: machine::resident(pid)?,
            descriptors: machine::descriptors(pid)?,
            threads: machine::threads(pid)?,
            gauges: gauges.sum(),
        })
    }
}

pub fn run(args: &ChurnArgs, cores: Cores) -> Result<()> {
    ensure!(args.at_once >= 2 && args.joins >= args.at_once, "two at once at least, and as many joins");
    let server = args.server.start(cores)?;
    let mut churn = Churn { server: &server, at_once: args.at_once, group: 0 };
    churn.join_and_leave(args.warm_up)?;
    std::thread::sleep(args.settle.into());
    let start = Holdings::of(&server)?;
    describe(0, start, Duration::ZERO);
    let began = Instant::now();
    let mut done = 0;
    while done < args.joins {
        done += churn.join_and_leave(args.report_each.min(args.joins - done))?;
        describe(done, Holdings::of(&server)?, began.elapsed());
    }
    let lasted = began.elapsed();
    let end = churn.settled(TOKENS_EXPIRE + Duration::from(args.settle), start)?;
    describe(done, end, began.elapsed());
    let growth = |from: u64, to: u64| to as f64 / from as f64 - 1.0;
    let memory = growth(start.bytes, end.bytes);
    report::print(&report::Churn {
        command: "churn",
        joins: done,
        at_once: args.at_once,
        joins_per_second: done as f64 / lasted.as_secs_f64(),
        bytes_start: start.bytes,
        bytes_end: end.bytes,
        memory_growth: memory,
        descriptors_start: start.descriptors,
        descriptors_end: end.descriptors,
        threads_start: start.threads,
        threads_end: end.threads,
        gauges_start: start.gauges,
        gauges_end: end.gauges,
    })?;
    ensure!(end.gauges == start.gauges, "the server still counts {} of what has left", end.gauges - start.gauges);
    for (what, growth) in [
        ("memory", memory),
        ("descriptors", growth(start.descriptors, end.descriptors)),
        ("threads", growth(start.threads, end.threads)),
    ] {
        ensure!(growth <= TOLERANCE, "{what}: {:.1} % more than at the start", growth * 100.0);
    }
    Ok(())
}

struct Churn<'a> {
    server: &'a Server,
    at_once: usize,
    group: u64,
}

impl Churn<'_> {
    /// Lets at least so many come and go; answers how many it were.
    fn join_and_leave(&mut self, joins: usize) -> Result<usize> {
        let mut done = 0;
        while done < joins {
            // A load of its own: what is left of these clients goes with it.
            let mut load = Load::new(self.server.address)?;
            let conference = format!("churn-{}", self.group);
            self.group += 1;
            let publisher = Plan { publish: Some(MediaShape::audio(80)), ..Plan::bare(0) };
            load.join(&conference, publisher)?;
            load.run_until("an answer", GROUP_TIMEOUT, |load| load.members[0].answered)?;
            let track = load.members[0].tracks.first().cloned().context("the publisher has no track")?;
            for id in 1..self.at_once {
                let member = load.join(&conference, Plan { audio_slots: 1, ..Plan::bare(id as u16) })?;
                load.members[member].subscribe_to = Some((track.clone(), 0));
            }
            let mut left = vec![false; self.at_once];
            while !load.members.iter().all(|member| member.closed) {
                load.run_until("coming and going", GROUP_TIMEOUT, |load| {
                    let all_closed = load.members.iter().all(|member| member.closed);
                    all_closed || ready(load, &left).next().is_some()
                })?;
                for member in ready(&load, &left).collect::<Vec<_>>() {
                    load.leave(member);
                    left[member] = true;
                }
            }
            done += self.at_once;
        }
        Ok(done)
    }

    /// Waits until nothing falls any more, `patience` at most.
    fn settled(&self, patience: Duration, start: Holdings) -> Result<Holdings> {
        let end = Instant::now() + patience;
        loop {
            let now = Holdings::of(self.server)?;
            let back = now.gauges == start.gauges && now.bytes <= start.bytes && now.descriptors <= start.descriptors;
            if back || Instant::now() >= end {
                return Ok(now);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Members that are connected and have not left; the publisher only once the sockets of all others are closed: what
/// they asked for has been done then.
fn ready(load: &Load, left: &[bool]) -> impl Iterator<Item = usize> {
    let others_are_gone = load.members[1..].iter().all(|member| member.closed);
    let stays = move |member: usize| member == 0 && !others_are_gone;
    let members = load.members.iter().enumerate();
    members.filter_map(move |(index, member)| {
        (member.client.connected_at.is_some() && !left[index] && !stays(index)).then_some(index)
    })
}

fn describe(joins: usize, held: Holdings, after: Duration) {
    eprintln!(
        "  {joins:>7} joins after {:>4.0} s: {:.1} MiB, {} descriptors, {} threads, {} in the server's gauges",
        after.as_secs_f64(),
        held.bytes as f64 / 1024.0 / 1024.0,
        held.descriptors,
        held.threads,
        held.gauges,
    );
}
