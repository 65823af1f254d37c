//! A sender, a bottleneck and a receiver that reports, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::super::Congestion;
use crate::allocator::{Allocator, Request};
use crate::io::Kind;
use crate::rtcp::twcc::{Feedback, Writer};
use crate::test_time::epoch;

pub const MS: u64 = 1_000;
pub const SECOND: u64 = 1_000_000;
const PACKET: u16 = 1_100;
const PADDING: u16 = 250;
const AUDIO: u16 = 120;

/// A drop-tail queue before a link of a given rate.
pub struct Link {
    /// From when on (µs) how many bits per second.
    pub rates: Vec<(u64, f64)>,
    /// One way, and the same back.
    pub delay_us: u64,
    /// The queue holds what drains in so long.
    pub queue_us: u64,
    /// 0.0–1.0, whatever the load.
    pub loss: f64,
    /// Up to so much is added to each packet's delay, without reordering.
    pub jitter_us: u64,
    /// Others' traffic: from, to, bits per second.
    pub cross: Vec<(u64, u64, f64)>,
}

impl Link {
    pub fn new(rate: f64) -> Self {
        Self { rates: vec![(0, rate)], delay_us: 25 * MS, queue_us: 250 * MS, loss: 0.0, jitter_us: 0, cross: vec![] }
    }

    pub fn rate(&self, now: u64) -> f64 {
        self.rates.iter().rev().find(|(from, _)| now >= *from).map_or(0.0, |(_, rate)| *rate)
    }
}

/// What the media source does with the estimate.
pub enum Source {
    /// Sends as much as the estimate grants, up to so much.
    Elastic(f64),
    /// Sends so much, whatever the estimate.
    Fixed(f64),
    /// Sends the largest of these rates that fits.
    Layers(Vec<f64>),
    /// So many videos with three layers each, as the allocator has it.
    Allocated(Subscriptions),
}

pub struct Subscriptions {
    pub requests: Vec<Request>,
    pub allocator: Allocator,
    pub rate: f64,
    /// Changes of layer, by second.
    pub changes: Vec<u32>,
}

impl Subscriptions {
    pub fn new(videos: usize) -> Self {
        let video = Request {
            kind: Kind::Video,
            wanted: Some(2),
            bitrates: [150_000, 500_000, 1_500_000, 0],
            active: 0b111,
            current: None,
            priority: 0,
        };
        Self { requests: vec![video; videos], allocator: Allocator::default(), rate: 0.0, changes: vec![] }
    }

    fn allocate(&mut self, second: usize, now: Instant, estimate: (u64, bool)) -> u64 {
        let mut grants = Vec::new();
        let allocation = self.allocator.allocate(now, estimate, &self.requests, &mut grants);
        self.changes.resize(second + 1, 0);
        for (request, grant) in self.requests.iter_mut().zip(grants) {
            self.changes[second] += u32::from(request.current != grant);
            request.current = grant;
        }
        self.rate = allocation.granted as f64 + 48_000.0;
        allocation.wanted
    }
}

impl Source {
    fn rate(&self, estimate: f64) -> f64 {
        match self {
            Self::Elastic(most) => estimate.min(*most),
            Self::Fixed(rate) => *rate,
            Self::Allocated(subscriptions) => subscriptions.rate,
            Self::Layers(rates) => rates.iter().copied().filter(|rate| *rate <= estimate).fold(0.0, f64::max),
        }
    }
}

#[derive(Clone, Copy, Default)]
pub struct Second {
    pub estimate: f64,
    pub sent: u64,
    pub arrived: u64,
    /// Packets.
    pub offered: u32,
    /// Dropped by the full queue.
    pub dropped: u32,
    pub queue_max_us: u64,
}

pub struct World {
    pub epoch: Instant,
    pub now: u64,
    pub link: Link,
    pub source: Source,
    pub congestion: Congestion,
    /// Feedback interval.
    pub interval_us: u64,
    /// No feedback arrives from, to.
    pub deaf: Vec<(u64, u64)>,
    /// At these times the receiver's clock moves by this.
    pub clock: Vec<(u64, i64)>,
    pub seconds: Vec<Second>,
    random: ChaCha8Rng,
    busy_until: f64,
    last_arrival: u64,
    credit: f64,
    waiting: VecDeque<u16>,
    flying: VecDeque<(u64, u64, u16)>,
    received: BTreeMap<u64, i64>,
    sequence: u64,
    reported: u64,
    report_at: u64,
    writer: Writer,
    reports: VecDeque<(u64, Vec<u8>)>,
    pub held_max_us: u64,
    held_since: Option<u64>,
    pub probes: u32,
}

