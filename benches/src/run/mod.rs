//! `sfu-bench run`: calls of real WebRTC clients against any server that speaks our dialect, and what they are like for
//! those who take part.
//!
//! One run, in order: people join at a steady pace, room by room in turn · a moment for the last streams to come · the
//! measured window · the report. Joins that fail are data. Ctrl-C ends the run early, with a report of what there is.

mod histogram;
mod html;
mod mark;
mod media;
mod participant;
mod peer;
mod person;
mod plan;
mod progress;
mod receive;
mod report;
mod tap;
mod target;
mod timeline;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::sync::watch;

use self::histogram::Histogram;
use self::participant::Shared;
use self::person::Person;
use self::plan::Plan;
pub use self::plan::{Profile, Source};
use self::progress::Progress;
use self::report::{PersonReport, Report, Summary};
use self::target::Target;
use self::timeline::Sampler;
use crate::cli::RunArgs;
use crate::machine::{self, Cores};
use crate::server::{self, Server};

/// For the first packets of the last subscriptions.
const SETTLE: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);
/// For all to leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Points of the latency's curve.
const SHARES: [f64; 15] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, 1.0];

pub fn run(args: &RunArgs) -> Result<()> {
    let plan = Plan {
        rooms: args.rooms,
        participants: args.participants,
        profile: args.profile,
        sources: match args.profile {
            Profile::Audio => vec![Source::Audio],
            _ => args.publish.clone(),
        },
        simulcast: !args.no_simulcast,
    };
    if let Err(wrong) = plan.check() {
        bail!("{wrong}");
    }
    machine::raise_open_files()?;
    let (server, cores) = start(args)?;
    let target = target(args, server.as_ref())?;
    let pid = server.as_ref().map_or(args.server_pid, |server| server.pid);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?;
    let pace = SECOND.div_f64(args.join_rate);
    let mut report = runtime.block_on(call(plan, target, pid, pace, args.duration.into()))?;
    report.summary.load_cores = cores;
    write(args, &report)?;
    let faults = report.summary.faults();
    ensure!(faults.is_empty(), "{}", faults.join(", "));
    Ok(())
}

/// A server of our own on a core of its own, unless there is one; and the cores that are left to the load.
fn start(args: &RunArgs) -> Result<(Option<Server>, usize)> {
    if args.server.is_some() {
        return Ok((None, std::thread::available_parallelism()?.get()));
    }
    let binary = args.server_binary.clone().map_or_else(server::default_binary, Ok)?;
    let cores = Cores::find()?;
    let mut others = machine::cores_beside(cores.server)?;
    if others.is_empty() {
        others.push(cores.load);
    }
    let server = Server::start(&binary, cores)?;
    machine::pin_to(&others)?;
    Ok((Some(server), others.len()))
}

fn target(args: &RunArgs, server: Option<&Server>) -> Result<Target> {
    let url = match (&args.server, server) {
        (Some(url), _) => url.clone(),
        (None, Some(server)) => format!("http://{}", server.address),
        (None, None) => bail!("no server"),
    };
    let key = args.signing_key_file.as_deref().zip(args.focus.as_deref());
    Target::new(&url, key, args.ca.as_deref())
}

