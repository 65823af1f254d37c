//! Which SSRCs a peer has used, and what each is.

use crate::srtp;

/// SSRCs that one peer may ever use; a browser uses two for each encoding. Eight bytes each.
pub(super) const SEEN_MAX: usize = 1024;
/// Of those, how many may have an SRTP window at a time: main streams, their retransmissions, and some not yet assigned.
pub(super) const LIVE_MAX: usize = 248;
const _: () = assert!(LIVE_MAX < srtp::SOURCES_MAX, "one more is opened before another one goes");

/// What an authentic SSRC is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Not (yet) of any m-line.
    Unassigned,
    /// Carries this stream.
    Main(u16),
    /// Carries the retransmissions of this stream.
    Repair(u16),
    /// Replaced by another one. Its SRTP window is gone, so it is never opened again.
    Retired,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    role: Role,
}

/// Every SSRC of which an authentic packet came.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// In ascending order.
    sources: Vec<Source>,
    /// Place of the one that was looked up last: packets come in bursts.
    last: usize,
    live: usize,
}

impl Sources {
    pub(super) fn role(&mut self, ssrc: u32) -> Option<Role> {
        if let Some(source) = self.sources.get(self.last)
            && source.ssrc == ssrc
        {
            return Some(source.role);
        }
        self.last = self.place(ssrc).ok()?;
        Some(self.sources[self.last].role)
    }

    /// Gives it a role. `false`: it is new, and there have been too many.
    pub(super) fn set(&mut self, ssrc: u32, role: Role) -> bool {
        match self.place(ssrc) {
            Ok(place) => {
                let source = &mut self.sources[place];
                self.live -= usize::from(source.role != Role::Retired);
                source.role = role;
            }
            Err(_) if self.sources.len() >= SEEN_MAX => return false,
            Err(place) => self.sources.insert(place, Source { ssrc, role }),
        }
        self.live += usize::from(role != Role::Retired);
        true
    }

    /// With an SRTP window.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Any other that is of no m-line.
    pub(super) fn unassigned_but(&self, ssrc: u32) -> Option<u32> {
        let other = |source: &&Source| source.role == Role::Unassigned && source.ssrc != ssrc;
        self.sources.iter().find(other).map(|source| source.ssrc)
    }

    fn place(&self, ssrc: u32) -> Result<usize, usize> {
        self.sources.binary_search_by_key(&ssrc, |source| source.ssrc)
    }
}
