//! The golden scripts of keys, ours and those of the others. The web client plays through the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::{CryptoRng, RngCore};
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::event::encryption_key::KeyMessage;
use crate::slot::SlotId;
use crate::testing::{epoch, goldens};

/// Told by number when there are more.
const NAMES_MAX: usize = 8;

/// Every chance is one half.
struct Half;

impl RngCore for Half {
    fn next_u32(&mut self) -> u32 {
        1 << 31
    }

    fn next_u64(&mut self) -> u64 {
        1 << 63
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0x80);
    }
}

impl CryptoRng for Half {}

#[derive(Deserialize)]
struct Rules {
    policy: String,
    #[serde(default)]
    grace_ms: u64,
    #[serde(default)]
    per_minute: u32,
    #[serde(default)]
    leaves: String,
    use_delay_ms: u64,
    ttl_ms: Option<u64>,
}

impl Rules {
    fn config(&self) -> SenderConfig {
        let leaves = if self.leaves == "window" { Leaves::Window } else { Leaves::AtOnce };
        let policy = match self.policy.as_str() {
            "scaled" => Policy::Scaled { per_minute: self.per_minute, leaves },
            "fixed_grace" => Policy::FixedGrace { grace: Duration::from_millis(self.grace_ms) },
            other => panic!("no such policy: {other}"),
        };
        let (use_delay, ttl) = (Duration::from_millis(self.use_delay_ms), self.ttl_ms.map(Duration::from_millis));
        SenderConfig { policy, use_delay, key_bytes: KeyBytes::Interop, ttl, ratchet: false }
    }
}

#[derive(Deserialize)]
struct Sent {
    about: String,
    rules: Rules,
    steps: Vec<SentStep>,
    until: u64,
    expected: Vec<String>,
}

#[derive(Deserialize)]
struct SentStep {
    at: u64,
    members: Option<BTreeMap<String, u64>>,
    unreachable: Option<BTreeSet<String>>,
    silent: Option<bool>,
    asked: Option<String>,
}

fn named(name: &str) -> MemberKey {
    let user = UserId::parse(format!("@{name}:x")).expect("a user id");
    MemberKey { member_id: format!("{user}:D"), user, device: "D".into() }
}

struct Play {
    sender: Sender,
    start: Instant,
    now: Instant,
    unreachable: BTreeSet<MemberKey>,
    is_silent: bool,
    /// When, what, index, and to whom: in this order within one moment.
    lines: BTreeSet<(u128, &'static str, u8, String)>,
}

impl Play {
    fn millis(&self, at: Instant) -> u128 {
        (at - self.start).as_millis()
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.sender.poll_output() {
                Output::SendKeys(send) => {
                    let names: Vec<_> = send.to.iter().map(|member| member.user.localpart()).collect();
                    let to = if names.len() > NAMES_MAX {
                        format!(" {} members", names.len())
                    } else {
                        format!(" {}", names.join(" "))
                    };
                    self.lines.insert((self.millis(self.now), "tell", send.index, to));
                    if !self.is_silent {
                        let failed: Vec<_> =
                            send.to.into_iter().filter(|member| self.unreachable.contains(member)).collect();
                        self.sender.handle_sent(self.now, send.request_id, &failed);
                    }
                }
                Output::UseKey(key) => {
                    self.lines.insert((self.millis(key.at), "use", key.index, String::new()));
                }
                Output::Timeout(at) => return at,
            }
        }
    }

    fn go_to(&mut self, millis: u64) {
        let until = self.start + Duration::from_millis(millis);
        while let Some(at) = self.drain().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.sender.handle_timeout(self.now, &mut Half);
        }
        self.now = until;
    }
}

fn play(script: &Sent) -> Vec<String> {
    let start = epoch();
    let sender = Sender::new(script.rules.config(), &named("me"));
    let mut play =
        Play { sender, start, now: start, unreachable: BTreeSet::new(), is_silent: false, lines: BTreeSet::new() };
    play.sender.start(start, &mut Half);
    for step in &script.steps {
        play.go_to(step.at);
        if let Some(names) = &step.unreachable {
            play.unreachable = names.iter().map(|name| named(name)).collect();
        }
        play.is_silent = step.silent.unwrap_or(play.is_silent);
        if let Some(members) = &step.members {
            let participant = |(name, at): (&String, &u64)| Participant {
                member: named(name),
                joined_at: Timestamp::from_millis(*at),
            };
            let members: Vec<_> = members.iter().map(participant).collect();
            play.sender.handle_members(play.now, &members, &mut Half);
        }
        if let Some(name) = &step.asked {
            play.sender.handle_request(play.now, &named(name));
        }
        play.drain();
    }
    play.go_to(script.until);
    // What comes into use later than the script goes is not seen there.
    let seen = play.lines.iter().filter(|(at, ..)| *at <= u128::from(script.until));
    seen.map(|(at, what, index, to)| format!("{at} {what} {index}{to}")).collect()
}

