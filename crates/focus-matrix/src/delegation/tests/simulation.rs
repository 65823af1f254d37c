//! Members that live, fall silent, come back, leave and die, a homeserver that answers late, limits, fails and restarts, and
//! a focus that is restarted. Checked is what others see: nobody who is there is seen to leave, and nobody who died stays.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::Rng as _;

use super::super::*;
use super::rig::{HS, epoch, member, seconds};

const STEP: Duration = Duration::from_millis(500);
const DELAY: Duration = Duration::from_secs(120);
/// From a death until all have seen it. The homeserver may fail for [`OUTAGE`] meanwhile, and the focus be restarted.
const SEEN_IN: Duration = Duration::from_secs(25);
const SEEN_AFTER_RESTART: Duration = Duration::from_secs(70);
/// Less than a fifth of the delay, with the time that a try takes.
const OUTAGE: Duration = Duration::from_secs(8);

/// The part of a homeserver that counts.
struct Homeserver {
    fires_at: BTreeMap<String, Instant>,
    left: BTreeMap<String, Instant>,
    down_until: Option<Instant>,
    /// Of the bucket of its rate limit.
    tokens: f64,
}

impl Homeserver {
    fn pass(&mut self, now: Instant) {
        self.tokens = (self.tokens + 2.0 * STEP.as_secs_f64()).min(20.0);
        let due: Vec<_> = self.fires_at.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            self.fires_at.remove(&id);
            self.left.insert(id, now);
        }
    }

    fn answer(&mut self, now: Instant, ask: &Ask) -> Answer {
        if self.down_until.is_some_and(|until| now < until) {
            return Answer::Failed;
        }
        if self.tokens < 1.0 {
            return Answer::LimitExceeded { retry_after: Duration::from_millis(500) };
        }
        self.tokens -= 1.0;
        let id = match ask {
            Ask::Probe { .. } => return Answer::NotFound,
            Ask::Restart { delay_id } | Ask::Send { delay_id } => delay_id,
        };
        match (self.fires_at.contains_key(id), ask) {
            (false, _) => Answer::NotFound,
            (true, Ask::Send { .. }) => {
                self.fires_at.remove(id);
                self.left.insert(id.clone(), now);
                Answer::Done
            }
            (true, _) => {
                self.fires_at.insert(id.clone(), now + DELAY);
                Answer::Done
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Here,
    /// Its session is over, or its network; it comes back at that time.
    Away(Instant),
    Dead(Instant),
}

struct Person {
    session: u64,
    has_session: bool,
    has_media: bool,
    life: Life,
    last_media: Instant,
    delay_id: String,
}

struct Sim {
    machine: Delegation,
    hs: Homeserver,
    now: Instant,
    people: Vec<Person>,
    saved: BTreeMap<Member, (Will, Instant)>,
    answers: Vec<(Instant, AskId, Answer)>,
    rng: ChaCha20Rng,
    sessions: u64,
    turn: usize,
    restarted: Option<Instant>,
    outages: bool,
}

fn name(n: usize) -> String {
    format!("m{n}")
}

impl Sim {
    fn new(seed: u64, outages: bool) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let now = epoch();
        let hs = Homeserver { fires_at: BTreeMap::new(), left: BTreeMap::new(), down_until: None, tokens: 20.0 };
        let mut sim = Self {
            machine: Delegation::new([HS.to_owned()], Timing::default(), bytes),
            hs,
            now,
            people: Vec::new(),
            saved: BTreeMap::new(),
            answers: Vec::new(),
            rng: ChaCha20Rng::from_seed(bytes),
            sessions: 0,
            turn: 0,
            restarted: None,
            outages,
        };
        for n in 0..12 {
            let delay_id = format!("delay-{n}");
            sim.hs.fires_at.insert(delay_id.clone(), now + DELAY);
            sim.people.push(Person {
                session: 0,
                has_session: false,
                has_media: false,
                life: Life::Here,
                last_media: now,
                delay_id: delay_id.clone(),
            });
            sim.join(n);
            let session = SessionNumber(sim.people[n].session);
            let will = Will { server_name: HS.into(), delay_id, delay: DELAY, on_leave: false };
            sim.machine.delegate(now, session, 1, will);
        }
        sim
    }

    fn join(&mut self, n: usize) {
        self.sessions += 1;
        let person = &mut self.people[n];
        (person.session, person.has_session, person.has_media) = (self.sessions, true, false);
        self.machine.handle_joined(self.now, SessionNumber(self.sessions), member(&name(n)));
    }

    fn step(&mut self) {
        self.now += STEP;
        self.turn += 1;
        self.hs.pass(self.now);
        let due: Vec<_> = self.answers.iter().filter(|(at, ..)| *at <= self.now).cloned().collect();
        self.answers.retain(|(at, ..)| *at > self.now);
        for (_, id, answer) in due {
            self.machine.handle_answer(self.now, id, answer);
        }
        for n in 0..self.people.len() {
            self.live(n);
        }
        self.machine.handle_timeout(self.now);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        loop {
            match self.machine.poll_output(self.now) {
                Output::Ask { id, ask, .. } => {
                    // Some questions get lost, or their answers do.
                    let lost = self.outages && self.rng.random_bool(0.05);
                    let answer = self.hs.answer(self.now, &ask);
                    let at = self.now + Duration::from_millis(self.rng.random_range(1..900));
                    self.answers.push((at, id, if lost { Answer::Failed } else { answer }));
                }
                Output::Save { member, will } => drop(self.saved.insert(member, (will, self.now))),
                Output::Forget { member } => drop(self.saved.remove(&member)),
                Output::Tell { .. } => {}
                Output::Timeout(_) => return,
            }
        }
    }

    fn live(&mut self, n: usize) {
        let (now, person) = (self.now, &mut self.people[n]);
        // Pings come every 10 s, reports on media every 2 s.
        let turn = self.turn + 7 * n;
        let session = SessionNumber(person.session);
        match person.life {
            Life::Here => {
                person.last_media = now;
                if !person.has_session {
                    return self.join(n);
                }
                if turn.is_multiple_of(20) {
                    self.machine.handle_heard(now, session);
                }
                self.people[n].has_media |= self.rng.random_bool(0.2);
            }
            Life::Away(until) if now >= until => {
                person.life = Life::Here;
                return self.live(n);
            }
            Life::Away(_) | Life::Dead(_) => {}
        }
        let person = &mut self.people[n];
        if person.has_session && person.has_media && turn.is_multiple_of(4) {
            self.machine.handle_media(now, session, now - person.last_media);
        }
        // What the control plane does with a peer from which nothing comes.
        let silent = now - person.last_media;
        if person.has_session && person.life != Life::Here && silent >= seconds(30) {
            person.has_session = false;
            self.machine.handle_ended(now, session);
        }
    }

    fn disturb(&mut self) {
        let n = self.rng.random_range(0..self.people.len());
        let person = &mut self.people[n];
        match self.rng.random_range(0..100) {
            0..30 if person.life == Life::Here => {
                // Shorter than what counts as lost. Without media, the last sign was the last ping.
                let most = if person.has_media { 15_000 } else { 9_000 };
                let away = Duration::from_millis(self.rng.random_range(500..most));
                person.life = Life::Away(self.now + away);
                if self.rng.random_bool(0.5) {
                    person.has_session = false;
                    self.machine.handle_ended(self.now, SessionNumber(person.session));
                }
            }
            30..40 if person.life == Life::Here => {
                person.life = Life::Dead(self.now);
                if self.rng.random_bool(0.5) && person.has_session {
                    person.has_session = false;
                    self.machine.handle_ended(self.now, SessionNumber(person.session));
                }
            }
            // Not one after the other, or they were a longer one.
            40..50 if self.outages && self.hs.down_until.is_none_or(|until| self.now > until + seconds(60)) => {
                self.hs.down_until = Some(self.now + OUTAGE);
            }
            50..53 if self.outages => self.restart(),
            _ => {}
        }
    }

    fn restart(&mut self) {
        let seed = self.rng.random();
        self.machine = Delegation::new([HS.to_owned()], Timing::default(), seed);
        self.answers.clear();
        for (member, (will, since)) in &self.saved {
            self.machine.restore(self.now, member.clone(), will.clone(), self.now - *since);
        }
        self.restarted = Some(self.now);
        for person in &mut self.people {
            person.has_session = false;
            // All try for less than the grace to come back.
            if person.life == Life::Here {
                let away = Duration::from_millis(self.rng.random_range(500..50_000));
                person.life = Life::Away(self.now + away);
            }
        }
    }

    fn check(&self) {
        for person in &self.people {
            let left = self.hs.left.get(&person.delay_id);
            match (person.life, left) {
                (Life::Here | Life::Away(_), Some(_)) => panic!("{} is there, and was seen to leave", person.delay_id),
                (Life::Dead(died), None) => {
                    let trouble = if self.outages { 2 * OUTAGE } else { Duration::ZERO };
                    let since_restart = self.restarted.map(|at| self.now - at.max(died));
                    let late = self.now - died > SEEN_IN + trouble;
                    let still_waited_for = since_restart.is_some_and(|since| since <= SEEN_AFTER_RESTART + trouble);
                    assert!(!late || still_waited_for, "{} died {:?} ago", person.delay_id, self.now - died);
                }
                _ => {}
            }
        }
    }
}

fn run(seed: u64, outages: bool) -> Sim {
    let mut sim = Sim::new(seed, false);
    // Until all wills are held.
    for _ in 0..40 {
        sim.step();
    }
    assert_eq!(sim.machine.counters().held, 12, "seed {seed}");
    sim.outages = outages;
    for _ in 0..2400 {
        if sim.rng.random_bool(0.2) {
            sim.disturb();
        }
        sim.step();
        sim.check();
    }
    for person in &mut sim.people {
        if !matches!(person.life, Life::Dead(_)) {
            person.life = Life::Dead(sim.now);
        }
    }
    for _ in 0..400 {
        sim.step();
        sim.check();
    }
    assert_eq!(sim.hs.left.len(), 12, "seed {seed}: everybody is gone in the end");
    assert!(sim.machine.jobs.is_empty() && sim.machine.timers.is_empty() && sim.saved.is_empty());
    sim
}

#[test]
fn the_dead_are_gone_in_25_s_and_the_living_stay() {
    for seed in 0..40 {
        let sim = run(seed, false);
        assert!(sim.machine.counters().restarts > 0, "some have lived longer than a delay");
    }
}

#[test]
fn so_they_do_with_a_homeserver_that_fails_and_a_focus_that_is_restarted() {
    let restarted = (100..140).map(|seed| run(seed, true)).filter(|sim| sim.restarted.is_some()).count();
    assert!(restarted > 10, "{restarted}");
}
