//! RTCP (RFC 3550 §6, RFC 4585, RFC 5104, RFC 8888's predecessor for transport-wide feedback). Reading yields what a focus
//! acts on and skips the rest; writing makes compound packets that fit one datagram.

pub mod read;
pub mod twcc;
pub mod write;

/// Packet types.
pub(crate) mod kind {
    pub(crate) const SENDER_REPORT: u8 = 200;
    pub(crate) const RECEIVER_REPORT: u8 = 201;
    pub(crate) const SOURCE_DESCRIPTION: u8 = 202;
    pub(crate) const GOODBYE: u8 = 203;
    pub(crate) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(crate) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// Feedback message types within their packet type.
pub(crate) mod format {
    pub(crate) const NACK: u8 = 1;
    pub(crate) const TRANSPORT_WIDE: u8 = 15;
    pub(crate) const PLI: u8 = 1;
    pub(crate) const FIR: u8 = 4;
    pub(crate) const APPLICATION: u8 = 15;
}

/// One block of a sender or receiver report (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source that is reported on.
    pub ssrc: u32,
    /// Share lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost in all; may be negative with duplicates. 24 bits.
    pub cumulative_lost: i32,
    /// Extended highest sequence number received.
    pub highest_sequence: u32,
    /// Interarrival jitter, in RTP clock ticks.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0 for none.
    pub last_sender_report: u32,
    /// Since it came, in 1/65536 s.
    pub delay_since_last: u32,
}

/// The sender's part of a sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// NTP timestamp, 32.32 fixed point.
    pub ntp: u64,
    pub rtp_timestamp: u32,
    pub packets: u32,
    pub bytes: u32,
}

#[cfg(test)]
mod tests;
