//! Which worker owns a client: by the ufrag that its STUN requests carry, and by the addresses that it has proved.
//! Shared by all workers; each writes what its own engine tells.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use dashmap::DashMap;
use focus_control::WorkerId;
use sfu_core::{Event, PeerId};

/// Bounded by the engines: each has so many peers, and each peer so many ufrags and addresses (`sfu_core::Bounds`).
#[derive(Default)]
pub(crate) struct Directory {
    by_ufrag: DashMap<String, WorkerId>,
    by_address: DashMap<SocketAddr, WorkerId>,
}

/// One worker's view: it looks up all, and writes its own.
pub(crate) struct Registrar {
    directory: Arc<Directory>,
    me: WorkerId,
    /// What this worker has entered, to take it out again.
    peers: BTreeMap<PeerId, Entries>,
}

#[derive(Default)]
struct Entries {
    ufrags: Vec<String>,
    addresses: Vec<SocketAddr>,
}

impl Registrar {
    pub(crate) fn new(directory: Arc<Directory>, me: WorkerId) -> Self {
        Self { directory, me, peers: BTreeMap::new() }
    }

    /// The other worker whose datagram this is. A STUN request says whom it is for, and that alone decides: its source
    /// may have belonged to another call a moment ago.
    pub(crate) fn owner_of(&self, source: SocketAddr, ufrag: Option<&str>) -> Option<WorkerId> {
        let owner = match ufrag {
            Some(ufrag) => self.directory.by_ufrag.get(ufrag).map(|entry| *entry),
            None => self.directory.by_address.get(&source).map(|entry| *entry),
        };
        owner.filter(|owner| *owner != self.me)
    }

    /// Enters what the own engine tells.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::LocalUfrags { peer, ufrags } => {
                let entries = self.peers.entry(*peer).or_default();
                for old in entries.ufrags.iter().filter(|old| !ufrags.contains(old)) {
                    self.directory.by_ufrag.remove_if(old, |_, owner| *owner == self.me);
                }
                for ufrag in ufrags {
                    self.directory.by_ufrag.insert(ufrag.clone(), self.me);
                }
                entries.ufrags.clone_from(ufrags);
            }
            Event::AddressAdded { peer, address } => {
                let entries = self.peers.entry(*peer).or_default();
                if !entries.addresses.contains(address) {
                    entries.addresses.push(*address);
                }
                self.directory.by_address.insert(*address, self.me);
            }
            Event::AddressRemoved { peer, address } => {
                if let Some(entries) = self.peers.get_mut(peer) {
                    entries.addresses.retain(|known| known != address);
                }
                self.forget_address(address);
            }
            Event::Disconnected { peer, .. } => {
                let entries = self.peers.remove(peer).unwrap_or_default();
                for ufrag in &entries.ufrags {
                    self.directory.by_ufrag.remove_if(ufrag, |_, owner| *owner == self.me);
                }
                for address in &entries.addresses {
                    self.forget_address(address);
                }
            }
            _ => {}
        }
    }

    /// The address may have moved on: to another worker, whose entry stays, or to another peer of ours.
    fn forget_address(&self, address: &SocketAddr) {
        if !self.peers.values().any(|entries| entries.addresses.contains(address)) {
            self.directory.by_address.remove_if(address, |_, owner| *owner == self.me);
        }
    }
}

#[cfg(test)]
mod tests {
    use sfu_core::DisconnectReason;

    use super::*;

    const A: WorkerId = WorkerId(0);
    const B: WorkerId = WorkerId(1);

    fn pair() -> (Registrar, Registrar, Arc<Directory>) {
        let directory = Arc::new(Directory::default());
        (Registrar::new(directory.clone(), A), Registrar::new(directory.clone(), B), directory)
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn ufrags(peer: u64, ufrags: &[&str]) -> Event {
        Event::LocalUfrags { peer: PeerId(peer), ufrags: ufrags.iter().map(|u| (*u).to_owned()).collect() }
    }

    fn gone(peer: u64) -> Event {
        Event::Disconnected { peer: PeerId(peer), reason: DisconnectReason::Closed }
    }

    #[test]
    fn a_request_is_known_by_its_ufrag_and_the_rest_by_its_source() {
        let (a, mut b, _) = pair();
        b.note(&ufrags(1, &["old", "new"]));
        b.note(&Event::AddressAdded { peer: PeerId(1), address: address(1) });
        assert_eq!(a.owner_of(address(9), Some("new")), Some(B));
        assert_eq!(a.owner_of(address(1), None), Some(B));
        assert_eq!(a.owner_of(address(1), Some("other")), None, "the ufrag decides");
        assert_eq!(a.owner_of(address(2), None), None);
        assert_eq!(b.owner_of(address(1), None), None, "nobody forwards to itself");
        b.note(&ufrags(1, &["new"]));
        assert_eq!(a.owner_of(address(9), Some("old")), None);
    }

    #[test]
    fn nothing_is_left_of_a_peer_that_is_gone() {
        let (_, mut b, directory) = pair();
        b.note(&ufrags(1, &["x"]));
        b.note(&Event::AddressAdded { peer: PeerId(1), address: address(1) });
        b.note(&Event::AddressAdded { peer: PeerId(1), address: address(2) });
        b.note(&Event::AddressRemoved { peer: PeerId(1), address: address(2) });
        assert_eq!((directory.by_ufrag.len(), directory.by_address.len()), (1, 1));
        b.note(&gone(1));
        assert_eq!((directory.by_ufrag.len(), directory.by_address.len(), b.peers.len()), (0, 0, 0));
    }

    #[test]
    fn an_address_that_moved_on_stays_with_its_new_owner() {
        let (mut a, mut b, directory) = pair();
        a.note(&Event::AddressAdded { peer: PeerId(1), address: address(1) });
        b.note(&Event::AddressAdded { peer: PeerId(2), address: address(1) });
        a.note(&gone(1));
        assert_eq!(a.owner_of(address(1), None), Some(B));
        b.note(&Event::AddressAdded { peer: PeerId(3), address: address(1) });
        b.note(&gone(2));
        assert_eq!(a.owner_of(address(1), None), Some(B), "another peer of the same worker has it");
        b.note(&gone(3));
        assert_eq!(directory.by_address.len(), 0);
    }
}
