//! Sockets: media over UDP ([`udp`], [`addresses`]), and the page, the API and signalling over HTTP ([`http`]).

pub(crate) mod addresses;
pub(crate) mod udp;

pub(crate) mod error;
mod frames;
pub(crate) mod http;
pub(crate) mod origin;
pub(crate) mod routes;
pub(crate) mod sources;
pub(crate) mod tls;
pub(crate) mod ws;
