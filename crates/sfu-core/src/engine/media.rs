//! The packet path: from a publisher's packet to its subscribers, and key-frame requests the other way.

use crate::engine::Engine;
use crate::forward::selector;
use crate::id::{Mid, Rid};
use crate::io::{Event, Kind, LayerInfo, Packet, Pause, RelayMessage};
use crate::keyframe::Decision;
use crate::subscription::{Offered, REPORT_INTERVAL};
use crate::track::Origin;

impl Engine {
    /// A peer published a packet.
    pub(super) fn handle_rtp(&mut self, peer: usize, mid: Mid, rid: Option<Rid>, packet: Packet) {
        let Some(conference) = self.peers.get(peer).map(|peer| peer.conference) else { return };
        let key = self.published.get(&(peer, mid)).copied();
        let Some((key, layer)) = key.and_then(|key| Some((key, self.tracks[key].layer_of(rid)?))) else {
            self.counters.packets_untracked += 1;
            return;
        };
        let track = &self.tracks[key];
        if let Some((level, _)) = packet.extensions.audio_level
            && track.kind == Kind::Audio
            && !track.muted
            && let Some(conference) = self.conferences.get_mut(&conference)
        {
            conference.speakers.handle_level(self.now, track.id, track.participant, level);
        }
        self.forward(key, layer, packet);
    }

    /// Gives a packet to every subscriber and link that wants its layer.
    pub(super) fn forward(&mut self, key: usize, layer: usize, packet: Packet) {
        let now = self.now;
        let index = layer as u8;
        let track = &mut self.tracks[key];
        if track.muted {
            self.counters.packets_muted += 1;
            return;
        }
        let state = &mut track.layers[layer];
        let woke = !state.is_active(now);
        state.last_packet = Some(now);
        // A key frame that was lost and comes again has lost its successors to those who waited for it.
        let newest = state.highest.is_none_or(|highest| highest.0 != packet.source || packet.sequence > highest.1);
        if newest {
            state.highest = Some((packet.source, packet.sequence));
        }
        let fresh_keyframe = packet.keyframe && newest;
        if woke {
            self.retarget(key);
            self.announce_layers(key);
        }
        let may_switch = fresh_keyframe || self.tracks[key].kind == Kind::Audio;
        // Nothing on this path adds or removes subscribers, not even a panic: see `with_peer`.
        for place in 0..self.tracks[key].subscribers.len() {
            let subscriber = self.tracks[key].subscribers[place];
            self.forward_to(subscriber, index, &packet, may_switch);
        }
        if fresh_keyframe && !self.somebody_waits(key, index) {
            self.tracks[key].layers[layer].gate.handle_keyframe();
        }
        let track = &self.tracks[key];
        let message = || RelayMessage::Media { track: track.id, layer: index, packet: packet.clone() };
        let wanting = track.links.iter().filter(|want| want.layers >> index & 1 == 1 && want.expires > now);
        self.relays.extend(wanting.map(|want| (want.link, message())));
    }

    fn forward_to(&mut self, subscriber: usize, layer: u8, packet: &Packet, may_switch: bool) {
        let now = self.now;
        let subscription = &mut self.subscriptions[subscriber];
        if subscription.current != Some(layer) && subscription.target != Some(layer) {
            return;
        }
        let (peer, mid) = (subscription.peer, subscription.mid);
        if !self.peers[peer].is_connected() {
            return;
        }
        let lacked = subscription.lacks_codec();
        let payload_type = subscription.payload_type(packet.codec, || self.peers[peer].payload_type(mid, packet.codec));
        let Some(payload_type) = payload_type else {
            if !lacked {
                self.report_soon(subscriber);
            }
            return;
        };
        let had = subscription.current;
        let offered = subscription.offer(now, layer, packet, may_switch);
        let (numbers, switched) = match offered {
            Offered::Drop => {
                // The codec became one that it takes, or its source began anew without a key frame.
                if lacked || had.is_some() && subscription.current.is_none() {
                    self.keyframe_for(subscriber);
                }
                return;
            }
            Offered::Forward(numbers) => (numbers, lacked),
            Offered::Switched(numbers) => (numbers, true),
        };
        if switched {
            self.counters.layer_switches += 1;
            let track = subscription.track;
            self.report_soon(subscriber);
            self.refresh_relay_want(track);
        }
        self.counters.packets_forwarded += 1;
        self.counters.bytes_forwarded += packet.payload.len() as u64;
        self.with_peer(peer, |peer, _, _| peer.write(mid, payload_type, packet, &numbers));
        self.mark_dirty(peer);
    }