#[test]
fn our_keys() {
    for (file, script) in goldens::<Sent>("keys") {
        assert_eq!(play(&script), script.expected, "{file}: {}", script.about);
    }
}

#[derive(Deserialize)]
struct Received {
    about: String,
    own: (OwnedUserId, OwnedDeviceId),
    room: OwnedRoomId,
    slot: SlotId,
    steps: Vec<ReceivedStep>,
}

#[derive(Deserialize)]
struct ReceivedStep {
    at: u64,
    members: Option<Vec<(OwnedUserId, OwnedDeviceId, String)>>,
    from: Option<(OwnedUserId, OwnedDeviceId)>,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    content: Value,
    expected: Vec<String>,
}

fn line(remote: &RemoteKey) -> String {
    let name = |MemberKey { user, device, member_id }: &MemberKey| format!("{user} {device} {member_id}");
    match remote {
        RemoteKey::Add { member, index, key } => format!("add {} {index} {}", name(member), key.as_bytes()[0]),
        RemoteKey::RemoveAll { member } => format!("remove {}", name(member)),
    }
}

#[test]
fn keys_of_the_others() {
    for (file, script) in goldens::<Received>("keys_received") {
        let (user, device) = script.own;
        let me = MemberKey { member_id: "me".to_owned(), user, device };
        let config = ReceiverConfig { room_id: script.room, slot: script.slot, cross_signed_only: false };
        let (mut receiver, start) = (Receiver::new(config, &me), epoch());
        for step in script.steps {
            let now = start + Duration::from_millis(step.at);
            let mut lines = Vec::new();
            if let Some(members) = step.members {
                let participant = |(user, device, member_id)| Participant {
                    member: MemberKey { user, device, member_id },
                    joined_at: Timestamp::default(),
                };
                receiver.handle_members(now, &members.into_iter().map(participant).collect::<Vec<_>>());
            }
            if let Some((user, device)) = step.from {
                let origin = Origin::Olm { user, device, cross_signed: false };
                let refused = match KeyMessage::read(&step.r#type, &step.content) {
                    Ok(message) => receiver.handle_key(now, &origin, message).err().map(KeyRefusal::as_str),
                    Err(_) => Some("malformed"),
                };
                lines.extend(refused.map(|why| format!("refused {why}")));
            }
            lines.extend(std::iter::from_fn(|| receiver.poll_output()).map(|remote| line(&remote)));
            lines.sort();
            assert_eq!(lines, step.expected, "{file} at {}: {}", step.at, script.about);
        }
    }
}

#[derive(Deserialize)]
struct Asked {
    about: String,
    steps: Vec<AskedStep>,
    until: u64,
    expected: Vec<String>,
}

#[derive(Deserialize)]
struct AskedStep {
    at: u64,
    #[serde(default)]
    lacking: Vec<String>,
    #[serde(default)]
    opened: Vec<String>,
    members: Option<Vec<String>>,
}

#[test]
fn lost_keys_are_asked_for() {
    for (file, script) in goldens::<Asked>("keys_asked") {
        let (mut asker, start, mut lines) = (Asker::new(), epoch(), Vec::new());
        let mut go_to = |asker: &mut Asker, until: u64| {
            loop {
                match asker.poll_output() {
                    asker::Output::Ask(_) => unreachable!("taken at its time"),
                    asker::Output::Timeout(at) => {
                        let Some(at) = at.filter(|at| *at <= start + Duration::from_millis(until)) else { return };
                        asker.handle_timeout(at);
                        while let asker::Output::Ask(member) = asker.poll_output() {
                            lines.push(format!("{} {}", (at - start).as_millis(), member.user.localpart()));
                        }
                    }
                }
            }
        };
        for step in &script.steps {
            go_to(&mut asker, step.at);
            let now = start + Duration::from_millis(step.at);
            for (names, lacks) in [(&step.lacking, true), (&step.opened, false)] {
                names.iter().for_each(|name| asker.handle_lacking(now, &named(name), lacks));
            }
            if let Some(names) = &step.members {
                let participant = |name: &String| Participant { member: named(name), joined_at: Timestamp::default() };
                asker.handle_members(&names.iter().map(participant).collect::<Vec<_>>());
            }
        }
        go_to(&mut asker, script.until);
        assert_eq!(lines, script.expected, "{file}: {}", script.about);
    }
}
