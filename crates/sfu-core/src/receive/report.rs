//! What is told to the sender, as compound RTCP packets.

use std::time::{Duration, Instant};

use super::missing::ASKED_MAX;
use super::{ReceiveCounters, Receiver};
use crate::rtcp::ReportBlock;
use crate::rtcp::write::{BLOCKS_MAX, Compound, Full};

/// Between reception reports, while packets come: what browsers do for video and audio alike.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of a report without blocks, of one block, of a NACK or feedback before its items, and of a PLI.
const EMPTY_REPORT: usize = 8;
const BLOCK: usize = 24;
const FEEDBACK: usize = 12;

impl Receiver {
    /// Appends what is due to `compound`, which is best empty, and answers whether it wrote anything. Call it until it did not, with
    /// a compound emptied in between. `own_ssrc` is any that we send with; `rtt` the round trip to the client as it is known.
    pub fn poll_rtcp(
        &mut self,
        now: Instant,
        own_ssrc: u32,
        rtt: Duration,
        compound: &mut Compound,
        counters: &mut ReceiveCounters,
    ) -> bool {
        if self.wake.is_none_or(|wake| wake > now) {
            return false;
        }
        self.begin_report(now);
        let before = compound.bytes().len();
        let mut writer = Writer { compound, own_ssrc, reduced_size: self.reduced_size };
        if self.fill(now, rtt, &mut writer, counters).is_ok() {
            self.wake = self.next();
        }
        compound.bytes().len() > before
    }

    fn fill(
        &mut self,
        now: Instant,
        rtt: Duration,
        writer: &mut Writer<'_>,
        counters: &mut ReceiveCounters,
    ) -> Result<(), Full> {
        self.fill_reports(now, writer)?;
        let own_ssrc = writer.own_ssrc;
        for (_, stream) in &mut self.streams {
            if stream.wants_keyframe {
                writer.begin(FEEDBACK)?.pli(own_ssrc, stream.ssrc)?;
                stream.wants_keyframe = false;
                counters.keyframe_requests += 1;
            }
        }
        let mut asked = Vec::new();
        for (_, stream) in &mut self.streams {
            while stream.missing.deadline().is_some_and(|due| due <= now) {
                writer.needs(FEEDBACK + 4 * ASKED_MAX)?;
                stream.missing.poll(now, rtt, &mut asked);
                if !asked.is_empty() {
                    writer.begin(FEEDBACK)?.nack(own_ssrc, stream.ssrc, &asked)?;
                    counters.nacked += asked.len() as u64;
                }
            }
        }
        let mut body = writer.compound.take_body();
        let result = self.fill_arrivals(now, writer, &mut body);
        writer.compound.give_body(body);
        result
    }

    fn fill_arrivals(&mut self, now: Instant, writer: &mut Writer<'_>, body: &mut Vec<u8>) -> Result<(), Full> {
        while self.arrivals.deadline().is_some_and(|due| due <= now) {
            writer.needs(FEEDBACK + self.arrivals.length_max())?;
            if self.arrivals.write(now, body) {
                let source = self.last.map_or(0, |(_, ssrc)| ssrc);
                let own_ssrc = writer.own_ssrc;
                writer.begin(FEEDBACK)?.transport_wide(own_ssrc, source, body)?;
            }
        }
        Ok(())
    }

    /// Once in [`INTERVAL`]: every source of which something came owes a block. If none does, it is quiet from here on.
    fn begin_report(&mut self, now: Instant) {
        if self.report_due.is_none_or(|due| due > now) {
            return;
        }
        let mut any = false;
        for (_, statistics) in self.streams.iter_mut().flat_map(|(_, stream)| stream.statistics_mut()) {
            statistics.owed |= statistics.take_fresh();
            any |= statistics.owed;
        }
        self.report_due = any.then_some(now + INTERVAL);
        if !any {
            self.arrivals.rest();
        }
    }

    fn fill_reports(&mut self, now: Instant, writer: &mut Writer<'_>) -> Result<(), Full> {
        let mut owed = self.streams.iter_mut().flat_map(|(_, stream)| stream.statistics_mut()).peekable();
        loop {
            while owed.next_if(|(_, statistics)| !statistics.owed).is_some() {}
            if owed.peek().is_none() {
                return Ok(());
            }
            writer.needs(EMPTY_REPORT + BLOCK)?;
            let room = ((writer.compound.room() - EMPTY_REPORT) / BLOCK).min(BLOCKS_MAX);
            let mut blocks = [ReportBlock::default(); BLOCKS_MAX];
            let taken = owed.by_ref().filter_map(|(ssrc, statistics)| statistics.take_block(now, ssrc));
            let count = blocks[..room].iter_mut().zip(taken).map(|(place, block)| *place = block).count();
            writer.compound.receiver_report(writer.own_ssrc, &blocks[..count])?;
        }
    }

    /// When something is due next.
    fn next(&self) -> Option<Instant> {
        let missing = self.streams.iter().filter_map(|(_, stream)| stream.missing.deadline());
        missing.chain(self.report_due).chain(self.arrivals.deadline()).min()
    }
}

/// Begins a compound with a report where it must have one (RFC 3550 §6.1).
struct Writer<'a> {
    compound: &'a mut Compound,
    own_ssrc: u32,
    reduced_size: bool,
}

impl Writer<'_> {
    /// Whether so many bytes fit.
    fn needs(&self, bytes: usize) -> Result<(), Full> {
        let leading = if self.leads() { EMPTY_REPORT } else { 0 };
        if self.compound.room() < leading + bytes { Err(Full) } else { Ok(()) }
    }

    /// For a message of at least so many bytes.
    fn begin(&mut self, bytes: usize) -> Result<&mut Compound, Full> {
        self.needs(bytes)?;
        if self.leads() {
            self.compound.receiver_report(self.own_ssrc, &[])?;
        }
        Ok(self.compound)
    }

    fn leads(&self) -> bool {
        self.compound.bytes().is_empty() && !self.reduced_size
    }
}
