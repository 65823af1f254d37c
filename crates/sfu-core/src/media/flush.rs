//! What leaves for the client: packets, packets again, RTCP.

use std::time::{Duration, Instant};

use slab::Slab;

use super::{MediaHalf, REPORT_INTERVAL, RTT_FIRST};
use crate::batch::Batch;
use crate::feedback::Congestion;
use crate::forward::ring::Ring;
use crate::io::SourceClock;
use crate::rtcp::write::Compound;
use crate::send::history::{TICK_MS, flag};
use crate::send::sender::Timeline;
use crate::send::{Outgoing, Sender};
use crate::stats::Counters;
use crate::track::Track;

/// Retransmission may cost half as much as what is sent, and this much more at once: one that asks for everything again
/// must not get more than it could have got by asking for more video.
pub(super) const AGAIN_BUDGET_FIRST: usize = 64 * 1024;
const AGAIN_BUDGET_MAX: usize = 256 * 1024;
/// The same packet is sent again no sooner than this, or a round trip, after the last time.
const AGAIN_AFTER_MIN: Duration = Duration::from_millis(16);
/// What RTX adds to a packet: the original number, and the tag.
const RTX_BYTES: usize = 2 + 16;
/// A datagram of nothing but padding: header, 255 bytes, tag.
const PADDING_BYTES: u32 = 20 + 255 + 16;
/// In one part of a probe: 40 Mbit/s over 15 ms.
const PROBE_PACKETS_MAX: u32 = 256;
/// A datagram with tag: larger payloads are refused on their way in.
pub(super) const DATAGRAM_MAX: usize = 1700;

/// Memory that the peers of an engine share.
#[derive(Debug)]
pub struct Scratch {
    datagram: Vec<u8>,
    compound: Compound,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { datagram: vec![0; DATAGRAM_MAX], compound: Compound::default() }
    }
}

impl MediaHalf {
    /// Sends what is queued, as far as the pacer allows. `tracks` have the payloads.
    pub fn flush(
        &mut self,
        now: Instant,
        tracks: &Slab<Track>,
        scratch: &mut Scratch,
        batch: &mut Batch,
        counters: &mut Counters,
    ) {
        if self.srtp.is_none() || self.path.is_none() {
            self.video.clear();
            self.audio.clear();
            self.nacks.clear();
            return;
        }
        if self.video.is_empty() && self.audio.is_empty() && self.nacks.is_empty() {
            return;
        }
        if self.congestion.is_none() {
            let mut congestion = Box::new(Congestion::new(now, self.tells_arrivals));
            congestion.set_wanted(self.wanted);
            self.congestion = Some(congestion);
        }
        self.send_again(now, tracks, scratch, batch, counters);
        while self.congestion.as_ref().is_none_or(|congestion| congestion.may_send(now)) {
            let Some(outgoing) = self.video.pop_front() else { break };
            self.send_one(now, tracks, &outgoing, scratch, batch, counters);
        }
        // A GSO send may end with a shorter datagram: audio comes last.
        let mut audio = std::mem::take(&mut self.audio);
        for outgoing in audio.drain(..) {
            self.send_one(now, tracks, &outgoing, scratch, batch, counters);
        }
        self.audio = audio;
        if self.next_reports.is_none() {
            self.next_reports = Some(now + REPORT_INTERVAL);
        }
    }

    fn send_one(
        &mut self,
        now: Instant,
        tracks: &Slab<Track>,
        outgoing: &Outgoing,
        scratch: &mut Scratch,
        batch: &mut Batch,
        counters: &mut Counters,
    ) {
        let ticks = self.ticks(now);
        let (Some(srtp), Some(path), Some(congestion)) = (&self.srtp, self.path, &mut self.congestion) else { return };
        let Some(sender) = self.senders.get_mut(usize::from(outgoing.sender)) else { return };
        let ring = ring(tracks, outgoing.track, outgoing.layer);
        let Some(packet) = ring.and_then(|ring| ring.get(outgoing.source, outgoing.input)) else {
            counters.packets_overtaken += 1;
            return;
        };
        let length = usize::from(outgoing.header) + packet.payload.len() + srtp.outbound.profile().rtp_overhead();
        let transport = match sender.line.extensions.transport_cc {
            Some(_) => congestion.note_sent(now, length as u16),
            None => 0,
        };
        let length = sender.seal(&srtp.outbound, packet, outgoing, (ticks, transport, 0), &mut scratch.datagram);
        batch.push(path.local, path.remote, &scratch.datagram[..length]);
        counters.datagrams_sent += 1;
        counters.bytes_sent += length as u64;
        self.again_budget = (self.again_budget + length / 2).min(AGAIN_BUDGET_MAX);
    }

