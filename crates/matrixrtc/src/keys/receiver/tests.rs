use ruma::{device_id, owned_room_id, user_id};

use super::*;
use crate::testing::epoch;

fn key(byte: u8) -> MediaKey {
    MediaKey::new(&[byte; 16]).expect("16 bytes")
}

fn member(user: &str, device: &str, member_id: &str) -> MemberKey {
    let user = ruma::UserId::parse(user).expect("a user id");
    MemberKey { user, device: device.into(), member_id: member_id.to_owned() }
}

fn alice() -> MemberKey {
    member("@alice:a.org", "A", "@alice:a.org:A")
}

/// With a member id of her own, as new events have it.
fn bob() -> MemberKey {
    member("@bob:b.org", "B", "b0b")
}

fn origin(member: &MemberKey) -> Origin {
    Origin::Olm { user: member.user.clone(), device: member.device.clone(), cross_signed: true }
}

fn message(from: &MemberKey, index: u8, byte: u8, sent_at: u64) -> KeyMessage {
    KeyMessage {
        room_id: owned_room_id!("!r:a.org"),
        member_id: Some(from.member_id.clone()),
        device: Some(from.device.clone()),
        slot: Some(SlotId::default()),
        index,
        key: key(byte),
        sent_at: Some(Timestamp::from_millis(sent_at)),
    }
}

struct Rig {
    receiver: Receiver,
    now: Instant,
}

impl Rig {
    fn new(members: &[MemberKey]) -> Self {
        let config =
            ReceiverConfig { room_id: owned_room_id!("!r:a.org"), slot: SlotId::default(), cross_signed_only: false };
        let me = member("@me:a.org", "ME", "@me:a.org:ME");
        let mut rig = Self { receiver: Receiver::new(config, &me), now: epoch() };
        rig.set(members);
        rig
    }

    fn set(&mut self, members: &[MemberKey]) -> Vec<RemoteKey> {
        let joined = |member: &MemberKey| Participant { member: member.clone(), joined_at: Timestamp::from_millis(1) };
        let members: Vec<_> = members.iter().map(joined).collect();
        self.receiver.handle_members(self.now, &members);
        self.drain()
    }

    fn drain(&mut self) -> Vec<RemoteKey> {
        std::iter::from_fn(|| self.receiver.poll_output()).collect()
    }

    fn key(&mut self, from: &Origin, message: KeyMessage) -> Result<Vec<RemoteKey>, KeyRefusal> {
        self.receiver.handle_key(self.now, from, message)?;
        Ok(self.drain())
    }
}

fn add(member: MemberKey, index: u8, byte: u8) -> RemoteKey {
    RemoteKey::Add { member, index, key: key(byte) }
}

#[test]
fn a_members_key_is_given_out() {
    let mut rig = Rig::new(&[alice(), bob()]);
    assert_eq!(rig.key(&origin(&alice()), message(&alice(), 0, 1, 5)), Ok(vec![add(alice(), 0, 1)]));
    assert_eq!(rig.key(&origin(&bob()), message(&bob(), 255, 2, 5)), Ok(vec![add(bob(), 255, 2)]));
    // Deployed clients name themselves so, whatever their member id.
    let named = KeyMessage { member_id: Some("@bob:b.org:B".to_owned()), ..message(&bob(), 1, 3, 6) };
    assert_eq!(rig.key(&origin(&bob()), named), Ok(vec![add(bob(), 1, 3)]));
    let unnamed = KeyMessage { member_id: None, device: None, slot: None, ..message(&bob(), 2, 4, 7) };
    assert_eq!(rig.key(&origin(&bob()), unnamed), Ok(vec![add(bob(), 2, 4)]));
}

#[test]
fn what_is_not_its_senders_is_refused_and_counted() {
    let mallory = member("@mallory:m.org", "M", "@mallory:m.org:M");
    let mut rig = Rig::new(&[alice(), bob(), mallory.clone()]);
    let from = origin(&mallory);
    let own = |change: &dyn Fn(&mut KeyMessage)| {
        let mut message = message(&mallory, 0, 9, 5);
        change(&mut message);
        message
    };
    let refused = |rig: &mut Rig, from: &Origin, message| rig.key(from, message).expect_err("refused");
    assert_eq!(refused(&mut rig, &Origin::Cleartext, message(&alice(), 0, 9, 5)), KeyRefusal::Cleartext);
    type Forgery<'a> = (KeyRefusal, &'a dyn Fn(&mut KeyMessage));
    let forged: [Forgery<'_>; 6] = [
        (KeyRefusal::ForeignMember, &|it| it.member_id = Some(alice().member_id)),
        (KeyRefusal::ForeignMember, &|it| it.member_id = Some("b0b".to_owned())),
        (KeyRefusal::ForeignMember, &|it| it.member_id = Some("@carol:c.org:C".to_owned())),
        (KeyRefusal::ForeignDevice, &|it| it.device = Some(alice().device)),
        (KeyRefusal::OtherRoom, &|it| it.room_id = owned_room_id!("!other:a.org")),
        (KeyRefusal::OtherSession, &|it| it.slot = SlotId::parse("m.call#other").ok()),
    ];
    for (why, change) in forged {
        assert_eq!(refused(&mut rig, &from, own(change)), why);
    }
    let me = member("@me:a.org", "ME", "@me:a.org:ME");
    assert_eq!(refused(&mut rig, &origin(&me), message(&me, 0, 9, 5)), KeyRefusal::Own);
    assert_eq!(rig.receiver.refused().get(&KeyRefusal::ForeignMember), Some(&3));
    assert_eq!(rig.receiver.refused().values().sum::<u64>(), 8);
    assert!(rig.drain().is_empty());
}

