//! The closed loop: sender, bottleneck, receiver. `cargo test -p sfu-core --lib feedback -- --nocapture` prints the
//! figures.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::Congestion;
use super::estimator::{MAX_BPS, MIN_BPS, START_BPS};
use crate::rtcp::twcc::Feedback;
use crate::test_time::epoch;
use world::*;

mod world;

const M: f64 = 1e6;

/// Says it for the scoreboard.
fn figure(text: &str) {
    println!("figure: {text}");
}

#[test]
fn a_link_of_1500_kbit_is_found_within_ten_seconds() {
    for (queue, interval) in [(250, 100), (250, 50), (100, 100), (1000, 100)] {
        let link = Link { queue_us: queue * MS, ..Link::new(1.5 * M) };
        let mut world = World::new(link, Source::Elastic(3.0 * M), 3_000_000);
        world.interval_us = interval * MS;
        let reached = world.run_until(60 * SECOND, |world| world.estimate() >= 0.85 * 1.5 * M);
        world.run(60 * SECOND);
        world.print("1.5 Mbit/s");
        let (lost, used) = (world.dropped(0, 60), world.throughput(10, 60) / 15e3);
        let reached = reached.expect("reached");
        let queue_ms = world.seconds[5..].iter().map(|second| second.queue_max_us).max().unwrap_or(0) / MS;
        figure(&format!(
            "1.5 Mbit/s, {queue} ms of queue, feedback each {interval} ms: 85 % after {} ms, own loss {:.2} %, \
             then {used:.0} % used, queue at most {queue_ms} ms",
            reached / MS,
            lost * 100.0,
        ));
        assert!(reached <= 10 * SECOND && lost <= 0.02 && used >= 80.0, "{reached} {lost} {used}");
    }
}

#[test]
fn a_link_that_halves_is_followed_within_1500_ms() {
    for queue in [100, 250, 600] {
        let rates = vec![(0, 1.5 * M), (30 * SECOND, 0.75 * M), (60 * SECOND, 1.5 * M)];
        let link = Link { rates, queue_us: queue * MS, ..Link::new(0.0) };
        let mut world = World::new(link, Source::Elastic(3.0 * M), 3_000_000);
        world.run(30 * SECOND);
        let reacted =
            world.run_until(60 * SECOND, |world| world.estimate() <= 0.75 * M).expect("reacted") - 30 * SECOND;
        world.run(60 * SECOND);
        let back = world.run_until(100 * SECOND, |world| world.estimate() >= 0.85 * 1.5 * M).map(|at| at - 60 * SECOND);
        world.run(100 * SECOND);
        world.print("halves");
        let (lost, used) = (world.dropped(0, 100), world.throughput(35, 60) / 7.5e3);
        figure(&format!(
            "halves with {queue} ms of queue: sends no more than the new rate after {} ms, loss overall {:.2} %, \
             {used:.0} % used; 85 % again after {:?} ms",
            reacted / MS,
            lost * 100.0,
            back.map(|at| at / MS),
        ));
        assert!(reacted <= 1_500 * MS && lost <= 0.02 && used >= 75.0, "{reacted} {lost} {used}");
        assert!(back.is_some_and(|back| back <= 15 * SECOND));
    }
}

#[test]
fn random_loss_of_two_percent_does_not_collapse_it() {
    for (loss, least) in [(0.02, 2.2), (0.05, 1.8), (0.12, 1.2)] {
        let link = Link { loss, ..Link::new(3.0 * M) };
        let mut world = World::new(link, Source::Elastic(5.0 * M), 5_000_000);
        world.run(60 * SECOND);
        world.print("random loss");
        let (used, own) = (world.throughput(10, 60), world.dropped(0, 60));
        figure(&format!(
            "{:.0} % random loss on 3 Mbit/s: {:.2} Mbit/s arrive, own loss {:.2} %",
            loss * 100.0,
            used / M,
            own * 100.0
        ));
        assert!(used >= least * M && own < 0.02, "{used} {own}");
    }
}

