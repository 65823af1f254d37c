//! `sfu-bench storm`: many receivers of one publisher join within a moment. How often is the publisher asked for a key
//! frame, and how soon has everybody a picture?

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::cli::StormArgs;
use crate::client::Plan;
use crate::client::publisher::MediaShape;
use crate::load::Load;
use crate::machine::{Cores, Cpu};
use crate::report;
use crate::stats::percentile;

const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// The publisher is alone for so long: what its own start asks for is over.
const ALONE: Duration = Duration::from_secs(2);
/// After the last first packet: late requests are counted too.
const SETTLE: Duration = Duration::from_secs(2);

pub fn run(args: &StormArgs, cores: Cores) -> Result<()> {
    ensure!(args.subscribers > 0, "at least one subscriber");
    let server = args.server.start(cores)?;
    let shape = MediaShape::video(1100, 1);
    let publisher_plan = Plan { publish: Some(shape), ..Plan::bare(0) };
    let plan = |index: usize| Plan { video_slots: 1, ..Plan::bare(1 + index as u16) };
    Load::warm_up(server.address, &[publisher_plan, plan(0)])?;
    let mut load = Load::new(server.address)?;
    let publisher = load.join("storm", publisher_plan)?;
    load.run_until("connecting", JOIN_TIMEOUT, |load| load.members[publisher].client.connected_at.is_some())?;
    load.publish_from(publisher, Instant::now());
    load.run_for(ALONE)?;
    let track = load.members[publisher].tracks.first().cloned().context("the publisher has no track")?;
    let requests = |load: &Load| load.members[publisher].client.publisher.as_ref().map_or(0, |p| p.keyframe_requests);
    let sent = |load: &Load| load.members[publisher].client.publisher.as_ref().map_or(0, |p| p.next);

    let (before, sent_before) = (requests(&load), sent(&load));
    let cpu = || server.pid.map(Cpu::of).transpose();
    let (from, start) = (cpu()?, Instant::now());
    let within: Duration = args.within.into();
    for index in 0..args.subscribers {
        load.run_to(start + within.mul_f64(index as f64 / args.subscribers as f64))?;
        let member = load.join("storm", plan(index))?;
        load.members[member].subscribe_to = Some((track.clone(), 0));
    }
    load.run_until("first packets of all", JOIN_TIMEOUT, |load| {
        load.members[1..].iter().all(|member| member.client.first_media_at.is_some())
    })?;
    let all_after = start.elapsed();
    let frames = (sent(&load) - sent_before) / shape.burst as u64;
    let spent = cpu()?.zip(from).map(|(to, from)| to.since(from).0);
    load.run_for(SETTLE)?;
    ensure!(load.faults().total() == 0, "wrong packets arrived: {:?}", load.faults());
    let since =
        |at: Option<Instant>, from: Option<Instant>| at.zip(from).map(|(at, from)| (at - from).as_nanos() as u64);
    let joiners = || load.members[1..].iter();
    let mut join: Vec<u64> = joiners().filter_map(|m| since(m.client.first_media_at, m.opened_at)).collect();
    let mut connect: Vec<u64> = joiners().filter_map(|m| since(m.client.connected_at, m.opened_at)).collect();
    let opened = joiners().filter_map(|member| member.opened_at).max().map(|last| last - start);
    let ms = |nanos: u64| nanos as f64 / 1e6;
    report::print(&report::Storm {
        command: "storm",
        subscribers: args.subscribers,
        asked_within_s: opened.map(|time| time.as_secs_f64()),
        all_have_media_after_s: all_after.as_secs_f64(),
        keyframe_requests: requests(&load) - before,
        publisher_frames: frames,
        join_ms_p50: percentile(&mut join, 0.5).map(ms),
        join_ms_p99: percentile(&mut join, 0.99).map(ms),
        connect_ms_p50: percentile(&mut connect, 0.5).map(ms),
        server_cpu_ms_per_join: spent.map(|spent| spent.as_secs_f64() * 1e3 / args.subscribers as f64),
    })
}
