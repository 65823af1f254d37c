//! The payload under the descriptor: who sent it, where to, what it is, and a hash over all of it.

use crate::random::{Random, hash, mix};

const MAGIC: [u8; 4] = *b"CNRY";
const HEADER: usize = 4 + 4 + 4 + 4 + 1 + 1 + 4 + 1 + 1 + 1 + 1 + 8;
/// Hash at the end.
const TRAILER: usize = 8;

/// The facts in one packet's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    pub conference: u32,
    /// Index of the sending client in the world.
    pub publisher: u32,
    /// How many peer connections that client had made: frame numbers begin anew with each.
    pub life: u32,
    /// Ordinal of the published source within the client.
    pub source: u8,
    pub layer: u8,
    pub frame: u32,
    /// Which packet of the frame, of how many.
    pub index: u8,
    pub count: u8,
    pub keyframe: bool,
    /// Temporal layer.
    pub tid: u8,
    /// Virtual time of capture in µs.
    pub captured_us: u64,
}

impl Canary {
    /// Where frame numbers count: one layer of one source in one life of a client.
    pub fn origin(&self) -> (u32, u32, u8, u8) {
        (self.publisher, self.life, self.source, self.layer)
    }

    /// The bytes, padded to `size` with noise that looks as encrypted as any.
    pub fn write(&self, size: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(MAGIC);
        out.extend(self.conference.to_be_bytes());
        out.extend(self.publisher.to_be_bytes());
        out.extend(self.life.to_be_bytes());
        out.extend([self.source, self.layer]);
        out.extend(self.frame.to_be_bytes());
        out.extend([self.index, self.count, u8::from(self.keyframe), self.tid]);
        out.extend(self.captured_us.to_be_bytes());
        debug_assert_eq!(out.len() - start, HEADER);
        let noise = out.len();
        out.resize(start + size.max(HEADER + TRAILER) - TRAILER, 0);
        let key = [self.publisher, u32::from(self.layer), self.frame, u32::from(self.index)].map(u64::from);
        Random::stream(mix(0, &key), &[]).fill(&mut out[noise..]);
        let sum = hash(&out[start..]);
        out.extend(sum.to_be_bytes());
    }

    /// `None` if anything at all was changed.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<TRAILER>()?;
        if hash(body).to_be_bytes() != *sum {
            return None;
        }
        let mut rest = body.strip_prefix(&MAGIC)?;
        let mut u32 = || {
            let (head, tail) = rest.split_first_chunk()?;
            rest = tail;
            Some(u32::from_be_bytes(*head))
        };
        let (conference, publisher, life) = (u32()?, u32()?, u32()?);
        let [source, layer, f0, f1, f2, f3, index, count, keyframe, tid, rest @ ..] = rest else { return None };
        let frame = u32::from_be_bytes([*f0, *f1, *f2, *f3]);
        let captured_us = u64::from_be_bytes(*rest.first_chunk()?);
        Some(Self {
            conference,
            publisher,
            life,
            source: *source,
            layer: *layer,
            frame,
            index: *index,
            count: *count,
            keyframe: *keyframe != 0,
            tid: *tid,
            captured_us,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_noticed() {
        let canary = Canary {
            conference: 1,
            publisher: 2,
            life: 3,
            source: 4,
            layer: 5,
            frame: 6,
            index: 7,
            count: 8,
            keyframe: true,
            tid: 1,
            captured_us: 9,
        };
        let mut bytes = Vec::new();
        canary.write(100, &mut bytes);
        assert_eq!(bytes.len(), 100);
        assert_eq!(Canary::read(&bytes), Some(canary));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert_eq!(Canary::read(&changed), None, "byte {at}");
        }
        assert_eq!(Canary::read(&bytes[..99]), None);
    }
}
