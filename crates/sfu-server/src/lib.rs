//! The server: all IO of the focus, and nothing else. It performs what the sans-IO machines ask for
//! (`sfu_core` for media, `focus_control` for sessions, `focus_signaling` for sockets) and decides nothing about a call.
//!
//! Start with [`node::Node`].

mod auth;
pub mod cli;
pub mod config;
mod control;
mod matrix;
mod metrics;
mod net;
pub mod node;
mod notify;
mod random;
mod state;
mod store;
mod telemetry;
mod web;
mod worker;