#[test]
fn sending_little_neither_lowers_nor_raises_it() {
    let link = Link { jitter_us: 10 * MS, ..Link::new(5.0 * M) };
    let mut world = World::new(link, Source::Elastic(0.3 * M), 300_000);
    world.run(30 * SECOND);
    let idle = world.estimate();
    assert_eq!(world.probes, 0, "all that is wanted fits");
    world.source = Source::Elastic(4.0 * M);
    world.congestion.set_wanted(4_000_000);
    let reached = world.run_until(60 * SECOND, |world| world.estimate() >= 3.4 * M).map(|at| at - 30 * SECOND);
    world.run(60 * SECOND);
    world.print("little, then much");
    figure(&format!(
        "30 s of 0.3 Mbit/s: estimate {:.2} Mbit/s; then 4 wanted of 5: 3.4 after {:?} ms, own loss {:.2} %",
        idle / M,
        reached.map(|at| at / MS),
        world.dropped(30, 60) * 100.0
    ));
    assert!((0.6 * M..1.0 * M).contains(&idle), "{idle}");
    assert!(reached.is_some_and(|at| at < 5 * SECOND));
    assert!(world.dropped(30, 60) <= 0.02);
}

#[test]
fn others_short_bursts_cost_nothing_while_little_is_sent() {
    let cross = (3..30).map(|burst| (2 * burst * SECOND, 2 * burst * SECOND + 500 * MS, 5.5 * M)).collect();
    let mut world = World::new(Link { cross, ..Link::new(5.0 * M) }, Source::Fixed(0.3 * M), 4_000_000);
    world.run(60 * SECOND);
    world.print("bursts of others");
    let least = world.seconds[5..60].iter().map(|second| second.estimate).fold(f64::MAX, f64::min);
    figure(&format!("bursts of others while 0.3 of 5 Mbit/s is sent: never below {:.2} Mbit/s", least / M));
    assert!(least >= 1.5 * M, "{least}");
}

#[test]
fn every_third_feedback_lost() {
    let mut world = World::new(Link::new(1.5 * M), Source::Elastic(3.0 * M), 3_000_000);
    world.deaf = (0..200).map(|at| (at * 300 * MS, (at * 300 + 100) * MS)).collect();
    world.run(60 * SECOND);
    world.print("feedback lost");
    let (lost, used) = (world.dropped(0, 60), world.throughput(10, 60) / 15e3);
    figure(&format!("a third of the feedback lost on 1.5 Mbit/s: {used:.0} % used, own loss {:.2} %", lost * 100.0));
    assert!(used >= 75.0 && lost <= 0.02, "{used} {lost}");
}

#[test]
fn twenty_mbit_of_a_fast_link_soon() {
    let mut world =
        World::new(Link { queue_us: 50 * MS, ..Link::new(50.0 * M) }, Source::Elastic(20.0 * M), 24_000_000);
    let reached = world.run_until(20 * SECOND, |world| world.estimate() >= 20.0 * M);
    world.run(20 * SECOND);
    world.print("50 Mbit/s");
    figure(&format!(
        "50 Mbit/s: 20 Mbit/s after {:?} ms, {} parts of probes; held for {} ms at most",
        reached.map(|at| at / MS),
        world.probes,
        world.held_max_us / MS
    ));
    assert!(reached.is_some_and(|at| at <= 3 * SECOND));
    assert!(world.dropped(0, 20) < 0.001);
}

#[test]
fn two_seconds_without_feedback() {
    for deaf in [(30, 32), (30, 36)] {
        let mut world = World::new(Link::new(3.0 * M), Source::Fixed(1.5 * M), 5_000_000);
        world.deaf = vec![(deaf.0 * SECOND, deaf.1 * SECOND)];
        world.run(30 * SECOND);
        let before = world.estimate();
        world.run(deaf.1 * SECOND + 100 * MS);
        let after = world.estimate();
        world.run(60 * SECOND);
        world.print("deaf");
        figure(&format!(
            "{} s without feedback: {:.2} → {:.2} → {:.2} Mbit/s",
            deaf.1 - deaf.0,
            before / M,
            after / M,
            world.estimate() / M
        ));
        assert!(after >= 0.2 * before && world.estimate() >= 0.8 * before);
        assert!(after >= 0.65 * before || deaf.1 > 32);
    }
}

