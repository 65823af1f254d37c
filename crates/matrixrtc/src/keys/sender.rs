//! Our own keys: when there is a new one, who is told, from when it is used.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rand::CryptoRng;

use super::policy::{Policy, SenderConfig};
use super::{DeviceKey, MEMBERS_MAX, MediaKey, Participant, device_of};
use crate::delayed_leave::RequestId;
use crate::membership::MemberKey;
use crate::time::Timestamp;

/// A message that has no answer for so long counts as lost.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries to tell one member one key; doubled up to [`RETRY_MAX`].
pub const RETRY: Duration = Duration::from_secs(1);
pub const RETRY_MAX: Duration = Duration::from_secs(30);
/// One who asks for our key is answered so often at most.
pub const ASKED_EVERY: Duration = Duration::from_secs(5);
/// Ratchet steps of one key. Receivers of the field try ten.
pub const RATCHETS_MAX: u32 = 8;
/// The key in use, and those that are sent and not used yet: rotations are half a use delay apart or more, so that two are on
/// their way at most, and one more when time has stood still.
pub const KEYS_MAX: usize = 4;

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    SendKeys(KeySend),
    UseKey(UseKey),
    /// Nothing now: call [`Sender::handle_timeout`] at that time, if there is one.
    Timeout(Option<Instant>),
}

/// Encrypt this key for these devices, one to-device message each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySend {
    /// Comes back with the outcome, see [`Sender::handle_sent`].
    pub request_id: RequestId,
    pub to: Vec<MemberKey>,
    pub index: u8,
    pub key: MediaKey,
}

/// Encrypt media with this key from `at` on. The `at` of successive keys never decreases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseKey {
    pub index: u8,
    /// Ratchet steps since the key was new.
    pub step: u32,
    pub key: MediaKey,
    pub at: Instant,
}

/// Counts, cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderCounters {
    pub rotations: u64,
    pub ratchets: u64,
    /// One per key and member told.
    pub messages: u64,
    pub undelivered: u64,
    /// Members that get no keys, for there are more than [`MEMBERS_MAX`].
    pub beyond: u64,
}

#[derive(Debug, Clone, Copy)]
enum Share {
    Due { at: Instant, tries: u32 },
    Sending { request: RequestId, until: Instant, tries: u32 },
    Told,
}

#[derive(Debug)]
struct OwnKey {
    index: u8,
    key: MediaKey,
    steps: u32,
    created: Instant,
    use_at: Instant,
    shares: BTreeMap<MemberKey, Share>,
}

/// The machine of our own keys in one session.
///
/// Contract: any number of `handle_*`, then [`poll_output`](Self::poll_output) until it returns [`Output::Timeout`]. A member is in
/// at most one outstanding message per key, and there are at most [`KEYS_MAX`] keys.
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    me: DeviceKey,
    started: bool,
    members: BTreeMap<MemberKey, Timestamp>,
    /// Oldest first: the first is in use as soon as its time has come.
    keys: VecDeque<OwnKey>,
    next_index: u8,
    rotated_at: Option<Instant>,
    /// The first leave that no rotation has answered yet.
    left_at: Option<Instant>,
    /// [`Policy::Scaled`]: the next rotation, and when another may be.
    window_at: Option<Instant>,
    blocked_until: Option<Instant>,
    outputs: VecDeque<Output>,
    next_request: u64,
    /// When each of the members asked for our key; of nobody else.
    asked_at: BTreeMap<MemberKey, Instant>,
    counters: SenderCounters,
}

impl Sender {
    /// `me` is our own membership: its device is never sent anything.
    pub fn new(config: SenderConfig, me: &MemberKey) -> Self {
        Self {
            config,
            me: device_of(me),
            started: false,
            members: BTreeMap::new(),
            keys: VecDeque::new(),
            next_index: 0,
            rotated_at: None,
            left_at: None,
            window_at: None,
            blocked_until: None,
            outputs: VecDeque::new(),
            next_request: 0,
            asked_at: BTreeMap::new(),
            counters: SenderCounters::default(),
        }
    }

    /// We joined: the first key, used at once, for all who are there.
    pub fn start(&mut self, now: Instant, rng: &mut impl CryptoRng) {
        if !self.started {
            self.started = true;
            self.rotate(now, now, rng);
            self.blocked_until = Some(now + self.config.policy.jittered(self.size(), rng));
            self.drive(now, rng);
        }
    }

    /// We left: forgets all keys. After another [`start`](Self::start), indexes go on where they were, so that nobody takes a new
    /// key for an old one.
    pub fn stop(&mut self) {
        self.started = false;
        self.keys.clear();
        (self.left_at, self.window_at, self.blocked_until, self.rotated_at) = (None, None, None, None);
    }

