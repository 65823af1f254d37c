//! RTP and RTCP from the client.

use std::time::{Duration, Instant};

use super::{MediaHalf, NACKS_MAX};
use crate::receive::{ReceiveCounters, Received};
use crate::rtcp::read::{Message, read};
use crate::stats::Counters;

/// Key-frame requests that one compound packet may make.
const ASKS_MAX: usize = 32;
/// Transport-wide feedback messages that are read of one datagram: each tells of up to 4096 packets in 20 bytes.
const FEEDBACK_MAX: usize = 4;
/// A smoothed round-trip time follows the measured one by this share (RFC 6298 §2: 1/8).
const RTT_SHARE: u32 = 8;

impl MediaHalf {
    /// An RTP datagram, in memory that may be changed.
    pub fn handle_rtp<'a>(
        &mut self,
        now: Instant,
        datagram: &'a mut [u8],
        counters: &mut ReceiveCounters,
    ) -> Option<Received<'a>> {
        let srtp = self.srtp.as_mut()?;
        self.receiver.handle_rtp(now, &mut srtp.inbound, datagram, counters)
    }

    /// An RTCP datagram, in memory that may be changed. `true`: it was authentic.
    pub fn handle_rtcp(&mut self, now: Instant, datagram: &mut [u8], counters: &mut Counters) -> bool {
        let Some(srtp) = &mut self.srtp else {
            counters.datagrams_refused += 1;
            return false;
        };
        let Ok(length) = srtp.inbound.open_rtcp(datagram) else {
            counters.datagrams_refused += 1;
            return false;
        };
        // The least of all blocks: each rounds, and one that waited in a queue says nothing of the path. In whatever order
        // they stand, the result is the same.
        let mut rtt: Option<Duration> = None;
        let mut feedback = 0;
        let whole = read(&datagram[..length], |message| {
            if matches!(message, Message::TransportWide(_)) {
                feedback += 1;
                if feedback > FEEDBACK_MAX {
                    return;
                }
            }
            if let Some(measured) = self.handle_message(now, message, counters) {
                rtt = Some(rtt.map_or(measured, |least| least.min(measured)));
            }
        });
        if let Some(rtt) = rtt {
            self.rtt = Some(self.rtt.map_or(rtt, |old| (old * (RTT_SHARE - 1) + rtt) / RTT_SHARE));
        }
        if !whole {
            counters.rtcp_malformed += 1;
        }
        true
    }

    /// Answers a round-trip time, if the message tells one.
    fn handle_message(&mut self, now: Instant, message: Message<'_>, counters: &mut Counters) -> Option<Duration> {
        match message {
            Message::SenderReport { ssrc, info } => self.receiver.handle_sender_report(now, ssrc, info),
            Message::Goodbye { ssrc } => self.receiver.handle_goodbye(ssrc),
            Message::Report { block, .. } => {
                let sender = self.by_ssrc.get(&block.ssrc).and_then(|key| self.senders.get_mut(usize::from(*key)));
                // RTX has no reports of its own.
                let sender = sender.filter(|sender| sender.line.ssrc == block.ssrc);
                return sender.and_then(|sender| sender.handle_report(now, &block));
            }
            Message::Nack { ssrc, pairs } => {
                let key = self.by_ssrc.get(&ssrc).copied()?;
                // RTX itself is not sent again.
                self.senders.get(usize::from(key)).filter(|sender| sender.line.ssrc == ssrc)?;
                pairs.for_each(|sequence| {
                    counters.nacks_received += 1;
                    if self.nacks.len() < NACKS_MAX {
                        self.nacks.push((key, sequence));
                    }
                });
            }
            Message::Pli { ssrc } | Message::Fir { ssrc, .. } => {
                let sender = self.by_ssrc.get(&ssrc).and_then(|key| self.senders.get(usize::from(*key)));
                if let Some(sender) = sender
                    && self.keyframe_asks.len() < ASKS_MAX
                {
                    self.keyframe_asks.push(sender.line.mid);
                }
            }
            Message::Remb { bitrate } => {
                self.told_remb = true;
                if let Some(congestion) = &mut self.congestion {
                    congestion.handle_remb(now, bitrate);
                }
            }
            Message::TransportWide(feedback) => {
                if let Some(congestion) = &mut self.congestion
                    && !congestion.handle_feedback(now, &feedback)
                {
                    counters.rtcp_malformed += 1;
                }
            }
        }
        None
    }
}
