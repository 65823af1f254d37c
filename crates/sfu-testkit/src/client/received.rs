//! Counts what media arrived from whom.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::media::Canary;
use crate::media::vp8::Descriptor;

/// A packet as the application behind the stack sees it.
#[derive(Debug, Clone)]
pub struct RtpIn {
    /// Ordinal of the m-line within the peer connection.
    pub line: usize,
    /// What the client believes that the m-line carries.
    pub track: Option<String>,
    pub ssrc: u32,
    /// Extended.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub video: bool,
    pub level: Option<i8>,
    pub payload: Arc<[u8]>,
}

impl RtpIn {
    /// What the payload says, if nobody changed it.
    pub fn read(&self) -> Option<(Canary, Option<Descriptor>)> {
        if self.video {
            let (descriptor, rest) = Descriptor::read(&self.payload)?;
            Some((Canary::read(rest)?, Some(descriptor)))
        } else {
            Some((Canary::read(&self.payload)?, None))
        }
    }
}

/// What came of one source of one client.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub packets: u64,
    /// Packets by layer.
    pub layers: BTreeMap<u8, u64>,
    pub keyframes: u64,
    pub first_at: Option<Instant>,
    pub last_at: Option<Instant>,
    pub last_layer: u8,
    /// Longest time between two packets.
    pub longest_gap: Duration,
}

/// By (publisher, ordinal of the source).
#[derive(Debug, Default)]
pub struct Received {
    pub tallies: BTreeMap<(usize, u8), Tally>,
    pub packets: u64,
}

impl Received {
    pub(super) fn count(&mut self, now: Instant, packet: &RtpIn) {
        self.packets += 1;
        let Some((canary, _)) = packet.read() else { return };
        let tally = self.tallies.entry((canary.publisher as usize, canary.source)).or_default();
        tally.packets += 1;
        *tally.layers.entry(canary.layer).or_default() += 1;
        tally.keyframes += u64::from(canary.keyframe && canary.index == 0);
        tally.last_layer = canary.layer;
        if let Some(last) = tally.last_at {
            tally.longest_gap = tally.longest_gap.max(now - last);
        }
        tally.first_at.get_or_insert(now);
        tally.last_at = Some(now);
    }

    pub fn from(&self, publisher: usize, source: u8) -> Tally {
        self.tallies.get(&(publisher, source)).cloned().unwrap_or_default()
    }

    /// Begins to count anew.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}
