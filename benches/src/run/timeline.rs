//! What happens second by second: the server's CPU and memory, and what all participants together send and get.

use std::sync::Arc;
use std::time::Instant;

use super::histogram::Histogram;
use super::person::Person;
use super::report::Second;
use crate::machine::{Cpu, resident};

/// Seconds.
const LASTED_MIN: f64 = 0.5;

/// Takes a sample whenever it is asked to, once a second.
pub struct Sampler {
    started: Instant,
    server: Option<u32>,
    last_at: Instant,
    last: Totals,
    last_cpu: Option<Cpu>,
    last_load: Option<Cpu>,
    pub seconds: Vec<Second>,
}

/// Sums since the beginning.
#[derive(Debug, Clone, Default)]
struct Totals {
    sent: u64,
    received: u64,
    freezes: u64,
    keyframe_requests: u64,
    latency: Histogram,
    connected: usize,
    failed: usize,
}

impl Totals {
    fn of(people: &[Arc<Person>]) -> Self {
        let mut totals = Self::default();
        for person in people {
            let record = person.record();
            totals.sent += record.sent.bytes;
            totals.received += record.received.bytes;
            totals.freezes += record.streams.values().filter_map(|s| s.frames.as_ref()).map(|f| f.freezes).sum::<u64>();
            totals.keyframe_requests += record.keyframe_requests;
            totals.latency.merge(&record.latency);
            match (&record.failed, record.connected_at) {
                (Some(_), _) => totals.failed += 1,
                (None, Some(_)) => totals.connected += 1,
                (None, None) => {}
            }
        }
        totals
    }
}

impl Sampler {
    pub fn new(started: Instant, server: Option<u32>) -> Self {
        let (last_cpu, last_load) = (server.and_then(|pid| Cpu::of(pid).ok()), Cpu::of(std::process::id()).ok());
        let (last, seconds) = (Totals::default(), Vec::new());
        Self { started, server, last_at: started, last, last_cpu, last_load, seconds }
    }

    pub fn sample(&mut self, people: &[Arc<Person>]) {
        let now = Instant::now();
        let lasted = (now - self.last_at).as_secs_f64();
        // The end of a run, just after a sample: rates of so short a time say nothing.
        if lasted < LASTED_MIN {
            return;
        }
        let totals = Totals::of(people);
        let cpu = self.server.and_then(|pid| Cpu::of(pid).ok());
        let load = Cpu::of(std::process::id()).ok();
        let share = |now: Option<Cpu>, then: Option<Cpu>| {
            now.zip(then).map(|(now, then)| now.since(then).0.as_secs_f64() / lasted)
        };
        let waited = |now: Option<Cpu>, then: Option<Cpu>| {
            now.zip(then).map(|(now, then)| now.waited.saturating_sub(then.waited).as_secs_f64() / lasted)
        };
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 * 8.0 / lasted;
        let latency = totals.latency.since(&self.last.latency);
        self.seconds.push(Second {
            at_s: (now - self.started).as_secs_f64(),
            connected: totals.connected,
            failed: totals.failed,
            send_bps: rate(totals.sent, self.last.sent),
            receive_bps: rate(totals.received, self.last.received),
            latency_p50_us: latency.percentile(0.5),
            latency_p99_us: latency.percentile(0.99),
            // They count anew when the window begins.
            freezes: totals.freezes.checked_sub(self.last.freezes).unwrap_or(totals.freezes),
            keyframe_requests: totals.keyframe_requests - self.last.keyframe_requests,
            server_cpu: share(cpu, self.last_cpu),
            server_bytes: self.server.and_then(|pid| resident(pid).ok()),
            load_cpu: share(load, self.last_load),
            server_waited: waited(cpu, self.last_cpu),
            load_waited: waited(load, self.last_load),
        });
        (self.last_at, self.last, self.last_cpu, self.last_load) = (now, totals, cpu, load);
    }
}
