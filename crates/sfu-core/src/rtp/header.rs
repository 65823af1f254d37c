//! RTP fixed header and header extensions (RFC 3550 §5.1, RFC 8285).

use std::ops::Range;

/// One parsed header. All ranges lie within the packet that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub payload_type: u8,
    pub marker: bool,
    pub padding: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Bytes before the payload.
    pub length: usize,
    /// The extension elements, without the block's own header.
    extensions: Range<usize>,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    None,
    OneByte,
    TwoByte,
}

/// Longest extension block that we take: what real clients send has under 64 bytes, a large Dependency Descriptor under 200.
const EXTENSION_BYTES_MAX: usize = 320;
/// Extension elements looked at in one packet.
const ELEMENTS_MAX: usize = 24;

impl Header {
    /// `None` if the version is not 2, or the packet ends within its header or has an extension block beyond all measure.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; 12] = packet.first_chunk()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut length = 12 + 4 * usize::from(fixed[0] & 0x0f);
        let mut extensions = length..length;
        let mut form = Form::None;
        if fixed[0] & 0x10 != 0 {
            let block = packet.get(length..length + 4)?;
            let size = 4 * usize::from(u16::from_be_bytes([block[2], block[3]]));
            if size > EXTENSION_BYTES_MAX {
                return None;
            }
            form = match (block[0], block[1]) {
                (0xbe, 0xde) => Form::OneByte,
                (0x10, 0x00..=0x0f) => Form::TwoByte,
                _ => Form::None,
            };
            extensions = length + 4..length + 4 + size;
            length = extensions.end;
        }
        (packet.len() >= length).then(|| Self {
            payload_type: fixed[1] & 0x7f,
            marker: fixed[1] & 0x80 != 0,
            padding: fixed[0] & 0x20 != 0,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            length,
            extensions,
            form,
        })
    }

    /// The extension elements of the packet that the header was read from, as (id, value).
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Elements<'a> {
        let rest = packet.get(self.extensions.clone()).unwrap_or_default();
        Elements { rest: if self.form == Form::None { &[] } else { rest }, form: self.form, left: ELEMENTS_MAX }
    }

    /// Length of `payload` (what follows the header, decrypted) without its padding; `None` if the padding is longer
    /// than what there is, or says that it is empty (RFC 3550 §5.1).
    #[must_use]
    pub fn unpadded(&self, payload: &[u8]) -> Option<usize> {
        if !self.padding {
            return Some(payload.len());
        }
        let padding = usize::from(*payload.last()?);
        if padding == 0 { None } else { payload.len().checked_sub(padding) }
    }
}

/// See [`Header::extensions`].
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    rest: &'a [u8],
    form: Form,
    left: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&first, rest) = self.rest.split_first()?;
            if first == 0 {
                self.rest = rest;
                continue;
            }
            self.left = self.left.checked_sub(1)?;
            let (id, length, rest) = match self.form {
                Form::OneByte if first >> 4 == 15 => return self.end(),
                Form::OneByte => (first >> 4, usize::from(first & 0x0f) + 1, rest),
                _ => {
                    let (&length, rest) = rest.split_first()?;
                    (first, usize::from(length), rest)
                }
            };
            let Some((value, rest)) = rest.split_at_checked(length) else { return self.end() };
            self.rest = rest;
            return Some((id, value));
        }
    }
}

impl Elements<'_> {
    fn end<T>(&mut self) -> Option<T> {
        self.rest = &[];
        None
    }
}

/// Writes one header. Elements may be added until [`HeaderWriter::finish`].
#[derive(Debug)]
pub struct HeaderWriter<'a> {
    out: &'a mut [u8],
    length: usize,
}

/// What every header has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

/// Bytes before the first element: fixed header and the extension block's own.
const BEFORE_ELEMENTS: usize = 16;

impl<'a> HeaderWriter<'a> {
    /// # Panics
    /// If `out` is shorter than the header gets; 12 + 4 bytes and what is added.
    pub fn new(out: &'a mut [u8], fixed: Fixed) -> Self {
        out[0] = 0x80;
        out[1] = fixed.payload_type & 0x7f | u8::from(fixed.marker) << 7;
        out[2..4].copy_from_slice(&fixed.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&fixed.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&fixed.ssrc.to_be_bytes());
        Self { out, length: BEFORE_ELEMENTS }
    }

