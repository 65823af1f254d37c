//! What happens to a call between its first client and the end of the measured window, whatever server carries it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{FIRST_MEDIA_TIMEOUT, JOIN_TIMEOUT, Room};
use crate::load::Load;
use crate::machine::{Cpu, resident, udp_drops};

/// Clients that join at a time: a room fills, it is not stormed.
const JOINING_AT_ONCE: usize = 8;
const WARM_UP: Duration = Duration::from_secs(2);
/// Until the last packets of the window have arrived.
const DRAIN: Duration = Duration::from_millis(500);
/// Missing packets that are named.
const NAMED_MAX: usize = 8;
/// A run that lost more is none.
pub const LOSS_MAX: f64 = 0.001;

/// The measured time and what happened in it.
#[derive(Debug, Default)]
pub struct Window {
    /// The server's CPU time: total, user, system.
    pub spent: Option<(Duration, Duration, Duration)>,
    pub lasted: Duration,
    pub delivered: u64,
    pub expected: u64,
    /// Nanoseconds from stamp to arrival.
    pub latencies: Vec<u64>,
    /// Nanoseconds that packets waited to be read by the load, where the kernel stamps arrivals.
    pub waits: Vec<u64>,
    /// Resident bytes of the server at the end.
    pub memory: Option<u64>,
}

impl Window {
    fn per_packet(&self, time: Duration) -> f64 {
        time.as_nanos() as f64 / self.delivered as f64
    }

    pub fn ns(&self) -> Option<f64> {
        self.spent.map(|(total, ..)| self.per_packet(total))
    }

    pub fn user_ns(&self) -> Option<f64> {
        self.spent.map(|(_, user, _)| self.per_packet(user))
    }

    pub fn system_ns(&self) -> Option<f64> {
        self.spent.map(|(.., system)| self.per_packet(system))
    }

    pub fn core_share(&self) -> Option<f64> {
        self.spent.map(|(total, ..)| total.as_secs_f64() / self.lasted.as_secs_f64())
    }

    /// Who lost more than one packet in a thousand has not carried the load.
    pub fn check(&self) -> Result<()> {
        let lost = self.expected.saturating_sub(self.delivered);
        ensure!(self.expected > 0, "nothing was sent");
        ensure!(
            lost as f64 <= self.expected as f64 * LOSS_MAX,
            "{lost} of {} packets were lost ({:.2} %)",
            self.expected,
            lost as f64 * 100.0 / self.expected as f64
        );
        Ok(())
    }
}

/// Everybody joins, a few at a time.
pub fn join_all(load: &mut Load, room: Room) -> Result<()> {
    let conference = format!("bench-{}", std::process::id());
    for first in (0..room.clients()).step_by(JOINING_AT_ONCE) {
        let batch = first..room.clients().min(first + JOINING_AT_ONCE);
        for index in batch.clone() {
            load.join(&conference, room.plan(index))?;
        }
        load.run_until("connecting", JOIN_TIMEOUT, |load| {
            batch.clone().all(|member| load.members[member].client.connected_at.is_some())
        })?;
    }
    Ok(())
}

/// From the first packets of all to the end. An error if it is no run.
pub fn measure(load: &mut Load, room: Room, pid: Option<u32>) -> Result<Window> {
    let cpu = || pid.map(Cpu::of).transpose();
    load.run_until("first packets of all", FIRST_MEDIA_TIMEOUT, |load| {
        load.members.iter().all(|member| member.client.subscriptions.iter().all(|s| s.idle || s.is_known()))
    })?;
    load.busy = true;
    load.run_for(WARM_UP)?;

    let numbers = |load: &Load| -> Vec<u64> {
        load.members.iter().map(|member| member.client.publisher.as_ref().map_or(0, |p| p.next)).collect()
    };
    for member in &mut load.members {
        member.client.latencies = Some(Vec::new());
        member.client.waits.clear();
    }
    let drops_from = udp_drops()?;
    let (from, cpu_from, started) = (numbers(load), cpu()?, Instant::now());
    load.run_for(room.duration)?;
    let (to, cpu_to, lasted) = (numbers(load), cpu()?, started.elapsed());
    let memory = pid.map(resident).transpose()?;
    load.busy = false;
    for member in &mut load.members {
        if let Some(publisher) = &mut member.client.publisher {
            publisher.stop();
        }
    }
    let latencies = load.members.iter_mut().filter_map(|member| member.client.latencies.take()).flatten().collect();
    let waits = load.members.iter_mut().flat_map(|member| std::mem::take(&mut member.client.waits)).collect();
    load.run_for(DRAIN)?;

    let (delivered, expected) = count(load, &from, &to)?;
    let kernel_drops = udp_drops()?.saturating_sub(drops_from);
    if kernel_drops > 0 {
        eprintln!("  the kernel dropped {kernel_drops} datagrams for want of buffers");
    }
    let faults = load.faults();
    ensure!(load.send_failures == 0, "the load itself lost {} datagrams", load.send_failures);
    ensure!(faults.total() == 0, "wrong packets arrived: {faults:?}");
    let spent = cpu_to.zip(cpu_from).map(|(to, from)| to.since(from));
    let window = Window { spent, lasted, delivered, expected, latencies, waits, memory };
    window.check()?;

    let frames_due = room.publishers as f64 * lasted.as_secs_f64() / room.shape.interval.as_secs_f64();
    let sent: u64 = from.iter().zip(&to).map(|(from, to)| to - from).sum();
    ensure!(
        sent as f64 > 0.97 * frames_due * room.shape.burst as f64,
        "the load did not keep its pace: {sent} packets sent"
    );
    Ok(window)
}

pub fn subscribe(load: &mut Load, room: Room) -> Result<()> {
    for member in 0..room.clients() {
        let wants = room.wants(member);
        if !wants.is_empty() {
            load.subscribe(member, &wants)?;
        }
    }
    Ok(())
}

/// Publishers send in turn, spread evenly over a frame interval.
pub fn publish(load: &mut Load, room: Room) {
    let start = Instant::now();
    for publisher in 0..room.publishers {
        let phase = room.shape.interval * publisher as u32 / room.publishers as u32;
        load.publish_from(publisher, start + phase);
    }
}

/// Packets of the window that arrived, and all of them. Names the first that are missing.
fn count(load: &Load, from: &[u64], to: &[u64]) -> Result<(u64, u64)> {
    let (mut delivered, mut expected, mut named) = (0, 0, 0);
    for (receiver, member) in load.members.iter().enumerate() {
        for subscription in member.client.subscriptions.iter().filter(|subscription| !subscription.idle) {
            let publisher = usize::from(subscription.publisher.context("a slot without a publisher")?);
            let window = from[publisher]..to[publisher];
            expected += window.end - window.start;
            delivered += subscription.delivered(window.clone());
            for number in subscription.missing(window.clone()).take(NAMED_MAX - named) {
                let place = number - window.start;
                let gap = member.client.transport_gap();
                eprintln!(
                    "  client {receiver} misses packet {number} ({place} of the window) of publisher {publisher}; \
                     {gap} of its transport-wide numbers are missing"
                );
                named += 1;
            }
        }
    }
    Ok((delivered, expected))
}
