//! Datagrams on their way out, gathered so that one system call sends many (UDP GSO: equal sizes, the last may be shorter).

mod equalise;

use std::net::SocketAddr;
use std::ops::Range;

pub use equalise::equalise;

use crate::io::Transmit;

/// Linux takes at most 64 segments, and 64 KiB with headers, in one send.
const SEGMENTS_MAX: usize = 64;
const BYTES_MAX: usize = 60_000;
/// Room that [`Batch::append`] gives for one datagram: an Ethernet frame's worth, and some for what is cut off later.
pub const DATAGRAM_MAX: usize = 1600;
/// From here on a batch wants to be sent. About what a second-level cache holds beside the rest, so that the kernel
/// reads what is still warm.
const FULL: usize = 256 * 1024;
/// Memory that an emptied batch keeps. A burst of signalling may need more, once.
const KEPT_MAX: usize = 1024 * 1024;

/// A queue of sends over one reused buffer.
#[derive(Debug, Default)]
pub struct Batch {
    /// Its whole length is in use as room, so that nothing is zeroed per datagram; what counts is before `filled`.
    buffer: Vec<u8>,
    filled: usize,
    sends: Vec<Send>,
    next: usize,
}

#[derive(Debug)]
struct Send {
    source: SocketAddr,
    destination: SocketAddr,
    segment_size: usize,
    range: Range<usize>,
}

impl Batch {
    /// Queues a datagram that `write` puts straight into the buffer: it gets [`DATAGRAM_MAX`] bytes, with anything in
    /// them, and says how many it has written. With 0 nothing is queued.
    pub fn append(&mut self, source: SocketAddr, destination: SocketAddr, write: impl FnOnce(&mut [u8]) -> usize) {
        let length = write(self.room(DATAGRAM_MAX));
        debug_assert!(length <= DATAGRAM_MAX);
        self.queue(source, destination, length.min(DATAGRAM_MAX));
    }

    /// Queues a datagram that exists already, of any length.
    pub fn push(&mut self, source: SocketAddr, destination: SocketAddr, datagram: &[u8]) {
        self.room(datagram.len()).copy_from_slice(datagram);
        self.queue(source, destination, datagram.len());
    }

    /// Something is queued.
    pub fn is_ready(&self) -> bool {
        self.next < self.sends.len()
    }

    /// So much is queued that it had better be sent before there is more.
    pub fn is_full(&self) -> bool {
        self.filled >= FULL
    }

    /// Empties the buffer, once all are taken. It keeps its memory.
    pub fn clear(&mut self) {
        if self.buffer.len() > KEPT_MAX {
            self.buffer.truncate(KEPT_MAX);
            self.buffer.shrink_to_fit();
        }
        self.filled = 0;
        self.sends.clear();
        self.next = 0;
    }

    /// The next send.
    pub fn pop(&mut self) -> Option<Transmit<'_>> {
        let send = self.sends.get(self.next)?;
        self.next += 1;
        Some(Transmit {
            source: send.source,
            destination: send.destination,
            segment_size: send.segment_size,
            contents: &self.buffer[send.range.clone()],
        })
    }

    /// The next `length` bytes of the buffer.
    fn room(&mut self, length: usize) -> &mut [u8] {
        let end = self.filled + length;
        if self.buffer.len() < end {
            // Doubled, so that it soon has the size of the largest flush and stays there.
            self.buffer.resize(end.next_power_of_two(), 0);
        }
        &mut self.buffer[self.filled..end]
    }

    /// What lies in the room is a datagram: part of the last send if it fits, else a send of its own.
    fn queue(&mut self, source: SocketAddr, destination: SocketAddr, length: usize) {
        if length == 0 {
            return;
        }
        let range = self.filled..self.filled + length;
        self.filled = range.end;
        // A send that was taken already takes nothing more.
        if self.next < self.sends.len()
            && let Some(last) = self.sends.last_mut()
            && last.takes(source, destination, length)
        {
            last.range.end = range.end;
            return;
        }
        self.sends.push(Send { source, destination, segment_size: length, range });
    }
}

impl Send {
    fn takes(&self, source: SocketAddr, destination: SocketAddr, length: usize) -> bool {
        let bytes = self.range.len();
        self.destination == destination
            && self.source == source
            && length <= self.segment_size
            && bytes.is_multiple_of(self.segment_size)
            && bytes / self.segment_size < SEGMENTS_MAX
            && bytes + length <= BYTES_MAX
    }
}

#[cfg(test)]
mod tests;
