//! Which STUN requests are let through to str0m, which keeps a candidate pair for each new source and has no bound on
//! them: who has seen one genuine request could replay it from everywhere.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::io::Datagram;

/// Addresses from which one client may check within one ICE generation.
const SOURCES_MAX: usize = 64;
const REMEMBERED: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Checks {
    sources: Vec<SocketAddr>,
    /// The last transaction ids, each with the place in `sources` of where it came from.
    recent: VecDeque<([u8; 12], u8)>,
}

impl Checks {
    pub(super) fn admit(&mut self, datagram: &Datagram<'_>) -> bool {
        let Some(id) = datagram.contents.get(8..20).and_then(|id| <[u8; 12]>::try_from(id).ok()) else { return false };
        let place = self.sources.iter().position(|source| *source == datagram.source).unwrap_or(self.sources.len());
        if place == SOURCES_MAX
            || self.recent.iter().any(|(known, source)| *known == id && usize::from(*source) != place)
        {
            return false;
        }
        if place == self.sources.len() {
            self.sources.push(datagram.source);
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((id, place as u8));
        true
    }
}
