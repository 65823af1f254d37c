//! A bad network, decided by the world's seed.
//!
//! Every direction between two nodes is a link. A decision about a packet is drawn from the seed and from what the
//! packet is: its link, its class, when it is sent, its size and its RTP timestamp. So no other packet shifts it, and
//! neither does what str0m keeps random for itself: SSRCs, credentials, and the order of its maps, which shows as the
//! order in which packets leave at one instant. Packets of one class that leave at one instant share their jitter, for
//! the same reason.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::random::{hash, mix, unit};

/// Someone with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    Focus(usize),
    Client(usize),
}

impl Node {
    fn key(self) -> u64 {
        match self {
            Self::Focus(index) => index as u64,
            Self::Client(index) => (1 << 32) | index as u64,
        }
    }
}

/// How one direction of a link behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    pub delay: Duration,
    /// Further delay, uniform in 0..jitter. Does not reorder.
    pub jitter: Duration,
    /// Shares of packets, 0.0–1.0.
    pub loss: f64,
    pub duplicate: f64,
    /// Overtaken by those behind them: held back by up to `reorder_by`.
    pub reorder: f64,
    pub reorder_by: Duration,
    /// In bits per second. Beyond it packets queue for up to `queue`, then are lost.
    pub bandwidth: Option<u64>,
    pub queue: Duration,
}

impl Default for Path {
    /// A good home connection.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(15),
            jitter: Duration::from_millis(2),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(15),
            bandwidth: None,
            queue: Duration::from_millis(200),
        }
    }
}

impl Path {
    pub fn lossy(loss: f64) -> Self {
        Self { loss, ..Self::default() }
    }
}

/// What the links have done to packets so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub sent: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub overflowed: u64,
    pub blacked_out: u64,
}

#[derive(Debug)]
pub struct Network {
    seed: u64,
    default: Path,
    paths: BTreeMap<(Node, Node), Path>,
    /// Nodes that nothing reaches and that reach nothing, until then.
    outages: BTreeMap<Node, Duration>,
    links: BTreeMap<(Node, Node), Link>,
    pub tally: Tally,
}

#[derive(Debug, Default)]
struct Link {
    /// When the last packet in order arrives.
    last_arrival: Duration,
    /// When the last bit leaves.
    busy_until: Duration,
    tally: Tally,
    /// Packets at this instant that look alike.
    alike: (Duration, BTreeMap<u64, u64>),
}

impl Link {
    /// How many like it were sent at this instant before.
    fn count_alike(&mut self, now: Duration, key: u64) -> u64 {
        if self.alike.0 != now {
            self.alike = (now, BTreeMap::new());
        }
        let count = self.alike.1.entry(key).or_default();
        *count += 1;
        *count
    }
}

/// RFC 7983 §7, and RFC 5761 §4 for RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    Other,
}

impl Class {
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0..=3, ..] => Self::Stun,
            [20..=63, ..] => Self::Dtls,
            [128..=191, 192..=223, ..] => Self::Rtcp,
            [128..=191, ..] => Self::Rtp,
            _ => Self::Other,
        }
    }
}

