//! A fake worker: it answers commands and tells events as an engine does, and forwards nothing.

use std::collections::{BTreeMap, VecDeque};

use sfu_core::{Command, CommandError, ConferenceId, Event, LinkId, Mid, Pause, PeerId, Reply, TrackId};

use crate::RequestId;

/// As much of an engine as the control plane can see.
#[derive(Default)]
pub(super) struct Worker {
    pub(super) inbox: VecDeque<(RequestId, Command)>,
    pub(super) log: Vec<Command>,
    pub(super) peers: BTreeMap<PeerId, ConferenceId>,
    pub(super) tracks: BTreeMap<TrackId, (ConferenceId, Home)>,
    /// Of tracks that are not under key 0.
    pub(super) key_indexes: BTreeMap<TrackId, u32>,
    pub(super) subscriptions: BTreeMap<(PeerId, TrackId), Mid>,
    /// What the next command that is asked for is answered.
    pub(super) fail: Option<CommandError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    Peer(PeerId),
    Link(LinkId),
}

impl Worker {
    pub(super) fn take(&mut self, command: Command, events: &mut Vec<Event>) -> Result<Reply, CommandError> {
        self.log.push(command.clone());
        if !matches!(command, Command::Disconnect { .. })
            && let Some(error) = self.fail.take()
        {
            return Err(error);
        }
        match command {
            Command::Connect { peer, conference, .. } => {
                assert!(self.peers.insert(peer, conference).is_none(), "peer exists");
            }
            Command::Offer { peer, sdp, published } => {
                let conference = *self.peers.get(&peer).ok_or(CommandError::UnknownPeer)?;
                let named: Vec<TrackId> = published.iter().map(|track| track.track).collect();
                let ended = |(id, (_, home)): (&TrackId, &(_, Home))| {
                    (*home == Home::Peer(peer) && !named.contains(id)).then_some(*id)
                };
                let ended: Vec<TrackId> = self.tracks.iter().filter_map(ended).collect();
                ended.into_iter().for_each(|track| self.end_track(track, events));
                for track in published {
                    self.tracks.insert(track.track, (conference, Home::Peer(peer)));
                }
                return Ok(Reply::Answer { sdp: format!("answer to {sdp}") });
            }
            Command::Subscribe { peer, track, mid, .. } => {
                let conference = *self.peers.get(&peer).ok_or(CommandError::UnknownPeer)?;
                let (of, _) = self.tracks.get(&track).ok_or(CommandError::UnknownTrack)?;
                assert_eq!(*of, conference, "the control plane keeps conferences apart");
                let moved: Vec<_> = self.subscriptions.iter().filter(|((p, _), m)| *p == peer && **m == mid).collect();
                let moved: Vec<TrackId> = moved.into_iter().map(|((_, t), _)| *t).filter(|t| *t != track).collect();
                moved.into_iter().for_each(|track| self.off(peer, track, events));
                if self.subscriptions.insert((peer, track), mid) != Some(mid) {
                    events.push(Event::Subscribed { peer, track, mid, rid: None, paused: None });
                }
            }
            Command::Unsubscribe { peer, track } => self.off(peer, track, events),
            Command::Mute { track, .. } | Command::RequestKeyframe { track, .. } => {
                self.tracks.get(&track).ok_or(CommandError::UnknownTrack)?;
            }
            Command::SetKeyIndex { track, index } => {
                assert!(self.tracks.contains_key(&track), "no such track");
                assert_ne!(self.key_indexes.insert(track, index).unwrap_or(0), index, "told twice");
            }
            Command::Disconnect { peer } => {
                self.peers.remove(&peer).ok_or(CommandError::UnknownPeer)?;
                self.subscriptions.retain(|(p, _), _| *p != peer);
                let own = |(id, (_, home)): (&TrackId, &(_, Home))| (*home == Home::Peer(peer)).then_some(*id);
                let own: Vec<TrackId> = self.tracks.iter().filter_map(own).collect();
                own.into_iter().for_each(|track| self.end_track(track, events));
                events.push(Event::Disconnected { peer, reason: sfu_core::DisconnectReason::Commanded });
            }
            Command::AddRemoteTrack { conference, link, track, .. } => {
                let old = self.tracks.insert(track, (conference, Home::Link(link)));
                assert_eq!(old, None, "track exists");
            }
            Command::RemoveRemoteTrack { track } => {
                assert!(self.tracks.contains_key(&track), "no such remote track");
                self.end_track(track, events);
            }
            // Nothing that the control plane could see; test builds of the engine know more commands.
            _ => {}
        }
        Ok(Reply::Done)
    }

    /// The peer is gone by itself; the event is for the caller.
    pub(super) fn crash(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
        self.subscriptions.retain(|(p, _), _| *p != peer);
        let own: Vec<TrackId> =
            self.tracks.iter().filter(|(_, (_, home))| *home == Home::Peer(peer)).map(|(id, _)| *id).collect();
        own.into_iter().for_each(|track| self.end_track(track, &mut Vec::new()));
    }

    fn off(&mut self, peer: PeerId, track: TrackId, events: &mut Vec<Event>) {
        if let Some(mid) = self.subscriptions.remove(&(peer, track)) {
            events.push(Event::Subscribed { peer, track, mid, rid: None, paused: Some(Pause::Off) });
        }
    }

    fn end_track(&mut self, track: TrackId, events: &mut Vec<Event>) {
        let subscribers: Vec<PeerId> =
            self.subscriptions.keys().filter(|(_, t)| *t == track).map(|(p, _)| *p).collect();
        subscribers.into_iter().for_each(|peer| self.off(peer, track, events));
        self.tracks.remove(&track);
        self.key_indexes.remove(&track);
        events.push(Event::TrackEnded { track });
    }
}
