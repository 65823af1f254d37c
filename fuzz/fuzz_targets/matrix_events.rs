//! Events that anybody in a room can send, into parsers and a session: nothing panics, nobody acts for anybody else, what is kept is
//! bounded, and in the end all of it is forgotten.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use matrixrtc::event::{Sticky, legacy_member, member, parse_member, slot};
use matrixrtc::mesh;
use matrixrtc::ruma::{EventId, OwnedDeviceId, UserId};
use matrixrtc::session::{Options, Output, SlotRule};
use matrixrtc::{Change, Claim, RoomEvent, Session, Timestamp, Transport, focus_selection};
use serde_json::{Map, Value, json};

const START: u64 = 1_750_000_000_000;
/// Larger than anything that a session remembers.
const OUTPUTS_MAX: usize = 1_000;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    is_encrypted_only: bool,
    slot_required: bool,
    operations: Vec<Operation<'a>>,
}

#[derive(Debug, Arbitrary)]
enum Operation<'a> {
    /// Nearly right, with one thing put in another's place.
    Legacy { who: Who, spoil: Option<(u8, Junk<'a>)>, millis_ago: u32 },
    Member { who: Who, spoil: Option<(u8, Junk<'a>)>, millis_ago: u32, duration: u32, is_encrypted: bool },
    Leave { who: Who, is_sticky: bool, millis_ago: u32 },
    Room { user: u8, is_joined: bool },
    Slot { is_open: bool },
    Redact { event: u16 },
    /// Any JSON as an event.
    Raw(&'a [u8]),
    Wait(u32),
    Clock(u32),
}

#[derive(Debug, Arbitrary)]
struct Who {
    user: u8,
    /// Under whose name.
    sender: u8,
    device: u8,
}

#[derive(Debug, Arbitrary)]
enum Junk<'a> {
    Nothing,
    Text(&'a str),
    Number(i64),
    List(u8),
    Json(&'a [u8]),
}

impl Junk<'_> {
    fn value(&self) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Text(text) => Some(json!(text)),
            Self::Number(number) => Some(json!(number)),
            Self::List(length) => Some(Value::Array(vec![json!({"type": "x"}); usize::from(*length)])),
            Self::Json(bytes) => serde_json::from_slice(bytes).ok(),
        }
    }
}

fn user(n: u8) -> String {
    format!("@u{}:x.org", n % 4)
}

fn spoilt(mut content: Map<String, Value>, spoil: &Option<(u8, Junk<'_>)>) -> Map<String, Value> {
    if let Some((place, junk)) = spoil {
        let keys: Vec<_> = content.keys().cloned().collect();
        if let Some(key) = keys.get(usize::from(*place) % keys.len().max(1)) {
            match junk.value() {
                Some(value) => content.insert(key.clone(), value),
                None => content.remove(key),
            };
        }
    }
    content
}

struct Room {
    session: Session,
    start: Instant,
    now: Instant,
    events: u16,
}

impl Room {
    fn event(&mut self, kind: &str, sender: &str, state_key: Option<String>, content: Map<String, Value>, ago: u32) -> RoomEvent {
        self.events = self.events.wrapping_add(1);
        let wall = START + (self.now - self.start).as_millis() as u64;
        RoomEvent {
            kind: kind.to_owned(),
            event_id: EventId::parse(format!("${}", self.events)).expect("an event id"),
            sender: UserId::parse(sender).expect("a user id"),
            sent_at: Timestamp::from_millis(wall.saturating_sub(u64::from(ago))),
            state_key,
            content,
            sticky: None,
            redacts: None,
            is_redacted: false,
            encrypted_by: None,
        }
    }

    fn give(&mut self, event: &RoomEvent) {
        let wall = Timestamp::from_millis(START + (self.now - self.start).as_millis() as u64);
        if let Ok(Claim::Joined(membership)) = parse_member(event, wall) {
            assert_eq!(membership.key.user, event.sender);
            assert!(membership.created_at <= event.sent_at);
            for transport in &membership.transports {
                assert_eq!(Transport::parse(&transport.to_json()).as_ref(), Ok(transport), "written as read");
            }
        }
        let others = |session: &Session| -> Vec<_> {
            let members = session.members().into_iter();
            members.filter(|member| member.key.user != event.sender).cloned().collect()
        };
        let before = others(&self.session);
        self.session.handle_event(self.now, event);
        let is_about_sender = event.kind == legacy_member::TYPE || event.kind == member::TYPE_UNSTABLE;
        if is_about_sender {
            assert_eq!(before, others(&self.session), "somebody acted for another");
        }
        self.drain();
    }

    fn drain(&mut self) -> Option<Instant> {
        for _ in 0..OUTPUTS_MAX {
            match self.session.poll_output() {
                Output::Timeout(deadline) => return deadline,
                Output::Changed(Change::Joined(membership)) => {
                    assert_eq!(membership.slot, *self.session.slot());
                }
                _ => {}
            }
        }
        panic!("outputs without end");
    }

    fn wait(&mut self, millis: u64) {
        let target = self.now + Duration::from_millis(millis);
        while let Some(deadline) = self.drain().filter(|deadline| *deadline <= target) {
            self.now = deadline.max(self.now);
            self.session.handle_timeout(self.now);
            assert!(self.drain().is_none_or(|next| next > self.now), "a deadline that is met must go");
        }
        self.now = target;
    }
}

fuzz_target!(|input: Input<'_>| {
    let start = Instant::now();
    let options = Options {
        is_encrypted_only: input.is_encrypted_only,
        slot_rule: if input.slot_required { SlotRule::Required } else { SlotRule::IfThere },
        own: Some((UserId::parse(user(0)).expect("a user id"), OwnedDeviceId::from("d0"))),
        ..Options::default()
    };
    let mut room = Room { session: Session::new(options, start, Timestamp::from_millis(START)), start, now: start, events: 0 };
    for operation in &input.operations {
        match operation {
            Operation::Legacy { who, spoil, millis_ago } => {
                let (user, device) = (user(who.user), format!("d{}", who.device % 100));
                let content = json!({"application": "m.call", "call_id": "", "scope": "m.room", "device_id": device,
                    "membershipID": device, "expires": 60_000, "created_ts": START, "m.call.intent": "audio",
                    "focus_active": {"type": "livekit", "focus_selection": "multi_sfu"}, "foci_preferred": [],
                    "org.rust_sfu.transports": [{"type": "rust_sfu", "url": "wss://a"}, {"type": "full_mesh"}]});
                let content = spoilt(content.as_object().cloned().unwrap_or_default(), spoil);
                let state_key = Some(format!("_{user}_{device}_m.call"));
                let sender = self::user(who.sender);
                let event = room.event(legacy_member::TYPE, &sender, state_key, content, *millis_ago);
                room.give(&event);
            }
            Operation::Member { who, spoil, millis_ago, duration, is_encrypted } => {
                let (user, device) = (user(who.user), format!("d{}", who.device % 100));
                let content = json!({"slot_id": "m.call#ROOM", "sticky_key": device, "application": {"type": "m.call"},
                    "member": {"id": device, "membership": "join", "user_id": user, "device_id": device}, "versions": [],
                    "transports": {"published": [{"type": "rust_sfu", "url": "wss://b"}], "can_subscribe": ["rust_sfu"]}});
                let content = spoilt(content.as_object().cloned().unwrap_or_default(), spoil);
                let sender = self::user(who.sender);
                let mut event = room.event(member::TYPE_UNSTABLE, &sender, None, content, *millis_ago);
                event.sticky = Some(Sticky { duration: Duration::from_millis(u64::from(*duration)), left: None });
                event.encrypted_by = is_encrypted.then(|| OwnedDeviceId::from(device.as_str()));
                room.give(&event);
            }
            Operation::Leave { who, is_sticky, millis_ago } => {
                let (user, device) = (user(who.user), format!("d{}", who.device % 100));
                let sender = self::user(who.sender);
                let event = if *is_sticky {
                    let content = json!({"sticky_key": device}).as_object().cloned().unwrap_or_default();
                    let mut event = room.event(member::TYPE_UNSTABLE, &sender, None, content, *millis_ago);
                    event.sticky = Some(Sticky { duration: Duration::from_secs(3_600), left: None });
                    event
                } else {
                    let state_key = Some(format!("_{user}_{device}_m.call"));
                    room.event(legacy_member::TYPE, &sender, state_key, Map::new(), *millis_ago)
                };
                room.give(&event);
            }
            Operation::Room { user, is_joined } => {
                let user = UserId::parse(self::user(*user)).expect("a user id");
                room.session.handle_room_member(room.now, &user, *is_joined, Timestamp::from_millis(START));
            }
            Operation::Slot { is_open } => {
                let id = room.session.slot().clone();
                let content = if *is_open { slot::open(&id, true) } else { slot::close() };
                let event = room.event(slot::TYPE, "@u0:x.org", Some(id.to_string()), content, 0);
                room.give(&event);
            }
            Operation::Redact { event } => {
                let mut redaction = room.event("m.room.redaction", "@u0:x.org", None, Map::new(), 0);
                redaction.redacts = EventId::parse(format!("${event}")).ok();
                room.give(&redaction);
            }
            Operation::Raw(bytes) => {
                if let Ok(value) = serde_json::from_slice::<Value>(bytes)
                    && let Ok(event) = RoomEvent::from_json(&value)
                {
                    room.give(&event);
                }
            }
            Operation::Wait(millis) => room.wait(u64::from(*millis % 10_000_000)),
            Operation::Clock(millis) => {
                let wall = START + (room.now - room.start).as_millis() as u64 + u64::from(*millis % 60_000);
                room.session.handle_clock(room.now, Timestamp::from_millis(wall));
            }
        }
        let members = room.session.members();
        let _ = focus_selection::foci(&members);
        let _ = mesh::decide(&members, room.session.last_left_at(), Timestamp::from_millis(START));
        assert!(members.windows(2).all(|pair| pair[0].by_age(pair[1]).is_lt()), "one order");
        room.drain();
    }
});
