//! One RTP stream of a publisher: an encoding of an m-line.

use std::time::{Duration, Instant};

use super::SourceClock;
use super::line::{ReceiveLine, ReceivePayload};
use super::missing::{MISSING_MAX, MissingPackets};
use super::statistics::Statistics;
use crate::id::{Mid, Rid};
use crate::io::Kind;
use crate::rtcp::SenderInfo;
use crate::srtp::extend;
use crate::srtp::replay::ReplayWindow;

/// A key frame that nobody but we miss is asked for at most this often.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    pub ssrc: u32,
    pub mid: Mid,
    pub rid: Option<Rid>,
    pub kind: Kind,
    /// Its place among the m-lines; `None` while its m-line does not send.
    pub line: Option<u16>,
    /// What the last packet carried; most often the next one does, too.
    payload: ReceivePayload,
    /// Which packets were passed on, by whichever way they came.
    seen: ReplayWindow,
    pub missing: MissingPackets,
    pub statistics: Statistics,
    pub repair: Option<Repair>,
    pub clock: Option<SourceClock>,
    pub wants_keyframe: bool,
    gave_up: Option<Instant>,
}

/// Where its retransmissions come from.
#[derive(Debug)]
pub(super) struct Repair {
    pub ssrc: u32,
    pub statistics: Statistics,
}

impl Stream {
    pub(super) fn new(ssrc: u32, (place, line): (u16, &ReceiveLine), rid: Option<Rid>, first: u64) -> Option<Self> {
        Some(Self {
            ssrc,
            mid: line.mid,
            rid,
            kind: line.kind,
            line: Some(place),
            payload: *line.payload_types.first()?,
            seen: ReplayWindow::new(),
            missing: MissingPackets::default(),
            statistics: Statistics::new(first),
            repair: None,
            clock: None,
            wants_keyframe: false,
            gave_up: None,
        })
    }

    /// Its m-line was negotiated (again), or it moved to another one.
    pub(super) fn place(&mut self, place: u16, line: &ReceiveLine) {
        if self.line.is_none() || self.mid != line.mid {
            self.missing.reset();
        }
        self.line = Some(place);
        (self.mid, self.kind) = (line.mid, line.kind);
        if let Some(first) = line.payload_types.first() {
            self.payload = *first;
        }
    }

    /// Its m-line does not send now. What it was sent so far is remembered, should the m-line come back.
    pub(super) fn rest(&mut self) {
        self.line = None;
        self.wants_keyframe = false;
        self.missing.reset();
    }

    /// It said that it sends nothing for now.
    pub(super) fn pause(&mut self) {
        self.wants_keyframe = false;
        self.missing.give_up();
    }

    /// What goes by this payload type.
    pub(super) fn payload(&mut self, number: u8, line: &ReceiveLine) -> Option<ReceivePayload> {
        if self.payload.number != number {
            self.payload = line.payload(number).filter(|(_, rtx)| !rtx)?.0;
        }
        Some(self.payload)
    }

    /// A packet of its own came. `false`: its payload was passed on before.
    pub(super) fn note(&mut self, now: Instant, sequence: u64) -> bool {
        if self.missing.note(now, sequence, self.payload.nack) {
            self.give_up(now);
        }
        let new = self.seen.admits(sequence);
        if new {
            self.seen.note(sequence);
        }
        new
    }

    /// A retransmission came. Answers the extended number of the original; `None` if that was passed on before, or is too
    /// far from all that we know.
    pub(super) fn recover(&mut self, now: Instant, original: u16) -> Option<u64> {
        let highest = self.seen.highest()?;
        let sequence = extend(Some(highest), original);
        if sequence > highest + MISSING_MAX as u64 || !self.note(now, sequence) {
            return None;
        }
        Some(sequence)
    }

    fn give_up(&mut self, now: Instant) {
        let lately = self.gave_up.is_some_and(|at| now < at + KEYFRAME_INTERVAL);
        if self.kind == Kind::Video && !lately {
            self.gave_up = Some(now);
            self.wants_keyframe = true;
        }
    }

    pub(super) fn note_sender_report(&mut self, now: Instant, ssrc: u32, info: SenderInfo) {
        if ssrc == self.ssrc {
            self.statistics.note_sender_report(now, info);
            let SenderInfo { ntp, rtp_timestamp, .. } = info;
            self.clock = Some(SourceClock { source: ssrc, ntp, rtp_timestamp, received: now });
        } else if let Some(repair) = self.repair.as_mut().filter(|repair| repair.ssrc == ssrc) {
            repair.statistics.note_sender_report(now, info);
        }
    }

    /// Each SSRC and its counts.
    pub(super) fn statistics_mut(&mut self) -> impl Iterator<Item = (u32, &mut Statistics)> {
        let repair = self.repair.as_mut().map(|repair| (repair.ssrc, &mut repair.statistics));
        std::iter::once((self.ssrc, &mut self.statistics)).chain(repair)
    }
}
