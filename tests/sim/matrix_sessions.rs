//! Many clients on several homeservers, each with a session of its own: once everything has been delivered they all see the same
//! call, whatever was delayed, cut off, redacted or forged on the way, and whoever can reach another has a way to them.

mod federation;
mod people;

use std::time::Instant;

use matrixrtc::mesh::Topology;
use matrixrtc::reachability::{self, Means, Path, Why};
use matrixrtc::{Join, Membership, Transport, focus_selection};
use serde_json::json;
use sfu_testkit::random::Random;

use crate::harness::seeds;
use federation::{Federation, Sending};
use people::Client;

/// A history takes a tenth of a second.
const SEEDS: u64 = 50;
/// In which things happen.
const BUSY_MS: u64 = 120_000;
/// Afterwards, until what is short-lived has expired, clocks differ no more, and two that are left may be a mesh.
const QUIET_MS: u64 = 120_000;
/// And then, until the last of what was said is everywhere.
const DELIVERY_MS: u64 = 12_000;
const STEP_MS: u64 = 50;

struct Room {
    f: Federation,
    clients: Vec<Client>,
    /// By user: whether in the room.
    in_room: std::collections::BTreeMap<String, bool>,
    slot_open: bool,
    /// Deliveries to this client that are lost, to see the checks fail.
    loses: Option<usize>,
}

impl Room {
    fn new(seed: u64) -> Self {
        let mut random = Random::stream(seed, &[0]);
        let start = Instant::now();
        let mut f = Federation::new(seed, 1 + random.below(4) as usize);
        let users = 2 + random.below(5) as usize;
        let mut clients = Vec::new();
        let mut in_room = std::collections::BTreeMap::new();
        for ordinal in 0..users + random.below(3) as usize {
            // Some users have several devices.
            let user = ordinal % users;
            let server = user % f.servers();
            let name = format!("@u{user}:hs{server}.org");
            in_room.insert(name.clone(), true);
            clients.push(Client::new(&mut f, start, server, name, ordinal));
        }
        let mut room = Self { f, clients, in_room, slot_open: true, loses: None };
        for user in room.in_room.keys().cloned().collect::<Vec<_>>() {
            room.set_room_member(&user, "join");
        }
        room.run(10_000);
        room
    }

    fn server_of(user: &str) -> usize {
        user.split_once(":hs").and_then(|(_, rest)| rest[..1].parse().ok()).unwrap_or_default()
    }

    fn set_room_member(&mut self, user: &str, membership: &str) {
        self.in_room.insert(user.to_owned(), membership == "join");
        // A kick is sent by the room's admin, at the first server; everything else by the user.
        let by_user = membership != "ban";
        let server = if by_user { Self::server_of(user) } else { 0 };
        let content = json!({"membership": membership});
        self.send_state(server, "m.room.member", user, user, content);
    }

    fn send_state(&mut self, server: usize, kind: &str, sender: &str, state_key: &str, content: serde_json::Value) {
        let content = content.as_object().cloned().unwrap_or_default();
        let sending = Sending {
            kind: kind.to_owned(),
            sender: sender.to_owned(),
            state_key: Some(state_key.to_owned()),
            content,
            sticky_ms: None,
            encrypted_by: None,
        };
        self.f.send(server, sending);
    }

    fn run(&mut self, millis: u64) {
        let end = self.f.now + millis;
        while self.f.now < end {
            self.f.now = self.f.next_at().unwrap_or(end).min(self.f.now + STEP_MS).max(self.f.now + 1).min(end);
            for (client, given) in self.f.run_due() {
                if self.loses != Some(client) {
                    self.clients[client].hear(&mut self.f, &given);
                }
            }
            for client in &mut self.clients {
                client.wake(&mut self.f);
            }
        }
    }

    /// Something happens.
    fn act(&mut self) {
        let who = self.f.random.below(self.clients.len() as u64) as usize;
        let user = self.clients[who].user.clone();
        let is_in_room = self.in_room.get(&user) == Some(&true);
        match self.f.random.below(24) {
            0..=8 if is_in_room && self.slot_open => {
                if self.clients[who].is_dead {
                    self.clients[who].come_back(&mut self.f);
                }
                self.clients[who].join(&mut self.f);
            }
            9..=11 => self.clients[who].leave(&mut self.f),
            12 => {
                let has_will = self.f.random.below(2) == 0;
                self.clients[who].crash(&mut self.f, has_will);
            }
            13 | 14 => {
                let (one, two) = (self.f.random.below(4), self.f.random.below(4));
                let servers = self.f.servers() as u64;
                if one % servers != two % servers {
                    self.f.cut((one % servers) as usize, (two % servers) as usize);
                }
            }
            15 | 16 => self.f.heal(),
            17 => {
                let millis = self.f.random.below(15_000);
                self.f.pause_client(who, millis);
            }
            18 if is_in_room => self.set_room_member(&user, "ban"),
            18 | 19 if !is_in_room => {
                self.set_room_member(&user, "join");
            }
            20 if !self.clients[who].is_dead => self.clients[who].restart(&mut self.f),
            21 => self.redact(who),
            22 => self.forge(who),
            23 => self.set_slot(!self.slot_open),
            _ => {}
        }
    }

