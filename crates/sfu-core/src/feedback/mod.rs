//! What one peer's path carries, and how it is used: the send-side half of congestion control, for everything that
//! one peer is sent together.
//!
//! [`Congestion`] is the whole of it for its owner; the parts know nothing of each other. It is made when media begin
//! to flow. It sends nothing and reads no clock.

use std::time::{Duration, Instant};

use self::estimator::Estimator;
use self::pacer::Pacer;
use self::probe::Prober;
use self::sent::SentLog;
use crate::rtcp::twcc::Feedback;

pub mod estimator;
pub mod pacer;
pub mod probe;
pub mod sent;

pub use probe::Probe;

/// See the module. The owner asks [`may_send`](Self::may_send) before each video packet (audio never waits) and tells
/// [`note_sent`](Self::note_sent) of every RTP packet that leaves. It hands in feedback, and calls
/// [`handle_timeout`](Self::handle_timeout) at [`deadline`](Self::deadline). After either it asks
/// [`poll_probe`](Self::poll_probe) until `None`, even if it cannot pad, and gives [`bitrate`](Self::bitrate) to the allocator.
#[derive(Debug)]
pub struct Congestion {
    epoch: Instant,
    /// The last send time, and the same in microseconds: packets leave in bursts.
    last: (Instant, u64),
    log: SentLog,
    estimator: Estimator,
    prober: Prober,
    pacer: Pacer,
    /// Bits per second.
    wanted: f64,
    /// Transport-wide feedback was negotiated; else only the receiver's own estimate counts.
    transport_wide: bool,
    /// It came at least once.
    heard: bool,
    /// Feedback fails to come.
    silent: bool,
    /// The last packet left.
    sent_us: u64,
    probe_raised_us: u64,
    /// What was sent earlier took another path, and says nothing of this one.
    path_us: u64,
}

/// What is open for longer is not waited for.
const EXPIRE_US: u64 = 4_000_000;
/// What a full queue says of a path holds for so long.
const CONGESTED_US: u64 = 5_000_000;
/// An estimate that falls so soon after a probe raised it was not worth the probe.
const PROBE_REGRET_US: u64 = 3_000_000;

impl Congestion {
    /// `transport_wide`: whether the peer negotiated transport-wide feedback. Without it there are no numbers and no
    /// probes.
    #[must_use]
    pub fn new(now: Instant, transport_wide: bool) -> Self {
        let mut congestion = Self {
            epoch: now,
            last: (now, 0),
            log: SentLog::default(),
            estimator: Estimator::default(),
            prober: Prober::default(),
            pacer: Pacer::default(),
            wanted: 0.0,
            transport_wide,
            heard: false,
            silent: false,
            sent_us: 0,
            probe_raised_us: 0,
            path_us: 0,
        };
        // Of who tells nothing nothing is known, and nothing is held back.
        if transport_wide {
            congestion.set_pace();
        }
        congestion
    }

    /// The peer negotiated again.
    pub fn set_transport_wide(&mut self, now: Instant, transport_wide: bool) {
        if std::mem::replace(&mut self.transport_wide, transport_wide) == transport_wide {
            return;
        }
        self.heard = false;
        self.begin_path(now);
        if !transport_wide {
            self.pacer = Pacer::default();
        }
    }

    /// What would be sent if the path carried everything, in bits per second, with the headroom that the allocator
    /// asks for.
    pub fn set_wanted(&mut self, bitrate: u64) {
        self.wanted = bitrate as f64;
    }

    /// Whether a video packet may leave now.
    #[inline]
    #[must_use]
    pub fn may_send(&self, now: Instant) -> bool {
        self.pacer.allows(self.micros(now))
    }

    /// When [`may_send`](Self::may_send) says yes again.
    #[must_use]
    pub fn next_send_at(&self, now: Instant) -> Instant {
        self.epoch + Duration::from_micros(self.pacer.next_at(self.micros(now)))
    }

    /// An RTP packet leaves in a datagram of so many bytes; answers its transport-wide sequence number (0 if none are
    /// used).
    #[inline]
    pub fn note_sent(&mut self, now: Instant, bytes: u16) -> u16 {
        let now_us = self.micros(now);
        self.last = (now, now_us);
        self.pacer.spend(now_us, bytes);
        if !self.transport_wide {
            return 0;
        }
        if self.log.in_flight() == 0 {
            self.estimator.begin(now_us);
        }
        self.sent_us = now_us;
        let probe = self.prober.mark(now_us, bytes);
        self.log.note(now_us, bytes, probe)
    }

