use std::net::SocketAddr;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::batch::Batch;

/// In how many sends a batch sends datagrams of these lengths; checks that they arrive in order.
fn sends(lengths: &[u16]) -> usize {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut batch = Batch::default();
    for &length in lengths {
        batch.append(address, address, |_| length.into());
    }
    let (mut sends, mut seen) = (0, Vec::new());
    while let Some(send) = batch.pop() {
        sends += 1;
        seen.extend(send.datagrams().map(|datagram| datagram.len() as u16));
    }
    assert_eq!(seen, lengths);
    sends
}

fn check(lengths: &[u16], pad_max: u8) -> (usize, Vec<u16>) {
    let mut padded = vec![7];
    let count = equalise(lengths, pad_max, &mut padded);
    assert_eq!(padded.len(), lengths.len());
    let longest = lengths.iter().max().copied().unwrap_or_default();
    for (&length, &padded) in lengths.iter().zip(&padded) {
        assert!(length <= padded && padded <= longest && padded - length <= pad_max.into());
    }
    assert_eq!(sends(&padded), count, "{lengths:?} became {padded:?}");
    let without = sends(lengths);
    assert!(count < without || padded == lengths, "{lengths:?}: padding without use");
    (count, padded)
}

#[test]
fn a_frame_whose_later_packets_are_a_byte_larger_is_one_send() {
    let frame = [1099, 1099, 1099, 1100, 1100, 1100, 1100, 1100];
    assert_eq!(check(&frame, 16), (1, vec![1100; 8]));
    assert_eq!(check(&frame, 0), (2, frame.to_vec()));
    // The last packet of a key frame, and audio after a frame, stay short.
    assert_eq!(check(&[1099, 1100, 300], 16), (1, vec![1100, 1100, 300]));
    assert_eq!(check(&[1099, 1100, 300, 80], 16).0, 2);
    assert_eq!(check(&[], 16), (0, vec![]));
    assert_eq!(check(&[80], 255), (1, vec![80]));
}

/// Against all ways to pad, for all short sequences of some lengths.
#[test]
fn no_padding_needs_fewer_sends() {
    const LENGTHS: [u16; 5] = [10, 11, 12, 14, 40];
    for count in 0..=5u32 {
        for number in 0..LENGTHS.len().pow(count) {
            let lengths: Vec<_> = (0..count).map(|i| LENGTHS[number / LENGTHS.len().pow(i) % LENGTHS.len()]).collect();
            for pad_max in [0, 1, 3] {
                let (found, _) = check(&lengths, pad_max);
                let ways = usize::from(pad_max) + 1;
                let best = (0..ways.pow(count)).map(|way| {
                    let pads = (0..count).map(|i| (way / ways.pow(i) % ways) as u16);
                    let padded: Vec<_> = lengths.iter().zip(pads).map(|(length, pad)| length + pad).collect();
                    sends(&padded)
                });
                assert_eq!(best.min(), Some(found), "{lengths:?} by {pad_max}");
            }
        }
    }
}

#[test]
fn long_flushes_keep_to_the_limits_of_a_send() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for _ in 0..2000 {
        let spread = [1, 3, 20, 500][random.random_range(0..4)];
        let base = random.random_range(1..1000);
        let lengths: Vec<_> =
            (0..random.random_range(0..200)).map(|_| base + random.random_range(0..=spread)).collect();
        check(&lengths, [1, 16, 255][random.random_range(0..3)]);
    }
}
