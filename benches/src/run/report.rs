//! What a run found: the JSON, field by field. Figures that could not be had are `null`.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::person::{Person, Record, Window};
use super::plan::Plan;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    #[serde(flatten)]
    pub summary: Summary,
    pub people: Vec<PersonReport>,
    /// One entry a second, from the first join to the end of the window.
    pub timeline: Vec<Second>,
    /// Seconds of the timeline at which the window began and ended.
    pub window_s: (f64, f64),
    /// Distribution of the latency: share of packets, and what it was at most.
    pub latency_curve: Vec<(f64, f64)>,
}

/// The last line on stdout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub command: String,
    pub server: String,
    pub profile: String,
    pub publish: Vec<String>,
    pub simulcast: bool,
    pub rooms: usize,
    /// Of each room.
    pub participants: usize,
    /// The measured window: from when all have joined.
    pub duration_s: f64,
    /// Somebody pressed Ctrl-C.
    pub interrupted: bool,
    pub joined: usize,
    /// Did not join, or were thrown out later.
    pub failed: usize,
    pub connect_ms: Spread,
    pub first_media_ms: Spread,
    pub send_bps: f64,
    pub receive_bps: f64,
    pub packets_sent: u64,
    pub packets_received: u64,
    pub packets_lost: u64,
    pub loss: f64,
    pub freezes: u64,
    pub frozen_ms: f64,
    pub latency: Latency,
    /// That reached publishers, joins included.
    pub keyframe_requests: u64,
    /// That viewers had to make, because a picture stood still.
    pub keyframe_requests_sent: u64,
    pub bandwidth_pauses: u64,
    /// Subscriptions that there should be between all who joined.
    pub streams: usize,
    pub streams_without_media: usize,
    /// Packets of another stream than the subscribed one.
    pub foreign_packets: u64,
    /// Of encrypted media.
    pub frames_opened: u64,
    pub frames_without_key: u64,
    pub frames_unopened: u64,
    /// Of participants that are users of homeservers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix: Option<MatrixReport>,
    /// In cores, over the window.
    pub server_cpu: Option<f64>,
    pub server_cpu_max: Option<f64>,
    pub server_bytes_start: Option<u64>,
    pub server_bytes_max: Option<u64>,
    /// What this program itself used, in cores, and how many it may use: when they are full, latencies are its own.
    pub load_cpu: Option<f64>,
    pub load_cores: usize,
    /// How long the threads of each waited for a core that others had, in seconds of a second: what the rest of the
    /// machine puts into latencies.
    pub server_waited: Option<f64>,
    pub load_waited: Option<f64>,
}

/// What a call was like for Matrix.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MatrixReport {
    pub homeservers: Vec<String>,
    /// How tokens were got.
    pub access: Vec<String>,
    /// How members said that they are in the call: `state` or `sticky`.
    #[serde(default)]
    pub member_events: Vec<String>,
    /// From the own member event, when it is sent, to the first frame that could be opened, of those who found somebody there.
    pub first_frame_ms: Spread,
    /// From the later of two member events, when it is sent, to the first frame of the one that the other could open.
    pub heard_ms: Spread,
    /// From sending a member event to its arrival at other members, of the same homeserver and of other ones.
    pub member_event_ms: Spread,
    pub member_event_across_ms: Spread,
    /// Scheduled leaves that the focus took to look after.
    pub leaves_lent: u64,
    /// To-device messages with a key: sent (one for each device), failed, received, and received but not accepted.
    pub keys_sent: u64,
    pub keys_failed: u64,
    pub keys_received: u64,
    pub keys_refused: u64,
    /// Questions for a key that did not come (`org.rust_sfu.key_request`).
    #[serde(default)]
    pub keys_asked: u64,
    /// What became of to-device messages between members and the focus's device, if that was left to chance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weather: Option<WeatherReport>,
}

/// Messages, in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct WeatherReport {
    pub passed: u64,
    pub lost: u64,
    pub delayed: u64,
    pub repeated: u64,
}

/// Over people, in the unit of the field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let rank = |share: f64| (share * values.len() as f64).ceil() as usize;
        let at = |share: f64| values.get(rank(share).saturating_sub(1)).copied();
        Self { p50: at(0.5), p99: at(0.99), max: values.last().copied() }
    }
}

