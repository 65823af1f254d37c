//! Which m-line and which encoding an SSRC belongs to. Asked only of packets that SRTP has authenticated: what anybody
//! may claim changes nothing.

use super::line::{Values, mid_of, rid_of};
use super::sources::{LIVE_MAX, Role};
use super::statistics::Statistics;
use super::stream::{Repair, Stream};
use super::{ReceiveLine, Receiver};
use crate::id::{Mid, Rid};
use crate::srtp;

/// Streams of one peer: 16 tracks with four layers, and as many again whose m-line pauses.
pub(super) const STREAMS_MAX: usize = 128;

/// What the SDP or a packet's extensions say of an SSRC.
#[derive(Debug, Clone, Copy)]
struct Claim {
    line: u16,
    /// `None` on a retransmission also means that it did not say.
    rid: Option<Rid>,
    /// The SDP says which SSRC it repairs.
    repairs: Option<u32>,
}

impl Receiver {
    /// What this SSRC is now, after a packet with these `values` came. `first` is its extended sequence number.
    pub(super) fn assign(
        &mut self,
        inbound: &mut srtp::Inbound,
        (ssrc, payload_type, first): (u32, u8, u64),
        values: &Values<'_>,
        role: Option<Role>,
    ) -> Role {
        let role = match role {
            Some(role) => role,
            None if self.admit(inbound, ssrc) => Role::Unassigned,
            None => return Role::Retired,
        };
        match role {
            Role::Unassigned => self.assign_new(inbound, (ssrc, payload_type, first), values).unwrap_or(role),
            Role::Main(key) if !self.follow(inbound, key, payload_type, values) => Role::Unassigned,
            Role::Main(_) | Role::Repair(_) | Role::Retired => role,
        }
    }

    /// Makes room for a source that is new. `false`: it has none, and is never opened again.
    fn admit(&mut self, inbound: &mut srtp::Inbound, ssrc: u32) -> bool {
        if !self.sources.set(ssrc, Role::Unassigned) {
            self.too_many_sources = true;
            inbound.end(ssrc);
            return false;
        }
        if self.sources.live() > LIVE_MAX {
            let resting = self.streams.iter().find(|(_, stream)| stream.line.is_none()).map(|(key, _)| key);
            match (self.sources.unassigned_but(ssrc), resting) {
                (Some(other), _) => self.retire(inbound, other),
                (None, Some(key)) => self.end_stream(inbound, key as u16),
                (None, None) => {
                    self.retire(inbound, ssrc);
                    return false;
                }
            }
        }
        true
    }

    fn assign_new(
        &mut self,
        inbound: &mut srtp::Inbound,
        (ssrc, payload_type, first): (u32, u8, u64),
        values: &Values<'_>,
    ) -> Option<Role> {
        let claim = self.claim(ssrc, values)?;
        let line = self.lines.get(usize::from(claim.line))?;
        let (_, rtx) = line.payload(payload_type)?;
        let mid = line.mid;
        let role = if rtx {
            let key = self.repaired(mid, claim)?;
            let stream = self.streams.get_mut(usize::from(key))?;
            let replaced = stream.repair.replace(Repair { ssrc, statistics: Statistics::new(first) });
            if let Some(replaced) = replaced {
                self.retire(inbound, replaced.ssrc);
            }
            Role::Repair(key)
        } else {
            if let Some(replaced) = self.stream_of(mid, claim.rid) {
                self.end_stream(inbound, replaced);
            }
            let key = self.new_stream(inbound, ssrc, claim, first)?;
            Role::Main(key)
        };
        self.sources.set(ssrc, role);
        Some(role)
    }

    fn claim(&self, ssrc: u32, values: &Values<'_>) -> Option<Claim> {
        // A retransmission says its encoding in an extension of its own (RFC 8852 §3.2).
        let rid = match values.repaired_rid.or(values.rid) {
            Some(rid) => Some(rid_of(rid)?),
            None => None,
        };
        if let Some(mid) = values.mid {
            let line = self.line_of(mid_of(mid)?)?;
            return Some(Claim { line, rid, repairs: self.repaired_by_sdp(line, ssrc) });
        }
        let named = |line: &ReceiveLine| line.ssrcs.iter().any(|(main, rtx)| *main == ssrc || *rtx == Some(ssrc));
        let line = self.lines.iter().position(named)? as u16;
        Some(Claim { line, rid, repairs: self.repaired_by_sdp(line, ssrc) })
    }

