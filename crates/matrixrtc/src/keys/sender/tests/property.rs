//! However joins, leaves and lost messages interleave: who left cannot listen on, who came hears little of what was before, who is
//! there hears everything in the end, and it costs what it may.

use rand::Rng;

use super::*;
use crate::keys::KeyBytes;

const SEEDS: u64 = 200;
const PEOPLE: usize = 12;

/// Which key: its number, and its ratchet step. Whoever has a step has all later ones of the same key.
type Which = (usize, u32);

/// One stay of one member in the call.
struct Stay {
    member: MemberKey,
    joined: Instant,
    left: Option<Instant>,
    /// All that it may have received, and what it did for sure.
    told: Vec<Which>,
    certain: Vec<Which>,
}

fn reaches(told: &[Which], (number, step): Which) -> bool {
    told.iter().any(|(key, from)| *key == number && *from <= step)
}

struct Run {
    rig: Rig,
    stays: Vec<Stay>,
    keys: Vec<(MediaKey, Which)>,
    /// How many of a hundred messages fail, or seem to.
    loss: u32,
    events: u64,
    start: Instant,
}

impl Run {
    fn new(config: SenderConfig, seed: u64) -> Self {
        let mut rig = Rig::new(config);
        rig.rng = ChaCha20Rng::seed_from_u64(seed);
        let loss = rig.rng.random_range(0..40);
        let start = rig.now;
        rig.sender.start(start, &mut rig.rng);
        Self { rig, stays: vec![], keys: vec![], loss, events: 0, start }
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.rig.sender.poll_output() {
                Output::SendKeys(send) => self.deliver(&send),
                Output::UseKey(key) => {
                    let number = self.keys.last().map_or(0, |(_, (number, _))| number + usize::from(key.step == 0));
                    self.keys.push((key.key.clone(), (number, key.step)));
                    self.rig.used.push(key);
                }
                Output::Timeout(at) => return at,
            }
        }
    }

    fn deliver(&mut self, send: &KeySend) {
        let which = self.keys.iter().rfind(|(key, _)| *key == send.key).expect("a key that is or will be used").1;
        let mut undelivered = Vec::new();
        for member in &send.to {
            let present = |stay: &&mut Stay| stay.member == *member && stay.left.is_none();
            let stay = self.stays.iter_mut().find(present).expect("only members are told");
            stay.told.push(which);
            if self.rig.rng.random_range(0..100) < self.loss {
                undelivered.push(member.clone());
            } else {
                stay.certain.push(which);
            }
        }
        // Some requests are never answered.
        if self.loss == 0 || self.rig.rng.random_bool(0.9) {
            self.rig.sender.handle_sent(self.rig.now, send.request_id, &undelivered);
        }
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.rig.now + duration;
        while let Some(at) = self.drain().filter(|at| *at <= until) {
            self.rig.now = at.max(self.rig.now);
            self.rig.sender.handle_timeout(self.rig.now, &mut self.rig.rng);
        }
        self.rig.now = until;
    }

    fn change(&mut self) {
        for _ in 0..self.rig.rng.random_range(1..=3) {
            self.events += 1;
            let member = member(self.rig.rng.random_range(1..=PEOPLE));
            let now = self.rig.now;
            match self.stays.iter_mut().find(|stay| stay.member == member && stay.left.is_none()) {
                Some(stay) => stay.left = Some(now),
                None => self.stays.push(Stay { member, joined: now, left: None, told: vec![], certain: vec![] }),
            }
        }
        let at = |stay: &Stay| Timestamp::from_millis((stay.joined - self.start).as_millis() as u64);
        let present = self.stays.iter().filter(|stay| stay.left.is_none());
        let present: Vec<_> =
            present.map(|stay| Participant { member: stay.member.clone(), joined_at: at(stay) }).collect();
        self.rig.sender.handle_members(self.rig.now, &present, &mut self.rig.rng);
        self.drain();
    }

    /// When each key was used: from, until, which.
    fn uses(&self) -> impl Iterator<Item = (Instant, Instant, Which)> {
        let used = &self.rig.used;
        used.iter().enumerate().map(|(at, key)| {
            let until = used.get(at + 1).map_or(self.rig.now, |next| next.at);
            (key.at, until, self.keys[at].1)
        })
    }

    /// It came back and was told this key as a member.
    fn came_back(&self, stay: &Stay, which: Which) -> bool {
        self.stays
            .iter()
            .any(|later| later.member == stay.member && Some(later.joined) >= stay.left && reaches(&later.told, which))
    }

    fn check(&self, what: &str, leave_bound: Duration, join_bound: Duration) {
        assert!(self.rig.used.windows(2).all(|pair| pair[0].at <= pair[1].at), "{what}");
        for stay in &self.stays {
            for (from, until, key) in self.uses().filter(|(from, until, _)| from < until) {
                if !reaches(&stay.told, key) {
                    continue;
                }
                if let Some(left) = stay.left
                    && !self.came_back(stay, key)
                {
                    let longer = until.saturating_duration_since(left + leave_bound);
                    assert!(longer.is_zero(), "{what}: one who left listens for {longer:?} too long");
                }
                let earlier = stay.joined.saturating_duration_since(from + join_bound);
                assert!(earlier.is_zero(), "{what}: a newcomer opens {earlier:?} too much of the past");
            }
        }
        let in_use = self.rig.used.iter().rposition(|key| key.at <= self.rig.now).expect("a key in use");
        for stay in self.stays.iter().filter(|stay| stay.left.is_none()) {
            assert!(reaches(&stay.certain, self.keys[in_use].1), "{what}: a member without the key in use");
        }
    }
}