#[test]
fn the_receivers_clock_jumps() {
    let mut world = World::new(Link::new(3.0 * M), Source::Elastic(5.0 * M), 5_000_000);
    world.clock = vec![
        (20 * SECOND, 3_600_000_000),
        (25 * SECOND, -3_600_000_000),
        (30 * SECOND, 800_000),
        (35 * SECOND, -800_000),
        (40 * SECOND, 536_870_912 * 1_000),
    ];
    world.run(60 * SECOND);
    world.print("clock");
    let least = world.seconds[15..60].iter().map(|second| second.estimate).fold(f64::MAX, f64::min);
    figure(&format!("clock jumps on 3 Mbit/s: never below {:.2} Mbit/s", least / M));
    assert!(least >= 2.0 * M, "{least}");
}

#[test]
fn layers_settle_without_loss() {
    let layers = vec![0.15 * M, 0.3 * M, 0.65 * M, 1.2 * M, 2.5 * M];
    let mut world = World::new(Link::new(1.5 * M), Source::Layers(layers), 3_000_000);
    let reached = world.run_until(60 * SECOND, |world| world.estimate() >= 0.85 * 1.5 * M);
    world.run(120 * SECOND);
    world.print("layers");
    let (lost, used) = (world.dropped(0, 120), world.throughput(10, 120));
    figure(&format!(
        "layers on 1.5 Mbit/s: 85 % after {:?} ms, own loss {:.2} %, {:.2} Mbit/s arrive of a layer \
             of 1.2; {} parts of probes in 120 s",
        reached.map(|at| at / MS),
        lost * 100.0,
        used / M,
        world.probes
    ));
    assert!(reached.is_some_and(|at| at <= 10 * SECOND) && lost <= 0.02 && used >= 1.1 * M);
    assert!(world.probes <= 4 * 30);
}

#[test]
fn what_the_allocator_grants_settles() {
    for (rate, videos, least) in [(1.5, 3, 1.0), (3.0, 4, 1.9), (20.0, 6, 9.0)] {
        let mut world = World::new(Link::new(rate * M), Source::Allocated(Subscriptions::new(videos)), 0);
        world.run(120 * SECOND);
        world.print("allocated");
        let Source::Allocated(subscriptions) = &world.source else { unreachable!("as made") };
        let (early, late) = (&subscriptions.changes[..20], &subscriptions.changes[20..]);
        let (used, late) = (world.throughput(20, 120), late.iter().sum::<u32>());
        figure(&format!(
            "{videos} videos of three layers on {rate} Mbit/s: {:.2} Mbit/s arrive, own loss {:.2} %, \
             {} changes of layer in 20 s, then {late} in 100 s; held for {} ms at most",
            used / M,
            world.dropped(0, 120) * 100.0,
            early.iter().sum::<u32>(),
            world.held_max_us / MS,
        ));
        assert!(used >= least * M && world.dropped(0, 120) <= 0.02 && late <= 10, "{used} {late}");
    }
}

#[test]
fn others_take_half_of_the_link() {
    let link = Link { cross: vec![(20 * SECOND, 40 * SECOND, 1.0 * M)], ..Link::new(2.0 * M) };
    let mut world = World::new(link, Source::Elastic(3.0 * M), 3_000_000);
    world.run(60 * SECOND);
    world.print("cross traffic");
    let (during, after) = (world.throughput(25, 40), world.throughput(50, 60));
    figure(&format!(
        "1 of 2 Mbit/s taken by others: {:.2} Mbit/s during, {:.2} after, own loss {:.2} %",
        during / M,
        after / M,
        world.dropped(0, 60) * 100.0
    ));
    assert!((0.6 * M..1.05 * M).contains(&during), "{during}");
    assert!(after > 1.5 * M, "{after}");
    assert!(world.dropped(0, 60) <= 0.02);
}

#[test]
fn jitter_does_not_starve_it() {
    let link = Link { jitter_us: 40 * MS, ..Link::new(3.0 * M) };
    let mut world = World::new(link, Source::Elastic(5.0 * M), 5_000_000);
    world.run(60 * SECOND);
    world.print("jitter");
    let used = world.throughput(10, 60);
    figure(&format!(
        "40 ms of jitter on 3 Mbit/s: {:.2} Mbit/s arrive, own loss {:.2} %",
        used / M,
        world.dropped(0, 60) * 100.0
    ));
    assert!(used >= 2.0 * M && world.dropped(0, 60) <= 0.02, "{used}");
}

