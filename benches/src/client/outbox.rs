//! Datagrams on their way out, end to end in one buffer that is used again: the load must not cost more than the server.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    buffer: Vec<u8>,
    datagrams: Vec<(SocketAddr, Range<usize>)>,
    /// Where the next datagrams go.
    pub destination: SocketAddr,
}

impl Default for Outbox {
    fn default() -> Self {
        let destination = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self { buffer: Vec::new(), datagrams: Vec::new(), destination }
    }
}

impl Outbox {
    /// Where the next datagram begins. It is written to [`Outbox::buffer`] and closed with [`Outbox::end`].
    pub fn begin(&self) -> usize {
        self.buffer.len()
    }

    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub fn end(&mut self, start: usize) {
        self.datagrams.push((self.destination, start..self.buffer.len()));
    }

    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.datagrams.iter().map(|(destination, range)| (*destination, &self.buffer[range.clone()]))
    }

    pub fn clear(&mut self) {
        self.buffer.clear();
        self.datagrams.clear();
    }
}
