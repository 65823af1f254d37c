//! A simulated world for tests: foci and clients in virtual time over a bad network, with checkers that are always on.
//!
//! Nothing here runs in production. Start with [`World`]: a story adds clients, lets time pass, breaks things, and asserts
//! what a user would notice; [`checkers`] hold what must be true in every story.

pub mod checkers;
pub mod client;
pub mod dtls;
pub mod focus;
pub mod media;
pub mod network;
pub mod random;
pub mod trace;
pub mod world;

pub use client::{ClientSetup, Publish, Wants};
pub use focus::FocusSetup;
pub use network::{Node, Path};
pub use world::{Setup, World};
