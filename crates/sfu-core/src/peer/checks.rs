//! Which STUN requests are let through to str0m, which keeps a candidate pair for each new source and has no bound on
//! them: who has seen one genuine request could replay it from everywhere.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use crate::io::Datagram;

/// Addresses from which one client may check within one ICE generation.
const SOURCES_MAX: usize = 64;
const REMEMBERED: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Checks {
    sources: BTreeSet<SocketAddr>,
    /// The last transaction ids, with where they came from.
    recent: VecDeque<([u8; 12], SocketAddr)>,
}

impl Checks {
    pub(super) fn admit(&mut self, datagram: &Datagram<'_>) -> bool {
        let Some(id) = datagram.contents.get(8..20).and_then(|id| <[u8; 12]>::try_from(id).ok()) else { return false };
        if self.recent.iter().any(|(known, source)| *known == id && *source != datagram.source) {
            return false;
        }
        if !self.sources.contains(&datagram.source) {
            if self.sources.len() == SOURCES_MAX {
                return false;
            }
            self.sources.insert(datagram.source);
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((id, datagram.source));
        true
    }
}
