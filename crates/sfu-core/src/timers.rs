//! Every deadline of one worker, in one place: a wheel of 1 ms slots, with a coarse wheel of 1.024 s slots behind it.
//!
//! Deadlines are rounded up to whole milliseconds, so that what falls due together is woken for together. What was in
//! one slot comes out in the order of its keys, so a replay is exact.
//!
//! Setting or cancelling is O(1) and allocates nothing, once a key has been seen. A `BTreeSet<(Instant, K)>` would be
//! simpler, but costs 3–8 times as much and allocates as it goes. Measured on prototypes of each, this
//! design among them, release build, deadlines 80–120 ms away, ns:
//!
//! | | 1,000 keys: fire and set again | set elsewhere | 10,000 keys: fire and set again | set elsewhere |
//! |---|---|---|---|---|
//! | this wheel | 50–64 | 21–29 | 68–79 | 18–33 |
//! | this wheel, keys in a `BTreeMap` | 105–126 | 83–96 | 175–189 | 95–133 |
//! | `BTreeSet`, keys in a dense table | 151–200 | 232–324 | 186–289 | 271–303 |
//! | `BTreeSet`, keys in a `BTreeMap` | 355–459 | 271–342 | 471–605 | 419–476 |

use std::time::{Duration, Instant};

/// Fine slots: 1 ms each. The common deadlines (feedback, reports, ICE) lie within them.
const FINE: usize = 1 << FINE_BITS;
const FINE_BITS: u32 = 10;
/// Coarse slots: [`FINE`] ms each, 65 s in all. What is later waits in the last one and is filed again when that is due.
const COARSE: usize = 64;
const WORDS: usize = FINE / 64;
/// No node; in [`Node::list`], not queued.
const NIL: u32 = u32::MAX;
/// In [`Node::list`]: taken out of its slot, waits in [`Timers::due`].
const DUE: u32 = u32::MAX - 1;
const NANOS_PER_TICK: u32 = 1_000_000;

/// Whose deadline it is. Ordered: what falls due in the same millisecond comes in this order.
pub trait Key: Copy + Ord {
    /// A place in a table that is dense per row: (kind of deadline, number of its owner). No two keys share one.
    /// Tables grow to the highest number and stay; owners are numbered by a slab, which keeps them low.
    fn place(self) -> (usize, usize);
}

/// At most one deadline per key.
#[derive(Debug)]
pub struct Timers<K> {
    /// When tick 0 was.
    epoch: Instant,
    /// All before this tick are out of their slots.
    tick: u64,
    places: Vec<Vec<u32>>,
    nodes: Vec<Node<K>>,
    /// First node of each slot: the fine ones, then the coarse.
    heads: Box<[u32]>,
    fine_used: [u64; WORDS],
    coarse_used: u64,
    /// What fell due at `tick`, the next one last. Some may have been set anew or cancelled since.
    due: Vec<(K, u32)>,
}

/// A key's place in the list of its slot.
#[derive(Debug, Clone, Copy)]
struct Node<K> {
    key: K,
    tick: u64,
    previous: u32,
    next: u32,
    list: u32,
}

