//! Whose datagrams are whose: by proven source address, and for STUN requests by the user fragment that they name.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sfu_core::{Event, PeerId, demux};

#[derive(Debug, Default)]
pub(super) struct Directory {
    addresses: BTreeMap<SocketAddr, (usize, PeerId)>,
    ufrags: BTreeMap<String, (usize, PeerId)>,
}

impl Directory {
    pub(super) fn handle_event(&mut self, worker: usize, event: &Event) {
        match event {
            Event::LocalUfrags { peer, ufrags } => {
                self.ufrags.retain(|_, owner| *owner != (worker, *peer));
                self.ufrags.extend(ufrags.iter().map(|ufrag| (ufrag.clone(), (worker, *peer))));
            }
            Event::AddressAdded { peer, address } => {
                self.addresses.insert(*address, (worker, *peer));
            }
            Event::AddressRemoved { peer, address } => {
                self.addresses.retain(|known, owner| known != address || *owner != (worker, *peer));
            }
            Event::Disconnected { peer, .. } => {
                self.addresses.retain(|_, owner| *owner != (worker, *peer));
                self.ufrags.retain(|_, owner| *owner != (worker, *peer));
            }
            _ => {}
        }
    }

    pub(super) fn owner(&self, source: SocketAddr, bytes: &[u8]) -> Option<usize> {
        let by_ufrag = || self.ufrags.get(demux::stun_local_ufrag(bytes)?);
        // A STUN request says itself whose it is; the address may have belonged to somebody else before.
        by_ufrag().or_else(|| self.addresses.get(&source)).map(|(worker, _)| *worker)
    }

    pub(super) fn len(&self) -> usize {
        self.addresses.len() + self.ufrags.len()
    }
}
