//! Peers that mean harm, or whose software is broken. In each story the others' call goes on undisturbed.

mod datagrams;
mod media;
mod signalling;

use std::time::Duration;

use sfu_testkit::random::Random;
use sfu_testkit::{ClientSetup, World};

/// A call of two, and a third participant who is about to misbehave.
fn call_with(w: &mut World, third: ClientSetup) -> ([usize; 2], usize) {
    let [a, b] = ["alice", "bob"].map(|name| w.join(ClientSetup::caller(name)));
    let m = w.join(third);
    w.until_all_get_all(&[a, b, m]);
    w.run_secs(1);
    w.reset_counts();
    ([a, b], m)
}

fn assert_call_goes_on(w: &mut World, call: [usize; 2]) {
    w.run_secs(1);
    w.assert_undisturbed(&call, &call, Duration::from_millis(200));
    assert_eq!(w.clients[call[0]].view.errors, []);
}

/// A stream for what the story itself draws.
fn random(w: &World) -> Random {
    Random::stream(w.seed, &[0x5707])
}

fn noise(random: &mut Random, first: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length.max(1)];
    random.fill(&mut bytes);
    bytes[0] = first;
    bytes
}