impl World {
    pub fn new(link: Link, source: Source, wanted: u64) -> Self {
        let epoch = epoch();
        let mut congestion = Congestion::new(epoch, true);
        congestion.set_wanted(wanted);
        Self {
            epoch,
            now: 0,
            link,
            source,
            congestion,
            interval_us: 100 * MS,
            deaf: vec![],
            clock: vec![],
            seconds: vec![Second::default()],
            random: ChaCha8Rng::seed_from_u64(7),
            busy_until: 0.0,
            last_arrival: 0,
            credit: 0.0,
            waiting: VecDeque::new(),
            flying: VecDeque::new(),
            received: BTreeMap::new(),
            sequence: 0,
            reported: 0,
            report_at: 0,
            writer: Writer::default(),
            reports: VecDeque::new(),
            held_max_us: 0,
            held_since: None,
            probes: 0,
        }
    }

    pub fn at(&self) -> Instant {
        self.epoch + Duration::from_micros(self.now)
    }

    pub fn estimate(&self) -> f64 {
        self.congestion.bitrate() as f64
    }

    /// A packet was noted behind our back.
    pub fn skip_number(&mut self) {
        self.sequence += 1;
    }

    pub fn run(&mut self, until: u64) {
        while self.now < until {
            self.step();
        }
    }

    /// Runs until the condition holds; when that was.
    pub fn run_until(&mut self, until: u64, holds: impl Fn(&Self) -> bool) -> Option<u64> {
        while self.now < until {
            self.step();
            if holds(self) {
                return Some(self.now);
            }
        }
        None
    }

    /// One millisecond.
    fn step(&mut self) {
        self.now += MS;
        let now = self.now;
        let index = (now / SECOND) as usize;
        if self.seconds.len() <= index {
            self.seconds.push(Second::default());
        }
        for (_, _, rate) in self.link.cross.iter().filter(|(from, to, _)| (*from..*to).contains(&now)) {
            let begins = self.busy_until.max(now as f64);
            if begins - (now as f64) < self.link.queue_us as f64 {
                self.busy_until = begins + rate * 1e-3 / self.link.rate(now) * 1e6;
            }
        }
        self.produce();
        while let Some(bytes) = self.waiting.front().copied() {
            if !self.congestion.may_send(self.at()) {
                let since = *self.held_since.get_or_insert(now);
                self.held_max_us = self.held_max_us.max(now - since);
                break;
            }
            self.held_since = None;
            self.waiting.pop_front();
            self.send(bytes);
        }
        self.arrive();
        if self.congestion.deadline().is_some_and(|deadline| deadline <= self.at()) {
            self.congestion.handle_timeout(self.at());
        }
        while let Some(probe) = self.congestion.poll_probe(self.at()) {
            self.probes += 1;
            for _ in 0..probe.bytes.div_ceil(u32::from(PADDING)) {
                self.send(PADDING);
            }
        }
        let queue = (self.busy_until - now as f64).max(0.0) as u64;
        let second = &mut self.seconds[index];
        second.queue_max_us = second.queue_max_us.max(queue);
        second.estimate = self.congestion.bitrate() as f64;
    }

    /// Audio each 20 ms; video 30 times a second.
    fn produce(&mut self) {
        if self.now.is_multiple_of(20 * MS) {
            self.send(AUDIO);
        }
        if let Source::Allocated(subscriptions) = &mut self.source
            && self.now.is_multiple_of(100 * MS)
        {
            let at = self.epoch + Duration::from_micros(self.now);
            let estimate = (self.congestion.bitrate(), self.congestion.is_congested(at));
            let wanted = subscriptions.allocate((self.now / SECOND) as usize, at, estimate);
            self.congestion.set_wanted(wanted);
        }
        let audio = f64::from(AUDIO) * 8.0 * 50.0;
        self.credit += (self.source.rate(self.estimate()) - audio).max(0.0) / 8e3;
        if self.now.is_multiple_of(33 * MS) {
            while self.credit >= f64::from(PACKET) {
                self.credit -= f64::from(PACKET);
                self.waiting.push_back(PACKET);
            }
        }
    }

