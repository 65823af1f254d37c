//! Datagrams on their way out, gathered so that one system call sends many (UDP GSO: equal sizes, the last may be shorter).

use std::net::SocketAddr;
use std::ops::Range;

use crate::io::Transmit;

/// Linux takes at most 64 segments, and 64 KiB with headers, in one send.
const SEGMENTS_MAX: usize = 64;
const BYTES_MAX: usize = 60_000;

/// A queue of sends over one reused buffer.
#[derive(Debug, Default)]
pub struct Batch {
    buffer: Vec<u8>,
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
    pub fn push(&mut self, source: SocketAddr, destination: SocketAddr, datagram: &[u8]) {
        if datagram.is_empty() {
            return;
        }
        let start = self.buffer.len();
        self.buffer.extend_from_slice(datagram);
        let end = self.buffer.len();
        // A send that was taken already takes nothing more.
        if self.next < self.sends.len()
            && let Some(last) = self.sends.last_mut()
        {
            let length = last.range.len();
            let fits = last.source == source
                && last.destination == destination
                && last.range.end == start
                && datagram.len() <= last.segment_size
                && length % last.segment_size == 0
                && length / last.segment_size < SEGMENTS_MAX
                && length + datagram.len() <= BYTES_MAX;
            if fits {
                last.range.end = end;
                return;
            }
        }
        self.sends.push(Send { source, destination, segment_size: datagram.len(), range: start..end });
    }

    /// Something is queued.
    pub fn is_ready(&self) -> bool {
        self.next < self.sends.len()
    }

    /// Empties the buffer, once all are taken. It keeps its memory.
    pub fn clear(&mut self) {
        self.buffer.clear();
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(batch: &mut Batch) -> Vec<(u16, Vec<usize>)> {
        let mut sends = Vec::new();
        while let Some(send) = batch.pop() {
            sends.push((send.destination.port(), send.datagrams().map(<[u8]>::len).collect()));
        }
        sends
    }

    #[test]
    fn equal_sizes_share_a_send_and_a_shorter_one_ends_it() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
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
    }
}
