//! The media half of a lean client: what it takes down of each packet, and what it reports.

use std::time::{Duration, Instant};

use super::outbox::Outbox;
use super::{Client, rtcp, rtp, srtp};
use crate::payload::Payload;

/// Transport-wide feedback goes out this often (browsers: 50 to 250 ms).
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// One packet in so many is decrypted. A prime, so that all places within a burst have their turn.
const DECRYPT_ONE_IN: u64 = 61;
/// Sender of receiver reports where nothing is published, as in browsers.
const RECEIVER_SSRC: u32 = 1;

impl Client {
    pub(super) fn send_media(&mut self, now: Instant, outbox: &mut Outbox) -> Result<(), srtp::SrtpError> {
        let Some(srtp) = &mut self.srtp else { return Ok(()) };
        let stamp = (now - self.epoch).as_nanos() as u64;
        let sequence = &mut self.transport_sequence;
        if let Some(publisher) = &mut self.publisher {
            publisher.handle_timeout(now, stamp, &mut srtp.send, self.ids, sequence, outbox)?;
        }
        let sender = self.publisher.as_ref().map_or(RECEIVER_SSRC, |publisher| publisher.ssrc);
        if self.next_feedback.is_some_and(|at| at <= now) {
            self.next_feedback = None;
            self.arrivals.sort_unstable();
            let media = self.subscriptions.first().map_or(0, |subscription| subscription.ssrc);
            while !self.arrivals.is_empty() {
                let start = outbox.begin();
                let count = self.feedback_count;
                let taken = rtcp::write_feedback(sender, media, count, &self.arrivals, outbox.buffer());
                srtp.send.seal_rtcp(outbox.buffer(), start)?;
                outbox.end(start);
                self.feedback_count = count.wrapping_add(1);
                self.arrivals.drain(..taken.max(1));
            }
        }
        if self.next_report.is_some_and(|at| at <= now) {
            self.next_report = Some(now + REPORT_INTERVAL);
            let arrived = stamp / 1000;
            let blocks = self.subscriptions.iter().filter_map(|subscription| {
                let (last_report, at) = subscription.last_report.unwrap_or((0, arrived));
                let delay = ((arrived - at) * 65_536 / 1_000_000) as u32;
                let highest = subscription.sequences.highest()?;
                Some(rtcp::Block { ssrc: subscription.ssrc, highest, last_report, delay })
            });
            let blocks: Vec<_> = blocks.collect();
            for blocks in blocks.chunks(rtcp::REPORTS_MAX) {
                let start = outbox.begin();
                rtcp::write_receiver_report(sender, blocks, outbox.buffer());
                srtp.send.seal_rtcp(outbox.buffer(), start)?;
                outbox.end(start);
            }
        }
        Ok(())
    }

    pub(super) fn handle_media(&mut self, now: Instant, datagram: &[u8]) {
        match datagram.get(1) {
            Some(192..=223) => self.handle_rtcp(now, datagram),
            Some(_) => self.handle_rtp(now, datagram),
            None => {}
        }
    }

    fn handle_rtp(&mut self, now: Instant, datagram: &[u8]) {
        let Some(srtp) = &self.srtp else { return };
        let Some(packet) = rtp::parse(datagram, self.ids) else {
            self.faults.forged += 1;
            return;
        };
        if let Some(sequence) = packet.transport_sequence {
            // What waits in the socket for us is no queue of the path.
            let arrived = self.arrived_at.map_or_else(|| (now - self.epoch).as_micros() as u64, |nanos| nanos / 1000);
            let sequence = self.arrival_sequences.extend(sequence);
            self.arrivals.push((sequence, arrived));
            self.arrived = (self.arrived.0.or(Some(sequence)), self.arrived.1 + 1);
            self.next_feedback.get_or_insert(now + FEEDBACK_INTERVAL);
        }
        let Some(&index) = self.by_ssrc.get(&packet.ssrc) else {
            self.faults.strangers += u64::from(!self.repairs.contains(&packet.ssrc));
            return;
        };
        let subscription = &mut self.subscriptions[index];
        let sequence = subscription.sequences.extend(packet.sequence);
        subscription.note_arrival(now);
        self.received += 1;
        let sampled = !subscription.is_known() || self.received.is_multiple_of(DECRYPT_ONE_IN);
        if sampled && !self.heads_only {
            let clear = srtp.receive.open_rtp(datagram, packet.length, sequence, &mut self.scratch);
            match clear.ok().and_then(|payload| Payload::read(payload, subscription.audio)) {
                Some(mark) => {
                    subscription.handle_mark(sequence, mark, &mut self.faults);
                    if let Some(latencies) = &mut self.latencies {
                        let read = (now - self.epoch).as_nanos() as u64;
                        let arrived = self.arrived_at.unwrap_or(read);
                        latencies.push(arrived.saturating_sub(mark.stamp));
                        if self.arrived_at.is_some() {
                            self.waits.push(read.saturating_sub(arrived));
                        }
                    }
                    if self.first_media_at.is_none() {
                        self.first_media_at = Some(now);
                        self.next_report = Some(now + REPORT_INTERVAL);
                    }
                }
                None => self.faults.forged += 1,
            }
        }
        subscription.count(sequence, &mut self.faults);
    }

    fn handle_rtcp(&mut self, now: Instant, datagram: &[u8]) {
        let Some(srtp) = &self.srtp else { return };
        let Ok(packet) = srtp.receive.open_rtcp(datagram) else {
            self.faults.forged += 1;
            return;
        };
        for incoming in rtcp::parse(&packet) {
            match incoming {
                rtcp::Incoming::KeyframeRequest { ssrc } => {
                    if let Some(publisher) = self.publisher.as_mut().filter(|publisher| publisher.ssrc == ssrc) {
                        publisher.handle_keyframe_request();
                    }
                }
                rtcp::Incoming::SenderReport { ssrc, ntp_middle } => {
                    if let Some(&index) = self.by_ssrc.get(&ssrc) {
                        let arrived = (now - self.epoch).as_micros() as u64;
                        self.subscriptions[index].last_report = Some((ntp_middle, arrived));
                    }
                }
                rtcp::Incoming::Feedback | rtcp::Incoming::Other => {}
            }
        }
    }
}