/// From the publisher's stamp to the receiver's stack, repairs included; both ends run in this program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    pub max_us: Option<f64>,
}

impl Latency {
    pub fn of(histogram: &Histogram) -> Self {
        Self {
            p50_us: histogram.percentile(0.5),
            p99_us: histogram.percentile(0.99),
            p999_us: histogram.percentile(0.999),
            max_us: histogram.max(),
        }
    }
}

/// One participant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PersonReport {
    pub name: String,
    /// From 1.
    pub room: usize,
    pub joined: bool,
    pub error: Option<String>,
    /// WebSocket request to connected.
    pub connect_ms: Option<f64>,
    /// WebSocket request to the first media packet, of those who found somebody there that published.
    pub first_media_ms: Option<f64>,
    pub send_bps: f64,
    pub receive_bps: f64,
    pub packets_sent: u64,
    pub packets_received: u64,
    pub packets_lost: u64,
    pub loss: f64,
    pub frames: u64,
    pub freezes: u64,
    pub frozen_ms: f64,
    pub latency: Latency,
    pub keyframe_requests: u64,
    pub keyframe_requests_sent: u64,
    pub bandwidth_pauses: u64,
    pub streams: usize,
    pub streams_without_media: usize,
    pub foreign_packets: u64,
    pub frames_opened: u64,
    pub frames_without_key: u64,
    pub frames_unopened: u64,
}

/// One entry of the timeline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Since the first join.
    pub at_s: f64,
    pub connected: usize,
    pub failed: usize,
    pub send_bps: f64,
    pub receive_bps: f64,
    pub latency_p50_us: Option<f64>,
    pub latency_p99_us: Option<f64>,
    pub freezes: u64,
    pub keyframe_requests: u64,
    /// In cores.
    pub server_cpu: Option<f64>,
    pub server_bytes: Option<u64>,
    pub load_cpu: Option<f64>,
    /// Waited for a core.
    pub server_waited: Option<f64>,
    pub load_waited: Option<f64>,
}

/// Share of its cores that the load may use before what it measures is itself.
const LOAD_MAX: f64 = 0.8;
/// Waiting for a core that is no reason to doubt anything, if it is not more than the running.
const WAITED_MAX: f64 = 0.05;

fn loss(lost: u64, expected: u64) -> f64 {
    if expected == 0 { 0.0 } else { lost as f64 / expected as f64 }
}

impl PersonReport {
    /// `streams`: how many subscriptions it should have.
    pub fn new(plan: &Plan, person: &Person, record: &Record, window: &Window, streams: usize) -> Self {
        let ms_from_opened = |at: Option<Instant>| {
            at.zip(record.opened_at).map(|(at, opened)| at.saturating_duration_since(opened).as_secs_f64() * 1e3)
        };
        let seconds = window.lasted.as_secs_f64().max(1e-9);
        let live = || record.streams.values();
        let frames = || live().filter_map(|stream| stream.frames.as_ref());
        let lost: u64 = live().map(|stream| stream.sequence.lost()).sum();
        let with_media = live().filter(|stream| stream.packets > stream.foreign).count();
        Self {
            name: person.name.clone(),
            room: plan.room(person.number) + 1,
            joined: record.connected_at.is_some(),
            error: record.failed.clone(),
            connect_ms: ms_from_opened(record.connected_at),
            first_media_ms: ms_from_opened(record.first_media_at.filter(|_| record.had_company)),
            send_bps: window.sent.bytes as f64 * 8.0 / seconds,
            receive_bps: window.received.bytes as f64 * 8.0 / seconds,
            packets_sent: window.sent.packets,
            packets_received: window.received.packets,
            packets_lost: lost,
            loss: loss(lost, live().map(|stream| stream.sequence.expected()).sum()),
            frames: frames().map(|frames| frames.shown).sum(),
            freezes: frames().map(|frames| frames.freezes).sum(),
            frozen_ms: frames().map(|frames| frames.frozen.as_secs_f64() * 1e3).sum(),
            latency: Latency::of(&window.latency),
            keyframe_requests: record.keyframe_requests,
            keyframe_requests_sent: record.keyframe_requests_sent,
            bandwidth_pauses: record.pauses,
            streams,
            streams_without_media: streams.saturating_sub(with_media),
            foreign_packets: live().map(|stream| stream.foreign).sum(),
            frames_opened: live().map(|stream| stream.opened).sum(),
            frames_without_key: live().map(|stream| stream.without_key).sum(),
            frames_unopened: live().map(|stream| stream.unopened).sum(),
        }
    }
}

