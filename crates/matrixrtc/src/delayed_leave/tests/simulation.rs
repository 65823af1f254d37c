//! Whole memberships against a homeserver over a bad network, from a seed: whatever happens, in calm times a living member is in
//! and covered, a dead one is gone soon, and one that left stays away.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::homeserver::{Homeserver, Manners};
use super::*;

#[derive(Debug, Clone)]
enum Packet {
    Request(Action),
    /// The focus gave the job up.
    GaveUp,
    Answer(RequestId, Answer),
    /// What a sync of that moment said.
    Sync(bool),
}

/// What the focus does for the member: restarts the leave at four fifths of its delay, and sends it when the member has been
/// silent for [`CONFIRMED_LOSS`].
struct Job {
    delay_id: String,
    delay: Duration,
    restart_at: Instant,
}

/// Signalling and media are gone for so long before a focus believes it.
const CONFIRMED_LOSS: Duration = Duration::from_secs(20);

struct World {
    rng: ChaCha20Rng,
    now: Instant,
    machine: DelayedLeave,
    server: Homeserver,
    /// By arrival and a running number.
    network: BTreeMap<(Instant, u64), Packet>,
    packets: u64,
    /// Of a hundred packets, so many are lost, and the longest delay.
    loss: u32,
    delay_max: Duration,
    wakes: u32,
    events: Vec<Event>,
    last_sync: Instant,
    job: Option<Job>,
    /// The member died then.
    silent_since: Option<Instant>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self::with(seed, Config::default())
    }

    fn with(seed: u64, config: Config) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let schedule = match rng.random_range(0..4) {
            0 => vec![Schedule::Stable],
            1 => vec![Schedule::Unstable],
            2 => vec![Schedule::Query],
            _ => vec![],
        };
        let drops_parameter = !schedule.contains(&Schedule::Query) && rng.random_bool(0.5);
        let manage = [Manage::Stable, Manage::Unstable, Manage::Body][rng.random_range(0..3)];
        let manners = Manners {
            schedule,
            drops_parameter,
            own_event_cancels: rng.random_bool(0.3),
            manage: vec![manage],
            rate_limited: [0, 0, 20][rng.random_range(0..3)],
            forgets: [0, 0, 5][rng.random_range(0..3)],
            max_delay: seconds([4, 10, 86_400][rng.random_range(0..3)]),
        };
        let now = epoch();
        let machine = DelayedLeave::new(now, config, all(), "t".to_owned());
        let server = Homeserver::new(manners);
        let (loss, delay_max) = (rng.random_range(0..60), millis(rng.random_range(10..6000)));
        Self {
            rng,
            now,
            machine,
            server,
            network: BTreeMap::new(),
            packets: 0,
            loss,
            delay_max,
            wakes: 0,
            events: vec![],
            last_sync: now,
            job: None,
            silent_since: None,
        }
    }

    fn calm(&mut self) {
        (self.loss, self.delay_max) = (0, millis(100));
        (self.server.manners.rate_limited, self.server.manners.forgets) = (0, 0);
    }

    fn send(&mut self, packet: Packet) {
        if self.rng.random_range(0..100) >= self.loss {
            let delay = self.rng.random_range(Duration::from_millis(1)..=self.delay_max);
            self.packets += 1;
            self.network.insert((self.now + delay, self.packets), packet);
        }
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.machine.poll_output() {
                Output::Ask(action) => self.send(Packet::Request(action)),
                Output::Event(event) => self.events.push(event),
                Output::Timeout(at, _) => {
                    assert!(self.machine.pending.len() <= OUTSTANDING_MAX);
                    assert!(self.machine.stale.len() <= STALE_MAX && self.machine.late.len() <= LATE_MAX);
                    return at;
                }
            }
        }
    }

    fn focus_wakes(&self) -> Option<Instant> {
        let job = self.job.as_ref()?;
        Some(self.silent_since.map_or(job.restart_at, |since| (since + CONFIRMED_LOSS).min(job.restart_at)))
    }

    fn run_focus(&mut self) {
        let Some(job) = &mut self.job else { return };
        if self.silent_since.is_some_and(|since| since + CONFIRMED_LOSS <= self.now) {
            if self.server.scheduled.remove(&job.delay_id).is_some() {
                self.server.joined = false;
            }
            self.job = None;
        } else if job.restart_at <= self.now {
            job.restart_at = self.now + job.delay.mul_f64(0.8);
            match self.server.scheduled.get_mut(&job.delay_id) {
                Some((at, delay)) => *at = self.now + *delay,
                None => {
                    self.job = None;
                    self.send(Packet::GaveUp);
                }
            }
        }
    }

    fn run(&mut self, duration: Duration, alive: bool) {
        let until = self.now + duration;
        if !alive {
            self.silent_since.get_or_insert(self.now);
        }
        loop {
            let wake = if alive { self.drain() } else { None };
            let sync = self.last_sync + seconds(1);
            let arrival = self.network.keys().next().map(|(at, _)| *at);
            let next =
                [wake, arrival, self.server.next_fire(), self.focus_wakes(), Some(sync)].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.server.fire(self.now);
            self.run_focus();
            if sync <= self.now {
                self.last_sync = self.now;
                self.send(Packet::Sync(self.server.joined));
            }
            while arrival.is_some_and(|at| at <= self.now)
                && let Some(entry) = self.network.first_entry().filter(|entry| entry.key().0 <= self.now)
            {
                let packet = entry.remove();
                self.arrive(packet, alive);
            }
            if alive && wake.is_some_and(|at| at <= self.now) {
                self.wakes += 1;
                self.machine.handle_timeout(self.now);
            }
        }
        self.now = until;
    }

    fn arrive(&mut self, packet: Packet, alive: bool) {
        match packet {
            Packet::Request(Action { request_id, ask: Ask::Delegate { delay_id, delay } }) => {
                self.job = Some(Job { delay_id: delay_id.0, delay, restart_at: self.now });
                self.send(Packet::Answer(request_id, Answer::Done));
            }
            Packet::Request(action) => {
                let answer = self.server.handle(self.now, &action.ask, &mut self.rng);
                self.send(Packet::Answer(action.request_id, answer));
            }
            Packet::Answer(id, answer) if alive => self.machine.handle_answer(self.now, id, answer),
            Packet::Sync(joined) if alive => self.machine.handle_own_membership(self.now, joined),
            Packet::GaveUp if alive => self.machine.handle_delegation_lost(self.now),
            Packet::Answer(..) | Packet::Sync(_) | Packet::GaveUp => {}
        }
    }

    fn can_be_covered(&self) -> bool {
        !self.server.manners.schedule.is_empty()
    }

    /// After a storm: in, covered if the server can, and neither side believes otherwise.
    fn assert_well(&mut self, seed: u64) {
        self.calm();
        self.run(seconds(150), true);
        assert!(self.server.joined && self.machine.is_joined(), "seed {seed}: a living member is not in");
        assert!(!self.machine.is_probably_left(), "seed {seed}");
        let covered = self.can_be_covered();
        assert_eq!(self.machine.has_last_will(), covered, "seed {seed}");
        let known = match (&self.machine.will, &self.machine.loan) {
            (_, Loan::Lent { delay_id, .. }) | (Will::Armed { delay_id, .. }, _) => Some(delay_id),
            (Will::Missing { .. }, _) => None,
        };
        assert!(known.is_none_or(|id| self.server.scheduled.contains_key(id.as_str())), "seed {seed}");
        // None fires behind the machine's back, but for one that was to be lent, and whose id got lost on the way: the query
        // dialect has no transactions, and elsewhere the focus may have gone before the next try. It costs a rejoin in an hour.
        let may_be_lost = self.server.manners.schedule == [Schedule::Query] || self.machine.loan_transaction.is_some();
        let others = self.server.scheduled.iter().filter(|(id, (_, delay))| {
            Some(id.as_str()) != known.map(DelayId::as_str) && !(may_be_lost && *delay == seconds(3600))
        });
        assert_eq!(others.count(), 0, "seed {seed}: {:?}", self.server.manners);
    }
}