    fn send(&mut self, bytes: u16) {
        let now = self.now;
        let number = self.congestion.note_sent(self.at(), bytes);
        assert_eq!(number, self.sequence as u16);
        let sequence = self.sequence;
        self.sequence += 1;
        let queued = (self.busy_until - now as f64).max(0.0);
        let second = &mut self.seconds[(now / SECOND) as usize];
        second.sent += u64::from(bytes);
        second.offered += 1;
        if queued > self.link.queue_us as f64 {
            second.dropped += 1;
            return;
        }
        self.busy_until = now as f64 + queued + f64::from(bytes) * 8e6 / self.link.rate(now);
        if self.random.random_bool(self.link.loss) {
            return;
        }
        let jitter = if self.link.jitter_us == 0 { 0 } else { self.random.random_range(0..self.link.jitter_us) };
        self.last_arrival = self.last_arrival.max(self.busy_until as u64 + self.link.delay_us + jitter);
        self.flying.push_back((self.last_arrival, sequence, bytes));
    }

    fn arrive(&mut self) {
        let now = self.now;
        while let Some((at, sequence, bytes)) = self.flying.front().copied().filter(|(at, ..)| *at <= now) {
            self.flying.pop_front();
            let offset: i64 = self.clock.iter().filter(|(from, _)| at >= *from).map(|(_, offset)| offset).sum();
            self.received.insert(sequence, 1_000_000_000 + at as i64 + offset);
            self.seconds[(now / SECOND) as usize].arrived += u64::from(bytes);
        }
        if now >= self.report_at {
            self.report_at = now + self.interval_us;
            self.report();
        }
        while let Some((_, body)) = self.reports.front().filter(|(at, _)| *at <= now) {
            let feedback = Feedback::parse(body).expect("ours");
            if !self.deaf.iter().any(|(from, to)| (*from..*to).contains(&now)) {
                assert!(self.congestion.handle_feedback(self.epoch + Duration::from_micros(now), &feedback));
            }
            self.reports.pop_front();
        }
    }

    fn report(&mut self) {
        while let Some(last) = self.received.keys().next_back().copied() {
            let statuses: Vec<_> =
                (self.reported..=last).map(|sequence| self.received.get(&sequence).copied()).collect();
            let mut body = Vec::new();
            let Some(covered) = self.writer.write(self.reported as u16, &statuses, &mut body) else { return };
            self.reported += covered.max(1) as u64;
            self.received = self.received.split_off(&self.reported);
            self.reports.push_back((self.now + self.link.delay_us, body));
        }
    }

    /// Share of packets that the full queue dropped, between two seconds.
    pub fn dropped(&self, from: usize, to: usize) -> f64 {
        let seconds = &self.seconds[from..to.min(self.seconds.len())];
        let sum = |part: fn(&Second) -> u32| f64::from(seconds.iter().map(part).sum::<u32>());
        sum(|second| second.dropped) / sum(|second| second.offered).max(1.0)
    }

    /// Arrived bits per second, between two seconds.
    pub fn throughput(&self, from: usize, to: usize) -> f64 {
        let seconds = &self.seconds[from..to];
        seconds.iter().map(|second| second.arrived).sum::<u64>() as f64 * 8.0 / seconds.len() as f64
    }

    /// For the scoreboard and for finding out why.
    pub fn print(&self, name: &str) {
        println!("{name}: estimate Mbit/s (sent, dropped packets, queue ms) by second");
        for (index, second) in self.seconds.iter().enumerate() {
            let queue = second.queue_max_us / 1000;
            let (estimate, sent) = (second.estimate / 1e6, second.sent as f64 * 8e-6);
            print!("  {index}: {estimate:.2} ({sent:.2}, {}, {queue})", second.dropped);
        }
        println!();
    }
}