impl Summary {
    /// Sums over `people`; `latency` is that of all their packets, and `timeline` that of the window.
    pub fn total(&mut self, people: &[PersonReport], latency: &Histogram, timeline: &[Second]) {
        let sum = |of: fn(&PersonReport) -> u64| people.iter().map(of).sum::<u64>();
        let spread = |of: fn(&PersonReport) -> Option<f64>| Spread::of(people.iter().filter_map(of).collect());
        let mean = |of: fn(&Second) -> Option<f64>| {
            let values: Vec<f64> = timeline.iter().filter_map(of).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        self.joined = people.iter().filter(|person| person.joined).count();
        self.failed = people.iter().filter(|person| person.error.is_some()).count();
        self.connect_ms = spread(|person| person.connect_ms);
        self.first_media_ms = spread(|person| person.first_media_ms);
        self.send_bps = people.iter().map(|person| person.send_bps).sum();
        self.receive_bps = people.iter().map(|person| person.receive_bps).sum();
        self.packets_sent = sum(|person| person.packets_sent);
        self.packets_received = sum(|person| person.packets_received);
        self.packets_lost = sum(|person| person.packets_lost);
        self.loss = loss(self.packets_lost, self.packets_lost + self.packets_received);
        self.freezes = sum(|person| person.freezes);
        self.frozen_ms = people.iter().map(|person| person.frozen_ms).sum();
        self.latency = Latency::of(latency);
        self.keyframe_requests = sum(|person| person.keyframe_requests);
        self.keyframe_requests_sent = sum(|person| person.keyframe_requests_sent);
        self.bandwidth_pauses = sum(|person| person.bandwidth_pauses);
        self.streams = people.iter().map(|person| person.streams).sum();
        self.streams_without_media = people.iter().map(|person| person.streams_without_media).sum();
        self.foreign_packets = sum(|person| person.foreign_packets);
        self.frames_opened = sum(|person| person.frames_opened);
        self.frames_without_key = sum(|person| person.frames_without_key);
        self.frames_unopened = sum(|person| person.frames_unopened);
        self.server_cpu = mean(|second| second.server_cpu);
        self.server_cpu_max = timeline.iter().filter_map(|second| second.server_cpu).reduce(f64::max);
        self.load_cpu = mean(|second| second.load_cpu);
        self.server_waited = mean(|second| second.server_waited);
        self.load_waited = mean(|second| second.load_waited);
    }

    /// What makes the latencies doubtful; empty if nothing does.
    pub fn warnings(&self) -> Vec<String> {
        let full = self.load_cpu.filter(|cpu| *cpu > LOAD_MAX * self.load_cores.max(1) as f64);
        let waits =
            |waited: Option<f64>, cpu: Option<f64>| waited.zip(cpu).filter(|(w, cpu)| *w > WAITED_MAX.max(*cpu));
        let busy = waits(self.load_waited, self.load_cpu).or_else(|| waits(self.server_waited, self.server_cpu));
        let full = full.map(|cpu| format!("the load itself filled {:.0} % of a core", cpu * 100.0));
        let busy = busy.map(|(waited, _)| format!("others had the cores for {:.0} % of the time", waited * 100.0));
        full.into_iter()
            .chain(busy)
            .map(|why| format!("{why}: latencies and freezes are not the server's alone"))
            .collect()
    }

    /// Why the run is no success; empty if it is one.
    pub fn faults(&self) -> Vec<String> {
        [
            (self.failed as u64, "participants failed"),
            (self.streams_without_media as u64, "streams brought no media"),
            (self.foreign_packets, "packets were of another stream"),
            (self.frames_without_key, "frames came without a key"),
            (self.frames_unopened, "frames could not be opened"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
    }
}

#[cfg(test)]
pub mod tests;
