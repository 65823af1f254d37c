//! What leaves for the client: packets, packets again, RTCP.

use std::time::{Duration, Instant};

use slab::Slab;

use super::{MediaHalf, REPORT_INTERVAL, RTT_FIRST};
use crate::batch::{Batch, equalise};
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
const PADDING_BYTES: u32 = 24 + 255 + 16;
/// In one part of a probe: 40 Mbit/s over 15 ms.
const PROBE_PACKETS_MAX: u32 = 256;
/// Padding of one packet that may save a send: packetisers make packets of nearly the same size, and a few bytes of
/// header extensions come and go.
const PADDING_MAX: u8 = 16;

/// Memory that the peers of an engine share.
#[derive(Debug, Default)]
pub struct Scratch {
    compound: Compound,
    plan: Vec<(Outgoing, u16)>,
    lengths: Vec<u16>,
    padded: Vec<u16>,
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
        self.send_again(now, tracks, batch, counters);
        scratch.plan.clear();
        scratch.lengths.clear();
        while self.congestion.as_ref().is_none_or(|congestion| congestion.may_send(now)) {
            let Some(outgoing) = self.video.pop_front() else { break };
            self.plan(now, tracks, outgoing, scratch, counters);
        }
        // A GSO send may end with a shorter datagram: audio comes last.
        let mut audio = std::mem::take(&mut self.audio);
        for outgoing in audio.drain(..) {
            self.plan(now, tracks, outgoing, scratch, counters);
        }
        self.audio = audio;
        self.carry_out(now, tracks, scratch, batch, counters);
        if self.next_reports.is_none() {
            self.next_reports = Some(now + REPORT_INTERVAL);
        }
    }

    /// Gives a packet its transport-wide number and its place in this flush. One that is not there any more gets neither:
    /// its number would be taken for a loss.
    fn plan(
        &mut self,
        now: Instant,
        tracks: &Slab<Track>,
        outgoing: Outgoing,
        scratch: &mut Scratch,
        counters: &mut Counters,
    ) {
        let (Some(srtp), Some(congestion)) = (&self.srtp, &mut self.congestion) else { return };
        let Some(sender) = self.senders.get(usize::from(outgoing.sender)) else { return };
        let ring = ring(tracks, outgoing.track, outgoing.layer);
        if ring.is_none_or(|ring| ring.get(outgoing.source, outgoing.input).is_none()) {
            counters.packets_overtaken += 1;
            return;
        }
        let length = outgoing.header + outgoing.length + srtp.outbound.profile().rtp_overhead() as u16;
        let transport = match sender.line.extensions.transport_cc {
            Some(_) => congestion.note_sent(now, length),
            None => 0,
        };
        scratch.plan.push((outgoing, transport));
        scratch.lengths.push(length);
    }

    /// Seals what was planned, padded so that the kernel can send as much as possible of it at once.
    fn carry_out(
        &mut self,
        now: Instant,
        tracks: &Slab<Track>,
        scratch: &mut Scratch,
        batch: &mut Batch,
        counters: &mut Counters,
    ) {
        let ticks = self.ticks(now);
        let (Some(srtp), Some(path)) = (&self.srtp, self.path) else { return };
        equalise(&scratch.lengths, PADDING_MAX, &mut scratch.padded);
        let lengths = scratch.lengths.iter().zip(&scratch.padded);
        for ((outgoing, transport), (length, padded)) in scratch.plan.iter().zip(lengths) {
            let Some(sender) = self.senders.get_mut(usize::from(outgoing.sender)) else { continue };
            let ring = ring(tracks, outgoing.track, outgoing.layer);
            let Some(packet) = ring.and_then(|ring| ring.get(outgoing.source, outgoing.input)) else {
                counters.packets_overtaken += 1;
                continue;
            };
            // A packet of nothing but padding stays one.
            let padding = ((padded - length) as u8).max(u8::from(packet.payload.is_empty()));
            let mut sealed = 0;
            batch.append(path.local, path.remote, |out| {
                sealed = sender.seal(&srtp.outbound, packet, outgoing, (ticks, *transport, padding), out);
                sealed
            });
            counters.datagrams_sent += 1;
            counters.bytes_sent += sealed as u64;
            self.again_budget = (self.again_budget + sealed / 2).min(AGAIN_BUDGET_MAX);
        }
    }

    fn send_again(&mut self, now: Instant, tracks: &Slab<Track>, batch: &mut Batch, counters: &mut Counters) {
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
                ring(tracks, *track, entry.layer()).and_then(|ring| ring.get(entry.source, entry.input))
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
            let by_rtx = sender.has_rtx(entry.payload_type);
            let mut sealed = 0;
            batch.append(path.local, path.remote, |out| {
                sealed = if by_rtx {
                    let bytes = sender.rtx_header_length(&packet.head) + packet.payload.len() + RTX_BYTES;
                    let transport = match sender.line.extensions.transport_cc {
                        Some(_) => congestion.note_sent(now, bytes as u16),
                        None => 0,
                    };
                    sender.seal_rtx(&srtp.outbound, packet, &entry, transport, out).unwrap_or(0)
                } else {
                    sender.seal_again(&srtp.outbound, packet, &entry, highest, out)
                };
                sealed
            });
            if sealed == 0 {
                continue;
            }
            self.again_budget -= packet.payload.len();
            counters.packets_retransmitted += 1;
            counters.datagrams_sent += 1;
            counters.bytes_sent += sealed as u64;
        }
    }

    /// Sends what the estimator asks for to find out more.
    fn send_probes(&mut self, now: Instant, batch: &mut Batch, counters: &mut Counters) {
        let (Some(srtp), Some(path), Some(congestion)) = (&self.srtp, self.path, &mut self.congestion) else { return };
        congestion.handle_timeout(now);
        while let Some(probe) = congestion.poll_probe(now) {
            let able = |sender: &&mut Sender| {
                let line = &sender.line;
                line.active && line.rtx_ssrc.is_some() && line.extensions.transport_cc.is_some()
            };
            // One that carries something, if there is one: all may be paused.
            let senders = self.senders.iter_mut().map(|(_, sender)| sender).filter(able);
            let Some(sender) = senders.max_by_key(|sender| sender.track().is_some()) else { continue };
            let packets = probe.bytes.div_ceil(PADDING_BYTES).max(u32::from(probe.packets_min));
            for _ in 0..packets.min(PROBE_PACKETS_MAX) {
                let transport = congestion.note_sent(now, PADDING_BYTES as u16);
                let mut sealed = 0;
                batch.append(path.local, path.remote, |out| {
                    sealed = sender.seal_padding(&srtp.outbound, transport, out).unwrap_or(0);
                    sealed
                });
                counters.padding_sent += u64::from(sealed > 0);
                counters.datagrams_sent += u64::from(sealed > 0);
                counters.bytes_sent += sealed as u64;
            }
        }
    }

    /// Which streams a sender report is due for; none before its time.
    pub fn reports_due(&self, now: Instant) -> impl Iterator<Item = (u16, Timeline)> {
        let due = self.next_reports.is_some_and(|at| at <= now);
        let senders = due.then(|| self.senders.iter()).into_iter().flatten();
        senders.filter_map(|(key, sender)| Some((key as u16, sender.report_due()?)))
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
        self.send_probes(now, batch, counters);
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
        let mut sealed = 0;
        batch.append(path.local, path.remote, |out| {
            sealed = srtp.outbound.seal_rtcp(scratch.compound.bytes(), out).unwrap_or(0);
            sealed
        });
        counters.datagrams_sent += u64::from(sealed > 0);
        counters.bytes_sent += sealed as u64;
    }
}

fn ring(tracks: &Slab<Track>, track: usize, layer: u8) -> Option<&Ring> {
    tracks.get(track)?.layers.get(usize::from(layer)).map(|layer| &layer.ring)
}
