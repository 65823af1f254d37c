//! What the control plane orders.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::Rng;
use rand::distr::{Alphanumeric, SampleString};
use str0m::IceCreds;

use crate::engine::{Engine, PeerKey};
use crate::forward::rewriter::Rewriter;
use crate::id::{ConferenceId, LinkId, Mid, ParticipantId, PeerId, TrackId};
use crate::io::{Command, CommandError, DisconnectReason, Event, Kind, Pause, PublishedTrack, Reply, Want};
use crate::peer::Peer;
use crate::sdp::{self, OfferedLine};
use crate::subscription::{Grant, Subscription};
use crate::track::{Origin, Track};

use std::time::Instant;

/// Lengths of ICE credentials, in characters of 5.95 bits; RFC 8445 §5.3 asks for 4 and 22. The fragment is also the key
/// of the directory, so it must not collide by chance.
const UFRAG_CHARS: usize = 12;
const PASSWORD_CHARS: usize = 24;

impl Engine {
    /// The control plane orders something.
    ///
    /// # Errors
    /// See [`CommandError`]; nothing has changed then, except that `PeerFailed` has cost the peer, and that an offer which
    /// contradicts earlier ones may have changed the offerer's own m-lines.
    pub fn handle_command(&mut self, now: Instant, command: Command) -> Result<Reply, CommandError> {
        self.now = now;
        match command {
            Command::Connect { peer, conference, participant } => self.connect(peer, conference, participant)?,
            Command::Offer { peer, sdp, published } => return self.offer(peer, &sdp, &published),
            Command::Candidate { peer, candidate } => self.candidate(peer, &candidate)?,
            Command::Subscribe { peer, track, mid, want } => self.subscribe(peer, track, mid, want)?,
            Command::Unsubscribe { peer, track } => self.unsubscribe(peer, track)?,
            Command::Mute { track, muted } => {
                let key = self.track_key(track)?;
                self.set_muted(key, muted);
            }
            Command::SetKeyIndex { track, index } => {
                let key = self.track_key(track)?;
                self.tracks[key].set_key_index(index);
            }
            Command::RequestKeyframe { peer, track } => {
                let (peer, track) = (self.peer_key(peer)?, self.track_key(track)?);
                if let Some(subscription) = self.subscription_of(peer, track) {
                    self.keyframe_for(subscription);
                }
            }
            Command::SendData { peer, data } => {
                let key = self.peer_key(peer)?;
                match self.with_peer(key, |peer, _, _| peer.send_data(data)) {
                    Some(true) => self.counters.data_messages_sent += 1,
                    Some(false) => return Err(CommandError::DataChannel),
                    None => return Err(CommandError::PeerFailed),
                }
                self.mark_dirty(key);
            }
            Command::Disconnect { peer } => {
                let key = self.peer_key(peer)?;
                self.with_peer(key, |peer, batch, counters| peer.close(now, batch, counters));
                self.remove_peer(key, DisconnectReason::Commanded);
            }
            Command::AddRemoteTrack { conference, link, track, participant, kind } => {
                self.add_remote_track((conference, participant), link, track, kind)?;
            }
            Command::RemoveRemoteTrack { track } => {
                let key = self.track_key(track)?;
                self.end_track(key);
            }
            #[cfg(feature = "fault-injection")]
            Command::InjectPanic { peer, at } => {
                let key = self.peer_key(peer)?;
                self.peers[key].panic_next = Some(at);
            }
        }
        Ok(Reply::Done)
    }

    pub(super) fn peer_key(&self, peer: PeerId) -> Result<usize, CommandError> {
        self.peer_keys.get(&peer).copied().ok_or(CommandError::UnknownPeer)
    }

    fn track_key(&self, track: TrackId) -> Result<usize, CommandError> {
        self.track_keys.get(&track).copied().ok_or(CommandError::UnknownTrack)
    }

    pub(super) fn subscription_of(&self, peer: usize, track: usize) -> Option<usize> {
        let subscribers = &self.tracks.get(track)?.subscribers;
        subscribers.iter().copied().find(|key| self.subscriptions.get(*key).is_some_and(|s| s.peer == peer))
    }