fn run(name: &str, config: &SenderConfig, leave_bound: Duration, join_bound: Duration) {
    for seed in 0..SEEDS {
        let mut run = Run::new(config.clone(), seed);
        let longest = [300, 3_000, 30_000][(seed % 3) as usize];
        for _ in 0..60 {
            let pause = run.rig.rng.random_range(0..longest);
            run.wait(Duration::from_millis(pause));
            run.change();
        }
        run.loss = 0;
        run.wait(seconds(120));
        let what = format!("{name}, seed {seed}");
        run.check(&what, leave_bound, join_bound);
        let counters = run.rig.sender.counters();
        let lived = run.rig.now - run.start;
        let by_time = 3 + lived.as_millis() / (config.use_delay / 2).as_millis() + lived.as_secs() as u128 / 10;
        let rotations = u128::from(counters.rotations);
        assert!(rotations <= by_time, "{what}: {rotations} rotations in {lived:?}");
        assert!(counters.rotations <= 2 + run.events + lived.as_secs() / 600, "{what}");
    }
}

#[test]
fn fixed_grace() {
    run("fixed", &SenderConfig::default(), seconds(1), seconds(10));
    let slow = SenderConfig { use_delay: seconds(5), key_bytes: KeyBytes::Spec, ..SenderConfig::default() };
    run("fixed, five seconds", &slow, seconds(5), seconds(10));
}

#[test]
fn scaled() {
    let config = SenderConfig::new(Policy::SCALED);
    let window = Policy::SCALED.window(PEOPLE + 1);
    let past = config.ttl.expect("a bound").max(window) + config.use_delay;
    run("scaled", &config, seconds(1), past);
}

#[test]
fn scaled_where_leaves_wait() {
    let policy = Policy::Scaled { per_minute: 6000, leaves: Leaves::Window };
    let config = SenderConfig::new(policy);
    let bound = policy.window(PEOPLE + 1) * 2 + config.use_delay;
    run("scaled, leaves wait", &config, bound, config.ttl.expect("a bound") + bound);
}

#[test]
fn with_a_ratchet() {
    let config = SenderConfig { ratchet: true, ..SenderConfig::default() };
    run("ratchet", &config, seconds(1), seconds(10));
}
