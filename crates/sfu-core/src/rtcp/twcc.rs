//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

/// Packets covered by one feedback message beyond which the rest is not read: 65 535 would fit in 20 bytes.
const STATUSES_MAX: u16 = 4096;
/// Reference time and deltas count in these.
const REFERENCE_US: i64 = 64_000;
const DELTA_US: i64 = 250;

/// One message, after the two SSRCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback<'a> {
    pub base_sequence: u16,
    pub count: u16,
    /// In units of 64 ms, 24 bits with sign.
    pub reference: i32,
    /// Counts messages.
    pub number: u8,
    chunks: &'a [u8],
}

impl<'a> Feedback<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Option<Self> {
        let header: &[u8; 8] = body.first_chunk()?;
        Some(Self {
            base_sequence: u16::from_be_bytes([header[0], header[1]]),
            count: u16::from_be_bytes([header[2], header[3]]),
            reference: i32::from_be_bytes([header[4], header[5], header[6], 0]) >> 8,
            number: header[7],
            chunks: &body[8..],
        })
    }

    /// Calls `each` with every sequence number and, if that packet arrived, when: microseconds on the receiver's own
    /// clock. Answers whether the message was well formed; what came before a fault was told.
    pub fn for_each(&self, mut each: impl FnMut(u16, Option<i64>)) -> bool {
        let Some(deltas_at) = self.deltas_at() else { return false };
        let mut deltas = self.chunks[deltas_at..].iter();
        let mut at = i64::from(self.reference) * REFERENCE_US;
        let mut left = self.count.min(STATUSES_MAX);
        let mut sequence = self.base_sequence;
        for chunk in self.chunks[..deltas_at].chunks_exact(2).map(|chunk| u16::from_be_bytes([chunk[0], chunk[1]])) {
            for place in 0..chunk_length(chunk).min(usize::from(left)) {
                let delta = match symbol(chunk, place) {
                    0 | 3 => None,
                    1 => Some(deltas.next().map(|byte| i64::from(*byte))),
                    _ => Some(
                        deltas
                            .next()
                            .zip(deltas.next())
                            .map(|(high, low)| i64::from(i16::from_be_bytes([*high, *low]))),
                    ),
                };
                match delta {
                    None => each(sequence, None),
                    Some(None) => return false,
                    Some(Some(delta)) => {
                        at += delta * DELTA_US;
                        each(sequence, Some(at));
                    }
                }
                sequence = sequence.wrapping_add(1);
                left -= 1;
            }
        }
        true
    }

    /// Where the deltas begin: behind the chunks that cover all packets.
    fn deltas_at(&self) -> Option<usize> {
        let mut covered = 0usize;
        let mut at = 0;
        while covered < usize::from(self.count) {
            covered += chunk_length(self.chunk(at)?);
            at += 2;
        }
        Some(at)
    }

    fn chunk(&self, at: usize) -> Option<u16> {
        self.chunks.get(at..at + 2).map(|chunk| u16::from_be_bytes([chunk[0], chunk[1]]))
    }
}

/// Status of the packet at `place` in a chunk: 0 lost, 1 small delta, 2 large or negative delta.
fn symbol(chunk: u16, place: usize) -> u8 {
    match chunk >> 14 {
        0 | 1 => (chunk >> 13 & 3) as u8,
        2 => (chunk >> (13 - place) & 1) as u8,
        _ => (chunk >> (12 - 2 * place) & 3) as u8,
    }
}

/// Packets that a chunk covers: a run length, 14 one-bit symbols, or 7 two-bit ones.
fn chunk_length(chunk: u16) -> usize {
    match chunk >> 14 {
        0 | 1 => usize::from(chunk & 0x1fff),
        2 => 14,
        _ => 7,
    }
}

/// Makes feedback messages from arrivals.
#[derive(Debug, Default)]
pub struct Writer {
    number: u8,
}

/// Packets in one message: at most 2 bytes of delta each and 7 to a chunk of 2, it stays under 1000 bytes.
pub const FEEDBACK_PACKETS_MAX: usize = 400;

impl Writer {
    /// The body of one message over `statuses`: from `base` on, when each packet arrived (microseconds on our clock), or
    /// `None` if it did not. Answers how many of them it covers: fewer if there are too many, or if two arrivals are
    /// further apart than a delta can say (8 s). `None` if none arrived.
    pub fn write(&mut self, base: u16, statuses: &[Option<i64>], body: &mut Vec<u8>) -> Option<usize> {
        let first = statuses.iter().take(FEEDBACK_PACKETS_MAX).flatten().next()?;
        let reference = first.div_euclid(REFERENCE_US);
        let mut last = reference * REFERENCE_US;
        let mut deltas = [None; FEEDBACK_PACKETS_MAX];
        let mut covered = 0;
        for (status, place) in statuses.iter().zip(&mut deltas) {
            if let Some(at) = status {
                let Ok(delta) = i16::try_from((at - last).div_euclid(DELTA_US)) else { break };
                // What rounding leaves over goes into the next one.
                last += i64::from(delta) * DELTA_US;
                *place = Some(delta);
            }
            covered += 1;
        }
        let deltas = &deltas[..covered];
        body.clear();
        body.extend(base.to_be_bytes());
        body.extend((deltas.len() as u16).to_be_bytes());
        body.extend(&(reference as i32).to_be_bytes()[1..]);
        body.push(self.number);
        self.number = self.number.wrapping_add(1);
        for chunk in deltas.chunks(7) {
            let mut bits = 0b11 << 14;
            for (place, delta) in chunk.iter().enumerate() {
                bits |= status_of(*delta) << (12 - 2 * place);
            }
            body.extend((bits as u16).to_be_bytes());
        }
        for delta in deltas.iter().flatten() {
            match u8::try_from(*delta) {
                Ok(small) => body.push(small),
                Err(_) => body.extend(delta.to_be_bytes()),
            }
        }
        Some(deltas.len())
    }
}

fn status_of(delta: Option<i16>) -> u32 {
    match delta {
        None => 0,
        Some(0..=255) => 1,
        Some(_) => 2,
    }
}
