//! One rule each; what holds for all interleavings is in `property`.

mod property;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use ruma::{OwnedDeviceId, UserId};

use super::*;
use crate::keys::Leaves;
use crate::testing::epoch;

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

pub(super) fn member(number: usize) -> MemberKey {
    let user = UserId::parse(format!("@u{number}:example.org")).expect("a user id");
    let device = OwnedDeviceId::from(format!("DEV{number}"));
    MemberKey { member_id: format!("{user}:{device}"), user, device }
}

fn participant(number: usize, joined_at: u64) -> Participant {
    Participant { member: member(number), joined_at: Timestamp::from_millis(joined_at) }
}

/// We are number 0.
struct Rig {
    sender: Sender,
    now: Instant,
    rng: ChaCha20Rng,
    sent: Vec<KeySend>,
    used: Vec<UseKey>,
}

impl Rig {
    fn new(config: SenderConfig) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(1);
        Self { sender: Sender::new(config, &member(0)), now: epoch(), rng, sent: vec![], used: vec![] }
    }

    fn fixed(members: &[usize]) -> Self {
        Self::started(SenderConfig::default(), members)
    }

    /// In the call with these, long enough that no grace is left.
    fn started(config: SenderConfig, members: &[usize]) -> Self {
        let mut rig = Self::new(config);
        rig.set(members);
        rig.sender.start(rig.now, &mut rig.rng);
        rig.drain();
        assert_eq!((rig.used.len(), rig.used[0].index, rig.used[0].at), (1, 0, rig.now));
        rig.wait(seconds(20));
        rig.sent.clear();
        rig.used.clear();
        rig
    }

    fn set(&mut self, members: &[usize]) {
        let members: Vec<_> = members.iter().map(|number| participant(*number, 1)).collect();
        self.sender.handle_members(self.now, &members, &mut self.rng);
        self.drain();
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.sender.poll_output() {
                Output::SendKeys(send) => {
                    self.sender.handle_sent(self.now, send.request_id, &[]);
                    self.sent.push(send);
                }
                Output::UseKey(key) => self.used.push(key),
                Output::Timeout(at) => return at,
            }
        }
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.drain().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.sender.handle_timeout(self.now, &mut self.rng);
        }
        self.now = until;
    }

    /// Who was told which index since the last look.
    fn told(&mut self) -> Vec<(u8, Vec<MemberKey>)> {
        self.sent.drain(..).map(|send| (send.index, send.to)).collect()
    }

    fn used(&mut self) -> Vec<(u8, Duration)> {
        let now = self.now;
        self.used.drain(..).map(|key| (key.index, key.at - now)).collect()
    }
}

fn members(numbers: &[usize]) -> Vec<MemberKey> {
    numbers.iter().map(|number| member(*number)).collect()
}

#[test]
fn the_first_key_is_used_at_once_and_told_to_all() {
    let mut rig = Rig::new(SenderConfig::default());
    rig.set(&[0, 1, 2]);
    assert!(rig.told().is_empty(), "we have not joined");
    rig.sender.start(rig.now, &mut rig.rng);
    rig.drain();
    assert_eq!(rig.told(), [(0, members(&[1, 2]))]);
    assert_eq!(rig.used(), [(0, Duration::ZERO)]);
}

#[test]
fn a_newcomer_within_the_grace_is_told_the_present_key() {
    let mut rig = Rig::new(SenderConfig::default());
    rig.sender.start(rig.now, &mut rig.rng);
    rig.wait(seconds(9));
    rig.used.clear();
    rig.set(&[1]);
    assert_eq!(rig.told(), [(0, members(&[1]))]);
    assert!(rig.used().is_empty());
}

#[test]
fn a_later_newcomer_makes_a_new_key_for_all() {
    let mut rig = Rig::fixed(&[1, 2]);
    rig.set(&[1, 2, 3]);
    assert_eq!(rig.told(), [(1, members(&[1, 2, 3]))]);
    assert_eq!(rig.used(), [(1, seconds(1))]);
    rig.wait(seconds(5));
    rig.set(&[1, 2, 3, 4]);
    assert_eq!(rig.told(), [(1, members(&[4]))]);
}

