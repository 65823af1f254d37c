//! What this engine holds of one conference.

use std::collections::BTreeSet;

use crate::speaker::SpeakerDetector;

/// See the module. It exists while it has peers or tracks here.
#[derive(Debug, Default)]
pub struct Conference {
    /// Keys of its peers.
    pub peers: BTreeSet<usize>,
    /// Keys of its tracks.
    pub tracks: BTreeSet<usize>,
    pub speakers: SpeakerDetector,
}

impl Conference {
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.tracks.is_empty()
    }
}