    fn repaired_by_sdp(&self, line: u16, ssrc: u32) -> Option<u32> {
        let ssrcs = &self.lines.get(usize::from(line))?.ssrcs;
        ssrcs.iter().find(|(_, rtx)| *rtx == Some(ssrc)).map(|(main, _)| *main)
    }

    /// The stream that a retransmission is of: the one that it names, else the only one.
    fn repaired(&self, mid: Mid, claim: Claim) -> Option<u16> {
        if let Some(main) = claim.repairs {
            let stream = |(_, stream): &(usize, &Stream)| stream.ssrc == main && stream.mid == mid;
            return self.streams.iter().find(stream).map(|(key, _)| key as u16);
        }
        self.stream_of(mid, claim.rid).or_else(|| {
            let mut of_line = self.streams.iter().filter(|(_, stream)| stream.mid == mid);
            let only = of_line.next()?.0 as u16;
            (claim.rid.is_none() && of_line.next().is_none()).then_some(only)
        })
    }

    fn new_stream(&mut self, inbound: &mut srtp::Inbound, ssrc: u32, claim: Claim, first: u64) -> Option<u16> {
        if self.streams.len() >= STREAMS_MAX {
            let resting = self.streams.iter().find(|(_, stream)| stream.line.is_none()).map(|(key, _)| key)?;
            self.end_stream(inbound, resting as u16);
        }
        let line = self.lines.get(usize::from(claim.line))?;
        let stream = Stream::new(ssrc, (claim.line, line), claim.rid, first)?;
        Some(self.streams.insert(stream) as u16)
    }

    /// A stream keeps its m-line unless its packets name another one (RFC 8843 §9.2), and its encoding unless it had none.
    /// `false`: they name one that it cannot be of.
    fn follow(&mut self, inbound: &mut srtp::Inbound, key: u16, payload_type: u8, values: &Values<'_>) -> bool {
        let Some(stream) = self.streams.get(usize::from(key)) else { return false };
        let moves = values.mid.is_some_and(|mid| mid != stream.mid.as_str().as_bytes());
        let named = if moves || stream.rid.is_none() { values.rid.and_then(rid_of) } else { None };
        if !moves && named.is_none() {
            return true;
        }
        let mid = if moves { values.mid.and_then(mid_of) } else { Some(stream.mid) };
        let rid = named.or(stream.rid);
        let Some(place) = mid.and_then(|mid| self.line_of(mid)) else { return false };
        let line = &self.lines[usize::from(place)];
        if line.payload(payload_type).is_none_or(|(_, rtx)| rtx) {
            return false;
        }
        if let Some(replaced) = self.stream_of(line.mid, rid).filter(|other| *other != key) {
            self.end_stream(inbound, replaced);
        }
        if let Some(stream) = self.streams.get_mut(usize::from(key)) {
            stream.rid = rid;
            stream.place(place, &self.lines[usize::from(place)]);
        }
        true
    }

    pub(super) fn line_of(&self, mid: Mid) -> Option<u16> {
        self.lines.iter().position(|line| line.mid == mid).map(|place| place as u16)
    }

    pub(super) fn stream_of(&self, mid: Mid, rid: Option<Rid>) -> Option<u16> {
        self.streams.iter().find(|(_, stream)| stream.mid == mid && stream.rid == rid).map(|(key, _)| key as u16)
    }

    /// A stream was replaced. Its retransmissions go with it: taken for those of its successor they would be nonsense.
    fn end_stream(&mut self, inbound: &mut srtp::Inbound, key: u16) {
        let Some(stream) = self.streams.try_remove(usize::from(key)) else { return };
        self.retire(inbound, stream.ssrc);
        if let Some(repair) = stream.repair {
            self.retire(inbound, repair.ssrc);
        }
    }

    fn retire(&mut self, inbound: &mut srtp::Inbound, ssrc: u32) {
        self.sources.set(ssrc, Role::Retired);
        inbound.end(ssrc);
    }
}