/// Whatever its age: nothing was encrypted with it yet.
#[test]
fn a_newcomer_is_told_the_key_that_waits_to_be_used() {
    let policy = Policy::FixedGrace { grace: seconds(1) };
    for ratchet in [false, true] {
        let config = SenderConfig { use_delay: seconds(5), ratchet, ..SenderConfig::new(policy) };
        let mut rig = Rig::started(config, &[1, 2]);
        rig.set(&[1]);
        assert_eq!((rig.told(), rig.used()), (vec![(1, members(&[1]))], vec![(1, seconds(5))]));
        rig.wait(seconds(3));
        rig.set(&[1, 3]);
        assert_eq!((rig.told(), rig.used()), (vec![(1, members(&[3]))], vec![]), "ratchet: {ratchet}");
    }
}

#[test]
fn a_leave_makes_a_new_key_for_those_who_stay() {
    let mut rig = Rig::fixed(&[1, 2, 3]);
    rig.set(&[1, 3]);
    assert_eq!(rig.told(), [(1, members(&[1, 3]))]);
    assert_eq!(rig.used(), [(1, seconds(1))]);
}

#[test]
fn many_leaves_at_once_make_two_new_keys() {
    let all: Vec<_> = (1..50).collect();
    let mut rig = Rig::fixed(&all);
    let start = rig.now;
    for stay in (1..40).rev() {
        rig.set(&all[..stay]);
        rig.wait(Duration::from_millis(10));
    }
    rig.wait(seconds(1));
    let indexes: Vec<_> = rig.told().iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [1, 2]);
    let uses: Vec<_> = rig.used.iter().map(|key| key.at - start).collect();
    assert_eq!(
        uses,
        [seconds(1), Duration::from_millis(1010)],
        "each within the delay after the first leave it answers"
    );
}

#[test]
fn a_member_that_joined_anew_is_told_again() {
    let mut rig = Rig::new(SenderConfig::default());
    rig.set(&[1, 2]);
    rig.sender.start(rig.now, &mut rig.rng);
    rig.drain();
    rig.told();
    rig.sender.handle_members(rig.now, &[participant(1, 1), participant(2, 77)], &mut rig.rng);
    rig.drain();
    assert_eq!(rig.told(), [(0, members(&[2]))]);
}

#[test]
fn our_own_device_is_never_told() {
    let mut rig = Rig::new(SenderConfig::default());
    let mut ghost = participant(0, 1);
    ghost.member.member_id = "of an earlier join".to_owned();
    rig.sender.handle_members(rig.now, &[ghost, participant(0, 2)], &mut rig.rng);
    rig.sender.start(rig.now, &mut rig.rng);
    rig.drain();
    assert!(rig.told().is_empty());
}

#[test]
fn indexes_go_around() {
    let mut rig = Rig::fixed(&[1]);
    let mut last = 0;
    for round in 0..600 {
        rig.set(if round % 2 == 0 { &[] } else { &[1] });
        rig.wait(seconds(11));
        for key in rig.used.drain(..) {
            assert_eq!(key.index, (last as u8).wrapping_add(1));
            last += 1;
        }
    }
    assert!(last > 256);
}

#[test]
fn a_member_that_could_not_be_told_is_tried_again_until_it_leaves() {
    let mut rig = Rig::new(SenderConfig::default());
    rig.sender.handle_members(rig.now, &[participant(1, 1), participant(2, 1)], &mut rig.rng);
    rig.sender.start(rig.now, &mut rig.rng);
    let take = |rig: &mut Rig| loop {
        match rig.sender.poll_output() {
            Output::SendKeys(send) => return send,
            Output::UseKey(_) => {}
            Output::Timeout(at) => {
                rig.now = at.expect("something to wait for");
                rig.sender.handle_timeout(rig.now, &mut rig.rng);
            }
        }
    };
    let start = rig.now;
    let first = take(&mut rig);
    rig.sender.handle_sent(rig.now, first.request_id, &members(&[2]));
    let second = take(&mut rig);
    assert_eq!((second.to, second.index, rig.now - start), (members(&[2]), 0, RETRY));
    // Nobody answers.
    let third = take(&mut rig);
    assert_eq!((third.to, rig.now - start), (members(&[2]), RETRY + SEND_TIMEOUT + RETRY * 2));
    assert_eq!(rig.sender.counters().undelivered, 1);
    rig.set(&[1]);
    rig.told();
    rig.wait(seconds(60));
    assert!(rig.told().is_empty());
}

#[test]
fn no_key_is_used_for_ever() {
    let mut rig = Rig::started(SenderConfig { ttl: Some(seconds(60)), ..SenderConfig::default() }, &[1]);
    rig.wait(seconds(200));
    assert_eq!(rig.used.len(), 3);
}