    /// All members of the session as they are now, in any order. Ours may be among them.
    pub fn handle_members(&mut self, now: Instant, members: &[Participant], rng: &mut impl CryptoRng) {
        let after = self.bounded(members);
        let left: Vec<_> = self.members.keys().filter(|member| !after.contains_key(*member)).cloned().collect();
        let joined: Vec<_> = after
            .iter()
            .filter(|(member, at)| self.members.get(*member) != Some(at))
            .map(|(member, _)| member.clone())
            .collect();
        self.members = after;
        self.asked_at.retain(|member, _| self.members.contains_key(member));
        if !self.started {
            return;
        }
        for key in &mut self.keys {
            key.shares.retain(|member, _| self.members.contains_key(member));
        }
        if !left.is_empty() {
            self.on_left(now, rng);
        }
        if !joined.is_empty() {
            self.on_joined(now, &joined, rng);
        }
        self.drive(now, rng);
    }

    /// The outcome of a [`KeySend`]: who of those could not be told, for example because no Olm session could be made. They are tried
    /// again as long as they are members. Empty: all were.
    pub fn handle_sent(&mut self, now: Instant, request_id: RequestId, undelivered: &[MemberKey]) {
        for key in &mut self.keys {
            for (member, share) in &mut key.shares {
                if let Share::Sending { request, tries, .. } = *share
                    && request == request_id
                {
                    let failed = undelivered.contains(member);
                    self.counters.undelivered += u64::from(failed);
                    *share = if failed { again(now, tries) } else { Share::Told };
                }
            }
        }
    }

    /// A member says that it lacks our key: it is told again all that is used now or soon, once in [`ASKED_EVERY`] at most.
    /// Whoever is no member is told nothing.
    pub fn handle_request(&mut self, now: Instant, member: &MemberKey) {
        let is_early = self.asked_at.get(member).is_some_and(|at| now < *at + ASKED_EVERY);
        if !self.started || is_early || !self.members.contains_key(member) {
            return;
        }
        self.asked_at.insert(member.clone(), now);
        for share in self.keys.iter_mut().filter_map(|key| key.shares.get_mut(member)) {
            if matches!(share, Share::Told) {
                *share = Share::Due { at: now, tries: 0 };
            }
        }
        self.send_due(now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut impl CryptoRng) {
        self.drive(now, rng);
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Timeout(self.deadline()))
    }

    pub fn counters(&self) -> SenderCounters {
        self.counters
    }

    /// Members, ourselves included.
    fn size(&self) -> usize {
        self.members.len() + 1
    }

    fn bounded(&mut self, members: &[Participant]) -> BTreeMap<MemberKey, Timestamp> {
        let others = members.iter().filter(|it| device_of(&it.member) != self.me);
        let (known, new): (Vec<_>, Vec<_>) = others.partition(|it| self.members.contains_key(&it.member));
        let mut after = BTreeMap::new();
        for participant in known.into_iter().chain(new) {
            if after.len() < MEMBERS_MAX || after.contains_key(&participant.member) {
                after.insert(participant.member.clone(), participant.joined_at);
            } else {
                self.counters.beyond += 1;
            }
        }
        after
    }

    fn on_left(&mut self, now: Instant, rng: &mut impl CryptoRng) {
        if self.config.policy.leaves_wait() {
            self.plan(now, rng);
        } else {
            self.left_at.get_or_insert(now);
        }
    }

    fn on_joined(&mut self, now: Instant, joined: &[MemberKey], rng: &mut impl CryptoRng) {
        let Some(newest) = self.keys.back_mut() else { return };
        let in_use = newest.use_at <= now;
        if self.config.ratchet && in_use && newest.steps < RATCHETS_MAX {
            newest.key = newest.key.ratchet();
            newest.steps += 1;
            self.counters.ratchets += 1;
            self.push_use(now);
            return self.tell(now, joined);
        }
        match self.config.policy {
            // Nothing was encrypted yet with a key that is not in use.
            Policy::FixedGrace { grace } if in_use && now >= newest.created + grace => {
                self.rotate(now, now + self.config.use_delay, rng);
            }
            Policy::FixedGrace { .. } => self.tell(now, joined),
            Policy::Scaled { .. } => {
                self.tell(now, joined);
                self.plan(now, rng);
            }
        }
    }