#[test]
fn a_link_slower_than_the_start() {
    let mut world = World::new(Link::new(0.3 * M), Source::Elastic(3.0 * M), 3_000_000);
    world.run(60 * SECOND);
    world.print("0.3 Mbit/s");
    let (lost, used) = (world.dropped(2, 60), world.throughput(10, 60));
    figure(&format!(
        "0.3 Mbit/s: {:.2} Mbit/s arrive, own loss {:.2} %, in the first two seconds {:.0} %",
        used / M,
        lost * 100.0,
        world.dropped(0, 2) * 100.0
    ));
    assert!(used >= 0.22 * M && lost <= 0.02, "{used} {lost}");
}

#[test]
fn links_of_all_kinds() {
    let (mut least_used, mut most_lost, mut slowest) =
        ((f64::MAX, String::new()), (0.0, String::new()), (0, String::new()));
    let kinds = [0.5, 1.5, 4.0, 12.0].into_iter().flat_map(|rate| {
        [5, 50, 150].into_iter().flat_map(move |delay| {
            [50, 100, 250]
                .into_iter()
                .flat_map(move |interval| [0, 15].into_iter().map(move |jitter| (rate, delay, interval, jitter)))
        })
    });
    for (rate, delay, interval, jitter) in kinds {
        let link = Link { delay_us: delay * MS, jitter_us: jitter * MS, ..Link::new(rate * M) };
        let mut world = World::new(link, Source::Elastic(20.0 * M), 20_000_000);
        world.interval_us = interval * MS;
        let reached =
            world.run_until(60 * SECOND, |world| world.estimate() >= 0.85 * rate * M).unwrap_or(u64::MAX / MS) / MS;
        world.run(60 * SECOND);
        let name = format!("{rate} Mbit/s, {delay} ms one way, feedback each {interval} ms, {jitter} ms of jitter");
        let (used, lost) = (world.throughput(15, 60) / rate / 1e4, world.dropped(0, 60) * 100.0);
        if used < least_used.0 {
            least_used = (used, name.clone());
        }
        if lost > most_lost.0 {
            most_lost = (lost, name.clone());
        }
        if reached > slowest.0 {
            slowest = (reached, name);
        }
    }
    figure(&format!("of 72 links: least used {:.0} % ({})", least_used.0, least_used.1));
    figure(&format!("of 72 links: most own loss {:.2} % ({})", most_lost.0, most_lost.1));
    figure(&format!("of 72 links: slowest to 85 % {} ms ({})", slowest.0, slowest.1));
    assert!(least_used.0 >= 60.0 && most_lost.0 <= 2.0 && slowest.0 <= 10_000);
}

#[test]
fn a_short_queue() {
    let link = Link { queue_us: 40 * MS, ..Link::new(2.0 * M) };
    let mut world = World::new(link, Source::Elastic(5.0 * M), 5_000_000);
    world.run(60 * SECOND);
    world.print("short queue");
    let (lost, used) = (world.dropped(2, 60), world.throughput(10, 60));
    figure(&format!("2 Mbit/s with 40 ms of queue: {:.2} Mbit/s arrive, own loss {:.2} %", used / M, lost * 100.0));
    assert!(used >= 1.4 * M && lost <= 0.04, "{used} {lost}");
}

#[test]
fn a_link_that_dies_is_left_alone() {
    let mut world = World::new(Link::new(3.0 * M), Source::Elastic(5.0 * M), 5_000_000);
    world.deaf = vec![(10 * SECOND, 40 * SECOND)];
    world.run(40 * SECOND);
    let silent = world.estimate();
    world.run(60 * SECOND);
    world.print("dies");
    figure(&format!("30 s without feedback: {:.2} Mbit/s, then {:.2}", silent / M, world.estimate() / M));
    assert!(silent <= 0.1 * M && world.estimate() >= 2.0 * M);
}

