//! What became of datagrams.

use crate::srtp::OpenError;

/// Cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiveCounters {
    /// Authentic ones, and their bytes with all headers.
    pub packets: u64,
    pub bytes: u64,
    /// Handed on from a retransmission.
    pub recovered: u64,
    /// Not RTP, or with padding that lies.
    pub malformed: u64,
    /// Failed authentication.
    pub forged: u64,
    /// Opened before, or too late.
    pub replayed: u64,
    /// Of an SSRC that another one replaced, or that came when there were too many.
    pub retired: u64,
    /// Of no m-line that sends.
    pub unassigned: u64,
    /// Of a payload type that was not negotiated for its m-line.
    pub unknown_payload: u64,
    pub oversized: u64,
    /// Handed on before: sent again although it had come, or twice.
    pub duplicates: u64,
    /// Without payload.
    pub padding: u64,
    /// Packets asked for again, each time.
    pub nacked: u64,
    /// PLIs written.
    pub keyframe_requests: u64,
}

impl ReceiveCounters {
    pub(super) fn refuse(&mut self, error: OpenError) {
        *match error {
            OpenError::Short => &mut self.malformed,
            OpenError::Forged => &mut self.forged,
            OpenError::Replayed => &mut self.replayed,
            OpenError::TooManySources => &mut self.retired,
        } += 1;
    }
}
