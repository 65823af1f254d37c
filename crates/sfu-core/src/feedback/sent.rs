//! What one peer was sent, by transport-wide sequence number, until its feedback tells what became of it
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::num::NonZeroU8;

use crate::rtcp::twcc::Feedback;

/// Marks the packets of one probe. Only one probe is out at a time, so eight bits are plenty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeId(pub(super) NonZeroU8);

impl ProbeId {
    pub(super) const FIRST: Self = Self(NonZeroU8::MIN);

    pub(super) fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(NonZeroU8::MIN))
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// When, in microseconds of the receiver's clock.
    Arrived(i64),
    Lost,
    /// The feedback that would have told was itself lost.
    Unknown,
}

/// Told once for each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketResult {
    pub sent_us: u64,
    pub fate: Fate,
    pub bytes: u16,
    pub probe: Option<ProbeId>,
}

/// See the module. Times are microseconds since the owner's epoch. Memory: none before the first packet, then 8 bytes
/// for each packet that no feedback has passed yet, that is some 0.2 s of traffic.
#[derive(Debug, Default)]
pub struct SentLog {
    /// Its length is 0 or a power of two; packet `n` is at `n % length`.
    ring: Vec<Entry>,
    /// The next packet, and the first one whose fate is open; counted without wrapping.
    next: u64,
    tail: u64,
    in_flight: u32,
    /// Of the feedback message that came last.
    number: Option<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Low bits of the microseconds: 71 minutes, and a packet is remembered for seconds.
    sent_us: u32,
    bytes: u16,
    probe: Option<ProbeId>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was said of it.
    Open,
    /// A feedback message said that it had not arrived. It may still, out of order: the next message decides.
    Missing,
    Told,
}

/// Half a kilobyte: one feedback interval and round trip of a gallery's smallest layers.
const RING_MIN: usize = 64;
/// 128 KiB. Without any feedback it covers [`HISTORY_US`] at 11,000 packets (96 Mbit) a second, and it stays well
/// below the 32,768 where sequence numbers become ambiguous.
const RING_MAX: usize = 16_384;
/// A packet whose fate is open for so long makes room for new ones.
const HISTORY_US: u64 = 1_500_000;

impl SentLog {
    /// A packet leaves now; answers its transport-wide sequence number.
    #[inline]
    pub fn note(&mut self, now_us: u64, bytes: u16, probe: Option<ProbeId>) -> u16 {
        if self.next - self.tail == self.ring.len() as u64 {
            self.make_room(now_us);
        }
        let place = self.next as usize & (self.ring.len() - 1);
        self.ring[place] = Entry { sent_us: now_us as u32, bytes, probe, state: State::Open };
        self.in_flight = self.in_flight.saturating_add(u32::from(bytes));
        let sequence = self.next as u16;
        self.next += 1;
        sequence
    }

    /// Bytes whose fate is open.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Heap bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.ring.capacity() * size_of::<Entry>()
    }

    /// Tells what `feedback` decides: every packet at most once, in the order of sending as far as it arrived so.
    /// Numbers that were never sent, or were told before, are passed over. Answers whether the message was well
    /// formed.
    pub fn resolve(&mut self, now_us: u64, feedback: &Feedback<'_>, mut each: impl FnMut(PacketResult)) -> bool {
        let follows = self.number.is_some_and(|last| last.wrapping_add(1) == feedback.number);
        self.number = Some(feedback.number);
        if let Some(base) = self.find(feedback.base_sequence) {
            // A message that follows its predecessor leaves nothing out in between.
            let open = if follows { Fate::Lost } else { Fate::Unknown };
            self.pass(now_us, base, open, &mut each);
        }
        feedback.for_each(|sequence, arrival| {
            let Some(index) = self.find(sequence) else { return };
            let place = index as usize & (self.ring.len() - 1);
            let entry = &mut self.ring[place];
            match (arrival, entry.state) {
                (Some(at), State::Open | State::Missing) => {
                    entry.state = State::Told;
                    self.in_flight = self.in_flight.saturating_sub(u32::from(entry.bytes));
                    each(entry.result(now_us, Fate::Arrived(at)));
                }
                (None, State::Open) => entry.state = State::Missing,
                _ => {}
            }
        })
    }

    /// Forgets packets older than `age_us`; when none are left, the memory goes too.
    pub fn expire(&mut self, now_us: u64, age_us: u64) {
        while self.tail < self.next && self.oldest_age(now_us) > age_us {
            self.forget_oldest();
        }
        if self.tail == self.next {
            self.ring = Vec::new();
        }
    }

    /// Everything before `index` is decided.
    fn pass(&mut self, now_us: u64, index: u64, open: Fate, each: &mut impl FnMut(PacketResult)) {
        while self.tail < index {
            let entry = self.forget_oldest();
            match entry.state {
                State::Told => {}
                State::Missing => each(entry.result(now_us, Fate::Lost)),
                State::Open => each(entry.result(now_us, open)),
            }
        }
    }

    /// The packet with this number, if its fate may be open.
    fn find(&self, sequence: u16) -> Option<u64> {
        let back = u64::from((self.next as u16).wrapping_sub(sequence));
        (1..=self.next - self.tail).contains(&back).then(|| self.next - back)
    }

    fn oldest_age(&self, now_us: u64) -> u64 {
        let entry = &self.ring[self.tail as usize & (self.ring.len() - 1)];
        u64::from((now_us as u32).wrapping_sub(entry.sent_us))
    }

    fn forget_oldest(&mut self) -> Entry {
        let entry = self.ring[self.tail as usize & (self.ring.len() - 1)];
        if entry.state != State::Told {
            self.in_flight = self.in_flight.saturating_sub(u32::from(entry.bytes));
        }
        self.tail += 1;
        entry
    }

    #[cold]
    fn make_room(&mut self, now_us: u64) {
        if self.ring.len() == RING_MAX || (!self.ring.is_empty() && self.oldest_age(now_us) > HISTORY_US) {
            self.forget_oldest();
            return;
        }
        let length = (self.ring.len() * 2).max(RING_MIN);
        let unset = Entry { sent_us: 0, bytes: 0, probe: None, state: State::Told };
        let mut ring = vec![unset; length];
        for index in self.tail..self.next {
            ring[index as usize & (length - 1)] = self.ring[index as usize & (self.ring.len() - 1)];
        }
        self.ring = ring;
    }
}

impl Entry {
    fn result(&self, now_us: u64, fate: Fate) -> PacketResult {
        let age = u64::from((now_us as u32).wrapping_sub(self.sent_us));
        PacketResult { sent_us: now_us.saturating_sub(age), fate, bytes: self.bytes, probe: self.probe }
    }
}

#[cfg(test)]
mod tests;
