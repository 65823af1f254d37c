//! `sfu-bench run`: calls of real WebRTC clients against any server that speaks our dialect, and what they are like for
//! those who take part.
//!
//! One run, in order: people join at a steady pace, room by room in turn · a moment for the last streams to come · the
//! measured window · the report. Joins that fail are data. Ctrl-C ends the run early, with a report of what there is.

pub mod call;
pub mod carriage;
pub mod crypt;
pub mod door;
mod histogram;
mod html;
mod mark;
mod media;
pub mod participant;
mod peer;
pub mod person;
pub mod plan;
mod progress;
mod receive;
pub mod report;
mod tap;
pub mod target;
mod timeline;
mod wants;
pub mod wills;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use self::call::Call;
use self::door::{Door, Plain};
use self::person::Person;
use self::plan::Plan;
pub use self::plan::{Profile, Source};
use self::progress::Progress;
use self::report::{Report, Summary};
use self::target::Target;
use self::timeline::Sampler;
use crate::cli::{RunArgs, Scenario};
use crate::machine::{self, Cores};
use crate::server::{self, Server};

const SECOND: Duration = Duration::from_secs(1);
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
    let pace = SECOND.div_f64(args.join_rate);
    let duration = args.duration.into();
    let report = if args.matrix.homeserver.is_empty() {
        let (server, cores) = start(args)?;
        let target = target(args, server.as_ref())?;
        let pid = server.as_ref().map_or(args.server_pid, |server| server.pid);
        let door = Plain::new(target, plan.clone());
        let mut report = runtime(cores)?.block_on(call(plan, Arc::new(door), pid, pace, duration))?;
        report.summary.load_cores = cores;
        report
    } else {
        let cores = std::thread::available_parallelism()?.get();
        let mut report = runtime(cores)?.block_on(matrix_call(plan, args, pace, duration))?;
        report.summary.load_cores = cores;
        report
    };
    write(args, &report)?;
    let faults = report.summary.faults();
    ensure!(faults.is_empty(), "{}", faults.join(", "));
    Ok(())
}

fn runtime(cores: usize) -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?)
}

/// People with accounts of homeservers, in rooms there.
#[cfg(feature = "matrix")]
async fn matrix_call(plan: Plan, args: &RunArgs, pace: Duration, duration: Duration) -> Result<Report> {
    let door = crate::matrix::Door::new(&plan, &args.matrix, args.server.as_deref(), args.ca.as_deref()).await?;
    call(plan, Arc::new(door), args.server_pid, pace, duration).await
}

/// Scenarios of the same people.
#[cfg(feature = "matrix")]
pub fn scenario(scenario: &Scenario) -> Result<()> {
    machine::raise_open_files()?;
    runtime(std::thread::available_parallelism()?.get())?.block_on(crate::matrix::run_scenario(scenario))
}

#[cfg(not(feature = "matrix"))]
pub fn scenario(_: &Scenario) -> Result<()> {
    bail!("this sfu-bench was built without `--features matrix`")
}

#[cfg(not(feature = "matrix"))]
async fn matrix_call(_: Plan, _: &RunArgs, _: Duration, _: Duration) -> Result<Report> {
    bail!("--homeserver: this sfu-bench was built without `--features matrix`")
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
async fn call(plan: Plan, door: Arc<dyn Door>, pid: Option<u32>, pace: Duration, duration: Duration) -> Result<Report> {
    let call = Call::start(plan, door, pace)?;
    let plan = &call.shared.plan;
    let started = Instant::now();
    let mut session = Session {
        sampler: Sampler::new(started, pid),
        progress: Progress::new(call.people.len()),
        people: &call.people,
        next: tokio::time::Instant::now() + SECOND,
    };
    let memory_start = pid.and_then(|pid| machine::resident(pid).ok());

    let joined = session.during("joining", call.joined()).await;
    let window_began = call.begin();
    let window_from = (window_began - started).as_secs_f64();
    let whole = match joined {
        None => None,
        Some(()) => session.during("measuring", tokio::time::sleep(duration)).await,
    };
    let window_ended = Instant::now();
    session.sampler.sample(&call.people);
    session.progress.done();

    let report = {
        let matrix = call.shared.door.matrix(&call.people);
        let (people, latency) = call.finish(window_began, window_ended);
        let timeline = session.sampler.seconds;
        let in_window: Vec<_> = timeline.iter().filter(|second| second.at_s > window_from + 0.5).copied().collect();
        let mut summary = Summary {
            command: "run".to_owned(),
            server: call.shared.door.url(),
            profile: plan.profile.name().to_owned(),
            publish: plan.published(0).into_iter().map(|source| source.name().to_owned()).collect(),
            simulcast: plan.simulcast,
            rooms: plan.rooms,
            participants: plan.participants,
            duration_s: (window_ended - window_began).as_secs_f64(),
            interrupted: whole.is_none(),
            matrix,
            server_bytes_start: memory_start,
            server_bytes_max: timeline.iter().filter_map(|second| second.server_bytes).max(),
            ..Summary::default()
        };
        summary.total(&people, &latency, &in_window);
        let curve = SHARES.into_iter().filter_map(|share| Some((share, latency.percentile(share)?)));
        let window_s = (window_from, (window_ended - started).as_secs_f64());
        Report { summary, people, timeline, window_s, latency_curve: curve.collect() }
    };
    call.end().await;
    Ok(report)
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