    fn connect(
        &mut self,
        id: PeerId,
        conference: ConferenceId,
        participant: ParticipantId,
    ) -> Result<(), CommandError> {
        if self.peer_keys.contains_key(&id) {
            return Err(CommandError::PeerExists);
        }
        let limit = self.config.bounds.peers;
        if self.peers.len() >= limit {
            return Err(CommandError::TooMany { what: "peers", limit });
        }
        let Some(certificate) = self.certificate.clone() else { return Err(CommandError::PeerFailed) };
        let credentials = IceCreds {
            ufrag: Alphanumeric.sample_string(&mut self.secrets, UFRAG_CHARS),
            pass: Alphanumeric.sample_string(&mut self.secrets, PASSWORD_CHARS),
        };
        let (config, crypto) = (&self.config, &self.crypto);
        let make = || Peer::new(self.now, (id, conference, participant), config, crypto, &certificate, credentials);
        let Ok(peer) = catch_unwind(AssertUnwindSafe(make)) else {
            self.counters.panics += 1;
            return Err(CommandError::PeerFailed);
        };
        let key = self.peers.insert(Box::new(peer));
        self.peer_keys.insert(id, key);
        self.conferences.entry(conference).or_default().peers.insert(key);
        self.refresh_ufrag(key);
        Ok(())
    }

    /// ICE restart gives a peer a new user fragment.
    fn refresh_ufrag(&mut self, key: usize) {
        let Some(ufrag) = self.with_peer(key, |peer, _, _| peer.local_ufrag()) else { return };
        let Some(peer) = self.peers.get_mut(key) else { return };
        if ufrag == peer.ufrag {
            return;
        }
        let id = peer.id;
        let old = std::mem::replace(&mut peer.ufrag, ufrag.clone());
        self.by_ufrag.remove(&old);
        self.by_ufrag.insert(ufrag.clone(), key);
        self.events.push_back(Event::LocalUfrags { peer: id, ufrags: vec![ufrag] });
    }

    fn offer(&mut self, id: PeerId, sdp: &str, published: &[PublishedTrack]) -> Result<Reply, CommandError> {
        let key = self.peer_key(id)?;
        let limit = self.config.bounds.published_tracks;
        if published.len() > limit {
            return Err(CommandError::TooMany { what: "published tracks", limit });
        }
        let lines = sdp::scan(sdp, &self.config.bounds).map_err(|error| CommandError::Sdp(error.to_string()))?;
        let lines_by_mid: BTreeMap<Mid, &OfferedLine> =
            lines.iter().filter_map(|line| Some((line.mid?, line))).collect();
        for track in published {
            let line = lines_by_mid.get(&track.mid).filter(|line| line.kind == Some(track.kind) && line.sends);
            if line.is_none() {
                return Err(CommandError::WrongMid(track.mid));
            }
            // A known track stays on its m-line and with its publisher.
            if let Some(&known) = self.track_keys.get(&track.track)
                && self.tracks[known].origin != (Origin::Peer { peer: key, mid: track.mid })
            {
                return Err(CommandError::TrackExists);
            }
        }
        let now = self.now;
        match self.with_peer(key, |peer, _, _| peer.accept_offer(now, sdp, &lines)) {
            None => Err(CommandError::PeerFailed),
            Some(Err(error)) => Err(CommandError::Sdp(error)),
            Some(Ok(answer)) => {
                self.refresh_ufrag(key);
                self.sync_published(key, published, &lines_by_mid);
                self.sync_subscribed(key);
                // Only an m-line that has gone for good loses its numbers: its SSRC went with it.
                let media = self.peers.get(key).map(|peer| &peer.media);
                let lives = |mid: &Mid| media.is_some_and(|media| media.sender(*mid).is_some());
                self.parked.retain(|(peer, mid), _| *peer != key || lives(mid));
                self.mark_dirty(key);
                Ok(Reply::Answer { sdp: answer })
            }
        }
    }

    /// Makes the tracks of a peer what its offer says.
    fn sync_published(&mut self, key: usize, published: &[PublishedTrack], lines: &BTreeMap<Mid, &OfferedLine>) {
        let Some(peer) = self.peers.get(key) else { return };
        let (id, conference, participant) = (peer.id, peer.conference, peer.participant);
        let (published, refused): (Vec<&PublishedTrack>, Vec<&PublishedTrack>) =
            published.iter().partition(|track| peer.receives_on(track.mid, track.kind));
        // An m-line without a codec in common: the control plane must not believe in its track.
        let never_began = refused.iter().filter(|track| !self.track_keys.contains_key(&track.track));
        self.events.extend(never_began.map(|track| Event::TrackEnded { track: track.track }));
        let ours = |track: &Track| matches!(track.origin, Origin::Peer { peer, .. } if peer == key);
        let ended: Vec<usize> = self
            .tracks
            .iter()
            .filter(|(_, track)| ours(track) && !published.iter().any(|p| p.track == track.id))
            .map(|(key, _)| key)
            .collect();
        for track in ended {
            self.end_track(track);
        }
        for wanted in published {
            let rids = lines.get(&wanted.mid).map_or(&[][..], |line| &line.rids);
            if let Some(&known) = self.track_keys.get(&wanted.track) {
                let track = &mut self.tracks[known];
                track.set_rids(rids);
                (track.width, track.height) = (wanted.width, wanted.height);
                self.set_muted(known, wanted.muted);
                self.retarget(known);
                continue;
            }
            let track = self.tracks.insert(Track::published((conference, participant), key, wanted, rids));
            self.track_keys.insert(wanted.track, track);
            self.published.insert((key, wanted.mid), track);
            self.conferences.entry(conference).or_default().tracks.insert(track);
            self.events.push_back(Event::TrackPublished { peer: id, track: wanted.track, kind: wanted.kind });
        }
    }

