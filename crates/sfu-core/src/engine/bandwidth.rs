//! Which layers a subscriber's path has room for.

use crate::allocator::{LAYERS_MAX, Request};
use crate::engine::Engine;
use crate::subscription::Grant;

/// An estimate that fell by this share since layers were chosen makes us choose at once.
const FELL_PERCENT: u64 = 90;

impl Engine {
    /// Chooses anew what a subscriber gets, from what it wants and what its path carries.
    pub(super) fn allocate(&mut self, key: usize) {
        let now = self.now;
        let Some(peer) = self.peers.get(key) else { return };
        let keys = self.held_by(key);
        let Some(estimate) = peer.media.limit() else {
            for subscriber in keys {
                self.grant(subscriber, Grant::Unlimited);
            }
            return;
        };
        let requests: Vec<Request> = keys.iter().map(|subscriber| self.request(*subscriber)).collect();
        let mut grants = Vec::with_capacity(requests.len());
        let Some(peer) = self.peers.get_mut(key) else { return };
        let congested = peer.media.is_congested(now);
        let allocation = peer.allocator.allocate(now, (estimate, congested), &requests, &mut grants);
        peer.media.set_wanted(allocation.wanted);
        peer.allocated = estimate;
        for ((subscriber, request), grant) in keys.into_iter().zip(&requests).zip(grants) {
            // What nobody sends is not held back, but begins small.
            let grant = match (request.wanted, grant) {
                (Some(_), None) if request.active != 0 => Grant::Paused,
                (_, layer) => Grant::Layer(layer.unwrap_or(0)),
            };
            self.grant(subscriber, grant);
        }
    }

    fn request(&self, subscriber: usize) -> Request {
        let subscription = &self.subscriptions[subscriber];
        let track = &self.tracks[subscription.track];
        let mut request = Request {
            kind: subscription.kind,
            wanted: subscription.wanted,
            bitrates: [0; LAYERS_MAX],
            active: 0,
            current: match subscription.granted {
                Grant::Layer(layer) => Some(layer),
                Grant::Unlimited => subscription.target,
                Grant::Paused => None,
            },
            priority: subscription.want.width.saturating_mul(subscription.want.height),
        };
        for (index, layer) in track.layers.iter().enumerate().take(LAYERS_MAX) {
            request.bitrates[index] = layer.bitrate();
            request.active |= u8::from(layer.is_active(self.now)) << index;
        }
        request
    }

    fn grant(&mut self, subscriber: usize, grant: Grant) {
        let subscription = &mut self.subscriptions[subscriber];
        if std::mem::replace(&mut subscription.granted, grant) == grant {
            return;
        }
        self.retarget_one(subscriber);
        self.report_subscription(subscriber);
        self.refresh_relay_want(self.subscriptions[subscriber].track);
    }

    /// The estimate of a peer may have changed.
    pub(super) fn note_estimate(&mut self, key: usize) {
        let Some(peer) = self.peers.get(key) else { return };
        if peer.media.limit().is_some_and(|estimate| estimate * 100 < peer.allocated * FELL_PERCENT) {
            self.allocate(key);
        }
    }

    /// By the clock: rates of layers, and who may have more now.
    pub(super) fn look_at_bandwidth(&mut self) {
        for (_, track) in &mut self.tracks {
            track.layers.iter_mut().for_each(|layer| layer.meter.roll(super::housekeeping::INTERVAL));
        }
        // Who wants nothing any more is not probed for it.
        let ended = |(_, peer): &(usize, &mut Box<crate::peer::Peer>)| peer.subscriptions.is_empty();
        self.peers.iter_mut().filter(ended).for_each(|(_, peer)| peer.media.set_wanted(0));
        let limited = |peer: &crate::peer::Peer| !peer.subscriptions.is_empty() && peer.media.limit().is_some();
        let keys: Vec<usize> = self.peers.iter().filter(|(_, peer)| limited(peer)).map(|(key, _)| key).collect();
        for key in keys {
            self.allocate(key);
        }
    }
}
