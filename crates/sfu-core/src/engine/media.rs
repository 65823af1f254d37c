//! The packet path: from a publisher's packet to its subscribers, and key-frame requests the other way.

use std::time::Duration;

use crate::codec::CodecName;
use crate::demux::Class;
use crate::engine::Engine;
use crate::forward::rewriter::Numbers;
use crate::forward::ring::REPLAY_AGE_MAX;
use crate::forward::selector;
use crate::id::Mid;
#[cfg(feature = "fault-injection")]
use crate::io::Fault;
use crate::io::{Datagram, Event, Head, Kind, LayerInfo, Packet, Pause, RelayMessage};
use crate::keyframe::Decision;
use crate::receive::Received;
use crate::rtp::vp8;
use crate::send::Outgoing;
use crate::subscription::{Grant, Offered, REPORT_INTERVAL};
use crate::track::Origin;

/// An Ethernet frame holds 1500 bytes; what is larger has come through a tunnel that we do not support.
const MEDIA_BYTES_MAX: usize = 1600;

/// Where a payload is that is to be forwarded.
pub(super) enum Bytes<'a> {
    /// In memory that is used again at once.
    Borrowed(&'a [u8]),
    /// It came with memory of its own.
    Owned(Packet),
}

impl Engine {
    /// A datagram of RTP or RTCP came from a peer's address.
    pub(super) fn handle_media(&mut self, peer: usize, class: Class, datagram: Datagram<'_>) {
        let now = self.now;
        if datagram.contents.len() > MEDIA_BYTES_MAX {
            self.counters.receive.oversized += 1;
            return;
        }
        // Opened where it stands, so it needs memory that we may change. It is put back below.
        let mut memory = std::mem::take(&mut self.incoming);
        memory.clear();
        memory.extend_from_slice(datagram.contents);
        if class == Class::Rtcp {
            self.with_peer(peer, |peer, _, counters| {
                #[cfg(feature = "fault-injection")]
                peer.panic_if_told(Fault::Datagram);
                if peer.media.handle_rtcp(now, &mut memory, counters) {
                    peer.note_media(now, &datagram);
                }
            });
            self.contain(Some(peer), |engine| engine.after_rtcp(peer));
        } else {
            let received = self.with_peer(peer, |peer, _, counters| {
                #[cfg(feature = "fault-injection")]
                peer.panic_if_told(Fault::Datagram);
                let received = peer.media.handle_rtp(now, &mut memory, &mut counters.receive)?;
                peer.note_media(now, &datagram);
                Some(received)
            });
            if let Some(received) = received.flatten() {
                self.counters.packets_received += 1;
                self.counters.bytes_received += received.payload.len() as u64;
                self.contain(Some(peer), |engine| engine.handle_rtp(peer, &received));
            }
        }
        self.incoming = memory;
        if self.peers.get(peer).is_some_and(|peer| peer.media.receiver.has_too_many_sources()) {
            self.with_peer(peer, |peer, _, _| peer.give_up());
            self.after_peer(peer);
        }
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.update_deadline(now);
        }
        self.schedule(peer);
    }

    /// What a peer's RTCP asked for.
    fn after_rtcp(&mut self, key: usize) {
        loop {
            let Some(peer) = self.peers.get_mut(key) else { return };
            let Some(mid) = peer.media.poll_keyframe_ask() else { break };
            self.handle_keyframe_request(key, mid);
        }
        if self.peers.get(key).is_some_and(|peer| peer.media.is_pending(self.now)) {
            self.mark_dirty(key);
        }
        self.note_estimate(key);
    }

    /// A peer published a packet.
    fn handle_rtp(&mut self, peer: usize, received: &Received<'_>) {
        let Some(conference) = self.peers.get(peer).map(|peer| peer.conference) else { return };
        let key = self.published.get(&(peer, received.mid)).copied();
        let Some((key, layer)) = key.and_then(|key| Some((key, self.tracks[key].layer_of(received.rid)?))) else {
            self.counters.packets_untracked += 1;
            return;
        };
        let track = &self.tracks[key];
        if let Some((level, _)) = received.extensions.audio_level
            && track.kind == Kind::Audio
            && !track.muted
            && let Some(conference) = self.conferences.get_mut(&conference)
        {
            conference.speakers.handle_level(self.now, track.id, track.participant, level);
        }
        let is_vp8 = received.codec.name == CodecName::Vp8;
        let head = Head {
            source: received.source,
            sequence: received.sequence,
            timestamp: received.timestamp,
            marker: received.marker,
            codec: received.codec,
            keyframe: received.keyframe,
            vp8: is_vp8.then(|| vp8::Descriptor::parse(received.payload)).flatten(),
            extensions: received.extensions,
            received: self.now,
        };
        self.forward(key, layer, head, Bytes::Borrowed(received.payload));
    }

    /// Gives a packet to every subscriber and link that wants its layer.
    pub(super) fn forward(&mut self, key: usize, layer: usize, head: Head, bytes: Bytes<'_>) {
        let now = self.now;
        let index = layer as u8;
        let track = &mut self.tracks[key];
        #[cfg(feature = "fault-injection")]
        if let Origin::Peer { peer, .. } = track.origin {
            self.peers[peer].panic_if_told(Fault::FanOut);
        }
        if track.muted {
            self.counters.packets_muted += 1;
            return;
        }
        let state = &mut track.layers[layer];
        let length = match &bytes {
            Bytes::Borrowed(payload) => payload.len(),
            Bytes::Owned(packet) => packet.payload.len(),
        };
        // Padding is no picture.
        let empty = length == 0;
        let woke = !empty && !state.is_active(now);
        if !empty {
            state.last_packet = Some(now);
        }
        // A key frame that was lost and comes again has lost its successors to those who waited for it.
        let newest = state.highest.is_none_or(|highest| highest.0 != head.source || head.sequence > highest.1);
        if newest {
            state.highest = Some((head.source, head.sequence));
        }
        let new = match bytes {
            Bytes::Borrowed(payload) => state.ring.copy_in(head, payload),
            Bytes::Owned(packet) => state.ring.move_in(packet),
        };
        if !new {
            self.counters.receive.duplicates += 1;
            return;
        }
        state.meter.note(length);
        let fresh_keyframe = head.keyframe && newest;
        if woke {
            self.retarget(key);
            self.announce_layers(key);
        }
        let may_switch = fresh_keyframe || self.tracks[key].kind == Kind::Audio;
        // Nothing on this path adds or removes subscribers, not even a panic: see `with_peer`.
        for place in 0..self.tracks[key].subscribers.len() {
            let subscriber = self.tracks[key].subscribers[place];
            self.forward_to(subscriber, index, &head, length, may_switch);
        }
        if self.tracks[key].kind == Kind::Video {
            self.note_frame(key, layer, head.marker, self.tracks[key].subscribers.len());
        }
        if fresh_keyframe && !self.somebody_waits(key, index) {
            self.tracks[key].layers[layer].gate.handle_keyframe();
        }
        let track = &self.tracks[key];
        let mut wanting =
            track.links.iter().filter(|want| want.layers >> index & 1 == 1 && want.expires > now).peekable();
        if wanting.peek().is_some()
            && let Some(packet) = track.layers[layer].ring.get(head.source, head.sequence as u32)
        {
            let message = || RelayMessage::Media { track: track.id, layer: index, packet: packet.clone() };
            self.relays.extend(wanting.map(|want| (want.link, message())));
        }
    }

    fn forward_to(&mut self, subscriber: usize, layer: u8, head: &Head, length: usize, may_switch: bool) {
        let now = self.now;
        let subscription = &mut self.subscriptions[subscriber];
        if subscription.current != Some(layer) && subscription.target != Some(layer) {
            return;
        }
        let Some(payload_type) = self.payload_type_for(subscriber, head) else { return };
        let subscription = &mut self.subscriptions[subscriber];
        let had = subscription.current;
        let lacked = std::mem::take(&mut subscription.lacked);
        let (numbers, switched) = match subscription.offer(now, layer, head, may_switch) {
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
            self.note_switched(subscriber);
        }
        self.queue(subscriber, layer, payload_type, head, length, numbers);
    }

    fn note_switched(&mut self, subscriber: usize) {
        self.counters.layer_switches += 1;
        let track = self.subscriptions[subscriber].track;
        self.report_soon(subscriber);
        self.refresh_relay_want(track);
    }

    /// The payload type under which a subscriber gets such a packet; `None` if it cannot get it. The first time that it
    /// can again, its `lacked` is set.
    fn payload_type_for(&mut self, subscriber: usize, head: &Head) -> Option<u8> {
        let subscription = &mut self.subscriptions[subscriber];
        let peer = &self.peers[subscription.peer];
        if !peer.is_connected() {
            return None;
        }
        let lacked = subscription.lacks_codec();
        let sender = subscription.sender;
        let look_up = || peer.media.sender_at(sender).and_then(|sender| sender.payload_type(head.codec));
        let payload_type = subscription.payload_type(head.codec, look_up);
        if payload_type.is_none() && !lacked {
            self.report_soon(subscriber);
        } else if payload_type.is_some() && lacked {
            subscription.lacked = true;
        }
        payload_type
    }

    /// Puts a packet where its subscriber's peer finds it at the next flush.
    fn queue(&mut self, subscriber: usize, layer: u8, payload_type: u8, head: &Head, length: usize, numbers: Numbers) {
        let subscription = &self.subscriptions[subscriber];
        let (key, sender) = (subscription.peer, subscription.sender);
        let peer = &mut self.peers[key];
        let Some(header) = peer.media.sender_at(sender).map(|sender| sender.header_length(head)) else { return };
        let outgoing = Outgoing {
            sender,
            payload_type,
            layer,
            track: subscription.track,
            source: head.source,
            input: head.sequence as u32,
            length: length as u16,
            header: header as u16,
            numbers,
        };
        if peer.media.push(subscription.kind, outgoing) {
            self.counters.packets_forwarded += 1;
            self.counters.bytes_forwarded += length as u64;
        } else {
            self.counters.packets_overtaken += 1;
        }
        self.mark_dirty(key);
    }

    /// Serves a subscription that waits for a key frame from the ring: the last key frame and all since. `false` if there
    /// is none that it may have.
    fn replay(&mut self, subscriber: usize) -> bool {
        let now = self.now;
        let subscription = &self.subscriptions[subscriber];
        let (key, Some(layer)) = (subscription.track, subscription.target) else { return false };
        if !subscription.waits() || !self.peers[subscription.peer].is_connected() {
            return false;
        }
        let Some(state) = self.tracks[key].layers.get(usize::from(layer)) else { return false };
        let Some((source, range)) = state.ring.since_keyframe(now) else { return false };
        if !subscription.has_seen_nothing_since(layer, source, *range.start()) {
            return false;
        }
        let head_of = |engine: &Self, sequence: u64| {
            let ring = &engine.tracks[key].layers[usize::from(layer)].ring;
            ring.get(source, sequence as u32).map(|packet| (packet.head, packet.payload.len()))
        };
        let (Some((first, _)), Some((last, _))) = (head_of(self, *range.start()), head_of(self, *range.end())) else {
            return false;
        };
        if self.payload_type_for(subscriber, &first).is_none() {
            return false;
        }
        let ticks = last.timestamp.wrapping_sub(first.timestamp);
        let behind = Duration::from_micros(u64::from(ticks) * 1_000_000 / u64::from(first.codec.clock_rate.max(1)));
        let behind = behind.min(REPLAY_AGE_MAX);
        self.subscriptions[subscriber].begin_replay(now, layer, &first, behind);
        for sequence in range {
            let Some((head, length)) = head_of(self, sequence) else { continue };
            let Some(payload_type) = self.payload_type_for(subscriber, &head) else { continue };
            if let Some(numbers) = self.subscriptions[subscriber].replay(now, layer, &head) {
                self.counters.packets_replayed += 1;
                self.queue(subscriber, layer, payload_type, &head, length, numbers);
            }
        }
        self.subscriptions[subscriber].lacked = false;
        self.note_switched(subscriber);
        true
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
        let wanted = match (track.muted, track.kind) {
            (true, _) => None,
            (false, Kind::Audio) => (!track.layers.is_empty()).then_some(0),
            (false, Kind::Video) => selector::choose(subscription.want, &track.layer_infos(now)),
        };
        let target = match subscription.granted {
            Grant::Unlimited => wanted,
            Grant::Paused => None,
            Grant::Layer(most) => wanted.map(|wanted| {
                let active = |layer: &u8| track.layers.get(usize::from(*layer)).is_some_and(|l| l.is_active(now));
                (0..=wanted.min(most)).rev().find(active).unwrap_or(wanted)
            }),
        };
        let subscription = &mut self.subscriptions[subscriber];
        subscription.wanted = wanted;
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
        let track = subscription.track;
        if let Some(layer) = layer
            && !self.replay(subscriber)
        {
            self.want_keyframe(track, layer);
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
                        let asked = self.with_peer(peer, |peer, _, _| peer.media.receiver.request_keyframe(mid, rid));
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

    /// The subscriptions of a peer, in an order that does not depend on what its m-lines are called.
    pub(super) fn held_by(&self, peer: usize) -> Vec<usize> {
        let Some(peer) = self.peers.get(peer) else { return Vec::new() };
        let mut keys: Vec<usize> = peer.subscriptions.values().copied().collect();
        keys.sort_unstable();
        keys
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
        } else if subscription.wanted.is_none() || subscription.lacks_codec() {
            Some(Pause::NoSource)
        } else if subscription.target.is_none() {
            Some(Pause::Bandwidth)
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