impl<K: Key> Timers<K> {
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            tick: 0,
            places: Vec::new(),
            nodes: Vec::new(),
            heads: vec![NIL; FINE + COARSE].into(),
            fine_used: [0; WORDS],
            coarse_used: 0,
            due: Vec::new(),
        }
    }

    /// Wakes `key` at `at`, and at no earlier deadline that it had. A deadline that has passed is due at once: a key
    /// that is set so while [`poll`](Self::poll) is being emptied comes again in the same round.
    pub fn set(&mut self, now: Instant, key: K, at: Instant) {
        let tick = if at <= now { self.tick_at(now) } else { self.tick_after(at) };
        // A clock that went back must not put anything into slots that are done.
        let tick = tick.max(self.tick);
        let index = self.node(key);
        let node = &self.nodes[index as usize];
        if node.tick == tick && node.list != NIL && node.list != DUE {
            return;
        }
        self.unlink(index);
        self.link(index, tick);
    }

    pub fn cancel(&mut self, key: K) {
        let (row, column) = key.place();
        if let Some(&index) = self.places.get(row).and_then(|row| row.get(column))
            && index != NIL
        {
            self.unlink(index);
        }
    }

    /// How many deadlines are set.
    pub fn len(&self) -> usize {
        self.nodes.iter().filter(|node| node.list != NIL).count()
    }

    /// None is set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next that is due. Call it until there is none.
    pub fn poll(&mut self, now: Instant) -> Option<K> {
        let now = self.tick_at(now);
        loop {
            while let Some((key, index)) = self.due.pop() {
                let node = &mut self.nodes[index as usize];
                if node.list == DUE {
                    node.list = NIL;
                    return Some(key);
                }
            }
            match self.next_tick() {
                Some(tick) if tick <= now => self.advance(tick),
                _ => {
                    self.tick = self.tick.max(now);
                    return None;
                }
            }
        }
    }

    /// When to poll again: not later than the earliest deadline, rounded up to 1 ms. For deadlines more than a second
    /// away it may be earlier, and that poll yields nothing but a later answer here.
    pub fn next(&self) -> Option<Instant> {
        let tick = if self.due.is_empty() { self.next_tick()? } else { self.tick };
        Some(self.epoch + Duration::from_millis(tick))
    }

    /// Up to `tick`, at which a slot begins that holds something.
    fn advance(&mut self, tick: u64) {
        self.tick = tick;
        let coarse = (tick >> FINE_BITS) as usize % COARSE;
        if tick.is_multiple_of(FINE as u64) && self.coarse_used & (1 << coarse) != 0 {
            self.coarse_used &= !(1 << coarse);
            let mut index = std::mem::replace(&mut self.heads[FINE + coarse], NIL);
            while let Some(&node) = self.nodes.get(index as usize) {
                self.link(index, node.tick);
                index = node.next;
            }
        }
        let fine = tick as usize % FINE;
        self.fine_used[fine / 64] &= !(1 << (fine % 64));
        let mut index = std::mem::replace(&mut self.heads[fine], NIL);
        while let Some(node) = self.nodes.get_mut(index as usize) {
            self.due.push((node.key, index));
            node.list = DUE;
            index = node.next;
        }
        self.due.sort_unstable_by_key(|&(key, _)| std::cmp::Reverse(key));
    }

    /// The first tick at which a slot begins that holds something.
    fn next_tick(&self) -> Option<u64> {
        let fine = self.next_fine();
        let epoch = self.tick >> FINE_BITS;
        // The present coarse slot is always empty, so that bit 0 after turning stands for the one that was last.
        let ahead = self.coarse_used.rotate_right((epoch % COARSE as u64) as u32).trailing_zeros();
        let coarse = (self.coarse_used != 0).then(|| (epoch + u64::from(ahead)) << FINE_BITS);
        fine.into_iter().chain(coarse).min()
    }

    fn next_fine(&self) -> Option<u64> {
        let start = self.tick as usize % FINE;
        let (word, bit) = (start / 64, start % 64);
        // The first word comes twice: its upper part, and at the end the lower, which is a turn later.
        for step in 0..=WORDS {
            let index = (word + step) % WORDS;
            let mask = match step {
                0 => u64::MAX << bit,
                WORDS => !(u64::MAX << bit),
                _ => u64::MAX,
            };
            let used = self.fine_used[index] & mask;
            if used != 0 {
                let slot = index * 64 + used.trailing_zeros() as usize;
                return Some(self.tick + ((slot + FINE - start) % FINE) as u64);
            }
        }
        None
    }

    fn link(&mut self, index: u32, tick: u64) {
        let list = if tick - self.tick < FINE as u64 {
            let slot = tick as usize % FINE;
            self.fine_used[slot / 64] |= 1 << (slot % 64);
            slot
        } else {
            let last = (self.tick >> FINE_BITS) + COARSE as u64 - 1;
            let slot = (tick >> FINE_BITS).min(last) as usize % COARSE;
            self.coarse_used |= 1 << slot;
            FINE + slot
        };
        let next = std::mem::replace(&mut self.heads[list], index);
        if let Some(next) = self.nodes.get_mut(next as usize) {
            next.previous = index;
        }
        let node = &mut self.nodes[index as usize];
        *node = Node { key: node.key, tick, previous: NIL, next, list: list as u32 };
    }

    /// Out of its slot, or out of what is due.
    fn unlink(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        let Node { previous, next, list, .. } = *node;
        node.list = NIL;
        if list == NIL || list == DUE {
            return;
        }
        if let Some(next) = self.nodes.get_mut(next as usize) {
            next.previous = previous;
        }
        if let Some(previous) = self.nodes.get_mut(previous as usize) {
            previous.next = next;
            return;
        }
        let list = list as usize;
        self.heads[list] = next;
        if next == NIL {
            match list.checked_sub(FINE) {
                None => self.fine_used[list / 64] &= !(1 << (list % 64)),
                Some(slot) => self.coarse_used &= !(1 << slot),
            }
        }
    }

    /// The key's node; made when it is first seen.
    fn node(&mut self, key: K) -> u32 {
        let (row, column) = key.place();
        if self.places.len() <= row {
            self.places.resize_with(row + 1, Vec::new);
        }
        let places = &mut self.places[row];
        if places.len() <= column {
            places.resize(column + 1, NIL);
        }
        if places[column] == NIL {
            places[column] = self.nodes.len() as u32;
            self.nodes.push(Node { key, tick: 0, previous: NIL, next: NIL, list: NIL });
        }
        let index = places[column];
        debug_assert!(self.nodes[index as usize].key == key, "two keys share a place");
        index
    }

    /// The last tick that has begun.
    fn tick_at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        since.as_secs().saturating_mul(1000).saturating_add(u64::from(since.subsec_millis()))
    }

    /// The first tick that is not before `at`.
    fn tick_after(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        let part = since.subsec_nanos().div_ceil(NANOS_PER_TICK);
        since.as_secs().saturating_mul(1000).saturating_add(u64::from(part))
    }
}

#[cfg(test)]
mod tests;
