use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::test_time::epoch;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Peer(usize),
    Layer { track: usize, layer: u8 },
}

impl Key for Timer {
    fn place(self) -> (usize, usize) {
        match self {
            Self::Peer(key) => (0, key),
            Self::Layer { track, layer } => (1 + usize::from(layer), track),
        }
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

fn drain(timers: &mut Timers<Timer>, now: Instant) -> Vec<Timer> {
    std::iter::from_fn(|| timers.poll(now)).collect()
}

#[test]
fn what_is_due_comes_in_order_of_time_and_key() {
    let start = epoch();
    let mut timers = Timers::new(start);
    assert_eq!(timers.next(), None);
    let (a, b) = (Timer::Peer(1), Timer::Peer(2));
    let c = Timer::Layer { track: 1, layer: 2 };
    timers.set(start, c, start + us(4200));
    timers.set(start, b, start + us(4900));
    timers.set(start, a, start + us(5500));
    assert_eq!(timers.next(), Some(start + ms(5)), "rounded up");
    assert_eq!(drain(&mut timers, start + us(4999)), []);
    assert_eq!(drain(&mut timers, start + ms(6)), [b, c, a]);
    assert_eq!(timers.next(), None);
}

#[test]
fn a_new_deadline_replaces_the_old_and_a_cancelled_one_never_comes() {
    let start = epoch();
    let mut timers = Timers::new(start);
    let keys: Vec<_> = (0..6).map(Timer::Peer).collect();
    for &key in &keys {
        timers.set(start, key, start + ms(10));
    }
    timers.set(start, keys[0], start + ms(20));
    timers.set(start, keys[1], start + ms(3));
    timers.cancel(keys[2]);
    timers.cancel(Timer::Peer(99));
    assert_eq!(timers.next(), Some(start + ms(3)));
    let now = start + ms(10);
    assert_eq!(timers.poll(now), Some(keys[1]));
    assert_eq!(timers.poll(now), Some(keys[3]));
    // Also of what is taken out already.
    timers.cancel(keys[4]);
    timers.set(now, keys[5], start + ms(21));
    assert_eq!(timers.next(), Some(now), "a poll that yields nothing is allowed");
    assert_eq!(timers.poll(now), None);
    assert_eq!(timers.next(), Some(start + ms(20)));
    assert_eq!(drain(&mut timers, start + ms(20)), [keys[0]]);
    let now = start + ms(20);
    // What has passed already is due in the millisecond in which it was set.
    timers.set(now + us(300), keys[2], now + us(300));
    assert_eq!(drain(&mut timers, now + us(300)), [keys[2]]);
}

#[test]
fn a_day_without_a_poll_and_a_deadline_beyond_the_wheel() {
    let start = epoch();
    let mut timers = Timers::new(start);
    let (late, soon) = (Timer::Peer(0), Timer::Peer(1));
    timers.set(start, late, start + ms(200_000_000));
    timers.set(start, soon, start + ms(70_000));
    let mut now = start;
    let mut polls = 0;
    while drain(&mut timers, now) != [soon] {
        now = timers.next().expect("queued");
        polls += 1;
    }
    assert_eq!(now, start + ms(70_000));
    assert!(polls <= 4, "{polls} polls");
    assert_eq!(drain(&mut timers, start + ms(300_000_000)), [late]);
    assert_eq!(timers.next(), None);
}

/// The wheel and a sorted set see the same seeded commands.
#[test]
fn it_does_what_a_sorted_set_does() {
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let start = epoch();
        let mut timers = Timers::new(start);
        let (mut set, mut deadlines) = (BTreeSet::new(), BTreeMap::new());
        let mut now = start;
        for _ in 0..20_000 {
            let number = random.random_range(0..40);
            let key = if random.random() { Timer::Peer(number) } else { Timer::Layer { track: number, layer: 1 } };
            match random.random_range(0..10) {
                0..5 => {
                    let reach = [3, 30, 3_000, 1_100_000, 3_000_000, 200_000_000][random.random_range(0..6)];
                    let at =
                        (now + us(random.random_range(0..=reach))) - us(random.random_range(0..3)).min(now - start);
                    timers.set(now, key, at);
                    let tick = (at - start).as_micros().div_ceil(1000);
                    let tick = if at <= now { (now - start).as_millis() } else { tick };
                    if let Some(old) = deadlines.insert(key, tick) {
                        set.remove(&(old, key));
                    }
                    set.insert((tick, key));
                }
                5 => {
                    timers.cancel(key);
                    if let Some(old) = deadlines.remove(&key) {
                        set.remove(&(old, key));
                    }
                }
                6 | 7 => {
                    for got in drain(&mut timers, now) {
                        let (tick, expected) = set.pop_first().expect("the set has it too");
                        assert_eq!((got, deadlines.remove(&got)), (expected, Some(tick)), "seed {seed}");
                        assert!(tick <= (now - start).as_millis(), "seed {seed}: too early");
                    }
                    assert!(set.first().is_none_or(|first| first.0 > (now - start).as_millis()), "seed {seed}: late");
                }
                8 => now += us(random.random_range(0..20_000)),
                _ => {
                    let next = timers.next();
                    assert_eq!(next.is_none(), set.is_empty());
                    if let (Some(next), Some(first)) = (next, set.first()) {
                        let earliest = first.0;
                        assert!((next - start).as_millis() <= earliest, "seed {seed}: {next:?} is too late");
                        assert_eq!((next - start).as_nanos() % 1_000_000, 0);
                        if random.random_range(0..20) == 0 {
                            now = now.max(next);
                        }
                    }
                }
            }
        }
    }
}

/// Nothing is polled forever: going from `next` to `next`, each step leads on.
#[test]
fn a_poll_at_next_makes_progress() {
    let start = epoch();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut timers = Timers::new(start);
    let mut deadlines = Vec::new();
    for key in 0..1000 {
        let at = us(random.random_range(0..100_000_000));
        timers.set(start, Timer::Peer(key), start + at);
        deadlines.push(start + ms(at.as_micros().div_ceil(1000) as u64));
    }
    let (mut now, mut fired, mut polls) = (start, 0, 0);
    while let Some(next) = timers.next() {
        assert!(next >= now);
        now = next;
        for timer in drain(&mut timers, now) {
            let Timer::Peer(key) = timer else { panic!("never set") };
            assert_eq!(deadlines[key], now, "exact");
            fired += 1;
        }
        assert!(timers.next().is_none_or(|next| next > now));
        polls += 1;
    }
    assert_eq!(fired, 1000);
    assert!(polls <= 1000 + 100, "{polls} polls");
}

#[test]
fn a_lone_deadline_is_exact_wherever_in_the_wheel_it_lies() {
    let start = epoch();
    for offset in [0, 5, 63, 64, 1000, 1023, 1024, 65_535] {
        for distance in 1..1100 {
            let mut timers = Timers::new(start);
            let (now, at) = (start + ms(offset), start + ms(offset + distance));
            assert_eq!(timers.poll(now), None);
            timers.set(now, Timer::Peer(0), at);
            assert!(timers.next().is_some_and(|next| next <= at && (next == at || distance >= FINE as u64)));
            assert_eq!(timers.poll(at - ms(1)), None);
            assert_eq!(timers.next(), Some(at), "{offset} {distance}");
            assert_eq!(timers.poll(at), Some(Timer::Peer(0)));
        }
    }
}
