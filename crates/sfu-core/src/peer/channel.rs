//! The signalling data channel of one peer: which of its channels it is, what waits to be written to it, and how much its
//! client may send. What is said on it is nobody's business here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::channel::ChannelId;

/// As much is given to SCTP at a time; the rest waits here, where it can be counted. A round trip of 100 ms so carries
/// 640 KiB/s.
const IN_FLIGHT: usize = 64 * 1024;
/// A message counts once for each of these that it begins.
const BYTES_PER_COUNT: usize = 16 * 1024;
/// Counts that a client may send for ever, and at once: 8 MiB a second, and 16 MiB. What it may *say* is much less, and decided
/// behind; this keeps a flood from the control plane, which has one thread for all.
const COUNTS_PER_SECOND: u32 = 512;
const BURST: u32 = 1024;

pub(super) struct SignallingChannel {
    id: Option<ChannelId>,
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    bytes_max: usize,
    /// When the client's allowance is whole again.
    full_at: Instant,
}

impl SignallingChannel {
    /// `bytes_max`: what may wait to be sent.
    pub(super) fn new(now: Instant, bytes_max: usize) -> Self {
        Self { id: None, waiting: VecDeque::new(), bytes: 0, bytes_max, full_at: now }
    }

    /// A channel with the label was opened. While there is one, another is not looked at.
    pub(super) fn open(&mut self, id: ChannelId) {
        self.id.get_or_insert(id);
    }

    /// A channel was closed. Whether it was this one.
    pub(super) fn close(&mut self, id: ChannelId) -> bool {
        let this = self.is(id);
        if this {
            self.id = None;
            self.waiting = VecDeque::new();
            self.bytes = 0;
        }
        this
    }

    pub(super) fn is(&self, id: ChannelId) -> bool {
        self.id == Some(id)
    }

    /// Takes a message to be sent, if the channel is open and has room.
    pub(super) fn push(&mut self, data: Vec<u8>) -> bool {
        if self.id.is_none() || self.bytes + data.len() > self.bytes_max {
            return false;
        }
        self.bytes += data.len();
        self.waiting.push_back(data);
        true
    }

    /// Gives SCTP what it has room for. Whether that was anything.
    pub(super) fn feed(&mut self, rtc: &mut Rtc) -> bool {
        let mut fed = false;
        while let Some(next) = self.waiting.front() {
            let Some(mut channel) = self.id.and_then(|id| rtc.channel(id)) else { break };
            let in_flight = channel.buffered_amount();
            // A message of any size goes when it is alone.
            if in_flight > 0 && in_flight + next.len() > IN_FLIGHT || !channel.write(true, next).unwrap_or(false) {
                break;
            }
            fed = true;
            self.bytes -= next.len();
            self.waiting.pop_front();
        }
        fed
    }

    /// Whether the client may send a message of this size now.
    pub(super) fn admit(&mut self, now: Instant, bytes: usize) -> bool {
        let counts = u32::try_from(bytes.div_ceil(BYTES_PER_COUNT).max(1)).unwrap_or(u32::MAX);
        let interval = Duration::from_secs(1) / COUNTS_PER_SECOND;
        let full_at = self.full_at.max(now) + interval.saturating_mul(counts);
        let admitted = full_at.saturating_duration_since(now) <= interval * BURST;
        if admitted {
            self.full_at = full_at;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::epoch;

    #[test]
    fn a_client_has_an_allowance() {
        let now = epoch();
        let mut channel = SignallingChannel::new(now, 0);
        let at_once = (0..5000).filter(|_| channel.admit(now, 10)).count();
        assert_eq!(at_once, BURST as usize);
        assert!(!channel.admit(now, 1));
        let later = now + Duration::from_secs(1);
        assert_eq!(
            (0..5000).filter(|_| channel.admit(later, BYTES_PER_COUNT + 1)).count(),
            COUNTS_PER_SECOND as usize / 2
        );
    }

    #[test]
    fn nothing_waits_for_a_channel_that_is_not_open() {
        let mut channel = SignallingChannel::new(epoch(), 100);
        assert!(!channel.push(vec![0; 10]));
        assert_eq!(channel.bytes, 0);
    }
}