    /// One more rotation when the window allows it, if none is planned.
    fn plan(&mut self, now: Instant, rng: &mut impl CryptoRng) {
        if self.window_at.is_some() {
            return;
        }
        let at = match self.blocked_until {
            Some(until) if now < until => until,
            _ => now + self.config.policy.jittered(self.size(), rng),
        };
        (self.window_at, self.blocked_until) = (Some(at), Some(at));
    }

    fn tell(&mut self, now: Instant, members: &[MemberKey]) {
        if let Some(newest) = self.keys.back_mut() {
            let due = members.iter().map(|member| (member.clone(), Share::Due { at: now, tries: 0 }));
            newest.shares.extend(due);
        }
    }

    /// A leave waits for the one before, by half of the use delay at most: the other half is left for the way.
    fn leave_rotation_at(&self) -> Option<Instant> {
        let left_at = self.left_at?;
        let spaced = self.rotated_at.map(|at| at + self.config.use_delay / 2);
        Some(spaced.map_or(left_at, |spaced| spaced.max(left_at)))
    }

    fn ttl_rotation_at(&self) -> Option<Instant> {
        let window = self.config.policy.window(self.size());
        Some(self.keys.back()?.created + self.config.ttl?.max(window).max(self.config.use_delay))
    }

    fn drive(&mut self, now: Instant, rng: &mut impl CryptoRng) {
        if !self.started {
            return;
        }
        let due = [self.leave_rotation_at(), self.window_at, self.ttl_rotation_at()];
        if due.into_iter().flatten().any(|at| at <= now) {
            let from_leave = self.left_at.map(|at| at + self.config.use_delay);
            let use_at = from_leave.map_or(now + self.config.use_delay, |at| at.max(now));
            self.rotate(now, use_at, rng);
        }
        while self.keys.get(1).is_some_and(|next| next.use_at <= now) {
            self.keys.pop_front();
        }
        self.send_due(now);
    }

    fn rotate(&mut self, now: Instant, use_at: Instant, rng: &mut impl CryptoRng) {
        let use_at = self.keys.back().map_or(use_at, |last| last.use_at.max(use_at));
        let shares = self.members.keys().map(|member| (member.clone(), Share::Due { at: now, tries: 0 })).collect();
        let key = MediaKey::random(self.config.key_bytes, rng);
        if self.keys.len() == KEYS_MAX {
            self.keys.pop_front();
        }
        self.keys.push_back(OwnKey { index: self.next_index, key, steps: 0, created: now, use_at, shares });
        self.next_index = self.next_index.wrapping_add(1);
        self.counters.rotations += 1;
        self.push_use(use_at);
        (self.left_at, self.window_at, self.rotated_at) = (None, None, Some(now));
        self.blocked_until = Some(now + self.config.policy.window(self.size()));
    }

    fn push_use(&mut self, at: Instant) {
        if let Some(newest) = self.keys.back() {
            let (index, step, key) = (newest.index, newest.steps, newest.key.clone());
            self.outputs.push_back(Output::UseKey(UseKey { index, step, key, at }));
        }
    }

    /// One message per key, for all who are due.
    fn send_due(&mut self, now: Instant) {
        for key in &mut self.keys {
            self.next_request += 1;
            let request_id = RequestId(self.next_request);
            let mut to = BTreeSet::new();
            for (member, share) in &mut key.shares {
                match *share {
                    Share::Sending { until, tries, .. } if until <= now => *share = again(now, tries),
                    _ => {}
                }
                if let Share::Due { at, tries } = *share
                    && at <= now
                {
                    *share = Share::Sending { request: request_id, until: now + SEND_TIMEOUT, tries };
                    to.insert(member.clone());
                }
            }
            if !to.is_empty() {
                self.counters.messages += to.len() as u64;
                let send = KeySend { request_id, to: to.into_iter().collect(), index: key.index, key: key.key.clone() };
                self.outputs.push_back(Output::SendKeys(send));
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if !self.started {
            return None;
        }
        let shares = self.keys.iter().flat_map(|key| key.shares.values()).filter_map(|share| match share {
            Share::Due { at, .. } => Some(*at),
            Share::Sending { until, .. } => Some(*until),
            Share::Told => None,
        });
        let rotations = [self.leave_rotation_at(), self.window_at, self.ttl_rotation_at()];
        let next_use = self.keys.get(1).map(|next| next.use_at);
        rotations.into_iter().flatten().chain(next_use).chain(shares).min()
    }
}

fn again(now: Instant, tries: u32) -> Share {
    Share::Due { at: now + (RETRY * 2u32.saturating_pow(tries.min(6))).min(RETRY_MAX), tries: tries.saturating_add(1) }
}

#[cfg(test)]
mod tests;