    fn set_slot(&mut self, is_open: bool) {
        self.slot_open = is_open;
        let status = if is_open { "open" } else { "closed" };
        let content = json!({"status": status, "application": {"type": "m.call"}});
        self.send_state(0, "m.rtc.slot", "@u0:hs0.org", "m.call#ROOM", content);
    }

    /// Some of those who can join once more, nearly at the same time, wherever events still hang.
    fn gather(&mut self) {
        if !self.slot_open {
            self.set_slot(true);
        }
        let share = 1 + self.f.random.below(4);
        for who in 0..self.clients.len() {
            if self.f.random.below(4) < share && self.in_room[&self.clients[who].user] {
                if self.clients[who].is_dead {
                    self.clients[who].come_back(&mut self.f);
                }
                self.clients[who].join(&mut self.f);
                let pause = self.f.random.below(200);
                self.run(pause);
            }
        }
    }

    /// A moderator redacts what somebody says that they are: all of it that is still sticky.
    fn redact(&mut self, who: usize) {
        let client = &self.clients[who];
        let Some(join) = client.joined.clone().or(client.ghost_until.clone().map(|(join, _)| join)) else { return };
        let mut events = self.f.sticky_events(0, &join.member_id);
        let state_key = format!("_{}_{}_m.call", join.user, join.device);
        let state = self.f.state(0, "org.matrix.msc3401.call.member", &state_key);
        let is_join = |event: &&serde_json::Value| event["content"]["membershipID"] == join.member_id.as_str();
        events.extend(state.filter(is_join).map(|event| event["event_id"].as_str().unwrap_or_default().to_owned()));
        for event in events {
            let content = json!({"redacts": event}).as_object().cloned().unwrap_or_default();
            let sending = Sending {
                kind: "m.room.redaction".to_owned(),
                sender: "@u0:hs0.org".to_owned(),
                state_key: None,
                content,
                sticky_ms: None,
                encrypted_by: None,
            };
            self.f.send(0, sending);
        }
        // A ghost says nothing for itself, and what others will see of it depends on what was in flight.
        if self.clients[who].is_dead {
            self.clients[who].come_back(&mut self.f);
        }
    }

    /// Somebody writes another's state key, and claims to be another in a sticky event.
    fn forge(&mut self, victim: usize) {
        // Not while servers are apart: one who dies then, with an event that loses against the forgery, cannot say so again.
        let Some(join) = self.clients[victim].joined.clone().filter(|_| !self.f.is_cut()) else { return };
        let mallory = "@u1:hs1.org";
        if join.user == mallory || !self.in_room.contains_key(mallory) {
            return;
        }
        let state_key = format!("_{}_{}_m.call", join.user, join.device);
        self.send_state(1, "org.matrix.msc3401.call.member", mallory, &state_key, json!({}));
        let outgoing = matrixrtc::event::member::join(&join, matrixrtc::Profile::Interop);
        let sending = Sending {
            kind: outgoing.kind.to_owned(),
            sender: mallory.to_owned(),
            state_key: None,
            content: outgoing.content,
            sticky_ms: Some(3_600_000),
            encrypted_by: Some(join.device.to_string()),
        };
        self.f.send(1, sending);
    }

    fn settle(&mut self) {
        self.f.heal();
        self.run(QUIET_MS);
        self.f.is_over = true;
        self.run(DELIVERY_MS);
        // Who was sent away while they came in again: which of the two holds is the servers' to say.
        for (user, is_in_room) in &mut self.in_room {
            let state = self.f.state(0, "m.room.member", user);
            *is_in_room = state.is_some_and(|event| event["content"]["membership"] == "join");
        }
    }

    /// What each person would say of themselves: `user device member-id`.
    fn truth(&self) -> Vec<String> {
        let name = |join: &Join| format!("{} {} {}", join.user, join.device, join.member_id);
        let ghost = |client: &Client| {
            let ghost = client.ghost_until.as_ref().filter(|(_, until)| *until > self.f.now);
            ghost.map(|(join, _)| name(join))
        };
        // Nobody need have told them that the slot had closed before their event came.
        let has_place = |client: &&Client| self.in_room[&client.user] && (self.slot_open || !client.is_sticky);
        let clients = self.clients.iter().filter(has_place);
        let mut all: Vec<_> = clients.filter_map(|c| c.joined.as_ref().map(name).or_else(|| ghost(c))).collect();
        all.sort();
        all
    }

