//! Any sequence of orders, facts and answers, sensible or not: the machine stays within its bounds, never spins, and ends when told to.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::*;

struct Chaos {
    rng: ChaCha20Rng,
    machine: DelayedLeave,
    now: Instant,
    /// Newest last; some were answered or given up long ago.
    asked: Vec<Action>,
    has_left: bool,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let config = Config {
            delay: seconds(rng.random_range(0..20)),
            restart_every: seconds(rng.random_range(0..20)),
            expiry: seconds(rng.random_range(0..100)),
            loan_delay: rng.random_bool(0.5).then(|| seconds(rng.random_range(0..4000))),
        };
        let now = epoch();
        let machine = DelayedLeave::new(now, config, all(), "t".to_owned());
        Self { rng, machine, now, asked: vec![], has_left: false }
    }

    fn drain(&mut self) -> Option<Instant> {
        for _ in 0..100 {
            match self.machine.poll_output() {
                Output::Ask(action) => self.asked.push(action),
                Output::Event(event) => self.has_left |= matches!(event, Event::Left | Event::Refused),
                Output::Timeout(at, _) => {
                    assert!(self.machine.pending.len() <= OUTSTANDING_MAX);
                    assert!(self.machine.stale.len() <= STALE_MAX && self.machine.late.len() <= LATE_MAX);
                    return at;
                }
            }
        }
        panic!("more outputs than one step can make");
    }

    /// To the next deadline. It must not wait for a moment that has passed for long.
    fn tick(&mut self) {
        for _ in 0..50 {
            match self.drain() {
                Some(at) if at <= self.now => self.machine.handle_timeout(self.now),
                Some(at) => {
                    self.now = at;
                    return self.machine.handle_timeout(at);
                }
                None => return,
            }
        }
        panic!("it spins: {:?}", self.machine);
    }

    fn any_answer(&mut self) -> Answer {
        let duration = seconds(self.rng.random_range(0..200));
        let maybe = self.rng.random_bool(0.5).then_some(duration);
        match self.rng.random_range(0..10) {
            0 | 1 => Answer::Scheduled { delay_id: format!("id{}", self.rng.random_range(0..5)).into() },
            2 => Answer::SentAtOnce,
            3 | 4 => Answer::Done,
            5 => Answer::RateLimited { retry_after: maybe },
            6 => [Answer::Lost, Answer::Conflict][self.rng.random_range(0..2)].clone(),
            7 => Answer::TooLong { max: maybe },
            8 => [Answer::Unrecognised, Answer::Failed][self.rng.random_range(0..2)].clone(),
            _ => [Answer::Forbidden, Answer::Failed][self.rng.random_range(0..2)].clone(),
        }
    }

    fn step(&mut self) {
        let now = self.now;
        match self.rng.random_range(0..16) {
            0 => self.machine.join(now),
            1 if self.rng.random_bool(0.2) => self.machine.leave(now),
            2 => self.machine.update(now),
            3 => self.machine.handle_own_membership(now, true),
            4 => self.machine.handle_own_membership(now, false),
            5 => self.machine.handle_focus_connected(now),
            6 => self.machine.handle_focus_lost(now),
            7 => self.machine.handle_delegation_lost(now),
            8 => self.machine.take_back(now),
            9 => self.machine.handle_support(now, if self.rng.random_bool(0.8) { all() } else { Support::none() }),
            10 => self.now += millis(self.rng.random_range(0..20_000)),
            11 => self.tick(),
            _ if !self.asked.is_empty() => {
                let back = self.rng.random_range(0..self.asked.len().min(6));
                let request = self.asked[self.asked.len() - 1 - back].request_id;
                let answer = self.any_answer();
                self.machine.handle_answer(now, request, answer);
            }
            _ => {}
        }
        self.drain();
    }
}

#[test]
fn whatever_is_thrown_at_it() {
    for seed in 0..1_000 {
        let mut chaos = Chaos::new(seed);
        for _ in 0..300 {
            chaos.step();
        }
        // Now all goes well, and it must come to an end.
        chaos.machine.handle_support(chaos.now, all());
        chaos.machine.join(chaos.now);
        chaos.machine.leave(chaos.now);
        chaos.has_left = false;
        chaos.asked.clear();
        for _ in 0..200 {
            chaos.tick();
            for action in std::mem::take(&mut chaos.asked) {
                let answer = match action.ask {
                    Ask::Schedule { .. } => Answer::Scheduled { delay_id: "last".into() },
                    _ => Answer::Done,
                };
                chaos.machine.handle_answer(chaos.now, action.request_id, answer);
            }
        }
        assert!(chaos.has_left, "seed {seed}: {:?}", chaos.machine);
        assert_eq!(chaos.drain(), None, "seed {seed}: nothing is left to wait for");
    }
}
