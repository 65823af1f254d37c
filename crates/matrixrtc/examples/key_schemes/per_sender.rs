//! Per-sender keys: one real [`Sender`] per member.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use matrixrtc::event::encryption_key;
use matrixrtc::keys::{MediaKey, Output, Participant, Sender, SenderConfig};
use matrixrtc::{MemberKey, SlotId, Timestamp};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use ruma::{OwnedDeviceId, RoomId, UserId};
use serde_json::json;

use crate::{Cost, Event};

/// One to-device message on its way: two homeservers and a sync. The same for all.
pub const DELIVERY: Duration = Duration::from_millis(250);
/// So long nothing had happened: no grace is left, and every window is over.
const QUIET: Duration = Duration::from_secs(2 * 3600);

/// Virtual time begins somewhere.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing; its value never matters")]
fn epoch() -> Instant {
    Instant::now()
}

fn participant(number: usize) -> Participant {
    let user = UserId::parse(format!("@user{number:03}:server{:02}.example", number % 20)).expect("a user id");
    let device = OwnedDeviceId::from(format!("DEVICEID{number:03}"));
    let member = MemberKey { member_id: format!("{user}:{device}"), user, device };
    Participant { member, joined_at: Timestamp::from_millis(1) }
}

/// What one sender did, as far as one other member is concerned.
#[derive(Default)]
struct Story {
    /// When it began to use each of its keys.
    uses: Vec<(Instant, MediaKey)>,
    /// When it told this member which key.
    told: Vec<(Instant, MediaKey)>,
}

impl Story {
    fn holds(&self, at: Instant, key: &MediaKey) -> bool {
        let reaches = |told: &MediaKey| {
            std::iter::successors(Some(told.clone()), |key| Some(key.ratchet())).take(9).any(|step| step == *key)
        };
        self.told.iter().any(|(sent_at, told)| *sent_at + DELIVERY <= at && reaches(told))
    }

    /// From when on the member can open everything: the end of the last gap.
    fn open_from(&self, start: Instant) -> Instant {
        let ends = self.uses.iter().skip(1).map(|(at, _)| *at).chain([start + QUIET]);
        let mut open = start;
        for ((from, key), until) in self.uses.iter().zip(ends) {
            let from = (*from).max(start);
            let heard = self.told.iter().map(|(at, _)| (*at + DELIVERY).max(from)).find(|at| self.holds(*at, key));
            let gap_ends = heard.map_or(until, |heard| heard.min(until));
            if gap_ends > from {
                open = open.max(gap_ends);
            }
        }
        open
    }

    /// When the last key that the member holds went out of use.
    fn closed_at(&self, start: Instant) -> Instant {
        let ends = self.uses.iter().skip(1).map(|(at, _)| *at).chain([start + QUIET]);
        let held = self.uses.iter().zip(ends).filter(|((_, key), _)| self.holds(start + QUIET, key));
        held.map(|(_, until)| until).max().unwrap_or(start)
    }
}

pub fn cost(config: &SenderConfig, event: Event, size: usize) -> Cost {
    // Rotation by age is no part of a join or a leave.
    let config = SenderConfig { ttl: None, ..config.clone() };
    let all: Vec<_> = (0..size).map(participant).collect();
    let subject = &all[size - 1].member;
    let (begin, start) = (epoch(), epoch() + QUIET);
    let (before, after) = match event {
        Event::Join => (&all[..size - 1], &all[..]),
        Event::Leave => (&all[..], &all[..size - 1]),
    };
    let mut cost = Cost::default();
    let mut seconds: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut open, mut closed) = (start, start);
    for (number, me) in after.iter().enumerate() {
        let mut rng = ChaCha20Rng::seed_from_u64(number as u64);
        let mut sender = Sender::new(config.clone(), &me.member);
        let is_new = me.member == *subject;
        let other = if is_new { &all[0].member } else { subject };
        let mut story = Story::default();
        if !is_new {
            sender.handle_members(begin, before, &mut rng);
            sender.start(begin, &mut rng);
            run(&mut sender, begin, start, other, &mut story, &mut rng, &mut |_, _| {});
        }
        sender.handle_members(start, after, &mut rng);
        sender.start(start, &mut rng);
        run(&mut sender, start, start + QUIET, other, &mut story, &mut rng, &mut |at, messages| {
            cost.messages += messages;
            *seconds.entry((at - start).as_secs()).or_default() += messages;
        });
        if event == Event::Join {
            open = open.max(story.open_from(start));
        } else {
            closed = closed.max(story.closed_at(start));
        }
    }
    cost.sealed = cost.messages;
    cost.bytes = cost.messages * message_bytes(&all[0].member, subject);
    cost.busiest = seconds.values().copied().max().unwrap_or_default();
    cost.open = open - start;
    cost.leaver = Some(closed - start);
    cost
}

fn run(
    sender: &mut Sender,
    from: Instant,
    until: Instant,
    other: &MemberKey,
    story: &mut Story,
    rng: &mut ChaCha20Rng,
    sent: &mut dyn FnMut(Instant, u64),
) {
    let mut now = from;
    loop {
        match sender.poll_output() {
            Output::SendKeys(send) => {
                sender.handle_sent(now, send.request_id, &[]);
                sent(now, send.to.len() as u64);
                if send.to.contains(other) {
                    story.told.push((now, send.key));
                }
            }
            Output::UseKey(key) => story.uses.push((key.at, key.key)),
            Output::Timeout(Some(at)) if at <= until => {
                now = at;
                sender.handle_timeout(now, rng);
            }
            Output::Timeout(_) => return,
        }
    }
}

/// One key to one device, as a `PUT /sendToDevice` holds it: the event's content in an Olm payload, padded and with its header and MAC,
/// in base64, in an `m.room.encrypted` content.
fn message_bytes(me: &MemberKey, to: &MemberKey) -> u64 {
    let room = RoomId::parse("!abcdefghijklmnopqr:server01.example").expect("a room id");
    let key = MediaKey::new(&[7; 16]).expect("16 bytes");
    let sent_at = Timestamp::from_millis(1_790_000_000_000);
    let curve = "A".repeat(43);
    let payload = json!({
        "type": encryption_key::TYPE,
        "content": encryption_key::deployed(me, &room, &SlotId::default(), 1, &key, sent_at),
        "sender": me.user, "recipient": to.user,
        "recipient_keys": { "ed25519": curve }, "keys": { "ed25519": curve },
    });
    // Version, ratchet key, counter, length, AES-CBC to whole blocks, MAC.
    let olm = 1 + 34 + 2 + 3 + (payload.to_string().len() / 16 + 1) * 16 + 8;
    let body = "A".repeat((olm * 4).div_ceil(3));
    let content = json!({
        "algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": curve,
        "ciphertext": { curve.clone(): { "type": 1, "body": body } },
    });
    json!({ to.user.to_string(): { to.device.to_string(): content } }).to_string().len() as u64
}
