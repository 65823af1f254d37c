//! The server: all IO of the focus, and nothing else. It performs what the sans-IO machines ask for
//! (`sfu_core` for media, `focus_control` for sessions, `focus_signaling` for sockets) and decides nothing about a call.
//!
//! Start with [`node::Node`].

pub mod cli;
pub mod config;
pub mod node;
mod state;
mod control;
mod worker;
mod net;
mod web;
mod auth;
mod metrics;
mod telemetry;
mod notify;
mod random;
