//! The focus goes away, and comes again: do all whose session ended get into the call again, as the devices that they were?

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde::Serialize;

use super::plan;
use crate::cli::ComebackArgs;
use crate::matrix::door::Door;
use crate::run::call::Call;
use crate::run::person::Person;

const PACE: Duration = Duration::from_millis(500);
/// From one try to come back to the next.
const RETRY: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(50);
/// Media that are younger flow.
const FRESH: Duration = Duration::from_millis(300);

#[derive(Debug, Default, Serialize)]
struct Report {
    command: &'static str,
    participants: u8,
    returns: usize,
    /// From the first end of a session to the moment when all had all again, of each outage.
    back_ms: Vec<f64>,
    /// Lives of all, and frames of the last ones.
    lives: usize,
    frames_opened: u64,
    frames_unopened: u64,
}

pub async fn run(args: &ComebackArgs) -> Result<()> {
    let (scenario, plan) = (&args.scenario, plan(args.participants));
    let door = Door::new(&plan, &scenario.matrix, scenario.server.as_deref(), scenario.ca.as_deref()).await?;
    let mut call = Call::start(plan, Arc::new(door), PACE)?;
    let patience: Duration = args.patience.into();
    let mut report = Report {
        command: "matrix comeback",
        participants: args.participants,
        lives: call.people.len(),
        ..Report::default()
    };
    let until = Instant::now() + patience;
    while !all_have_all(&call) {
        let failed = call.people.iter().find_map(|person| person.record().failed.clone());
        ensure!(failed.is_none(), "somebody did not get in: {}", failed.unwrap_or_default());
        ensure!(Instant::now() < until, "not all have all");
        tokio::time::sleep(STEP).await;
    }
    while report.returns < args.returns {
        eprintln!("all have all");
        let until = Instant::now() + patience;
        while call.people.iter().all(|person| person.record().failed.is_none()) {
            ensure!(Instant::now() < until, "the focus did not go away");
            tokio::time::sleep(STEP).await;
        }
        let began = Instant::now();
        eprintln!("the focus is gone");
        back(&mut call, &mut report, patience).await?;
        report.back_ms.push(began.elapsed().as_secs_f64() * 1e3);
        report.returns += 1;
    }
    for person in &call.people {
        let streams = &person.record().streams;
        report.frames_opened += streams.values().map(|stream| stream.opened).sum::<u64>();
        report.frames_unopened += streams.values().map(|stream| stream.unopened).sum::<u64>();
    }
    call.end().await;
    crate::report::print(&report)?;
    ensure!(report.frames_unopened == 0, "frames could not be opened");
    Ok(())
}

/// Whoever is out comes again and again, until all have all.
async fn back(call: &mut Call, report: &mut Report, patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    let mut next = Instant::now();
    while !all_have_all(call) {
        let failed: Vec<usize> = (0..call.people.len()).filter(|n| call.people[*n].record().failed.is_some()).collect();
        if Instant::now() >= until {
            bail!(
                "not all came back: {}",
                call.people.iter().map(|person| state(person)).collect::<Vec<_>>().join("; ")
            );
        }
        if Instant::now() >= next {
            next = Instant::now() + RETRY;
            // Who still leaves would leave what it has only just joined.
            for number in failed.into_iter().filter(|number| call.is_over(*number)).collect::<Vec<_>>() {
                report.lives += 1;
                call.again(number);
            }
        }
        tokio::time::sleep(STEP).await;
    }
    Ok(())
}

/// For whoever asks why.
fn state(person: &Person) -> String {
    let record = person.record();
    let streams = record.streams.values().map(|stream| {
        let age = stream.last_at.map(|at| at.elapsed().as_millis());
        let (from, source) = (stream.expected.person, stream.expected.source.name());
        format!("{source} of {from}: {age:?} ms ago, without key {}, unopened {}", stream.without_key, stream.unopened)
    });
    let streams: Vec<String> = streams.collect();
    format!("{}: connected {}, failed {:?}, {streams:?}", person.number, record.connected_at.is_some(), record.failed)
}

fn all_have_all(call: &Call) -> bool {
    let wanted = |person: &Person| call.shared.plan.wanted(call.shared.plan.seat(person.number)).len();
    let fresh = |person: &Person| {
        let record = person.record();
        let flowing = record.streams.values().filter(|s| s.last_at.is_some_and(|at| at.elapsed() < FRESH)).count();
        record.failed.is_none() && flowing >= wanted(person)
    };
    call.people.iter().all(|person| fresh(person))
}
