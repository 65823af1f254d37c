//! The RTCP that a browser would send and read: sender and receiver reports (RFC 3550 §6.4), key-frame requests
//! (RFC 4585 §6.3.1, RFC 5104 §4.3.1), transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const PLI: u8 = 1;
const FIR: u8 = 4;
const TRANSPORT_CC: u8 = 15;
/// The report count has 5 bits.
pub const REPORTS_MAX: usize = 31;
/// Packets that one feedback describes at most; a longer gap than this is no gap but a new start.
const FEEDBACK_SPAN_MAX: u64 = 2000;

/// One block of a receiver report.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    pub ssrc: u32,
    pub highest: u64,
    /// Middle 32 bits of the last sender report's NTP time, and the time since, in 1/65536 s.
    pub last_report: u32,
    pub delay: u32,
}

/// Appends a receiver report; more than [`REPORTS_MAX`] blocks are cut off.
pub fn write_receiver_report(sender: u32, blocks: &[Block], out: &mut Vec<u8>) {
    let blocks = &blocks[..blocks.len().min(REPORTS_MAX)];
    out.extend_from_slice(&[0x80 | blocks.len() as u8, RECEIVER_REPORT]);
    out.extend_from_slice(&(1 + 6 * blocks.len() as u16).to_be_bytes());
    out.extend_from_slice(&sender.to_be_bytes());
    for block in blocks {
        // Nothing lost (a run that loses is no run), no jitter.
        for word in [block.ssrc, 0, block.highest as u32, 0, block.last_report, block.delay] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
}

/// Appends a sender report without blocks. `ntp`: 32.32 fixed point seconds.
pub fn write_sender_report(ssrc: u32, ntp: u64, timestamp: u32, packets: u32, bytes: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x80, SENDER_REPORT, 0, 6]);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&ntp.to_be_bytes());
    for word in [timestamp, packets, bytes] {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

/// Appends transport-wide feedback. `arrivals`: extended sequence numbers with arrival in µs, ascending, not empty.
/// Answers how many were taken in; the caller keeps the rest for the next one.
pub fn write_feedback(sender: u32, media: u32, count: u8, arrivals: &[(u64, u64)], out: &mut Vec<u8>) -> usize {
    let Some(&(base, first_arrival)) = arrivals.first() else { return 0 };
    let taken = arrivals.iter().take_while(|(sequence, _)| sequence - base < FEEDBACK_SPAN_MAX).count();
    let last = arrivals[taken - 1].0;
    let reference = first_arrival / 64_000;
    let start = out.len();
    out.extend_from_slice(&[0x80 | TRANSPORT_CC, TRANSPORT_FEEDBACK, 0, 0]);
    out.extend_from_slice(&sender.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
    out.extend_from_slice(&(base as u16).to_be_bytes());
    out.extend_from_slice(&((last - base + 1) as u16).to_be_bytes());
    out.extend_from_slice(&((reference as u32 & 0xff_ffff) << 8 | u32::from(count)).to_be_bytes());
    // Symbols: 0 not received, 1 a delta of 8 bits, 2 one of 16 bits. Seven of two bits each in a status vector chunk.
    let mut deltas = Vec::with_capacity(taken);
    let mut clock = reference * 256;
    let mut symbols = vec![0u8; (last - base + 1) as usize];
    for (sequence, arrival) in &arrivals[..taken] {
        let ticks = arrival / 250;
        let delta = ticks as i64 - clock as i64;
        symbols[(sequence - base) as usize] = if (0..256).contains(&delta) { 1 } else { 2 };
        deltas.push(delta.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16);
        clock = ticks;
    }
    for chunk in symbols.chunks(7) {
        let bits = (0..7).fold(0, |bits, i| bits << 2 | u16::from(chunk.get(i).copied().unwrap_or(0)));
        out.extend_from_slice(&(0xc000 | bits).to_be_bytes());
    }
    let kinds = symbols.iter().filter(|symbol| **symbol != 0);
    for (delta, kind) in deltas.iter().zip(kinds) {
        match kind {
            1 => out.push(*delta as u8),
            _ => out.extend_from_slice(&delta.to_be_bytes()),
        }
    }
    while !(out.len() - start).is_multiple_of(4) {
        out.push(0);
    }
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    taken
}

/// What matters of an incoming compound packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    KeyframeRequest { ssrc: u32 },
    SenderReport { ssrc: u32, ntp_middle: u32 },
    Feedback,
    Other,
}

/// Reads a compound packet; ends where it stops making sense.
pub fn parse(mut packet: &[u8]) -> Vec<Incoming> {
    let mut found = Vec::new();
    while let Some(&[first, kind, a, b]) = packet.first_chunk() {
        let length = 4 + 4 * usize::from(u16::from_be_bytes([a, b]));
        let Some((this, rest)) = packet.split_at_checked(length) else { break };
        packet = rest;
        let word = |at: usize| Some(u32::from_be_bytes(*this.get(at..)?.first_chunk()?));
        let one = match (kind, first & 0x1f) {
            (PAYLOAD_FEEDBACK, PLI) => word(8).map(|ssrc| Incoming::KeyframeRequest { ssrc }),
            (PAYLOAD_FEEDBACK, FIR) => word(12).map(|ssrc| Incoming::KeyframeRequest { ssrc }),
            (SENDER_REPORT, _) => word(4).zip(word(8)).zip(word(12)).map(|((ssrc, seconds), fraction)| {
                Incoming::SenderReport { ssrc, ntp_middle: seconds << 16 | fraction >> 16 }
            }),
            (TRANSPORT_FEEDBACK, TRANSPORT_CC) => Some(Incoming::Feedback),
            _ => Some(Incoming::Other),
        };
        found.extend(one);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_and_requests_are_read() {
        let mut out = Vec::new();
        write_sender_report(7, 0x1111_2222_3333_4444, 1, 2, 3, &mut out);
        out.extend_from_slice(&[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9]);
        write_receiver_report(1, &[Block { ssrc: 2, highest: 3, last_report: 0, delay: 0 }], &mut out);
        out.extend_from_slice(&[0x80, 200, 0xff, 0xff]);
        let expected = [
            Incoming::SenderReport { ssrc: 7, ntp_middle: 0x2222_3333 },
            Incoming::KeyframeRequest { ssrc: 9 },
            Incoming::Other,
        ];
        assert_eq!(parse(&out), expected);
    }

    #[test]
    fn feedback_has_one_symbol_for_each_number_and_one_delta_for_each_arrival() {
        // 10 and 11 in 1 ms, 12 lost, 13 after 100 ms (a large delta), reference time 64 ms.
        let arrivals = [(10, 64_000), (11, 65_000), (13, 165_000)];
        let mut out = Vec::new();
        assert_eq!(write_feedback(1, 2, 5, &arrivals, &mut out), 3);
        assert_eq!(out.len() % 4, 0);
        assert_eq!(out[12..16], [0, 10, 0, 4]);
        assert_eq!(out[16..20], [0, 0, 1, 5]);
        assert_eq!(out[20..22], (0xc000u16 | 0b01_01_00_10 << 6).to_be_bytes());
        assert_eq!(out[22..26], [0, 4, 1, 144]);
        let far = [(10, 0), (10 + FEEDBACK_SPAN_MAX, 1)];
        assert_eq!(write_feedback(1, 2, 5, &far, &mut out), 1);
    }
}