    /// Ends subscriptions on m-lines that the client no longer receives on.
    fn sync_subscribed(&mut self, key: usize) {
        let Some(peer) = self.peers.get(key) else { return };
        let of_peer = self.held_by(key);
        let (gone, kept): (Vec<usize>, Vec<usize>) =
            of_peer.into_iter().partition(|s| !peer.sends_on(self.subscriptions[*s].mid, self.subscriptions[*s].kind));
        for subscription in kept {
            self.subscriptions[subscription].forget_payload_type();
            // Senders move when m-lines come and go.
            let sender = peer.media.sender(self.subscriptions[subscription].mid);
            self.subscriptions[subscription].sender = sender.unwrap_or(u16::MAX);
        }
        for subscription in gone {
            self.end_subscription(subscription);
        }
    }

    fn candidate(&mut self, id: PeerId, candidate: &str) -> Result<(), CommandError> {
        let key = self.peer_key(id)?;
        // End of candidates: an ICE-lite agent has nothing to do with it.
        if candidate.is_empty() {
            return Ok(());
        }
        let limit = self.config.bounds.candidates;
        if self.peers[key].candidates >= limit {
            return Err(CommandError::TooMany { what: "candidates", limit });
        }
        self.peers[key].candidates += 1;
        match self.with_peer(key, |_, _, _| Peer::knows_candidate(candidate)) {
            None => Err(CommandError::PeerFailed),
            Some(false) => Err(CommandError::Candidate),
            Some(true) => Ok(()),
        }
    }

    fn subscribe(&mut self, id: PeerId, track: TrackId, mid: Mid, want: Want) -> Result<(), CommandError> {
        let (peer, track) = (self.peer_key(id)?, self.track_key(track)?);
        let (kind, conference) = (self.tracks[track].kind, self.tracks[track].conference);
        if self.peers[peer].conference != conference {
            return Err(CommandError::WrongConference);
        }
        if !self.peers[peer].sends_on(mid, kind) {
            return Err(CommandError::WrongMid(mid));
        }
        if let Some(subscription) = self.subscription_of(peer, track) {
            if self.subscriptions[subscription].mid == mid {
                self.subscriptions[subscription].want = want;
                self.retarget_one(subscription);
                self.allocate(peer);
                self.refresh_relay_want(track);
                return Ok(());
            }
            self.end_subscription(subscription);
        }
        let occupant = self.peers[peer].subscriptions.get(&mid).copied();
        if let Some(occupant) = occupant {
            self.end_subscription(occupant);
        }
        let Some(sender) = self.peers[peer].media.sender(mid) else { return Err(CommandError::WrongMid(mid)) };
        let rewriter = self.parked.remove(&(peer, mid)).unwrap_or_else(|| {
            Rewriter::new(
                self.numbers.random_range(0..1 << 14),
                self.numbers.random(),
                self.numbers.random_range(0..1 << 14),
            )
        });
        self.peers[peer].media.begin(sender);
        let numbers = (sender, rewriter);
        let mut subscription = Subscription::new((peer, track, mid), kind, want, numbers);
        if self.peers[peer].media.limit().is_some() {
            // Nothing before it has its share.
            subscription.granted = Grant::Paused;
        }
        let subscription = self.subscriptions.insert(subscription);
        self.tracks[track].subscribers.push(subscription);
        self.peers[peer].subscriptions.insert(mid, subscription);
        self.retarget_one(subscription);
        self.allocate(peer);
        self.report_subscription(subscription);
        self.refresh_relay_want(track);
        Ok(())
    }

    fn unsubscribe(&mut self, id: PeerId, track: TrackId) -> Result<(), CommandError> {
        let (peer, track) = (self.peer_key(id)?, self.track_key(track)?);
        if let Some(subscription) = self.subscription_of(peer, track) {
            self.end_subscription(subscription);
        }
        Ok(())
    }

