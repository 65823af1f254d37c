//! What is done by the clock and not by a packet.

use std::time::Duration;

use crate::engine::Engine;
#[cfg(feature = "fault-injection")]
use crate::io::Fault;
use crate::io::{DisconnectReason, Event, Quality, RelayMessage};
use crate::speaker;
use crate::track::Origin;

/// Also the pace of speaker lists.
pub(super) const INTERVAL: Duration = speaker::INTERVAL;
/// A peer from which nothing came for so long is reported silent. Browsers check ICE consent about every 5 s (RFC 7675).
const SILENT: Duration = Duration::from_secs(8);
/// Every so many rounds: wants are repeated, layers looked at, silent peers found.
const SLOW_ROUNDS: u32 = 5;
/// Every so many rounds: who has which connection.
const QUALITY_ROUNDS: u32 = 10;

impl Engine {
    /// A step that panics costs what it would have done, and is counted; the others go on.
    pub(super) fn keep_house(&mut self) {
        self.contain(None, Self::tell_speakers);
        self.contain(None, Self::report_subscriptions);
        self.contain(None, Self::look_at_bandwidth);
        self.rounds = self.rounds.wrapping_add(1);
        if self.rounds.is_multiple_of(SLOW_ROUNDS) {
            self.contain(None, Self::find_dead_peers);
            self.contain(None, Self::look_at_layers);
            self.contain(None, Self::relay_clocks);
        }
        if self.rounds.is_multiple_of(QUALITY_ROUNDS) {
            self.tell_quality();
        }
    }

    fn tell_speakers(&mut self) {
        let now = self.now;
        for (id, conference) in &mut self.conferences {
            if let Some(speakers) = conference.speakers.poll(now) {
                self.events.push_back(Event::Speakers { conference: *id, speakers });
            }
        }
    }

    fn report_subscriptions(&mut self) {
        for key in std::mem::take(&mut self.reports_due) {
            self.report_subscription(key);
        }
    }

    fn find_dead_peers(&mut self) {
        let now = self.now;
        let bounds = &self.config.bounds;
        let verdict = |peer: &crate::peer::Peer| match peer.is_connected() {
            true if now >= peer.last_received + bounds.silence => Some(DisconnectReason::Silent),
            false if now >= peer.created + bounds.connect_timeout => Some(DisconnectReason::NeverConnected),
            _ => None,
        };
        let dead: Vec<_> = self.peers.iter().filter_map(|(key, peer)| Some((key, verdict(peer)?))).collect();
        for (key, reason) in dead {
            self.remove_peer(key, reason);
        }
    }

    /// To every peer what its connection is like.
    fn tell_quality(&mut self) {
        let now = self.now;
        let connected: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.is_connected()).map(|(key, _)| key).collect();
        for key in connected {
            let quality = self.with_peer(key, |peer, _, _| {
                #[cfg(feature = "fault-injection")]
                peer.panic_if_told(Fault::Housekeeping);
                let quiet = now.saturating_duration_since(peer.last_received);
                let silent = quiet >= SILENT;
                let (up, down) = (peer.media.receiver.take_loss(), peer.media.downlink_loss());
                let (uplink_loss, downlink_loss) = if silent { (1.0, 1.0) } else { (up, down) };
                let rtt = peer.media.rtt().filter(|_| !silent);
                (peer.id, Quality { uplink_loss, downlink_loss, rtt, silent, quiet })
            });
            if let Some((peer, quality)) = quality {
                self.events.push_back(Event::Quality { peer, quality });
            }
        }
    }

    /// To engines that carry on our tracks: what their publishers say of their clocks.
    fn relay_clocks(&mut self) {
        for (key, track) in &self.tracks {
            if track.links.is_empty() {
                continue;
            }
            for layer in 0..track.layers.len() as u8 {
                let Some(clock) = self.clock_of(key, layer) else { continue };
                let message = || RelayMessage::Clock { track: track.id, layer, clock };
                let wanting = track.links.iter().filter(|want| want.layers >> layer & 1 == 1);
                self.relays.extend(wanting.map(|want| (want.link, message())));
            }
        }
    }

    /// Layers that stopped, or whose idleness has not been noticed; wants that must not expire.
    fn look_at_layers(&mut self) {
        let keys: Vec<usize> = self.tracks.iter().map(|(key, _)| key).collect();
        let now = self.now;
        for (_, track) in &mut self.tracks {
            let muted = track.muted;
            track.layers.iter_mut().filter(|l| muted || !l.is_active(now)).for_each(|layer| layer.ring.rest());
        }
        self.peers.iter_mut().for_each(|(_, peer)| peer.media.rest());
        for key in keys {
            match self.tracks[key].origin {
                Origin::Peer { .. } => {
                    self.tracks[key].links.retain(|want| want.expires > now);
                    self.retarget(key);
                }
                Origin::Link { .. } => {
                    self.retarget(key);
                    if !self.tracks[key].subscribers.is_empty() {
                        self.send_want(key, true);
                    }
                }
            }
        }
    }
}
