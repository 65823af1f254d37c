//! Asking the path for more than is sent: short trains of padding or retransmissions, sent only while more is wanted
//! than the estimate grants.

use super::estimator::{MAX_BPS, START_BPS};
use super::sent::{Fate, PacketResult, ProbeId};

/// A part of a probe that is to leave now: this many bytes of padding or retransmissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    pub id: ProbeId,
    /// What the whole probe tries, bits per second.
    pub bitrate: u64,
    /// To send now; 0 if media have filled this part.
    pub bytes: u32,
    /// In no fewer packets than this.
    pub packets_min: u8,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Bits per second that came through.
    pub bitrate: f64,
    /// The path may have carried still more.
    pub more: bool,
}

/// See the module. Times are microseconds since the owner's epoch.
#[derive(Debug)]
pub struct Prober {
    id: ProbeId,
    state: State,
    tally: Tally,
    bitrate: f64,
    /// Of this one.
    parts: u8,
    /// The next one may begin.
    next_us: u64,
    /// Between probes that find nothing.
    interval_us: u64,
    /// What it was before the last one was of use.
    interval_before_us: u64,
    /// How many of the first ones were sent.
    started: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// `left` parts are to be sent, the next one at this time.
    Sending {
        left: u8,
        at_us: u64,
    },
    /// All was sent at `sent_us`; results come until this time.
    Waiting {
        sent_us: u64,
        until_us: u64,
    },
}

/// Sums over one probe's packets.
#[derive(Debug, Default)]
struct Tally {
    sent_packets: u16,
    told_packets: u16,
    arrived_packets: u16,
    sent_bytes: u32,
    /// Of the last part: how long it took to send is unknown.
    last_part_bytes: u32,
    arrived_bytes: u32,
    first_bytes: u32,
    first_sent_us: u64,
    last_sent_us: u64,
    first_arrival: i64,
    last_arrival: i64,
}

/// Parts and the time between them: 15 ms from the first to the last, a measure that 250 µs ticks can tell, and few
/// wake-ups. At low rates there are more, for shapers let some kilobytes through at once, whatever their rate.
const PARTS: u8 = 4;
const PARTS_MAX: u8 = 12;
const BYTES_MIN: f64 = 10_000.0;
const PART_US: u64 = 5_000;
/// Packets of a part, or its spread at the receiver says nothing.
const PART_PACKETS_MIN: u8 = 2;
/// The first two, as shares of the start rate; then twice what was found.
const FIRST: [f64; 2] = [3.0, 6.0];
const STEP: f64 = 2.0;
/// After one that found nothing: just enough to see that the path has widened, for it fills a queue that is full
/// already.
const STEP_AGAIN: f64 = 1.5;
/// A probe beyond what is wanted shows nothing of use.
const WANTED: f64 = 1.2;
/// Results come within a round trip and a feedback interval.
const RESULT_US: u64 = 1_000_000;
/// After one that found nothing; doubled each time.
const INTERVAL_US: u64 = 2_500_000;
const INTERVAL_MAX_US: u64 = 8_000_000;
/// ... and after others congested the path for a moment.
const OTHERS_US: u64 = 1_000_000;
/// Share of packets that must have arrived (libwebrtc: 80 %).
const ARRIVED_PERCENT: u32 = 80;
/// Less than this of what was sent came through: the path is full (libwebrtc).
const FULL: f64 = 0.9;
const FULL_SHARE: f64 = 0.95;
/// With this share of what was tried, trying more is worth it.
const GOOD: f64 = 0.7;

impl Default for Prober {
    fn default() -> Self {
        Self {
            id: ProbeId::FIRST,
            state: State::Idle,
            tally: Tally::default(),
            bitrate: 0.0,
            parts: PARTS,
            next_us: 0,
            interval_us: INTERVAL_US,
            interval_before_us: INTERVAL_US,
            started: 0,
        }
    }
}

impl Prober {
    /// What is to be sent now for a probe, if anything. `estimate`, `wanted`: bits per second.
    pub fn poll(&mut self, now_us: u64, estimate: f64, wanted: f64) -> Option<Probe> {
        if self.state == State::Idle {
            if wanted <= estimate || now_us < self.next_us {
                return None;
            }
            self.begin(now_us, estimate, wanted);
        }
        let State::Sending { left, at_us } = self.state else { return None };
        if now_us < at_us {
            return None;
        }
        let due = self.bitrate * PART_US as f64 / 8e6 * f64::from(self.parts + 1 - left);
        let bytes = (due as u32).saturating_sub(self.tally.sent_bytes);
        self.state = match left - 1 {
            0 => State::Waiting { sent_us: now_us, until_us: now_us + RESULT_US },
            left => State::Sending { left, at_us: now_us + PART_US },
        };
        Some(Probe { id: self.id, bitrate: self.bitrate as u64, bytes, packets_min: PART_PACKETS_MIN })
    }

