//! A client and a network that do anything, against what a receiver may say of it.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

/// An encoding as the client knows it.
struct Encoding {
    mid: &'static str,
    rid: Option<&'static str>,
    ssrc: u32,
    payload_type: u8,
    next: u64,
    repair_next: u64,
    /// What it can send again.
    sent: BTreeMap<u64, Sent>,
    told: BTreeSet<u64>,
    arrived: u64,
    first: Option<u64>,
    highest: u64,
}

/// A datagram on its way.
struct Flying {
    arrives: Instant,
    /// Which encoding's.
    index: usize,
    /// Extended number, if it is no retransmission.
    own: Option<u64>,
    /// Transport-wide; `None`: it is forged.
    number: Option<u16>,
    datagram: Vec<u8>,
}

struct Net {
    world: World,
    random: SmallRng,
    encodings: Vec<Encoding>,
    transport: u16,
    way: Vec<Flying>,
    /// When each transport-wide number arrived.
    arrivals: BTreeMap<u16, Instant>,
    feedback: usize,
    loss: f64,
}

impl Net {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let world = World::new(vec![audio("a", &[(10, None)]), video("v", &[(30, Some(31))]), video("s", &[])]);
        let encoding = |mid, rid, ssrc, payload_type, next| Encoding {
            mid,
            rid,
            ssrc,
            payload_type,
            next,
            repair_next: 65_400,
            sent: BTreeMap::new(),
            told: BTreeSet::new(),
            arrived: 0,
            first: None,
            highest: 0,
        };
        let start = random.random_range(64_900..65_300);
        let encodings = vec![
            encoding("a", None, 10, OPUS, start),
            encoding("v", None, 30, H264, start),
            encoding("s", Some("q"), 50, VP8, 1),
            encoding("s", Some("h"), 60, VP8, start),
        ];
        let transport = 65_000;
        Self { world, random, encodings, transport, way: Vec::new(), arrivals: BTreeMap::new(), feedback: 0, loss: 0.1 }
    }

    fn launch(&mut self, index: usize, sent: Sent, own: Option<u64>) {
        let number = self.transport;
        self.transport = number.wrapping_add(1);
        let sent = sent.transport(number);
        let datagram = self.world.seal(&sent);
        let copies = if self.random.random_bool(0.02) { 2 } else { 1 };
        for _ in 0..copies {
            if self.random.random_bool(self.loss) {
                continue;
            }
            // Mostly in order, at times far out of it.
            let delay = if self.random.random_bool(0.05) { self.random.random_range(0..60) } else { 20 };
            let arrives = self.world.now + ms(delay);
            self.way.push(Flying { arrives, index, own, number: Some(number), datagram: datagram.clone() });
        }
        if self.random.random_bool(0.05) {
            let mut forged = datagram;
            let place = self.random.random_range(0..forged.len());
            forged[place] ^= 1 << self.random.random_range(0..8);
            let arrives = self.world.now + ms(5);
            self.way.push(Flying { arrives, index, own: None, number: None, datagram: forged });
        }
    }

    fn send(&mut self, index: usize) {
        let body: Vec<u8> = (0..self.random.random_range(0..40)).map(|_| self.random.random()).collect();
        let padding = if self.random.random_bool(0.1) { 20 } else { 0 };
        let encoding = &mut self.encodings[index];
        let sequence = encoding.next;
        encoding.next += 1;
        let mut sent = Sent::new(encoding.ssrc, sequence, encoding.payload_type, &body).padding(padding);
        if let Some(rid) = encoding.rid {
            sent = sent.mid(encoding.mid).rid(rid);
        }
        encoding.sent.insert(sequence, sent.clone());
        self.launch(index, sent, Some(sequence));
    }

    fn answer(&mut self, ssrc: u32, number: u16) {
        let index = self.encodings.iter().position(|encoding| encoding.ssrc == ssrc).expect("only what exists");
        let encoding = &mut self.encodings[index];
        let (_, sent) = encoding
            .sent
            .iter()
            .rev()
            .find(|(sequence, _)| **sequence as u16 == number)
            .expect("only what was sent is asked for");
        assert!(encoding.payload_type != OPUS, "not negotiated");
        let mut again = sent.again(ssrc + 1, encoding.repair_next);
        again.extensions.clear();
        encoding.repair_next += 1;
        if let Some(rid) = encoding.rid {
            again = again.mid(encoding.mid).repaired_rid(rid);
        }
        self.launch(index, again, None);
    }

    fn arrive(&mut self) {
        self.way.sort_by_key(|flying| flying.arrives);
        while self.way.first().is_some_and(|flying| flying.arrives <= self.world.now) {
            let Flying { index, own, number, datagram, .. } = self.way.remove(0);
            let before = self.world.counters;
            let got = self.world.take(datagram);
            let opened = self.world.counters.packets > before.packets;
            let encoding = &mut self.encodings[index];
            assert!(number.is_some() || !opened, "forged");
            if let (true, Some(number)) = (opened, number) {
                self.arrivals.insert(number, self.world.now);
            }
            if let (true, Some(own)) = (opened, own) {
                encoding.arrived += 1;
                encoding.first.get_or_insert(own);
                encoding.highest = encoding.highest.max(own);
            }
            let Some(got) = got else { continue };
            assert_eq!((got.mid, got.rid), (mid(encoding.mid), encoding.rid.and_then(rid)));
            assert_eq!(got.source, encoding.ssrc);
            assert!(encoding.told.insert(got.sequence), "{} told twice", got.sequence);
            assert_eq!(got.payload, encoding.sent[&got.sequence].payload);
        }
    }

    fn poll(&mut self) {
        let mut asked = Vec::new();
        for compound in self.world.poll() {
            let Self { encodings, arrivals, feedback, .. } = self;
            assert!(read(&compound, |message| match message {
                Message::Nack { ssrc, pairs } => pairs.for_each(|number| asked.push((ssrc, number))),
                Message::Report { block, .. } => {
                    let Some(encoding) = encodings.iter().find(|encoding| encoding.ssrc == block.ssrc) else { return };
                    let expected = encoding.highest - encoding.first.expect("it came") + 1;
                    assert_eq!(u64::from(block.highest_sequence), encoding.highest);
                    assert_eq!(i64::from(block.cumulative_lost), expected as i64 - encoding.arrived as i64);
                }
                Message::TransportWide(message) => {
                    let mut last: Option<(i64, Instant)> = None;
                    assert!(message.for_each(|number, at| {
                        *feedback += 1;
                        assert_eq!(at.is_some(), arrivals.contains_key(&number), "{number}");
                        let Some(at) = at else { return };
                        let really = arrivals[&number];
                        if let Some((before, then)) = last.replace((at, really)) {
                            let difference = really.saturating_duration_since(then).as_micros() as i64
                                - then.saturating_duration_since(really).as_micros() as i64;
                            assert!((at - before - difference).abs() <= 250);
                        }
                    }));
                }
                message => panic!("{message:?}"),
            }));
        }
        for (ssrc, number) in asked {
            self.answer(ssrc, number);
        }
    }
}

