//! Between engines: another core is a nearer focus. Layers travel as they came; rewriting happens where they leave.

use std::time::Instant;

use crate::engine::Engine;
use crate::engine::media::Bytes;
use crate::id::{LinkId, Rid, TrackId};
use crate::io::{Head, Kind, LayerInfo, Packet, RelayMessage};
use crate::rtp::vp8;
use crate::track::{LinkWant, Origin, WANT_EXPIRES};

/// Links that one track may be relayed to: the workers of a machine and some foci.
const LINKS_MAX: usize = 256;
/// As for what comes by UDP: an Ethernet frame holds 1500 bytes.
const PAYLOAD_BYTES_MAX: usize = 1500;

impl Engine {
    /// Something came from another engine.
    pub fn handle_relay(&mut self, now: Instant, link: LinkId, message: RelayMessage) {
        self.now = now;
        self.counters.relays_received += 1;
        self.contain(None, |engine| engine.take_relay(link, message));
    }

    fn take_relay(&mut self, link: LinkId, message: RelayMessage) {
        let id = match &message {
            RelayMessage::Media { track, .. }
            | RelayMessage::Layers { track, .. }
            | RelayMessage::Want { track, .. }
            | RelayMessage::Clock { track, .. }
            | RelayMessage::KeyframeRequest { track, .. } => *track,
        };
        let Some(&key) = self.track_keys.get(&id) else {
            self.counters.relays_untracked += 1;
            return;
        };
        let from_origin = matches!(self.tracks[key].origin, Origin::Link { link: origin, .. } if origin == link);
        let published_here = matches!(self.tracks[key].origin, Origin::Peer { .. });
        match message {
            RelayMessage::Media { layer, packet, .. } if from_origin => {
                let layer = usize::from(layer);
                // Media may overtake the list of its layers, when that was dropped on the way; it comes again.
                if layer < self.tracks[key].layers.len() && packet.payload.len() <= PAYLOAD_BYTES_MAX {
                    // What is rewritten of a payload must be there, whatever the other side says.
                    let vp8 = packet.head.vp8.and_then(|_| vp8::Descriptor::parse(&packet.payload));
                    let head = Head { vp8, ..packet.head };
                    self.forward(key, layer, head, Bytes::Owned(Packet { head, ..packet }));
                } else {
                    self.counters.relays_untracked += 1;
                }
            }
            RelayMessage::Layers { layers, muted, .. } if from_origin => self.take_layers(key, &layers, muted),
            RelayMessage::Clock { layer, clock, .. } if from_origin => {
                if let Some(layer) = self.tracks[key].layers.get_mut(usize::from(layer)) {
                    layer.clock = Some(clock);
                }
            }
            RelayMessage::Want { layers, .. } if published_here => self.take_want(key, id, link, layers),
            RelayMessage::KeyframeRequest { layer, .. } if published_here => {
                self.counters.keyframe_requests_received += 1;
                self.want_keyframe(key, layer);
            }
            _ => self.counters.relays_untracked += 1,
        }
    }

    fn take_layers(&mut self, key: usize, infos: &[LayerInfo], muted: bool) {
        let now = self.now;
        let track = &mut self.tracks[key];
        let infos = &infos[..infos.len().min(self.config.bounds.layers)];
        let rids: Vec<Option<Rid>> = infos.iter().map(|info| info.rid).collect();
        track.keep_layers(&rids);
        for (layer, info) in track.layers.iter_mut().zip(infos) {
            layer.last_packet = info.active.then_some(now);
            layer.told_bitrate = info.bitrate;
        }
        if let Some(top) = infos.last() {
            (track.width, track.height) = (top.width, top.height);
        }
        let was_muted = std::mem::replace(&mut track.muted, muted);
        if muted && !was_muted {
            track.layers.iter_mut().for_each(|layer| layer.ring.forget_keyframe());
            for subscriber in track.subscribers.clone() {
                self.subscriptions[subscriber].pause();
            }
        }
        self.retarget(key);
    }

    fn take_want(&mut self, key: usize, id: TrackId, link: LinkId, layers: Option<u8>) {
        let expires = self.now + WANT_EXPIRES;
        let now = self.now;
        let track = &mut self.tracks[key];
        let Some(layers) = layers else {
            track.links.retain(|want| want.link != link);
            return;
        };
        let mut new = layers;
        if let Some(want) = track.links.iter_mut().find(|want| want.link == link) {
            if want.expires > now {
                new &= !want.layers;
            }
            (want.layers, want.expires) = (layers, expires);
        } else if track.links.len() < LINKS_MAX {
            track.links.push(LinkWant { link, layers, expires });
        } else {
            return;
        }
        let reply = RelayMessage::Layers { track: id, layers: track.layer_infos(now), muted: track.muted };
        self.relays.push_back((link, reply));
        let track = &self.tracks[key];
        for (index, layer) in track.layers.iter().enumerate().filter(|(index, _)| new >> index & 1 == 1) {
            let Some((source, range)) = layer.ring.since_keyframe(now).filter(|_| !track.muted) else { continue };
            let packets = range.filter_map(|sequence| layer.ring.get(source, sequence as u32));
            let message =
                |packet: &Packet| RelayMessage::Media { track: id, layer: index as u8, packet: packet.clone() };
            self.relays.extend(packets.map(|packet| (link, message(packet))));
        }
    }

    /// Tells the publisher's engine which layers are wanted here. `repeat` says it even if nothing has changed.
    pub(super) fn send_want(&mut self, key: usize, repeat: bool) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        let Origin::Link { link, wanted } = track.origin else { return };
        let mut layers = 0u8;
        for subscriber in &track.subscribers {
            let subscription = &self.subscriptions[*subscriber];
            for layer in [subscription.target, subscription.current].into_iter().flatten() {
                layers |= 1 << layer;
            }
            // Without a list of layers there is no target yet; audio has but one layer.
            if track.layers.is_empty() && track.kind == Kind::Audio {
                layers |= 1;
            }
        }
        let layers = (!track.subscribers.is_empty()).then_some(layers);
        // What is not wanted does not come: what is in the ring is no longer all that there was since.
        for (index, layer) in track.layers.iter_mut().enumerate() {
            if layers.is_none_or(|layers| layers >> index & 1 == 0) {
                layer.ring.forget_keyframe();
            }
        }
        if layers != wanted || repeat {
            track.origin = Origin::Link { link, wanted: layers };
            self.relays.push_back((link, RelayMessage::Want { track: track.id, layers }));
        }
    }

    pub(super) fn refresh_relay_want(&mut self, key: usize) {
        self.send_want(key, false);
    }
}