    fn send_again(
        &mut self,
        now: Instant,
        tracks: &Slab<Track>,
        scratch: &mut Scratch,
        batch: &mut Batch,
        counters: &mut Counters,
    ) {
        let ticks = self.ticks(now);
        let patience = self.rtt.unwrap_or(RTT_FIRST).max(AGAIN_AFTER_MIN).as_millis() as u32 / TICK_MS;
        let (Some(srtp), Some(path), Some(congestion)) = (&self.srtp, self.path, &mut self.congestion) else { return };
        // In the order of the m-lines, and each once.
        self.nacks.sort_unstable();
        self.nacks.dedup();
        for (key, sequence) in self.nacks.drain(..) {
            let Some(sender) = self.senders.get_mut(usize::from(key)) else { continue };
            let (highest, track) = (sender.highest(), sender.track());
            let found = track.zip(sender.history.find(sequence));
            let packet = found.as_ref().and_then(|(track, entry)| {
                ring(tracks, *track, entry.layer).and_then(|ring| ring.get(entry.source, entry.input))
            });
            let (Some((_, entry)), Some(packet)) = (found, packet) else {
                counters.retransmissions_missed += 1;
                continue;
            };
            if entry.flags & flag::AGAIN != 0 && ticks.wrapping_sub(entry.sent) < patience {
                continue;
            }
            if self.again_budget < packet.payload.len() {
                counters.retransmissions_missed += 1;
                continue;
            }
            (entry.sent, entry.flags) = (ticks, entry.flags | flag::AGAIN);
            let entry = *entry;
            let out = &mut scratch.datagram;
            let length = if sender.line.rtx_ssrc.is_some() {
                let bytes = sender.header_length(&packet.head) + packet.payload.len() + RTX_BYTES;
                let transport = match sender.line.extensions.transport_cc {
                    Some(_) => congestion.note_sent(now, bytes as u16),
                    None => 0,
                };
                let Some(length) = sender.seal_rtx(&srtp.outbound, packet, &entry, transport, out) else { continue };
                length
            } else {
                sender.seal_again(&srtp.outbound, packet, &entry, highest, out)
            };
            batch.push(path.local, path.remote, &scratch.datagram[..length]);
            self.again_budget -= packet.payload.len();
            counters.packets_retransmitted += 1;
            counters.datagrams_sent += 1;
            counters.bytes_sent += length as u64;
        }
    }

    /// Sends what the estimator asks for to find out more.
    fn send_probes(&mut self, now: Instant, scratch: &mut Scratch, batch: &mut Batch, counters: &mut Counters) {
        let (Some(srtp), Some(path), Some(congestion)) = (&self.srtp, self.path, &mut self.congestion) else { return };
        congestion.handle_timeout(now);
        while let Some(probe) = congestion.poll_probe(now) {
            let able = |sender: &&mut Sender| {
                let line = &sender.line;
                line.active && line.rtx_ssrc.is_some() && line.extensions.transport_cc.is_some() && sender.track().is_some()
            };
            let Some(sender) = self.senders.iter_mut().map(|(_, sender)| sender).find(able) else { continue };
            let packets = probe.bytes.div_ceil(PADDING_BYTES).max(u32::from(probe.packets_min));
            for _ in 0..packets.min(PROBE_PACKETS_MAX) {
                let transport = congestion.note_sent(now, PADDING_BYTES as u16);
                let Some(length) = sender.seal_padding(&srtp.outbound, transport, &mut scratch.datagram) else { break };
                batch.push(path.local, path.remote, &scratch.datagram[..length]);
                counters.padding_sent += 1;
                counters.datagrams_sent += 1;
                counters.bytes_sent += length as u64;
            }
        }
    }

    /// Which streams a sender report is due for; empty before its time.
    pub fn reports_due(&self, now: Instant) -> Vec<(u16, Timeline)> {
        if self.next_reports.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let due = |(key, sender): (usize, &crate::send::Sender)| Some((key as u16, sender.report_due()?));
        self.senders.iter().filter_map(due).collect()
    }

    /// Sends RTCP that is due: sender reports with these clocks, and what the receiver has to say.
    pub fn send_rtcp(
        &mut self,
        now: Instant,
        clocks: &[(u16, Option<SourceClock>)],
        scratch: &mut Scratch,
        batch: &mut Batch,
        counters: &mut Counters,
    ) {
        let own_ssrc = self.senders.iter().next().map_or(1, |(_, sender)| sender.line.ssrc);
        let rtt = self.rtt.unwrap_or(RTT_FIRST);
        if self.next_reports.is_some_and(|at| at <= now) {
            // It begins again with the next packet that is sent.
            self.next_reports = (!clocks.is_empty()).then(|| now + REPORT_INTERVAL);
        }
        scratch.compound.clear();
        for (key, clock) in clocks {
            let Some(sender) = self.senders.get_mut(usize::from(*key)) else { continue };
            let Some(info) = clock.and_then(|clock| sender.report(now, &clock)) else { continue };
            let ssrc = sender.line.ssrc;
            if scratch.compound.sender_report(ssrc, info, &[]).is_err() {
                self.send_compound(scratch, batch, counters);
                scratch.compound.clear();
                let _ = scratch.compound.sender_report(ssrc, info, &[]);
            }
        }
        self.send_compound(scratch, batch, counters);
        self.send_probes(now, scratch, batch, counters);
        if self.receiver.deadline().is_none_or(|at| now < at) {
            return;
        }
        loop {
            scratch.compound.clear();
            if !self.receiver.poll_rtcp(now, own_ssrc, rtt, &mut scratch.compound, &mut counters.receive) {
                break;
            }
            self.send_compound(scratch, batch, counters);
        }
    }

    fn send_compound(&mut self, scratch: &mut Scratch, batch: &mut Batch, counters: &mut Counters) {
        let (Some(srtp), Some(path)) = (&mut self.srtp, self.path) else { return };
        if scratch.compound.bytes().is_empty() {
            return;
        }
        let Some(length) = srtp.outbound.seal_rtcp(scratch.compound.bytes(), &mut scratch.datagram) else { return };
        batch.push(path.local, path.remote, &scratch.datagram[..length]);
        counters.datagrams_sent += 1;
        counters.bytes_sent += length as u64;
    }
}

fn ring(tracks: &Slab<Track>, track: usize, layer: u8) -> Option<&Ring> {
    tracks.get(track)?.layers.get(usize::from(layer)).map(|layer| &layer.ring)
}
