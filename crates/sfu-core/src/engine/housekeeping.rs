//! What is done by the clock and not by a packet.

use std::time::Duration;

use crate::engine::Engine;
use crate::io::{DisconnectReason, Event, Quality};
use crate::speaker;
use crate::track::Origin;

/// Also the pace of speaker lists.
pub(super) const INTERVAL: Duration = speaker::INTERVAL;
/// A peer from which nothing came for so long is reported silent. Browsers check ICE consent about every 5 s (RFC 7675).
const SILENT: Duration = Duration::from_secs(8);
/// Every so many rounds: wants are repeated, layers looked at, silent peers found.
const SLOW_ROUNDS: u32 = 5;

impl Engine {
    pub(super) fn keep_house(&mut self) {
        let now = self.now;
        for (id, conference) in &mut self.conferences {
            if let Some(speakers) = conference.speakers.poll(now) {
                self.events.push_back(Event::Speakers { conference: *id, speakers });
            }
        }
        for key in std::mem::take(&mut self.reports_due) {
            self.report_subscription(key);
        }
        self.rounds = self.rounds.wrapping_add(1);
        if self.rounds.is_multiple_of(SLOW_ROUNDS) {
            self.find_dead_peers();
            self.look_at_layers();
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
        let silent: Vec<usize> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_connected() && now >= peer.last_received + SILENT)
            .map(|(key, _)| key)
            .collect();
        for key in silent {
            self.report_quality(key, 1.0, 1.0, None);
        }
    }

    /// Layers that stopped, or whose idleness has not been noticed; wants that must not expire.
    fn look_at_layers(&mut self) {
        let keys: Vec<usize> = self.tracks.iter().map(|(key, _)| key).collect();
        let now = self.now;
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

    pub(super) fn report_quality(&mut self, key: usize, uplink_loss: f32, downlink_loss: f32, rtt: Option<Duration>) {
        let Some(peer) = self.peers.get(key) else { return };
        let silent = self.now >= peer.last_received + SILENT;
        let quality = Quality { uplink_loss, downlink_loss, rtt, silent };
        self.events.push_back(Event::Quality { peer: peer.id, quality });
    }
}
