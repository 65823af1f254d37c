//! One member of the room means harm, in every way that a homeserver and the focus let it, while the others call. Their media with
//! the attacks are compared with their media without.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio::task::JoinSet;

use super::plan;
use crate::cli::HostileArgs;
use crate::matrix::attacks::{Attack, Attacker, Outcome};
use crate::matrix::door::Door;
use crate::run::call::Call;
use crate::run::report::{PersonReport, Summary};

const PACE: Duration = Duration::from_millis(500);
/// More loss than without attacks that is no harm: an attack has a core of this machine as well.
const LOSS_MAX: f64 = 0.001;

#[derive(Debug, Serialize)]
struct Report {
    command: &'static str,
    participants: u8,
    duration_s: f64,
    attacks: BTreeMap<&'static str, Counts>,
    without: Window,
    with: Window,
    /// Of the honest members.
    members_seen: usize,
    keys_refused: u64,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    done: u64,
    /// By the homeserver or the focus.
    refused: u64,
    /// What must never work did.
    succeeded: u64,
}

/// What the honest members had, all together.
#[derive(Debug, Serialize)]
struct Window {
    failed: usize,
    packets_received: u64,
    loss: f64,
    freezes: u64,
    frozen_ms: f64,
    latency_p50_us: Option<f64>,
    latency_p99_us: Option<f64>,
    frames_opened: u64,
    frames_without_key: u64,
    frames_unopened: u64,
    foreign: u64,
    streams_without_media: usize,
}

pub async fn run(args: &HostileArgs) -> Result<()> {
    let (scenario, plan) = (&args.scenario, plan(args.participants));
    let door = Door::new(&plan, &scenario.matrix, scenario.server.as_deref(), scenario.ca.as_deref()).await?;
    let door = Arc::new(door);
    let attacker = Arc::new(Attacker::enter(&door, plan.people()).await?);
    let mut call = Call::start(plan, door.clone(), PACE)?;
    call.joined().await;
    let duration: Duration = args.duration.into();
    let without = window(&mut call, duration, std::future::pending()).await;
    eprintln!("now with attacks");
    let mut counts = BTreeMap::new();
    let with = window(&mut call, duration, attack(&attacker, args.rate, &mut counts)).await;
    let members_seen = door.seats[0].device.members.borrow().len();
    let keys_refused = door.directory.counts().refused;
    call.end().await;
    let report = Report {
        command: "matrix hostile",
        participants: args.participants,
        duration_s: duration.as_secs_f64(),
        attacks: counts,
        without,
        with,
        members_seen,
        keys_refused,
    };
    crate::report::print(&report)?;
    let Report { attacks, without, with, .. } = &report;
    let succeeded: Vec<&str> =
        attacks.iter().filter(|(_, counts)| counts.succeeded > 0).map(|(name, _)| *name).collect();
    ensure!(succeeded.is_empty(), "worked: {}", succeeded.join(", "));
    ensure!(with.failed == 0 && with.streams_without_media == 0, "somebody's call ended");
    ensure!(with.loss <= without.loss + LOSS_MAX, "media were lost");
    ensure!(with.frames_unopened + with.frames_without_key + with.foreign == 0, "frames could not be opened");
    Ok(())
}

/// Measures for so long, while something else goes on.
async fn window(call: &mut Call, duration: Duration, meanwhile: impl Future<Output = ()>) -> Window {
    let began = call.begin();
    tokio::select! {
        () = tokio::time::sleep(duration) => {}
        () = meanwhile => {}
    }
    let ended = Instant::now();
    let (people, latency) = call.finish(began, ended);
    let mut summary = Summary::default();
    summary.total(&people, &latency, &[]);
    Window::new(&summary, &people)
}

impl Window {
    fn new(summary: &Summary, people: &[PersonReport]) -> Self {
        Self {
            failed: people.iter().filter(|person| person.error.is_some()).count(),
            packets_received: summary.packets_received,
            loss: summary.loss,
            freezes: summary.freezes,
            frozen_ms: summary.frozen_ms,
            latency_p50_us: summary.latency.p50_us,
            latency_p99_us: summary.latency.p99_us,
            frames_opened: summary.frames_opened,
            frames_without_key: summary.frames_without_key,
            frames_unopened: summary.frames_unopened,
            foreign: summary.foreign_packets,
            streams_without_media: summary.streams_without_media,
        }
    }
}

/// All attacks side by side, each at this rate, until it is dropped.
async fn attack(attacker: &Arc<Attacker>, rate: f64, counts: &mut BTreeMap<&'static str, Counts>) {
    let mut running = JoinSet::new();
    let start = |running: &mut JoinSet<_>, attack: Attack, number: u64, at: tokio::time::Instant| {
        let attacker = attacker.clone();
        running.spawn(async move {
            tokio::time::sleep_until(at).await;
            (attack, number, attacker.attack(attack, number).await)
        });
    };
    for attack in Attack::ALL {
        start(&mut running, attack, 0, tokio::time::Instant::now());
    }
    while let Some(Ok((attack, number, outcome))) = running.join_next().await {
        let entry: &mut Counts = counts.entry(attack.name()).or_default();
        entry.done += 1;
        match outcome {
            Outcome::Done => {}
            Outcome::Refused => entry.refused += 1,
            Outcome::Succeeded => entry.succeeded += 1,
        }
        // The next one of this kind, after the answer to the last.
        let next = tokio::time::Instant::now() + Duration::from_secs_f64(1.0 / rate);
        start(&mut running, attack, number + 1, next);
    }
}
