//! RTP headers (RFC 3550 §5.1) with one-byte extensions (RFC 8285 §4.2).

/// Ids of the header extensions that this client uses, as negotiated. 0: not negotiated.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtensionIds {
    pub mid: u8,
    pub transport_sequence: u8,
    pub audio_level: u8,
}

/// A packet to be written.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub transport_sequence: Option<u16>,
    pub mid: Option<&'a str>,
    pub audio_level: Option<u8>,
}

impl Header<'_> {
    /// Appends the header; answers its length.
    pub fn write(&self, ids: ExtensionIds, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&[0x90, self.payload_type | u8::from(self.marker) << 7]);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&[0xbe, 0xde, 0, 0]);
        let extensions = out.len();
        let mut push = |id: u8, value: &[u8]| {
            if id != 0 {
                out.push(id << 4 | (value.len() as u8 - 1));
                out.extend_from_slice(value);
            }
        };
        if let Some(sequence) = self.transport_sequence {
            push(ids.transport_sequence, &sequence.to_be_bytes());
        }
        if let Some(mid) = self.mid {
            push(ids.mid, mid.as_bytes());
        }
        if let Some(level) = self.audio_level {
            push(ids.audio_level, &[level]);
        }
        while !(out.len() - extensions).is_multiple_of(4) {
            out.push(0);
        }
        let words = ((out.len() - extensions) / 4) as u16;
        out[extensions - 2..extensions].copy_from_slice(&words.to_be_bytes());
        out.len() - start
    }
}

/// What a receiver reads of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    pub length: usize,
    pub sequence: u16,
    pub ssrc: u32,
    pub transport_sequence: Option<u16>,
}

/// Reads a header; `None` if it is none.
pub fn parse(packet: &[u8], ids: ExtensionIds) -> Option<Parsed> {
    let fixed: &[u8; 12] = packet.first_chunk()?;
    if fixed[0] >> 6 != 2 {
        return None;
    }
    let sequence = u16::from_be_bytes([fixed[2], fixed[3]]);
    let ssrc = u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
    let mut length = 12 + 4 * usize::from(fixed[0] & 0xf);
    let mut transport_sequence = None;
    if fixed[0] & 0x10 != 0 {
        let head: &[u8; 4] = packet.get(length..)?.first_chunk()?;
        let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let values = packet.get(length + 4..length + 4 + 4 * words)?;
        if head[..2] == [0xbe, 0xde] {
            transport_sequence = find_u16(values, ids.transport_sequence);
        }
        length += 4 + 4 * words;
    }
    Some(Parsed { length, sequence, ssrc, transport_sequence })
}

fn find_u16(mut values: &[u8], wanted: u8) -> Option<u16> {
    while let [first, rest @ ..] = values {
        if *first == 0 {
            values = rest;
            continue;
        }
        let length = usize::from(first & 0xf) + 1;
        let (value, after) = rest.split_at_checked(length)?;
        if first >> 4 == wanted {
            return Some(u16::from_be_bytes(*value.first_chunk()?));
        }
        values = after;
    }
    None
}

/// Extends 16-bit sequence numbers over their wraps (RFC 3711 §3.3.1).
#[derive(Debug, Clone, Copy, Default)]
pub struct Extender {
    highest: Option<u64>,
}

impl Extender {
    pub fn extend(&mut self, sequence: u16) -> u64 {
        let Some(highest) = self.highest else {
            self.highest = Some(u64::from(sequence));
            return u64::from(sequence);
        };
        // The distance as a signed number: at most half the space either way.
        let distance = i64::from(sequence.wrapping_sub(highest as u16) as i16);
        let extended = highest.saturating_add_signed(distance);
        self.highest = Some(highest.max(extended));
        extended
    }

    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let ids = ExtensionIds { mid: 4, transport_sequence: 3, audio_level: 1 };
        let header = Header {
            payload_type: 96,
            marker: true,
            sequence: 0xfffe,
            timestamp: 7,
            ssrc: 0x0102_0304,
            transport_sequence: Some(0xabcd),
            mid: Some("12"),
            audio_level: Some(20),
        };
        let mut out = vec![9; 3];
        let length = header.write(ids, &mut out);
        assert_eq!(length % 4, 0);
        out.extend_from_slice(b"payload");
        let parsed = parse(&out[3..], ids).expect("an RTP packet");
        assert_eq!(parsed, Parsed { length, sequence: 0xfffe, ssrc: 0x0102_0304, transport_sequence: Some(0xabcd) });
        assert_eq!(parse(&out[3..3 + length - 1], ids), None, "cut within the extensions");
        assert_eq!(parse(b"\x00\x01", ids), None);
    }

    #[test]
    fn sequences_extend_over_wraps_and_reordering() {
        let mut extender = Extender::default();
        let extended: Vec<u64> = [65_534, 65_535, 1, 0, 65_533, 2].map(|s| extender.extend(s)).to_vec();
        assert_eq!(extended, [65_534, 65_535, 65_537, 65_536, 65_533, 65_538]);
        assert_eq!(extender.highest(), Some(65_538));
    }
}