    /// Transport-wide feedback came. Answers whether it was well formed.
    pub fn handle_feedback(&mut self, now: Instant, feedback: &Feedback<'_>) -> bool {
        let now_us = self.micros(now);
        let (estimator, prober) = (&mut self.estimator, &mut self.prober);
        let mut told = false;
        let path_us = self.path_us;
        let whole = self.log.resolve(now_us, feedback, |result| {
            if result.sent_us < path_us {
                return;
            }
            told = true;
            estimator.result(now_us, &result);
            if result.probe.is_some() {
                prober.result(&result);
            }
        });
        if !told {
            return whole;
        }
        self.heard = true;
        let backed_off = self.estimator.backed_off_us();
        self.estimator.update(now_us, self.wanted);
        self.finish_probe(now_us);
        if std::mem::take(&mut self.silent) {
            self.prober.encourage(now_us);
        }
        if self.estimator.backed_off_us() != backed_off {
            self.prober.congested(now_us, self.estimator.congested_by_us());
            if now_us < self.probe_raised_us + PROBE_REGRET_US {
                self.prober.regret(now_us);
                self.probe_raised_us = 0;
            }
        }
        self.set_pace();
        whole
    }

    /// The peer is reached another way now: what was learnt, most of all from the silence in between, is void.
    pub fn begin_path(&mut self, now: Instant) {
        let now_us = self.micros(now);
        self.estimator = Estimator::default();
        self.estimator.begin(now_us);
        self.prober = Prober::default();
        self.pacer = Pacer::default();
        (self.silent, self.probe_raised_us, self.path_us) = (false, 0, now_us);
        self.set_pace();
    }

    /// The receiver's own estimate, in bits per second (draft-alvestrand-rmcat-remb). Counts only without transport-
    /// wide feedback.
    pub fn handle_remb(&mut self, now: Instant, bitrate: u64) {
        if !self.transport_wide {
            let now_us = self.micros(now);
            self.estimator.set(now_us, bitrate as f64);
            self.set_pace();
        }
    }

    /// Time passed: call at [`deadline`](Self::deadline).
    pub fn handle_timeout(&mut self, now: Instant) {
        let now_us = self.micros(now);
        self.finish_probe(now_us);
        if self.heard && self.log.in_flight() > 0 && self.estimator.silent(now_us) {
            self.silent = true;
            self.set_pace();
        }
        if now_us >= self.sent_us + EXPIRE_US {
            self.log.expire(now_us, EXPIRE_US);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_probe`](Self::poll_probe) have something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let probe = self.prober.deadline(self.estimator.bitrate(), self.wanted_now());
        let silence = (self.log.in_flight() > 0).then(|| {
            let silent = self.heard.then(|| self.estimator.silent_at());
            silent.map_or(self.sent_us + EXPIRE_US, |at| at.min(self.sent_us + EXPIRE_US))
        });
        let micros = probe.into_iter().chain(silence).min()?;
        Some(self.epoch + Duration::from_micros(micros))
    }

    /// Padding or retransmissions to send now. They are noted like any packet; what is not sent costs only the probe.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        let now_us = self.micros(now);
        self.prober.poll(now_us, self.estimator.bitrate(), self.wanted_now())
    }

    /// The path showed lately that it carries no more: its queue grew, or feedback stayed out. Otherwise the estimate is
    /// only what is known, and the path may carry far more.
    #[must_use]
    pub fn is_congested(&self, now: Instant) -> bool {
        let full = self.estimator.full_us();
        self.silent || full != 0 && self.micros(now) < full + CONGESTED_US
    }

    /// What the path carries, in bits per second.
    #[must_use]
    pub fn bitrate(&self) -> u64 {
        self.estimator.bitrate() as u64
    }

    /// Bytes that are under way, as far as feedback tells.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.log.in_flight()
    }

    /// Bytes of memory, heap included.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.log.memory()
    }

    /// Nothing is probed for before feedback came: it may never. Afterwards also while nothing flows that is numbered, or
    /// who gets no video for want of bandwidth would get none for ever (Firefox numbers no sound).
    fn wanted_now(&self) -> f64 {
        if self.heard || self.log.in_flight() > 0 { self.wanted } else { 0.0 }
    }

    fn finish_probe(&mut self, now_us: u64) {
        if let Some(found) = self.prober.finish(now_us)
            && self.estimator.probed(now_us, found.bitrate)
        {
            self.probe_raised_us = now_us;
            self.prober.succeeded(now_us, found.more);
        }
    }

    fn set_pace(&mut self) {
        self.pacer.set_rate(self.bitrate(), self.estimator.burst_bps() as u64);
    }

    #[inline]
    fn micros(&self, now: Instant) -> u64 {
        if now == self.last.0 {
            return self.last.1;
        }
        now.saturating_duration_since(self.epoch).as_micros() as u64
    }
}

#[cfg(test)]
mod tests;
