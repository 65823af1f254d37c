//! The last will and the media keys, given any sequence of orders, facts and answers: nothing panics, nothing spins, what is asked is
//! bounded, a key goes to nobody but members, and nobody's key is taken for somebody else's.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use matrixrtc::delayed_leave::{self, Answer, DelayedLeave, Manage, RequestId, Schedule, Support};
use matrixrtc::event::encryption_key::{self, KeyMessage};
use matrixrtc::keys::{self, Leaves, Origin, Participant, Policy, Receiver, ReceiverConfig, RemoteKey, SenderConfig};
use matrixrtc::ruma::{OwnedDeviceId, RoomId, UserId};
use matrixrtc::{MemberKey, SlotId, Timestamp};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

/// No step makes more.
const OUTPUTS_MAX: usize = 200;
const OPERATIONS_MAX: usize = 200;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    delay: u8,
    loan_delay: Option<u16>,
    scaled: bool,
    leaves_wait: bool,
    ratchet: bool,
    operations: Vec<Operation<'a>>,
}

#[derive(Debug, Arbitrary)]
enum Operation<'a> {
    Join,
    Leave,
    Update,
    OwnMembership(bool),
    Focus(Focus),
    Support(bool),
    Answer {
        back: u8,
        answer: Said,
    },
    /// As HTTP, whatever it says.
    Http {
        back: u8,
        status: u16,
        retry_after: Option<&'a str>,
        body: &'a [u8],
    },
    /// A bit per member; when each joined.
    Members {
        present: u8,
        joined_at: u8,
    },
    Undelivered {
        back: u8,
        members: u8,
    },
    Key {
        from: u8,
        claims: u8,
        index: u8,
        sent_at: u8,
        is_clear: bool,
    },
    RawKey {
        from: u8,
        content: &'a [u8],
    },
    Wait(u32),
    Tick,
}

#[derive(Debug, Arbitrary)]
enum Focus {
    Connected,
    Lost,
    GaveUp,
    TakeBack,
}

#[derive(Debug, Arbitrary)]
enum Said {
    Scheduled(u8),
    SentAtOnce,
    Done,
    RateLimited(Option<u16>),
    Lost,
    Conflict,
    Unrecognised,
    TooLong(Option<u16>),
    Forbidden,
    Failed,
}

fn seconds(s: u16) -> Duration {
    Duration::from_secs(u64::from(s))
}

fn support(good: bool) -> Support {
    if !good {
        return Support::none();
    }
    Support {
        schedule: vec![Schedule::Stable, Schedule::Unstable, Schedule::Query],
        manage: vec![Manage::Stable, Manage::Unstable, Manage::Body],
        max_delay: None,
    }
}

fn member(number: u8) -> MemberKey {
    let user = UserId::parse(format!("@u{}:a.org", number % 8)).expect("a user id");
    let device = OwnedDeviceId::from("D");
    MemberKey { member_id: format!("{user}:{device}"), user, device }
}

fn room() -> &'static RoomId {
    <&RoomId>::try_from("!r:a.org").expect("a room id")
}

struct World {
    now: Instant,
    rng: ChaCha20Rng,
    will: DelayedLeave,
    asked: Vec<delayed_leave::Action>,
    sender: keys::Sender,
    sent: Vec<RequestId>,
    receiver: Receiver,
    present: u8,
}

impl World {
    fn new(input: &Input<'_>) -> Self {
        let config = delayed_leave::Config {
            delay: Duration::from_secs(u64::from(input.delay)),
            loan_delay: input.loan_delay.map(seconds),
            ..delayed_leave::Config::default()
        };
        let leaves = if input.leaves_wait { Leaves::Window } else { Leaves::AtOnce };
        let policy = if input.scaled { Policy::Scaled { per_minute: 6000, leaves } } else { Policy::FIXED };
        let now = Instant::now();
        let (me, room_id) = (member(7), room().to_owned());
        Self {
            now,
            rng: ChaCha20Rng::seed_from_u64(1),
            will: DelayedLeave::new(now, config, support(true), "t".to_owned()),
            asked: Vec::new(),
            sender: keys::Sender::new(SenderConfig { ratchet: input.ratchet, ..SenderConfig::new(policy) }, &me),
            sent: Vec::new(),
            receiver: Receiver::new(ReceiverConfig { room_id, slot: SlotId::default(), cross_signed_only: false }, &me),
            present: 0,
        }
    }

