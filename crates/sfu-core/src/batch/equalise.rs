//! Which datagrams to pad so that more of them share a send.
//!
//! libwebrtc splits a frame into packets whose sizes differ by a byte, the larger ones last; so does every SFU that
//! forwards them. UDP GSO takes equal sizes only, so each step up in size would begin a new send. A few bytes of RTP
//! padding (RFC 3550 §5.1: 1–255 bytes, the last one says how many) cost less than a system call.

use super::{BYTES_MAX, SEGMENTS_MAX};

/// Decides how long each of the datagrams for one destination becomes, in their order: as it is, or up to `pad_max`
/// longer, never longer than the longest. Puts that into `padded` and tells in how many sends a
/// [`Batch`](super::Batch) then sends them, which is the least that such padding allows.
///
/// Where padding would not save a send there is none. The last of a send stays as short as it is, so audio comes last.
pub fn equalise(lengths: &[u16], pad_max: u8, padded: &mut Vec<u16>) -> usize {
    padded.clear();
    let (with, without) = (count(lengths, pad_max), count(lengths, 0));
    if with == without {
        padded.extend_from_slice(lengths);
        return without;
    }
    for (run, size) in (Runs { rest: lengths, pad_max }) {
        let Some((last, others)) = run.split_last() else { continue };
        padded.extend(others.iter().map(|_| size));
        padded.push(*last);
    }
    with
}

fn count(lengths: &[u16], pad_max: u8) -> usize {
    Runs { rest: lengths, pad_max }.count()
}

/// Splits lengths into sends, each as long as it can be. Any part of a possible send is a possible send too, so no other
/// split has fewer.
struct Runs<'a> {
    rest: &'a [u16],
    pad_max: u8,
}

impl<'a> Iterator for Runs<'a> {
    /// The lengths of one send, and to what all but the last of them must be padded.
    type Item = (&'a [u16], u16);

    fn next(&mut self) -> Option<Self::Item> {
        let first = *self.rest.first()?;
        let (mut shortest, mut longest) = (first, first);
        let mut taken = 1;
        while let Some(&length) = self.rest.get(taken)
            && taken < SEGMENTS_MAX
        {
            // What was taken gets this size; the one that is added may be shorter, if it remains the last.
            let size = longest.max(length);
            let bytes = taken * usize::from(size) + usize::from(length);
            if size - shortest > u16::from(self.pad_max) || bytes > BYTES_MAX {
                break;
            }
            taken += 1;
            (shortest, longest) = (shortest.min(length), size);
        }
        let (run, rest) = self.rest.split_at(taken);
        self.rest = rest;
        Some((run, longest))
    }
}

#[cfg(test)]
mod tests;