/// Another device of the same user is another sender.
#[test]
fn a_second_device_cannot_speak_for_the_first() {
    let mut rig = Rig::new(&[alice()]);
    let second = Origin::Olm {
        user: user_id!("@alice:a.org").to_owned(),
        device: device_id!("A2").to_owned(),
        cross_signed: true,
    };
    let named = KeyMessage { device: None, ..message(&alice(), 0, 9, 5) };
    assert_eq!(rig.key(&second, named), Err(KeyRefusal::ForeignMember));
}

#[test]
fn devices_that_are_not_cross_signed_are_refused_if_asked_for() {
    let mut rig = Rig::new(&[alice()]);
    let unsigned = Origin::Olm { user: alice().user, device: alice().device, cross_signed: false };
    assert!(rig.key(&unsigned, message(&alice(), 0, 1, 5)).is_ok());
    rig.receiver.config.cross_signed_only = true;
    assert_eq!(rig.key(&unsigned, message(&alice(), 1, 1, 5)), Err(KeyRefusal::NotCrossSigned));
}

/// A quick leave and join makes two keys with index 0, and the second may come first.
#[test]
fn an_older_key_does_not_replace_a_newer_one() {
    let mut rig = Rig::new(&[alice()]);
    assert!(rig.key(&origin(&alice()), message(&alice(), 0, 2, 9)).is_ok());
    assert_eq!(rig.key(&origin(&alice()), message(&alice(), 0, 1, 8)), Err(KeyRefusal::Outdated));
    assert!(rig.key(&origin(&alice()), message(&alice(), 1, 1, 8)).is_ok(), "another index");
    assert!(rig.key(&origin(&alice()), message(&alice(), 0, 3, 9)).is_ok());
}

#[test]
fn a_key_may_be_faster_than_its_member() {
    let mut rig = Rig::new(&[]);
    assert_eq!(rig.key(&origin(&bob()), message(&bob(), 0, 1, 5)), Ok(vec![]));
    assert_eq!(rig.set(&[bob()]), [add(bob(), 0, 1)]);
    // Under a name that turns out to be somebody else's.
    let stolen = KeyMessage { member_id: Some("b0b2".to_owned()), ..message(&alice(), 0, 9, 5) };
    assert_eq!(rig.key(&origin(&alice()), stolen), Ok(vec![]));
    assert_eq!(rig.set(&[alice(), bob()]), []);
    assert_eq!(rig.receiver.refused().get(&KeyRefusal::ForeignMember), Some(&1));
}

#[test]
fn one_who_left_is_forgotten_and_may_come_back_with_a_key_that_was_early() {
    let mut rig = Rig::new(&[alice()]);
    assert!(rig.key(&origin(&alice()), message(&alice(), 0, 1, 5)).is_ok());
    // Sync is behind: the key of the next join comes before the leave.
    assert!(rig.key(&origin(&alice()), message(&alice(), 0, 2, 6)).is_ok());
    assert_eq!(rig.set(&[]), [RemoteKey::RemoveAll { member: alice() }]);
    assert_eq!(rig.set(&[alice()]), [add(alice(), 0, 2)]);
    rig.now += STRANGER_TIME * 2;
    rig.set(&[]);
    assert_eq!(rig.set(&[alice()]), [add(alice(), 0, 2)], "counted from the leave");
    rig.set(&[]);
    rig.now += STRANGER_TIME;
    assert_eq!(rig.set(&[alice()]), []);
}

#[test]
fn a_new_member_id_of_the_same_device_takes_over() {
    let mut rig = Rig::new(&[bob()]);
    let again = MemberKey { member_id: "b0b-again".to_owned(), ..bob() };
    assert_eq!(rig.key(&origin(&bob()), message(&again, 0, 1, 5)), Ok(vec![]), "ahead of its event");
    assert_eq!(rig.set(std::slice::from_ref(&again)), [RemoteKey::RemoveAll { member: bob() }, add(again, 0, 1)]);
}

#[test]
fn everything_is_bounded() {
    let mut rig = Rig::new(&[alice()]);
    for number in 0..2 * STRANGERS_MAX {
        let stranger = member(&format!("@s{number}:s.org"), "S", "s");
        for index in 0..=u8::from(number < 3) * 20 {
            let _ = rig.key(&origin(&stranger), message(&stranger, index, 1, 5));
        }
    }
    for index in 0..=255 {
        assert!(rig.key(&origin(&alice()), message(&alice(), index, 1, 5)).is_ok());
    }
    assert!(rig.receiver.devices.len() <= STRANGERS_MAX + 1);
    assert!(rig.receiver.devices.values().all(|device| device.keys.len() <= KEYS_PER_DEVICE_MAX));
    assert!(rig.receiver.devices.contains_key(&device_of(&alice())), "members are never the ones to go");
    rig.now += STRANGER_TIME;
    rig.set(&[alice()]);
    assert_eq!(rig.receiver.devices.len(), 1);
}