const SEEDS: u64 = 300;

#[test]
fn a_living_member_is_in_and_covered_after_any_storm() {
    let (mut accidents, mut rejoins) = (0, 0);
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.machine.join(world.now);
        world.run(seconds(120), true);
        world.assert_well(seed);
        let seconds_lived = 270;
        assert!(world.server.requests < seconds_lived * 2, "seed {seed}: {} requests", world.server.requests);
        assert!(world.wakes < seconds_lived * 6, "seed {seed}: {} wakes", world.wakes);
        accidents += world.server.accidents;
        rejoins += world.machine.counters().rejoins;
    }
    assert!(accidents > 0 && rejoins > 0, "the storms are too mild: {accidents} accidents, {rejoins} rejoins");
}

#[test]
fn a_dead_member_is_gone_within_the_delay() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        if !world.can_be_covered() {
            continue;
        }
        world.machine.join(world.now);
        world.assert_well(seed);
        let more = millis(world.rng.random_range(0..10_000));
        world.run(more, true);
        world.run(seconds(10) + millis(200), false);
        assert!(!world.server.joined, "seed {seed}: a ghost");
    }
}

#[test]
fn one_that_left_stays_away_and_leaves_nothing_behind() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.machine.join(world.now);
        let moment = millis(world.rng.random_range(0..60_000));
        world.run(moment, true);
        world.machine.leave(world.now);
        world.run(seconds(30), true);
        world.calm();
        world.run(seconds(120), true);
        assert_eq!(world.events.last(), Some(&Event::Left), "seed {seed}");
        // Without delayed events, a join that was lost for longer than we waited may come after the leave.
        if world.can_be_covered() || !world.machine.join_unanswered {
            assert!(!world.server.joined, "seed {seed}: {:?} {:?}", world.server.manners, world.events);
        }
        assert!(world.server.scheduled.is_empty(), "seed {seed}");
    }
}

/// The signalling connection comes and goes as well.
#[test]
fn what_the_focus_holds_covers_a_member_and_comes_back() {
    let config = Config { loan_delay: Some(seconds(3600)), ..Config::default() };
    let mut lent = 0;
    for seed in 0..SEEDS {
        let mut world = World::with(seed, config.clone());
        if !world.can_be_covered() {
            continue;
        }
        world.machine.join(world.now);
        for round in 0..12 {
            if round % 2 == 0 {
                world.machine.handle_focus_connected(world.now);
            } else {
                world.machine.handle_focus_lost(world.now);
            }
            let pause = millis(world.rng.random_range(0..20_000));
            world.run(pause, true);
        }
        let ends_connected = world.rng.random_bool(0.7);
        if ends_connected {
            world.machine.handle_focus_connected(world.now);
        }
        world.assert_well(seed);
        let is_lent = matches!(world.machine.loan, Loan::Lent { .. });
        assert!(ends_connected || !is_lent, "seed {seed}");
        lent += u32::from(is_lent);
        let gone_within = if is_lent { seconds(25) } else { seconds(10) + millis(200) };
        world.run(gone_within, false);
        assert!(!world.server.joined, "seed {seed}: a ghost, lent: {is_lent}");
    }
    assert!(lent > 30, "{lent} were lent");
}
