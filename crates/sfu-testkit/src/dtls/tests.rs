use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsInstance, DtlsOutput, DtlsVersion};

use super::insecure_provider;
use crate::random::Random;

#[derive(Default, Debug, PartialEq, Eq)]
struct Seen {
    connected: usize,
    certificates: Vec<Vec<u8>>,
    keys: Vec<Vec<u8>>,
    data: Vec<Vec<u8>>,
    closed: usize,
}

struct End {
    dtls: Box<dyn DtlsInstance>,
    certificate: Vec<u8>,
    seen: Seen,
}

impl End {
    fn new(seed: u64, active: bool, now: Instant) -> Self {
        let provider = insecure_provider(seed).dtls_provider;
        let certificate = provider.generate_certificate().expect("it makes certificates");
        let mut dtls = provider.new_dtls(&certificate, now, DtlsVersion::Auto, None).expect("it makes instances");
        dtls.set_active(active);
        Self { dtls, certificate: certificate.certificate, seen: Seen::default() }
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut buf = [0; 2000];
        loop {
            match self.dtls.poll_output(&mut buf) {
                DtlsOutput::Packet(bytes) => packets.push(bytes.to_vec()),
                DtlsOutput::Connected => self.seen.connected += 1,
                DtlsOutput::PeerCert(bytes) => self.seen.certificates.push(bytes.to_vec()),
                DtlsOutput::KeyingMaterial(keys, _) => self.seen.keys.push(keys.to_vec()),
                DtlsOutput::ApplicationData(bytes) => self.seen.data.push(bytes.to_vec()),
                DtlsOutput::CloseNotify => self.seen.closed += 1,
                _ => return packets,
            }
        }
    }
}

/// Runs both ends for ten seconds over a link that loses and duplicates `bad` of all packets.
fn exchange(client: &mut End, server: &mut End, start: Instant, random: &mut Random, bad: f64) {
    for step in 0..1000 {
        let now = start + Duration::from_millis(10) * step;
        for forth in [true, false] {
            let (from, to) = if forth { (&mut *client, &mut *server) } else { (&mut *server, &mut *client) };
            from.dtls.handle_timeout(now).expect("timeout");
            for packet in from.drain() {
                let copies = usize::from(random.unit() >= bad) + usize::from(random.unit() < bad);
                for _ in 0..copies {
                    to.dtls.handle_packet(&packet).expect("packet");
                }
            }
        }
    }
    client.drain();
    server.drain();
}

#[test]
fn both_ends_get_the_same_keys_however_bad_the_link() {
    let now = Instant::now();
    for seed in 0..50 {
        let (mut client, mut server) = (End::new(seed, true, now), End::new(seed + 1000, false, now));
        exchange(&mut client, &mut server, now, &mut Random::stream(seed, &[]), 0.3);
        assert_eq!((client.seen.connected, server.seen.connected), (1, 1), "seed {seed}");
        assert_eq!(client.seen.keys, server.seen.keys);
        assert_eq!(client.seen.keys[0].len(), 56);
        assert_eq!(client.seen.certificates, [server.certificate.clone()]);
        assert_eq!(server.seen.certificates, [client.certificate.clone()]);
    }
}

#[test]
fn data_comes_once_and_unchanged_or_not_at_all() {
    let now = Instant::now();
    let (mut client, mut server) = (End::new(1, true, now), End::new(2, false, now));
    let mut random = Random::stream(3, &[]);
    assert_eq!(client.dtls.send_application_data(b"early").expect("not an error"), 0);
    exchange(&mut client, &mut server, now, &mut random, 0.0);
    for n in 0..3u8 {
        assert_eq!(client.dtls.send_application_data(&[n; 9]).expect("sent"), 9);
    }
    let packets = client.drain();
    for (index, packet) in packets.iter().enumerate() {
        let mut changed = packet.clone();
        changed[20 + index] ^= 1;
        server.dtls.handle_packet(&changed).expect("dropped, not an error");
        server.dtls.handle_packet(packet).expect("taken");
        server.dtls.handle_packet(packet).expect("dropped, not an error");
    }
    server.drain();
    assert_eq!(server.seen.data, [vec![0; 9], vec![1; 9], vec![2; 9]]);
}

#[test]
fn close_is_heard_once() {
    let now = Instant::now();
    let (mut client, mut server) = (End::new(1, true, now), End::new(2, false, now));
    exchange(&mut client, &mut server, now, &mut Random::stream(3, &[]), 0.0);
    server.dtls.close().expect("closed");
    for packet in server.drain() {
        client.dtls.handle_packet(&packet).expect("taken");
        client.dtls.handle_packet(&packet).expect("taken");
    }
    client.drain();
    assert_eq!(client.seen.closed, 1);
    assert!(client.dtls.is_closed() && server.dtls.is_closed());
}

#[test]
fn one_seed_gives_one_handshake() {
    let now = Instant::now();
    let run = |seed| {
        let (mut client, mut server) = (End::new(seed, true, now), End::new(seed + 1, false, now));
        exchange(&mut client, &mut server, now, &mut Random::stream(9, &[]), 0.1);
        client.seen
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).keys, run(7).keys);
}
