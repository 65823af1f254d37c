//! Random interleavings of everything, against what every client believes.

use std::collections::{BTreeMap, BTreeSet};

use focus_signaling::wire::{ClientMessage, Mute, Participant, ParticipantEvent, ServerMessage, Source};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use sfu_core::{DisconnectReason, Event};

use super::world::{Client, World, ms};
use crate::{ConnectionId, ControlBounds, Gauges};

const CONFERENCES: [&str; 3] = ["one", "two", "three"];
const STEPS: usize = 300;

/// One client, as it sees the world through its messages.
struct Believer {
    client: Client,
    conference: &'static str,
    online: bool,
    seq: u64,
    others: BTreeMap<String, Participant>,
    /// Ids that joined and left: none comes twice.
    gone: BTreeSet<String>,
    subscribed: BTreeSet<String>,
}

impl Believer {
    fn new(client: Client, conference: &'static str) -> Self {
        let others = client.welcome.participants.iter().map(|p| (p.id.clone(), p.clone())).collect();
        let (gone, subscribed) = (BTreeSet::new(), BTreeSet::new());
        Self { client, conference, online: true, seq: 0, others, gone, subscribed }
    }

    fn hear(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Participant(ParticipantEvent::Joined { participant }) => {
                assert!(!self.gone.contains(&participant.id), "joined after it left");
                assert_ne!(participant.id, self.client.welcome.participant, "oneself");
                assert!(self.others.insert(participant.id.clone(), participant).is_none(), "joined twice");
            }
            ServerMessage::Participant(ParticipantEvent::Updated { participant }) => {
                let old = self.others.insert(participant.id.clone(), participant);
                assert!(old.is_some(), "updated before it joined");
            }
            ServerMessage::Participant(ParticipantEvent::Left { id, .. }) => {
                let old = self.others.remove(&id).expect("left once, after it joined");
                assert!(old.tracks.iter().all(|t| !self.subscribed.contains(&t.track)), "off comes before left");
                assert!(self.gone.insert(id));
            }
            ServerMessage::Mute(Mute { track, muted }) => {
                let mut tracks = self.others.values_mut().flat_map(|p| &mut p.tracks);
                tracks.find(|t| t.track == track).expect("muted what is known").muted = muted;
            }
            ServerMessage::Subscribed(subscribed) => {
                for one in subscribed.tracks {
                    if one.paused == Some(focus_signaling::wire::Pause::Off) {
                        assert!(self.subscribed.remove(&one.track), "off once, after it was on");
                    } else {
                        self.subscribed.insert(one.track);
                    }
                }
            }
            ServerMessage::Answer(_) | ServerMessage::Error(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

fn run(seed: u64) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut w = World::with(rng.random_range(1..=3), rng.random_range(1..=4), ControlBounds::default());
    let mut believers: Vec<Believer> = Vec::new();
    let mut joining: Vec<(ConnectionId, &'static str)> = Vec::new();
    for step in 0..STEPS {
        w.hold = step + 1 < STEPS && rng.random_bool(0.5);
        let some = believers.len();
        let chosen = (some > 0).then(|| rng.random_range(0..some));
        match (rng.random_range(0..13), chosen) {
            (0..=2, _) | (_, None) => {
                let conference = CONFERENCES.choose(&mut rng).unwrap();
                let token = w.token(&format!("i{}", rng.random_range(0..8)), conference);
                joining.push((w.hello(token), conference));
            }
            (3, Some(i)) => {
                w.leave(&believers[i].client);
                believers[i].online = false;
            }
            (4, Some(i)) => {
                w.drop_socket(&believers[i].client);
                believers[i].online = false;
            }
            (5 | 6, Some(i)) => {
                let welcome = &believers[i].client.welcome;
                let (session, secret) = (welcome.session.clone(), welcome.secret.clone());
                let connection = w.try_resume(&session, &secret);
                if !w.closed.contains_key(&connection) {
                    // What the old socket was still told is heard too.
                    let late = w.read(&believers[i].client);
                    late.into_iter().for_each(|message| believers[i].hear(message));
                    let client = w.welcomed(connection);
                    let old = &believers[i];
                    let mut new = Believer::new(client, old.conference);
                    assert_eq!(new.client.id(), old.client.id());
                    assert!(new.others.keys().all(|id| !old.gone.contains(id)), "left for good");
                    (new.seq, new.gone) = (old.seq, old.gone.clone());
                    believers[i] = new;
                }
            }
            (7 | 8, Some(i)) => {
                believers[i].seq += 1;
                let sources = [Source::Camera, Source::Microphone, Source::Screen];
                let count = rng.random_range(0..=3);
                let tracks: Vec<_> =
                    (0..count).map(|k| (["0", "1", "2"][k], *sources.choose(&mut rng).unwrap())).collect();
                let b = &believers[i];
                if b.online {
                    w.offer(&b.client, b.seq, &tracks);
                }
            }
            (9 | 10, Some(i)) => {
                let from = &believers[rng.random_range(0..some)];
                let known: Vec<String> =
                    from.others.values().flat_map(|p| &p.tracks).map(|t| t.track.clone()).collect();
                let mid = ["5", "6", ""].choose(&mut rng).unwrap();
                if let Some(track) = known.choose(&mut rng).filter(|_| believers[i].online) {
                    w.subscribe(&believers[i].client, &[(track, mid)]);
                }
            }
            (11, Some(i)) => {
                // Its own tracks, as somebody else knows them.
                let me = believers[i].client.id().to_owned();
                let own = believers.iter().find_map(|b| b.others.get(&me)).and_then(|p| p.tracks.choose(&mut rng));
                if let Some(track) = own.map(|t| t.track.clone()).filter(|_| believers[i].online) {
                    let muted = rng.random();
                    w.say(believers[i].client.connection, 8, ClientMessage::Mute(Mute { track, muted }));
                }
            }
            (_, Some(i)) if rng.random_bool(0.2) => {
                let peer = believers[i].client.peer();
                if let Some(worker) = w.workers.iter().position(|worker| worker.peers.contains_key(&peer)) {
                    w.workers[worker].crash(peer);
                    w.event(worker, Event::Disconnected { peer, reason: DisconnectReason::Silent });
                }
            }
            _ => w.pass(ms(rng.random_range(0..20_000))),
        }
        w.settle();
        joining.retain(|(connection, conference)| {
            let welcomed = matches!(
                w.inboxes.get(connection).and_then(|inbox| inbox.first()),
                Some((_, ServerMessage::Welcome(_)))
            );
            if welcomed {
                let client = w.welcomed(*connection);
                believers.push(Believer::new(client, conference));
            }
            !welcomed && !w.closed.contains_key(connection)
        });
        for believer in &mut believers {
            let mut said = w.read(&believer.client);
            said.retain(|message| !matches!(message, ServerMessage::Leave(_)));
            if !w.closed.contains_key(&believer.client.connection) {
                said.into_iter().for_each(|message| believer.hear(message));
            }
        }
        if !w.hold {
            check_beliefs(&w, &believers);
        }
    }
    w.pass(ms(40_000));
    believers.iter().for_each(|b| w.leave(&b.client));
    w.pass(ms(200_000));
    assert_eq!(w.control.gauges(), Gauges::default());
    assert!(w.workers.iter().all(|w| w.peers.is_empty() && w.tracks.is_empty() && w.subscriptions.is_empty()));
}

/// What a client on a socket believes is what is so.
fn check_beliefs(w: &World, believers: &[Believer]) {
    for b in believers.iter().filter(|b| w.control.connections.contains_key(&b.client.connection)) {
        let me = &w.control.participants[&b.client.participant()];
        let members = &w.control.conferences[&me.conference].participants;
        assert_eq!(w.control.conferences[&me.conference].name.0, b.conference);
        let others = members.iter().filter(|id| **id != me.id).map(|id| &w.control.participants[id]);
        let others: BTreeMap<String, Participant> =
            others.filter(|p| p.is_joined()).map(|p| (p.id.to_string(), p.to_wire())).collect();
        assert_eq!(b.others, others);
        let got = w.workers.iter().flat_map(|worker| worker.subscriptions.keys());
        let got: BTreeSet<String> = got.filter(|(p, _)| *p == b.client.peer()).map(|(_, t)| t.to_string()).collect();
        assert_eq!(b.subscribed, got);
    }
}

#[test]
fn in_any_order_clients_believe_what_is_so() {
    for seed in 0..50 {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "seed {seed}");
    }
}