/// `pace`: from one join to the next. `pid`: whose CPU and memory are sampled. `duration`: the measured window.
async fn call(plan: Plan, target: Target, pid: Option<u32>, pace: Duration, duration: Duration) -> Result<Report> {
    let (stop, stopped) = watch::channel(false);
    let run: u64 = rand::random();
    let shared = Arc::new(Shared {
        local: target.local()?,
        epoch: Instant::now(),
        conferences: (0..plan.rooms).map(|room| format!("bench-{run:016x}-{room}")).collect(),
        stop: stopped,
        target,
        plan,
    });
    let plan = &shared.plan;
    let people: Vec<Arc<Person>> =
        (0..plan.people()).map(|number| Arc::new(Person::new(number, plan.name(number)))).collect();
    let started = Instant::now();
    let mut session = Session {
        sampler: Sampler::new(started, pid),
        progress: Progress::new(people.len()),
        people: &people,
        next: tokio::time::Instant::now() + SECOND,
    };
    let memory_start = pid.and_then(|pid| machine::resident(pid).ok());

    let lives: Vec<_> = people
        .iter()
        .map(|person| {
            let at = tokio::time::Instant::now() + pace * person.number as u32;
            tokio::spawn(participant::live(shared.clone(), person.clone(), at))
        })
        .collect();
    let joined = async {
        while !people.iter().all(|person| person.record().is_settled()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(SETTLE).await;
    };
    let joined = session.during("joining", joined).await;
    let window_began = Instant::now();
    people.iter().for_each(|person| person.record().begin(window_began));
    let window_from = (window_began - started).as_secs_f64();
    let whole = match joined {
        None => None,
        Some(()) => session.during("measuring", tokio::time::sleep(duration)).await,
    };
    let window_ended = Instant::now();
    let lasted = window_ended - window_began;
    session.sampler.sample(&people);
    session.progress.done();

    let report = {
        let mut latency = Histogram::default();
        let joined: Vec<bool> = people.iter().map(|person| person.record().connected_at.is_some()).collect();
        let people: Vec<PersonReport> = people
            .iter()
            .map(|person| {
                let mut record = person.record();
                let window = record.end(window_ended, lasted);
                latency.merge(&window.latency);
                let streams = streams(plan, person.number, &joined);
                PersonReport::new(plan, person, &record, &window, streams)
            })
            .collect();
        let timeline = session.sampler.seconds;
        let in_window: Vec<_> = timeline.iter().filter(|second| second.at_s > window_from + 0.5).copied().collect();
        let mut summary = Summary {
            command: "run".to_owned(),
            server: shared.target.url.clone(),
            profile: plan.profile.name().to_owned(),
            publish: plan.published(0).into_iter().map(|source| source.name().to_owned()).collect(),
            simulcast: plan.simulcast,
            rooms: plan.rooms,
            participants: plan.participants,
            duration_s: lasted.as_secs_f64(),
            interrupted: whole.is_none(),
            server_bytes_start: memory_start,
            server_bytes_max: timeline.iter().filter_map(|second| second.server_bytes).max(),
            ..Summary::default()
        };
        summary.total(&people, &latency, &in_window);
        let curve = SHARES.into_iter().filter_map(|share| Some((share, latency.percentile(share)?)));
        let window_s = (window_from, (window_ended - started).as_secs_f64());
        Report { summary, people, timeline, window_s, latency_curve: curve.collect() }
    };

    let _ = stop.send(true);
    let all = async {
        for life in lives {
            let _ = life.await;
        }
    };
    let _ = tokio::time::timeout(LEAVE_TIMEOUT, all).await;
    Ok(report)
}

/// Subscriptions that a participant should have, given who is there.
fn streams(plan: &Plan, person: usize, joined: &[bool]) -> usize {
    let there = |seat: usize| joined[seat * plan.rooms + plan.room(person)];
    match joined[person] {
        true => plan.wanted(plan.seat(person)).into_iter().filter(|(seat, _)| there(*seat)).count(),
        false => 0,
    }
}

/// Samples and shows progress while something goes on.
struct Session<'a> {
    sampler: Sampler,
    progress: Progress,
    people: &'a [Arc<Person>],
    next: tokio::time::Instant,
}

impl Session<'_> {
    /// What `work` gives, or `None` after Ctrl-C.
    async fn during<T>(&mut self, what: &str, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = tokio::time::sleep_until(self.next) => {
                    self.next += SECOND;
                    self.sampler.sample(self.people);
                    if let Some(second) = self.sampler.seconds.last() {
                        self.progress.show(what, second);
                    }
                }
                _ = tokio::signal::ctrl_c() => return None,
            }
        }
    }
}

fn write(args: &RunArgs, report: &Report) -> Result<()> {
    progress::describe(&report.summary);
    if let Some(file) = &args.html {
        std::fs::write(file, html::render(report)).with_context(|| format!("--html {}", file.display()))?;
        eprintln!("report: {}", file.display());
    }
    match args.json.as_deref() {
        Some(file) if file == Path::new("-") => return crate::report::print(report),
        Some(file) => {
            let text = serde_json::to_string_pretty(report)?;
            std::fs::write(file, text + "\n").with_context(|| format!("--json {}", file.display()))?;
        }
        None => {}
    }
    crate::report::print(&report.summary)
}

#[cfg(test)]
mod tests;