    /// Chooses anew for every subscriber of a track: its layers have changed.
    pub(super) fn retarget(&mut self, track: usize) {
        for subscriber in self.tracks[track].subscribers.clone() {
            self.retarget_one(subscriber);
            self.report_subscription(subscriber);
        }
        self.refresh_relay_want(track);
    }

    /// Chooses a subscription's layer, and asks for a key frame if that needs one.
    pub(super) fn retarget_one(&mut self, subscriber: usize) {
        let now = self.now;
        let subscription = &self.subscriptions[subscriber];
        let track = &self.tracks[subscription.track];
        let target = match (track.muted, track.kind) {
            (true, _) => None,
            (false, Kind::Audio) => (!track.layers.is_empty()).then_some(0),
            (false, Kind::Video) => selector::choose(subscription.want, &track.layer_infos(now)),
        };
        let subscription = &mut self.subscriptions[subscriber];
        if target.is_none() {
            subscription.pause();
        }
        if std::mem::replace(&mut subscription.target, target) != target {
            self.keyframe_for(subscriber);
        }
    }

    /// Asks for the key frame that a subscription waits for, or that its subscriber asked for.
    pub(super) fn keyframe_for(&mut self, subscriber: usize) {
        let subscription = &self.subscriptions[subscriber];
        if subscription.kind == Kind::Audio || !self.peers[subscription.peer].is_connected() {
            return;
        }
        let layer = if subscription.waits() { subscription.target } else { subscription.current };
        if let Some(layer) = layer {
            self.want_keyframe(subscription.track, layer);
        }
    }

    /// The subscriber on this m-line lost its picture.
    pub(super) fn handle_keyframe_request(&mut self, peer: usize, mid: Mid) {
        self.counters.keyframe_requests_received += 1;
        let now = self.now;
        let key = self.peers.get(peer).and_then(|peer| peer.subscriptions.get(&mid)).copied();
        if let Some(key) = key
            && self.subscriptions[key].may_ask(now)
        {
            self.keyframe_for(key);
        }
    }

    pub(super) fn want_keyframe(&mut self, track: usize, layer: u8) {
        let interval = self.config.bounds.keyframe_interval;
        let Some(gate) =
            self.tracks.get_mut(track).and_then(|t| t.layers.get_mut(usize::from(layer))).map(|l| &mut l.gate)
        else {
            return;
        };
        let at = gate.request(self.now, interval);
        self.keyframe_deadlines.insert((at, track, layer));
    }

    pub(super) fn handle_keyframe_deadlines(&mut self) {
        let interval = self.config.bounds.keyframe_interval;
        while let Some(&(at, track, layer)) = self.keyframe_deadlines.first()
            && at <= self.now
        {
            self.keyframe_deadlines.remove(&(at, track, layer));
            let moot = self.keyframe_is_moot(track, layer);
            let Some(state) = self.tracks.get_mut(track).and_then(|t| t.layers.get_mut(usize::from(layer))) else {
                continue;
            };
            if moot {
                state.gate.forget();
            } else if let Some(decision) = state.gate.handle_timeout(self.now, interval) {
                self.act_on_gate(track, layer, decision);
            }
        }
    }