    /// The probe that a packet which leaves now belongs to: media in between are part of its rate.
    #[inline]
    pub fn mark(&mut self, now_us: u64, bytes: u16) -> Option<ProbeId> {
        match self.state {
            State::Idle => return None,
            State::Waiting { sent_us, .. } if sent_us != now_us => return None,
            _ => {}
        }
        let tally = &mut self.tally;
        if tally.sent_packets == 0 {
            tally.first_sent_us = now_us;
        }
        if tally.last_sent_us != now_us {
            (tally.last_sent_us, tally.last_part_bytes) = (now_us, 0);
        }
        tally.sent_packets = tally.sent_packets.saturating_add(1);
        tally.last_part_bytes += u32::from(bytes);
        tally.sent_bytes += u32::from(bytes);
        Some(self.id)
    }

    /// The fate of a packet that was marked.
    pub fn result(&mut self, result: &PacketResult) {
        if result.probe != Some(self.id) || self.state == State::Idle {
            return;
        }
        let tally = &mut self.tally;
        tally.told_packets = tally.told_packets.saturating_add(1);
        let Fate::Arrived(at) = result.fate else { return };
        if tally.arrived_packets == 0 {
            (tally.first_arrival, tally.last_arrival) = (at, at);
            tally.first_bytes = u32::from(result.bytes);
        }
        tally.last_arrival = tally.last_arrival.max(at);
        tally.arrived_packets = tally.arrived_packets.saturating_add(1);
        tally.arrived_bytes += u32::from(result.bytes);
    }

    /// Call after the results of a feedback message: answers once, when the probe is complete.
    pub fn finish(&mut self, now_us: u64) -> Option<Found> {
        let State::Waiting { until_us, .. } = self.state else { return None };
        if self.tally.told_packets < self.tally.sent_packets && now_us < until_us {
            return None;
        }
        self.state = State::Idle;
        let found = self.tally.found();
        self.id = self.id.next();
        // Until the owner says that it was of use.
        self.next_us = now_us + self.interval_us;
        self.interval_us = (2 * self.interval_us).min(INTERVAL_MAX_US);
        found.map(|bitrate| Found { bitrate, more: bitrate >= GOOD * self.bitrate })
    }

    /// What was found raised the estimate: the next one may follow at once if there is `more`.
    pub fn succeeded(&mut self, now_us: u64, more: bool) {
        self.interval_before_us = self.interval_us;
        self.interval_us = INTERVAL_US;
        self.next_us = if more || usize::from(self.started) < FIRST.len() { now_us } else { now_us + INTERVAL_US };
    }

    /// The path is congested, by us or by others: nothing before a while.
    pub fn congested(&mut self, now_us: u64, by_us: bool) {
        let rest = if by_us { INTERVAL_US } else { OTHERS_US };
        self.next_us = self.next_us.max(now_us + rest);
    }

    /// What it found did not last: it was no success.
    pub fn regret(&mut self, now_us: u64) {
        self.interval_us = self.interval_before_us;
        self.next_us = self.next_us.max(now_us + self.interval_us);
    }

    /// The path came back: what was tried in between counts for nothing.
    pub fn encourage(&mut self, now_us: u64) {
        (self.next_us, self.interval_us) = (now_us, INTERVAL_US);
    }

    /// When [`Self::poll`] or [`Self::finish`] has something to do.
    pub fn deadline(&self, estimate: f64, wanted: f64) -> Option<u64> {
        match self.state {
            State::Idle => (wanted > estimate).then_some(self.next_us),
            State::Sending { at_us, .. } => Some(at_us),
            State::Waiting { until_us, .. } => Some(until_us),
        }
    }

    fn begin(&mut self, now_us: u64, estimate: f64, wanted: f64) {
        let tried = match FIRST.get(usize::from(self.started)) {
            Some(factor) => (factor * START_BPS).max(STEP * estimate),
            None if self.interval_us > INTERVAL_US => STEP_AGAIN * estimate,
            None => STEP * estimate,
        };
        self.started = self.started.saturating_add(1);
        self.bitrate = tried.min(WANTED * wanted).min(MAX_BPS);
        self.tally = Tally::default();
        let needed = BYTES_MIN * 8e6 / (self.bitrate * PART_US as f64);
        self.parts = (needed.ceil() as u8).clamp(PARTS, PARTS_MAX);
        self.state = State::Sending { left: self.parts, at_us: now_us };
    }
}

impl Tally {
    /// The lesser of what was sent and of what arrived per time.
    fn found(&self) -> Option<f64> {
        let enough = u32::from(self.arrived_packets) * 100 >= u32::from(self.sent_packets) * ARRIVED_PERCENT;
        let sent_us = self.last_sent_us.saturating_sub(self.first_sent_us);
        if !enough || sent_us == 0 || self.arrived_packets < u16::from(PARTS * PART_PACKETS_MIN) / 2 {
            return None;
        }
        let sent = f64::from(self.sent_bytes - self.last_part_bytes.min(self.sent_bytes)) * 8e6 / sent_us as f64;
        let arrival_us = self.last_arrival.saturating_sub(self.first_arrival).max(1);
        let arrived =
            f64::from(self.arrived_bytes - self.first_bytes.min(self.arrived_bytes)) * 8e6 / arrival_us as f64;
        Some(if arrived < FULL * sent { FULL_SHARE * arrived } else { sent.min(arrived) })
    }
}
