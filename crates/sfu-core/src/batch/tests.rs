use super::*;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn drain(batch: &mut Batch) -> Vec<(u16, Vec<usize>)> {
    let mut sends = Vec::new();
    while let Some(send) = batch.pop() {
        sends.push((send.destination.port(), send.datagrams().map(<[u8]>::len).collect()));
    }
    sends
}

#[test]
fn equal_sizes_share_a_send_and_a_shorter_one_ends_it() {
    let mut batch = Batch::default();
    for (port, length) in [(1, 100), (1, 100), (1, 60), (1, 100), (2, 100), (2, 101), (2, 0)] {
        batch.push(address(9), address(port), &vec![0; length]);
    }
    assert_eq!(drain(&mut batch), [(1, vec![100, 100, 60]), (1, vec![100]), (2, vec![100]), (2, vec![101])]);
    assert!(!batch.is_ready());
    batch.push(address(9), address(2), &[0; 50]);
    assert_eq!(drain(&mut batch), [(2, vec![50])], "not added to a send that is gone");
    batch.clear();
    for _ in 0..SEGMENTS_MAX + 1 {
        batch.push(address(9), address(1), &[0; 10]);
    }
    assert_eq!(drain(&mut batch).len(), 2);
    batch.clear();
    for _ in 0..BYTES_MAX / 1200 + 1 {
        batch.push(address(9), address(1), &[0; 1200]);
    }
    assert_eq!(drain(&mut batch).len(), 2);
}

#[test]
fn one_send_has_one_source() {
    let mut batch = Batch::default();
    for source in [9, 9, 8] {
        batch.push(address(source), address(1), &[0; 10]);
    }
    assert_eq!(drain(&mut batch).len(), 2);
}

#[test]
fn what_is_written_in_place_is_sent_like_what_is_copied() {
    let mut batch = Batch::default();
    for round in 0..3 {
        for i in 0..40u8 {
            let length = if i % 8 == 7 { 60 } else { 1100 };
            if i % 2 == 0 {
                batch.push(address(9), address(1), &vec![i; length]);
            } else {
                batch.append(address(9), address(1), |room| {
                    assert_eq!(room.len(), DATAGRAM_MAX);
                    room.fill(0xff);
                    room[..length].fill(i);
                    length
                });
            }
            batch.append(address(9), address(2), |_| 0);
        }
        let mut got = Vec::new();
        while let Some(send) = batch.pop() {
            assert!(send.datagrams().count() <= 8, "round {round}");
            got.extend(send.datagrams().map(<[u8]>::to_vec));
        }
        let expected: Vec<_> = (0..40u8).map(|i| vec![i; if i % 8 == 7 { 60 } else { 1100 }]).collect();
        assert_eq!(got, expected, "round {round}");
        batch.clear();
    }
}

#[test]
fn memory_is_reused_but_not_kept_without_bound() {
    let mut batch = Batch::default();
    let mut capacities = Vec::new();
    for _ in 0..4 {
        while !batch.is_full() {
            batch.append(address(9), address(1), |_| 1000);
        }
        capacities.push((batch.buffer.as_ptr(), batch.buffer.capacity(), batch.sends.capacity()));
        batch.clear();
        assert!(!batch.is_full() && !batch.is_ready());
    }
    assert!(capacities.iter().all(|c| *c == capacities[0]), "{capacities:?}");
    batch.push(address(9), address(1), &vec![0; 3 * KEPT_MAX]);
    batch.clear();
    assert_eq!(batch.buffer.capacity(), KEPT_MAX);
}