impl Network {
    pub fn new(seed: u64, default: Path) -> Self {
        Self {
            seed,
            default,
            paths: BTreeMap::new(),
            outages: BTreeMap::new(),
            links: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Sets one direction.
    pub fn set_path(&mut self, from: Node, to: Node, path: Path) {
        self.paths.insert((from, to), path);
    }

    pub fn set_default(&mut self, path: Path) {
        self.default = path;
    }

    /// Cuts a node off until `until`.
    pub fn set_outage(&mut self, node: Node, until: Duration) {
        self.outages.insert(node, until);
    }

    /// What one direction did to packets so far.
    pub fn tally_of(&self, from: Node, to: Node) -> Tally {
        self.links.get(&(from, to)).map_or_else(Tally::default, |link| link.tally)
    }

    /// When the copies of a packet that is sent now arrive: none, one or two times.
    pub fn send(&mut self, now: Duration, from: Node, to: Node, bytes: &[u8]) -> Vec<Duration> {
        self.tally.sent += 1;
        let path = self.paths.get(&(from, to)).unwrap_or(&self.default);
        let link = self.links.entry((from, to)).or_default();
        link.tally.sent += 1;
        let class = Class::of(bytes);
        let instant = mix(self.seed, &[from.key(), to.key(), class as u64, now.as_nanos() as u64]);
        let timestamp = if class == Class::Rtp { bytes.get(4..8).map_or(0, hash) } else { 0 };
        let packet = mix(instant, &[bytes.len() as u64, timestamp]);
        let packet = mix(packet, &[link.count_alike(now, packet)]);
        let jitter = unit(mix(instant, &[1]));
        let [loss, duplicate, reorder, by] = [1, 2, 3, 4].map(|decision| unit(mix(packet, &[decision])));

        if [from, to].iter().any(|node| self.outages.get(node).is_some_and(|until| now < *until)) {
            self.tally.blacked_out += 1;
            link.tally.blacked_out += 1;
            return Vec::new();
        }
        if loss < path.loss {
            self.tally.lost += 1;
            link.tally.lost += 1;
            return Vec::new();
        }
        let mut leaves = now;
        if let Some(bandwidth) = path.bandwidth {
            let starts = link.busy_until.max(now);
            if starts - now > path.queue {
                self.tally.overflowed += 1;
                link.tally.overflowed += 1;
                return Vec::new();
            }
            // 28 bytes of IPv4 and UDP header.
            leaves = starts + Duration::from_secs_f64((bytes.len() + 28) as f64 * 8.0 / bandwidth as f64);
            link.busy_until = leaves;
        }
        let mut arrives = leaves + path.delay + path.jitter.mul_f64(jitter);
        if reorder < path.reorder {
            self.tally.reordered += 1;
            link.tally.reordered += 1;
            arrives += path.reorder_by.mul_f64(by);
        } else {
            arrives = arrives.max(link.last_arrival);
            link.last_arrival = arrives;
        }
        let mut arrivals = vec![arrives];
        if duplicate < path.duplicate {
            self.tally.duplicated += 1;
            link.tally.duplicated += 1;
            arrivals.push(arrives + path.reorder_by.mul_f64(by));
        }
        arrivals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTP: [u8; 100] = [128; 100];
    const A: Node = Node::Client(0);
    const B: Node = Node::Focus(0);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn run(network: &mut Network, count: u64) -> Vec<Vec<Duration>> {
        (0..count).map(|n| network.send(ms(n), A, B, &RTP)).collect()
    }

    #[test]
    fn loss_is_as_large_as_asked_for() {
        let mut network = Network::new(1, Path::lossy(0.05));
        run(&mut network, 10_000);
        assert!((400..600).contains(&network.tally.lost), "{:?}", network.tally);
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let sorted = |arrivals: &[Vec<Duration>]| arrivals.concat().is_sorted();
        let jitter = Path { jitter: ms(50), ..Path::default() };
        assert!(sorted(&run(&mut Network::new(1, jitter.clone()), 1000)));
        assert!(!sorted(&run(&mut Network::new(1, Path { reorder: 0.1, ..jitter }), 1000)));
    }

    #[test]
    fn other_packets_shift_no_decision() {
        let path = Path { loss: 0.2, jitter: ms(3), duplicate: 0.1, ..Path::default() };
        let alone = run(&mut Network::new(1, path.clone()), 500);
        let mut busy = Network::new(1, path);
        let among_others: Vec<_> = (0..500)
            .map(|n| {
                busy.send(ms(n), B, A, &RTP);
                busy.send(ms(n), Node::Client(1), B, &RTP);
                busy.send(ms(n), A, B, &RTP)
            })
            .collect();
        assert_eq!(alone, among_others);
    }

    #[test]
    fn bandwidth_delays_then_drops() {
        // 100 packets of 128 bytes at once over 128 kbit/s: 8 ms each, 200 ms of queue.
        let path = Path { bandwidth: Some(128_000), jitter: ms(0), ..Path::default() };
        let mut network = Network::new(1, path);
        let arrived: Vec<_> = (0..100).flat_map(|_| network.send(ms(0), A, B, &RTP)).collect();
        assert_eq!(arrived.len(), 26);
        assert_eq!(arrived[25], ms(26 * 8 + 15));
        assert_eq!(network.tally.overflowed, 74);
    }

    #[test]
    fn an_outage_ends() {
        let mut network = Network::new(1, Path::default());
        network.set_outage(A, ms(10));
        assert_eq!(run(&mut network, 20).concat().len(), 10);
    }
}
