//! An engine with two connected clients in one conference and one in another, and any sequence of commands, datagrams,
//! media, relayed messages and time.
//!
//! Everything that is random comes from fixed seeds, and DTLS is the test kit's stand-in, so an input always does the
//! same. A panic that the engine would contain ends the run all the same.

#![no_main]

mod client;
mod offer;
mod operation;
mod world;

use libfuzzer_sys::fuzz_target;

use crate::{operation::Input, world::World};

fuzz_target!(|input: Input| {
    let mut world = World::new();
    input.beginning.operations().into_iter().for_each(|operation| world.perform(operation));
    world.begin(&input.beginning);
    input.operations.into_iter().take(64).for_each(|operation| world.perform(operation));
    world.end();
});