#[test]
fn windows_grow_with_the_square() {
    let window = |members| Policy::SCALED.window(members).as_millis();
    assert_eq!([2, 10, 50, 100].map(window), [20, 900, 24_500, 99_000]);
    assert_eq!(Policy::FIXED.window(100), Duration::ZERO);
}

#[test]
fn scaled_tells_a_newcomer_at_once_and_rotates_when_the_window_allows() {
    let all: Vec<_> = (1..50).collect();
    let mut rig = Rig::started(SenderConfig::new(Policy::SCALED), &all[..48]);
    rig.wait(seconds(100));
    rig.told();
    rig.set(&all);
    assert_eq!(rig.told(), [(0, members(&[49]))]);
    rig.wait(seconds(50));
    let told = rig.told();
    assert_eq!(told.len(), 1, "once, within twice the window");
    assert_eq!((told[0].0, told[0].1.len()), (1, 49));
    rig.wait(seconds(100));
    assert!(rig.told().is_empty());
}

#[test]
fn scaled_rotations_keep_their_distance() {
    let all: Vec<_> = (1..50).collect();
    let mut rig = Rig::started(SenderConfig::new(Policy::SCALED), &all);
    for round in 0..100 {
        let mut members: Vec<_> = all.iter().map(|number| participant(*number, 1)).collect();
        members[0].joined_at = Timestamp::from_millis(2 + round);
        rig.sender.handle_members(rig.now, &members, &mut rig.rng);
        rig.wait(seconds(4));
    }
    let at: Vec<_> = rig.used.iter().map(|key| key.at).collect();
    assert!((8..=17).contains(&at.len()), "{}", at.len());
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= Policy::SCALED.window(50)));
}

#[test]
fn leaves_may_wait_for_the_window_or_not() {
    let all: Vec<_> = (1..50).collect();
    for (leaves, at_once) in [(Leaves::AtOnce, true), (Leaves::Window, false)] {
        let mut rig = Rig::started(SenderConfig::new(Policy::Scaled { per_minute: 6000, leaves }), &all);
        rig.wait(seconds(100));
        rig.set(&all[..48]);
        assert_eq!(!rig.told().is_empty(), at_once, "{leaves:?}");
        rig.wait(seconds(50));
        assert_eq!(!rig.told().is_empty(), !at_once, "{leaves:?}");
    }
}

#[test]
fn a_ratchet_costs_one_message() {
    let config = SenderConfig { ratchet: true, ..SenderConfig::default() };
    let mut rig = Rig::new(config);
    rig.set(&[1, 2]);
    rig.sender.start(rig.now, &mut rig.rng);
    rig.wait(seconds(20));
    let first = rig.used.pop().expect("the first key");
    rig.told();
    rig.set(&[1, 2, 3]);
    let sent = rig.sent.pop().expect("a message");
    assert_eq!((sent.to, &sent.key), (members(&[3]), &first.key.ratchet()));
    let used = rig.used.pop().expect("a step");
    assert_eq!((used.index, used.step, used.key, used.at), (0, 1, first.key.ratchet(), rig.now));
    // A leave is no matter for a ratchet.
    rig.set(&[1, 2]);
    assert_eq!(rig.told(), [(1, members(&[1, 2]))]);
}

#[test]
fn ratchets_are_bounded() {
    let mut rig = Rig::new(SenderConfig { ratchet: true, ..SenderConfig::default() });
    rig.sender.start(rig.now, &mut rig.rng);
    rig.wait(seconds(20));
    for count in 1..=9 {
        let all: Vec<_> = (1..=count).collect();
        rig.set(&all);
    }
    assert_eq!(rig.sender.counters().ratchets, u64::from(RATCHETS_MAX));
    assert_eq!(rig.sender.counters().rotations, 2);
}

#[test]
fn members_are_bounded() {
    let mut rig = Rig::new(SenderConfig::default());
    let all: Vec<_> = (1..=MEMBERS_MAX + 5).collect();
    rig.set(&all);
    rig.sender.start(rig.now, &mut rig.rng);
    rig.drain();
    assert_eq!(rig.told()[0].1.len(), MEMBERS_MAX);
    assert_eq!(rig.sender.counters().beyond, 5);
}

#[test]
fn one_that_left_keeps_no_key_and_comes_back_with_another_index() {
    let mut rig = Rig::fixed(&[1]);
    rig.sender.stop();
    rig.set(&[]);
    assert_eq!(rig.drain(), None);
    rig.sender.start(rig.now, &mut rig.rng);
    rig.drain();
    assert_eq!(rig.used(), [(1, Duration::ZERO)]);
}