#[test]
fn agrees_with_the_client_whatever_the_network_does() {
    for seed in 0..6 {
        let mut net = Net::new(seed);
        for step in 0..2_500 {
            // At the end all gaps are noticed, and what is on its way arrives.
            if step == 2_000 {
                net.loss = 0.0;
            }
            for index in 0..net.encodings.len() {
                if step < 2_400 && net.random.random_bool(0.4) {
                    net.send(index);
                }
            }
            net.world.pass(ms(net.random.random_range(1..4)));
            net.arrive();
            net.poll();
        }
        for encoding in &net.encodings {
            let first = encoding.first.expect("it came");
            let whole: BTreeSet<u64> = encoding
                .sent
                .range(first..)
                .filter(|(_, sent)| !sent.payload.is_empty())
                .map(|(key, _)| *key)
                .collect();
            assert!(whole.len() > 800);
            if encoding.payload_type == OPUS {
                assert!(encoding.told.len() > whole.len() * 85 / 100, "seed {seed}");
            } else {
                let lacks: Vec<_> = whole.difference(&encoding.told).collect();
                assert_eq!(lacks, Vec::<&u64>::new(), "seed {seed}, {} {:?}", encoding.mid, encoding.rid);
            }
        }
        assert!(net.world.counters.recovered > 100 && net.world.counters.forged > 50 && net.feedback > 3_000);
        assert_eq!(net.world.receiver.streams.len(), 4);
    }
}