    /// Adds an element in the one-byte form. Ids outside 1–14 and values not of 1–16 bytes have no place in it and are left out.
    pub fn extension(&mut self, id: u8, value: &[u8]) -> &mut Self {
        if (1..=14).contains(&id) && (1..=16).contains(&value.len()) {
            self.out[self.length] = id << 4 | (value.len() as u8 - 1);
            self.out[self.length + 1..self.length + 1 + value.len()].copy_from_slice(value);
            self.length += 1 + value.len();
        }
        self
    }

    /// The header's length.
    pub fn finish(self) -> usize {
        if self.length == BEFORE_ELEMENTS {
            return 12;
        }
        let end = self.length.next_multiple_of(4);
        self.out[self.length..end].fill(0);
        self.out[0] |= 0x10;
        self.out[12..14].copy_from_slice(&[0xbe, 0xde]);
        let words = ((end - BEFORE_ELEMENTS) / 4) as u16;
        self.out[14..16].copy_from_slice(&words.to_be_bytes());
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: Fixed = Fixed { payload_type: 96, marker: true, sequence: 0xfffe, timestamp: 7, ssrc: 0xdead_beef };

    #[test]
    fn what_is_written_is_read() {
        let mut packet = [0; 100];
        let mut writer = HeaderWriter::new(&mut packet, FIXED);
        writer.extension(3, &[1, 2]).extension(4, b"mid").extension(15, b"no").extension(0, b"no").extension(5, &[]);
        let length = writer.finish();
        let header = Header::parse(&packet[..length + 5]).expect("whole");
        assert_eq!((header.length, header.sequence, header.ssrc, header.marker), (length, 0xfffe, 0xdead_beef, true));
        let elements: Vec<_> = header.extensions(&packet).collect();
        assert_eq!(elements, [(3, &[1, 2][..]), (4, b"mid")]);
        let bare = HeaderWriter::new(&mut packet, FIXED).finish();
        assert_eq!((bare, Header::parse(&packet).expect("whole").length), (12, 12));
    }

    #[test]
    fn two_byte_form_and_csrcs() {
        let mut packet = vec![0x92, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9, 8, 8, 8, 8, 0x10, 0x00, 0, 2];
        packet.extend([20, 3, 1, 2, 3, 0, 7, 0, 0xff]);
        let header = Header::parse(&packet).expect("whole");
        assert_eq!(header.length, 32);
        let elements: Vec<_> = header.extensions(&packet).collect();
        assert_eq!(elements, [(20, &[1, 2, 3][..]), (7, &[])]);
    }

    #[test]
    fn cut_short_or_beyond_measure_is_none() {
        let mut packet = [0; 100];
        let mut writer = HeaderWriter::new(&mut packet, FIXED);
        writer.extension(3, &[1; 16]);
        let length = writer.finish();
        for cut in 0..length {
            assert_eq!(Header::parse(&packet[..cut]), None, "{cut}");
        }
        packet[15] = 200;
        assert_eq!(Header::parse(&[packet.as_slice(), &[0; 900]].concat()), None);
        packet[0] = 0x50;
        assert_eq!(Header::parse(&packet), None, "version 1");
    }

    #[test]
    fn lying_elements_end_the_list() {
        let packet = [0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x10, 5, 0x2f, 1];
        let header = Header::parse(&packet).expect("whole");
        assert_eq!(header.extensions(&packet).collect::<Vec<_>>(), [(1, &[5][..])]);
    }

    /// CVE-2025-49140: padding longer than the payload, or of length zero.
    #[test]
    fn padding_that_lies() {
        let mut packet = [0; 20];
        HeaderWriter::new(&mut packet, FIXED).finish();
        packet[0] |= 0x20;
        let header = Header::parse(&packet).expect("whole");
        assert_eq!(header.unpadded(&[1, 2, 3, 2]), Some(2));
        assert_eq!(header.unpadded(&[3, 3, 3]), Some(0));
        for bad in [&[][..], &[1, 0], &[5, 6, 9]] {
            assert_eq!(header.unpadded(bad), None, "{bad:?}");
        }
    }
}