    fn add_remote_track(
        &mut self,
        of: (ConferenceId, ParticipantId),
        link: LinkId,
        track: TrackId,
        kind: Kind,
    ) -> Result<(), CommandError> {
        if self.track_keys.contains_key(&track) {
            return Err(CommandError::TrackExists);
        }
        let key = self.tracks.insert(Track::remote(of, track, kind, link));
        self.track_keys.insert(track, key);
        self.conferences.entry(of.0).or_default().tracks.insert(key);
        Ok(())
    }

    fn set_muted(&mut self, track: usize, muted: bool) {
        if std::mem::replace(&mut self.tracks[track].muted, muted) == muted {
            return;
        }
        self.tracks[track].layers.iter_mut().for_each(|layer| layer.ring.forget_keyframe());
        for subscription in self.tracks[track].subscribers.clone() {
            if muted {
                self.subscriptions[subscription].pause();
            }
            self.retarget_one(subscription);
            self.report_subscription(subscription);
        }
        self.announce_layers(track);
    }

    /// Ends a subscription; its m-line is free and keeps its numbers.
    pub(super) fn end_subscription(&mut self, key: usize) {
        let Some(mut subscription) = self.subscriptions.try_remove(key) else { return };
        self.reports_due.remove(&key);
        if let Some(peer) = self.peers.get_mut(subscription.peer) {
            peer.subscriptions.remove(&subscription.mid);
            // What it was sent is sent to nobody again.
            peer.media.begin(subscription.sender);
        }
        let (peer, mid, track) = (subscription.peer, subscription.mid, subscription.track);
        if let Some(track) = self.tracks.get_mut(track) {
            track.subscribers.retain(|other| *other != key);
        }
        if let (Some(peer), Some(track)) = (self.peers.get(peer), self.tracks.get(track))
            && subscription.report(None, Some(Pause::Off))
        {
            let (peer, track) = (peer.id, track.id);
            self.events.push_back(Event::Subscribed { peer, track, mid, rid: None, paused: Some(Pause::Off) });
        }
        self.parked.insert((peer, mid), subscription.into_rewriter());
        self.refresh_relay_want(track);
    }

    /// Ends a track and every hold on it.
    pub(super) fn end_track(&mut self, key: usize) {
        let Some(track) = self.tracks.get(key) else { return };
        for subscription in track.subscribers.clone() {
            self.end_subscription(subscription);
        }
        let Some(track) = self.tracks.try_remove(key) else { return };
        self.track_keys.remove(&track.id);
        self.keyframe_deadlines.retain(|(_, other, _)| *other != key);
        if let Some(conference) = self.conferences.get_mut(&track.conference) {
            conference.tracks.remove(&key);
            conference.speakers.remove(track.id);
            if conference.is_empty() {
                self.conferences.remove(&track.conference);
            }
        }
        if let Origin::Peer { peer, mid } = track.origin {
            self.published.remove(&(peer, mid));
            self.events.push_back(Event::TrackEnded { track: track.id });
        }
    }

    /// Ends a peer and all that hangs on it.
    pub(super) fn remove_peer(&mut self, key: usize, reason: DisconnectReason) {
        let of_peer = |track: &Track| matches!(track.origin, Origin::Peer { peer, .. } if peer == key);
        let tracks: Vec<usize> = self.tracks.iter().filter(|(_, track)| of_peer(track)).map(|(key, _)| key).collect();
        for track in tracks {
            self.end_track(track);
        }
        for subscription in self.held_by(key) {
            self.end_subscription(subscription);
        }
        self.parked.retain(|(peer, _), _| *peer != key);
        let Some(peer) = self.peers.try_remove(key) else { return };
        self.peer_keys.remove(&peer.id);
        self.by_ufrag.remove(&peer.ufrag);
        for address in &peer.addresses {
            self.by_address.remove(address);
        }
        self.deadlines.cancel(PeerKey(key));
        self.dirty.retain(|other| *other != key);
        // The key may be somebody else's before the failed are buried.
        self.failed.retain(|other| *other != key);
        if let Some(conference) = self.conferences.get_mut(&peer.conference) {
            conference.peers.remove(&key);
            if conference.is_empty() {
                self.conferences.remove(&peer.conference);
            }
        }
        self.counters.peers_closed += 1;
        self.events.push_back(Event::Disconnected { peer: peer.id, reason });
        // Dropping runs str0m's destructors over whatever a panic left behind.
        drop(catch_unwind(AssertUnwindSafe(move || drop(peer))));
    }

    pub(super) fn mark_dirty(&mut self, key: usize) {
        if let Some(peer) = self.peers.get_mut(key)
            && !std::mem::replace(&mut peer.dirty, true)
        {
            self.dirty.push_back(key);
        }
    }
}