    /// A subscriber here still waits for a key frame of this layer.
    fn somebody_waits(&self, track: usize, layer: u8) -> bool {
        let waits = |key: &usize| {
            let subscription = &self.subscriptions[*key];
            subscription.target == Some(layer) && subscription.waits() && self.peers[subscription.peer].is_connected()
        };
        self.tracks[track].subscribers.iter().any(waits)
    }

    /// Nobody waits for this layer any more, here or behind a link: asking on would cost the publisher for nothing.
    fn keyframe_is_moot(&self, track: usize, layer: u8) -> bool {
        let Some(track) = self.tracks.get(track) else { return true };
        let uses = |key: &usize| {
            let subscription = &self.subscriptions[*key];
            !subscription.lacks_codec() && (subscription.target == Some(layer) || subscription.current == Some(layer))
        };
        track.muted
            || !(track.subscribers.iter().any(uses) || track.links.iter().any(|want| want.layers >> layer & 1 == 1))
    }

    fn act_on_gate(&mut self, track: usize, layer: u8, decision: Decision) {
        let again = match decision {
            Decision::Wait(at) => at,
            Decision::Ask => {
                let Some(state) = self.tracks.get(track) else { return };
                let rid = state.layers.get(usize::from(layer)).and_then(|layer| layer.rid);
                match state.origin {
                    Origin::Peer { peer, mid } => {
                        let asked = self.with_peer(peer, |peer, _, _| peer.request_keyframe(mid, rid));
                        if asked == Some(true) {
                            self.counters.keyframe_requests_sent += 1;
                            self.mark_dirty(peer);
                        }
                    }
                    Origin::Link { link, .. } => {
                        let message = RelayMessage::KeyframeRequest { track: state.id, layer };
                        self.relays.push_back((link, message));
                    }
                }
                self.now + self.config.bounds.keyframe_interval
            }
        };
        self.keyframe_deadlines.insert((again, track, layer));
    }

    /// The peer is up: what it subscribed to before can flow.
    pub(super) fn start_subscriptions(&mut self, peer: usize) {
        for subscription in self.held_by(peer) {
            self.keyframe_for(subscription);
        }
    }

    /// The subscriptions of a peer.
    pub(super) fn held_by(&self, peer: usize) -> Vec<usize> {
        self.peers.get(peer).map(|peer| peer.subscriptions.values().copied().collect()).unwrap_or_default()
    }

    /// For what packets cause: tells it now, or a little later if the subscriber was told something just now.
    fn report_soon(&mut self, key: usize) {
        let now = self.now;
        if self.subscriptions[key].reported_at.is_some_and(|at| now < at + REPORT_INTERVAL) {
            self.reports_due.insert(key);
        } else {
            self.report_subscription(key);
        }
    }

    /// Tells the subscriber what it gets, if that is news.
    pub(super) fn report_subscription(&mut self, key: usize) {
        let now = self.now;
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let track = &self.tracks[subscription.track];
        let paused = if track.muted {
            Some(Pause::Muted)
        } else if subscription.target.is_none() || subscription.lacks_codec() {
            Some(Pause::NoSource)
        } else {
            None
        };
        let rid = match (paused, subscription.current) {
            (None, Some(layer)) => track.layers.get(usize::from(layer)).and_then(|layer| layer.rid),
            _ => None,
        };
        if subscription.report(rid, paused) {
            subscription.reported_at = Some(now);
            let peer = self.peers[subscription.peer].id;
            self.events.push_back(Event::Subscribed { peer, track: track.id, mid: subscription.mid, rid, paused });
        }
    }

    /// Tells the links that want a track which layers it has.
    pub(super) fn announce_layers(&mut self, key: usize) {
        let now = self.now;
        let track = &self.tracks[key];
        if !matches!(track.origin, Origin::Peer { .. }) || track.links.is_empty() {
            return;
        }
        let layers: Vec<LayerInfo> = track.layer_infos(now);
        let message = |_| RelayMessage::Layers { track: track.id, layers: layers.clone(), muted: track.muted };
        self.relays.extend(track.links.iter().map(|want| (want.link, message(()))));
    }
}
