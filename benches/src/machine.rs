//! What the harness asks of the operating system: cores, CPU time and memory of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// The server has the first core that we may use, the load the second.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
}

impl Cores {
    pub fn find() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let server = cores.next().context("no core to run on")?;
        let load = cores.next().unwrap_or_else(|| {
            eprintln!("warning: one core only: server and load disturb each other, the figures are worth little");
            server
        });
        Ok(Self { server, load })
    }
}

/// Pins the calling thread, and whatever it starts from now on.
pub fn pin(core: usize) -> Result<()> {
    pin_to(&[core])
}

/// The same to any of some cores.
pub fn pin_to(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set).context("cannot pin to a core")
}

/// All that the calling thread may use but `core`.
pub fn cores_beside(core: usize) -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|other| allowed.is_set(*other) && *other != core).collect())
}

/// Each client has two sockets, and so has the server for it.
pub fn raise_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

/// CPU time of the calling thread.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of a process: exact in total, in user and system share as the kernel samples them (10 ms ticks).
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub total: Duration,
    /// How long its threads could have run, but others had the core.
    pub waited: Duration,
    user_ticks: u64,
    system_ticks: u64,
}

impl Cpu {
    pub fn of(pid: u32) -> Result<Self> {
        // `schedstat` counts to the nanosecond, but thread by thread. The server's threads live as long as it does.
        let (mut total, mut waited) = (0, 0);
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread that ends meanwhile (tokio's blocking pool) takes its microseconds with it.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let mut fields = text.split(' ');
            total += fields.next().context("schedstat")?.parse::<u64>()?;
            waited += fields.next().context("schedstat")?.parse::<u64>()?;
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field, in brackets, may hold spaces.
        let (_, rest) = stat.rsplit_once(')').context("stat")?;
        let field = |n: usize| -> Result<u64> { Ok(rest.split_ascii_whitespace().nth(n).context("stat")?.parse()?) };
        let (total, waited) = (Duration::from_nanos(total), Duration::from_nanos(waited));
        Ok(Self { total, waited, user_ticks: field(11)?, system_ticks: field(12)? })
    }

    /// From `earlier` to this: total, user and system.
    pub fn since(&self, earlier: Self) -> (Duration, Duration, Duration) {
        let total = self.total.saturating_sub(earlier.total);
        let user = self.user_ticks - earlier.user_ticks;
        let system = self.system_ticks - earlier.system_ticks;
        let share = user as f64 / (user + system).max(1) as f64;
        (total, total.mul_f64(share), total.mul_f64(1.0 - share))
    }
}

/// Resident memory of a process, in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// Open file descriptors of a process.
pub fn descriptors(pid: u32) -> Result<u64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64)
}

pub fn threads(pid: u32) -> Result<u64> {
    Ok(fs::read_dir(format!("/proc/{pid}/task"))?.count() as u64)
}

/// Datagrams that the kernel has dropped for want of buffers in this network namespace, whoever they were for.
pub fn udp_drops() -> Result<u64> {
    let text = fs::read_to_string("/proc/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().context("snmp")?, lines.next().context("snmp")?);
    let fields = names.split(' ').zip(values.split(' ')).filter(|(name, _)| name.ends_with("bufErrors"));
    Ok(fields.filter_map(|(_, value)| value.parse::<u64>().ok()).sum())
}