    fn perform(&mut self, operation: Operation<'_>) {
        let now = self.now;
        match operation {
            Operation::Join => {
                self.will.join(now);
                self.sender.start(now, &mut self.rng);
            }
            Operation::Leave => {
                self.will.leave(now);
                self.sender.stop();
            }
            Operation::Update => self.will.update(now),
            Operation::OwnMembership(present) => self.will.handle_own_membership(now, present),
            Operation::Focus(Focus::Connected) => self.will.handle_focus_connected(now),
            Operation::Focus(Focus::Lost) => self.will.handle_focus_lost(now),
            Operation::Focus(Focus::GaveUp) => self.will.handle_delegation_lost(now),
            Operation::Focus(Focus::TakeBack) => self.will.take_back(now),
            Operation::Support(good) => self.will.handle_support(now, support(good)),
            Operation::Answer { back, answer } => {
                if let Some(action) = nth_back(&self.asked, back) {
                    self.will.handle_answer(now, action.request_id, said(answer));
                }
            }
            Operation::Http { back, status, retry_after, body } => {
                if let Some(action) = nth_back(&self.asked, back) {
                    let answer = Answer::read(&action.ask, status, retry_after, body);
                    self.will.handle_answer(now, action.request_id, answer);
                }
            }
            Operation::Members { present, joined_at } => self.set_members(present & 0x7f, joined_at),
            Operation::Undelivered { back, members } => {
                if let Some(request) = nth_back(&self.sent, back) {
                    let undelivered: Vec<_> = (0..7).filter(|n| members >> n & 1 == 1).map(member).collect();
                    self.sender.handle_sent(now, request, &undelivered);
                }
            }
            Operation::Key { from, claims, index, sent_at, is_clear } => {
                let key = keys::MediaKey::new(&[from % 8; 16]).expect("16 bytes");
                let at = Timestamp::from_millis(u64::from(sent_at));
                let content = encryption_key::deployed(&member(claims), room(), &SlotId::default(), index, &key, at);
                let message = KeyMessage::read(encryption_key::TYPE, &content).expect("we wrote it");
                let origin = if is_clear { Origin::Cleartext } else { origin(from) };
                let taken = self.receiver.handle_key(now, &origin, message);
                assert!(
                    taken.is_err() || (!is_clear && (from % 8 == claims % 8 || self.present >> (from % 8) & 1 == 0))
                );
            }
            Operation::RawKey { from, content } => {
                let content = serde_json::from_slice(content).unwrap_or_default();
                for kind in [encryption_key::TYPE, encryption_key::SPEC_TYPES[0]] {
                    if let Ok(message) = KeyMessage::read(kind, &content) {
                        let _ = self.receiver.handle_key(now, &origin(from), message);
                    }
                }
                while self.receiver.poll_output().is_some() {}
            }
            Operation::Wait(millis) => self.now += Duration::from_millis(u64::from(millis)),
            Operation::Tick => self.tick(),
        }
        self.drain();
    }

    fn set_members(&mut self, present: u8, joined_at: u8) {
        self.present = present;
        let joined_at = Timestamp::from_millis(u64::from(joined_at));
        let members: Vec<_> =
            (0..8).filter(|n| present >> n & 1 == 1).map(|n| Participant { member: member(n), joined_at }).collect();
        self.sender.handle_members(self.now, &members, &mut self.rng);
        self.receiver.handle_members(self.now, &members);
    }

    /// The next deadline of each machine; what was asked in the meantime gets no answer.
    fn tick(&mut self) {
        for _ in 0..100 {
            let due = self.drain().into_iter().flatten().min();
            let Some(at) = due else { return };
            let is_later = at > self.now;
            self.now = self.now.max(at);
            self.will.handle_timeout(self.now);
            self.sender.handle_timeout(self.now, &mut self.rng);
            if is_later {
                return;
            }
        }
        panic!("it spins");
    }

    fn drain(&mut self) -> [Option<Instant>; 2] {
        let will = (0..OUTPUTS_MAX).find_map(|_| match self.will.poll_output() {
            delayed_leave::Output::Ask(action) => {
                self.asked.push(action);
                None
            }
            delayed_leave::Output::Event(_) => None,
            delayed_leave::Output::Timeout(at, _) => Some(at),
        });
        let sender = (0..OUTPUTS_MAX).find_map(|_| match self.sender.poll_output() {
            keys::Output::SendKeys(send) => {
                assert!(send.to.iter().all(|to| (0..7).any(|n| self.present >> n & 1 == 1 && member(n) == *to)));
                self.sent.push(send.request_id);
                None
            }
            keys::Output::UseKey(_) => None,
            keys::Output::Timeout(at) => Some(at),
        });
        while let Some(key) = self.receiver.poll_output() {
            // Keys of `Operation::Key` tell whose they are.
            if let RemoteKey::Add { member: whose, key, .. } = key
                && let Some(number) = (0..8).find(|n| key.as_bytes() == [*n; 16])
            {
                assert_eq!(whose, member(number));
            }
        }
        [will.expect("an end of outputs"), sender.expect("an end of outputs")]
    }
}

fn nth_back<T: Clone>(list: &[T], back: u8) -> Option<T> {
    list.iter().rev().nth(usize::from(back % 8)).cloned()
}

fn origin(from: u8) -> Origin {
    let member = member(from);
    Origin::Olm { user: member.user, device: member.device, cross_signed: false }
}

fn said(answer: Said) -> Answer {
    match answer {
        Said::Scheduled(id) => Answer::Scheduled { delay_id: format!("id{id}").into() },
        Said::SentAtOnce => Answer::SentAtOnce,
        Said::Done => Answer::Done,
        Said::RateLimited(wait) => Answer::RateLimited { retry_after: wait.map(seconds) },
        Said::Lost => Answer::Lost,
        Said::Conflict => Answer::Conflict,
        Said::Unrecognised => Answer::Unrecognised,
        Said::TooLong(max) => Answer::TooLong { max: max.map(seconds) },
        Said::Forbidden => Answer::Forbidden,
        Said::Failed => Answer::Failed,
    }
}

fuzz_target!(|input: Input<'_>| {
    let mut world = World::new(&input);
    input.operations.into_iter().take(OPERATIONS_MAX).for_each(|operation| world.perform(operation));
});