#[test]
fn nothing_sent_costs_nothing() {
    let now = epoch();
    let mut congestion = Congestion::new(now, true);
    assert_eq!(congestion.deadline(), None);
    assert!(congestion.memory() <= 1200, "{}", congestion.memory());
    congestion.set_wanted(100_000);
    assert_eq!(congestion.deadline(), None, "no probe for what fits");
    congestion.note_sent(now, 100);
    assert!(congestion.deadline().is_some() && congestion.in_flight() == 100);
    congestion.handle_timeout(now + Duration::from_secs(60));
    assert_eq!((congestion.deadline(), congestion.in_flight()), (None, 0));
}

/// Whose videos are all paused, and whose sound has no numbers: nothing is in flight.
#[test]
fn what_is_paused_is_probed_for() {
    let mut world = World::new(Link::new(5.0 * M), Source::Fixed(0.3 * M), 0);
    world.run(5 * SECOND);
    let later = world.at() + Duration::from_secs(60);
    world.congestion.handle_timeout(later);
    assert_eq!((world.congestion.in_flight(), world.congestion.poll_probe(later)), (0, None));
    world.congestion.set_wanted(4_000_000);
    assert!(world.congestion.deadline().is_some_and(|at| at <= later));
    assert!(world.congestion.poll_probe(later).is_some_and(|probe| probe.bytes > 0));
}

#[test]
fn a_new_path_begins_anew() {
    let mut world = World::new(Link::new(3.0 * M), Source::Elastic(5.0 * M), 5_000_000);
    world.deaf = vec![(10 * SECOND, 20 * SECOND)];
    world.run(20 * SECOND);
    assert!(world.estimate() < 0.7 * START_BPS, "{}", world.estimate());
    world.congestion.begin_path(world.at());
    assert_eq!(world.estimate(), START_BPS);
    world.run(30 * SECOND);
    world.print("new path");
    assert!(world.estimate() >= 2.0 * M, "{}", world.estimate());
}

#[test]
fn memory_follows_the_rate() {
    let mut world = World::new(Link::new(5.0 * M), Source::Fixed(2.0 * M), 2_000_000);
    world.run(30 * SECOND);
    figure(&format!("memory of a peer at 2 Mbit/s: {} B", world.congestion.memory()));
    assert!(world.congestion.memory() <= 2048, "{}", world.congestion.memory());
}

#[test]
fn the_receivers_estimate_counts_without_transport_wide_feedback() {
    let mut congestion = Congestion::new(epoch(), false);
    congestion.handle_remb(epoch(), 2_345_678);
    assert_eq!(congestion.bitrate(), 2_345_678);
    congestion.handle_remb(epoch(), u64::MAX);
    assert_eq!(congestion.bitrate(), MAX_BPS as u64);
    congestion.set_wanted(u64::MAX);
    assert_eq!((congestion.note_sent(epoch(), 1000), congestion.note_sent(epoch(), 1000)), (0, 0));
    assert_eq!((congestion.poll_probe(epoch()), congestion.deadline()), (None, None));
    let mut world = World::new(Link::new(5.0 * M), Source::Fixed(1.0 * M), 2_000_000);
    world.run(5 * SECOND);
    let before = world.congestion.bitrate();
    world.congestion.handle_remb(world.at(), 60_000);
    assert_eq!(world.congestion.bitrate(), before);
}

/// Whatever a receiver claims, nothing panics and the figure stays within its bounds.
#[test]
fn hostile_feedback_is_harmless() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let mut world = World::new(Link::new(3.0 * M), Source::Elastic(5.0 * M), 5_000_000);
    for round in 0..20_000u64 {
        if round % 10 == 0 {
            world.run(world.now + 20 * MS);
        }
        let mut body: Vec<u8> = (0..random.random_range(8..60)).map(|_| random.random()).collect();
        if round % 2 == 0 {
            // Numbers that were sent, at wild times.
            let base = world.congestion.note_sent(world.at(), 50).wrapping_sub(random.random_range(0..300));
            world.skip_number();
            body[..2].copy_from_slice(&base.to_be_bytes());
            body[2..4].copy_from_slice(&random.random_range(0..200u16).to_be_bytes());
        }
        let Some(feedback) = Feedback::parse(&body) else { continue };
        world.congestion.handle_feedback(world.at(), &feedback);
        let bitrate = world.congestion.bitrate() as f64;
        assert!((MIN_BPS..=MAX_BPS).contains(&bitrate), "{bitrate}");
        assert!(world.congestion.memory() < 200_000);
    }
}
