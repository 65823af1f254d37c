use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::*;

fn udp(poll: &Poll, address: &str) -> Udp {
    let socket = bind(address.parse().expect("address"), false).expect("bound");
    Udp::new(socket, poll.registry(), Token(0)).expect("registered")
}

/// Receives until there are `count` datagrams.
fn receive(poll: &mut Poll, udp: &mut Udp, count: usize) -> Vec<(SocketAddr, Option<IpAddr>, Vec<u8>)> {
    let (mut got, mut buffers, mut counters) = (Vec::new(), ReceiveBuffers::default(), UdpCounters::default());
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut events = Events::with_capacity(8);
    while got.len() < count {
        assert!(Instant::now() < deadline, "only {} of {count} came", got.len());
        udp.receive(&mut buffers, &mut counters, |r| got.push((r.source, r.destination, r.contents.to_vec())));
        if !udp.readable {
            poll.poll(&mut events, Some(Duration::from_secs(10))).expect("polled");
            udp.readable = true;
        }
    }
    got
}

fn check_batch(from: &str, to: &str) {
    let mut poll = Poll::new().expect("poll");
    let mut sender = udp(&poll, from);
    let mut receiver = udp(&poll, to);
    let ip: IpAddr = if receiver.local().is_ipv4() { "127.0.0.1" } else { "::1" }.parse().expect("ip");
    let destination = SocketAddr::new(ip, receiver.local().port());
    // More segments than one GSO send holds, the last one shorter.
    let contents: Vec<u8> = (0..100 * 1000 + 7).map(|i| (i / 1000) as u8).collect();
    let mut counters = UdpCounters::default();
    let transmit = Transmit {
        source: SocketAddr::new(ip, sender.local().port()),
        destination,
        segment_size: 1000,
        contents: &contents,
    };
    sender.send(&transmit, &mut counters);
    let got = receive(&mut poll, &mut receiver, 101);
    for (i, (source, to, datagram)) in got.iter().enumerate() {
        assert_eq!((source.ip(), source.port(), *to), (ip, sender.local().port(), Some(ip)));
        assert_eq!(*datagram, vec![i as u8; if i == 100 { 7 } else { 1000 }]);
    }
    // A lone one, which takes the shorter way where it can.
    sender.send(&Transmit { contents: &contents[..80], ..transmit }, &mut counters);
    let lone = receive(&mut poll, &mut receiver, 1);
    assert_eq!(lone, [(SocketAddr::new(ip, sender.local().port()), Some(ip), vec![0; 80])]);
    assert_eq!(counters, UdpCounters::default());
}

#[test]
fn a_batch_arrives_as_single_datagrams_with_their_addresses() {
    check_batch("127.0.0.1:0", "127.0.0.1:0");
    // Sockets on all addresses say which one was meant, and answer from the one that they are told.
    check_batch("0.0.0.0:0", "0.0.0.0:0");
}

#[test]
fn the_same_over_ipv6_where_there_is_any() {
    if bind("[::1]:0".parse().expect("address"), false).is_ok() {
        check_batch("[::]:0", "[::]:0");
    }
}

#[test]
fn what_the_kernel_would_refuse_is_not_tried() {
    let poll = Poll::new().expect("poll");
    let mut sender = udp(&poll, "0.0.0.0:0");
    let mut counters = UdpCounters::default();
    let [source, destination] = ["127.0.0.1:1", "127.0.0.1:0"].map(|a| a.parse().expect("address"));
    sender.send(&Transmit { source, destination, segment_size: 2, contents: &[0; 3] }, &mut counters);
    assert_eq!(counters, UdpCounters { dropped_unsendable: 2, ..UdpCounters::default() });
    assert!(sender.state.max_gso_segments() > 1 || cfg!(not(target_os = "linux")), "segmentation is still on");
}

#[test]
fn a_full_kernel_delays_and_a_full_queue_drops() {
    let mut poll = Poll::new().expect("poll");
    let mut sender = udp(&poll, "127.0.0.1:0");
    let mut receiver = udp(&poll, "127.0.0.1:0");
    let mut counters = UdpCounters::default();
    let kept = vec![7u8; 2000];
    sender.keep(receiver.local().ip(), receiver.local(), 1000, &kept, &mut counters);
    // Whatever follows goes behind it.
    let transmit =
        Transmit { source: sender.local(), destination: receiver.local(), segment_size: 10, contents: &[8; 20] };
    sender.send(&transmit, &mut counters);
    assert_eq!(sender.pending.len(), 2);
    let full = vec![9u8; PENDING_BYTES_MAX];
    sender.send(&Transmit { segment_size: 1024, contents: &full, ..transmit }, &mut counters);
    assert_eq!(counters.dropped_full, (PENDING_BYTES_MAX / 1024) as u64);
    sender.flush(&mut counters);
    assert_eq!((sender.pending.len(), sender.pending_bytes), (0, 0));
    let lengths: Vec<usize> = receive(&mut poll, &mut receiver, 4).iter().map(|(_, _, d)| d.len()).collect();
    assert_eq!(lengths, [1000, 1000, 10, 10]);
}

#[test]
fn a_port_is_shared_only_on_purpose() {
    let first = bind("127.0.0.1:0".parse().expect("address"), true).expect("bound");
    let address = first.local_addr().expect("address").as_socket().expect("inet");
    bind(address, true).expect("a worker's socket");
    assert_eq!(bind(address, false).map(|_| ()).map_err(|e| e.kind()), Err(ErrorKind::AddrInUse));
    let (receive, send, _) = kernel_buffers(&first).expect("readable");
    assert!(receive > 0 && send > 0);
}