    /// What is wrong with what the clients see, if anything.
    fn faults(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.f.is_resolved() {
            faults.push("the servers have not come together".to_owned());
        }
        let truth = self.truth();
        let live: Vec<usize> = (0..self.clients.len()).filter(|i| self.is_watching(*i)).collect();
        for &i in &live {
            let fresh = self.clients[i].fresh_session(&mut self.f);
            let client = &self.clients[i];
            let seen = client.view(&client.session);
            if seen != client.view(&fresh) {
                faults.push(format!("{i} sees {seen:?}, and {:?} if it starts anew", client.view(&fresh)));
            }
            let first = &self.clients[live[0]];
            if seen != first.view(&first.session) {
                faults.push(format!("{i} sees {seen:?}, {} sees {:?}", live[0], first.view(&first.session)));
            }
            let mut names: Vec<_> = client.session.members().into_iter().map(name).collect();
            names.sort();
            if names != truth {
                faults.push(format!("{i} sees {names:?}, but there are {truth:?}"));
            }
            if client.topology(self.f.now) != first.topology(self.f.now) {
                faults.push(format!("{i}: {:?}", client.topology(self.f.now)));
            }
            faults.extend(self.faults_of_paths(i));
        }
        faults
    }

    /// Whether the client hears what happens: who is out of the room does not.
    fn is_watching(&self, client: usize) -> bool {
        !self.clients[client].is_dead && self.in_room[&self.clients[client].user]
    }

    /// Everybody is looked for where they are, and found by whoever can get there.
    fn faults_of_paths(&self, listener: usize) -> Vec<String> {
        let client = &self.clients[listener];
        let Some(own) = &client.joined else { return Vec::new() };
        let members = client.session.members();
        let Some(me) = members.iter().find(|member| member.key.member_id == own.member_id) else {
            return Vec::new(); // Whether that is right was asked before.
        };
        let topology = client.topology(self.f.now);
        let own_focus = own.transports.iter().find_map(Transport::as_rust_sfu);
        let can_subscribe = &own.can_subscribe;
        let means = Means { me: &me.key, can_subscribe, has_to_device: false, own_focus, relayed: &[], topology };
        let mut faults = Vec::new();
        for (key, path) in reachability::paths(&means, &members) {
            let Some(speaker) =
                self.clients.iter().find(|c| c.joined.as_ref().is_some_and(|j| j.member_id == key.member_id))
            else {
                continue; // A ghost publishes nothing.
            };
            // Where the speaker publishes, as it sees it itself.
            let its_members = speaker.session.members();
            let its_own = its_members.iter().find(|member| member.key == *key);
            let places = its_own.map(|own| focus_selection::published(own, &its_members)).unwrap_or_default();
            let can = places
                .iter()
                .any(|place| place.kind() != "full_mesh" && can_subscribe.iter().any(|kind| kind == place.kind()));
            let is_good = match path {
                Path::Myself => key == &me.key,
                Path::Mesh => speaker.topology(self.f.now) == Topology::Mesh,
                Path::SameFocus(focus) | Path::Relayed(focus) | Path::Direct(focus) => {
                    can && places.iter().any(|place| place.is_same_focus(focus))
                }
                Path::Unreachable(why) => !can && why == Why::LivekitOnly || why == Why::UnknownTransport("rust_sfu"),
            };
            if !is_good {
                faults.push(format!("{listener} looks for {key:?} by {path:?}, which publishes to {places:?}"));
            }
        }
        faults
    }
}

fn name(membership: &Membership) -> String {
    format!("{} {} {}", membership.key.user, membership.key.device, membership.key.member_id)
}

fn told(seed: u64) -> Room {
    let mut room = Room::new(seed);
    let end = room.f.now + BUSY_MS;
    while room.f.now < end {
        room.act();
        let pause = room.f.random.below(2_500);
        room.run(pause);
    }
    room.gather();
    room
}

#[test]
fn everybody_sees_the_same_call() {
    let (mut members, mut meshes) = (0, 0);
    for seed in seeds("matrix_sessions::everybody_sees_the_same_call", SEEDS) {
        let mut room = told(seed);
        room.settle();
        let faults = room.faults();
        assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
        members += room.truth().len();
        meshes += usize::from(room.clients.iter().any(|client| client.topology(room.f.now) == Topology::Mesh));
    }
    // The histories are worth telling.
    assert!(members > 100, "{members} members in the end");
    assert!(meshes > 2, "{meshes} meshes");
}

/// The checks do see a split brain: one client in each history hears nothing for half of it.
#[test]
fn a_lost_event_is_noticed() {
    let noticed = |seed: u64| {
        let mut room = told(seed);
        room.loses = Some(room.clients.len() - 1);
        let end = room.f.now + BUSY_MS;
        while room.f.now < end {
            room.act();
            let pause = room.f.random.below(2_500);
            room.run(pause);
        }
        room.settle();
        !room.faults().is_empty()
    };
    let count = (0..20).filter(|seed| noticed(*seed)).count();
    assert!(count > 4, "{count} of 20");
}

/// One seed is one history.
#[test]
fn histories_repeat() {
    let views = |seed: u64| -> Vec<Vec<String>> {
        let room = told(seed);
        room.clients.iter().map(|client| client.view(&client.session)).collect()
    };
    for seed in 0..5 {
        assert_eq!(views(seed), views(seed));
    }
}
