//! Single rules, and a world of homeservers that are cut off from one another, in which the truth is known.

use std::collections::BTreeSet;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use ruma::{room_id, server_name, user_id};

use super::*;
use crate::test_time::epoch;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_no_counts_only_from_one_who_is_in_the_room() {
    let (mut opinions, now) = (Opinions::default(), epoch());
    let (two, room) = (server_name!("two.example"), room_id!("!r:one.example"));
    let (ada, bob) = (user_id!("@ada:one.example"), user_id!("@bob:two.example"));
    assert_eq!(opinions.witness(now, two, room, ada), None);
    opinions.handle_said(now, two, room, ada, Membership::Joined);
    assert_eq!(opinions.witness(now, two, room, ada), None, "nobody is his own witness");
    opinions.handle_said(now, two, room, bob, Membership::Joined);
    assert_eq!(opinions.witness(now, two, room, ada).as_deref(), Some(bob));
    assert_eq!(opinions.doubt(now, two, room, ada), Doubt::Removed);
    assert_eq!(opinions.doubt(now, two, room, user_id!("@eve:one.example")), Doubt::Unheard);
    assert_eq!(opinions.doubt(now, two, room_id!("!s:one.example"), ada), Doubt::Unheard);
    let late = now + REMEMBERED;
    assert_eq!((opinions.witness(late, two, room, ada), opinions.doubt(late, two, room, ada)), (None, Doubt::Unheard));
}

#[test]
fn what_doubts_come_to() {
    use Membership::{Joined, NotJoined, Unavailable, Unseen};
    assert_eq!(agree(Joined, [Doubt::None]), Joined);
    assert_eq!(agree(Joined, [Doubt::None, Doubt::Removed, Doubt::Unheard]), NotJoined);
    assert_eq!(agree(Joined, [Doubt::Unheard]), Unavailable, "until they agree");
    assert_eq!(agree(Unavailable, [Doubt::Removed]), NotJoined);
    for own in [NotJoined, Unavailable, Unseen] {
        assert_eq!(agree(own, [Doubt::None, Doubt::Unheard]), own);
    }
    assert_eq!(agree(NotJoined, [Doubt::Removed]), NotJoined);
    assert_eq!(agree(Joined, []), Joined);
}

#[test]
fn who_knows_nothing_or_does_not_answer_is_seldom_asked() {
    let (mut opinions, start) = (Opinions::default(), epoch());
    let (two, room, ada) = (server_name!("two.example"), room_id!("!r:one.example"), user_id!("@ada:one.example"));
    let asked = |opinions: &mut Opinions, from: Instant| -> usize {
        (0..20).map(|n| usize::from(opinions.asks(from + n * SECOND, two, room))).sum()
    };
    assert_eq!(asked(&mut opinions, start), 2);
    opinions.handle_said(start + 30 * SECOND, two, room, ada, Membership::Joined);
    assert_eq!(asked(&mut opinions, start + 30 * SECOND), 20);
    opinions.handle_said(start + 50 * SECOND, two, room, ada, Membership::Unavailable);
    assert_eq!(asked(&mut opinions, start + 50 * SECOND), 10);
}

#[test]
fn what_is_remembered_is_bounded() {
    let (mut opinions, now) = (Opinions::default(), epoch());
    let (two, room) = (server_name!("two.example"), room_id!("!r:one.example"));
    for n in 0..PEOPLE_MAX + 10 {
        let user = UserId::parse(format!("@u{n}:two.example")).unwrap();
        opinions.handle_said(now, two, room, &user, Membership::Joined);
    }
    assert_eq!(opinions.people, PEOPLE_MAX);
    for n in 0..ROOMS_MAX + 10 {
        opinions.asks(now, two, &RoomId::parse(format!("!r{n}:two.example")).unwrap());
    }
    assert_eq!(opinions.rooms.len(), ROOMS_MAX);
    assert!(opinions.asks(now + REMEMBERED, two, room_id!("!new:two.example")));
    assert_eq!((opinions.rooms.len(), opinions.people), (1, 0));
}

/// One homeserver: whom it believes to be in the room. `None`: it is not in it.
type View = Option<BTreeSet<OwnedUserId>>;

/// Asks as the server does, of homeservers that answer from what they see at that moment.
fn ask(opinions: &mut Opinions, now: Instant, views: &[(OwnedServerName, View, bool)], user: &UserId) -> Membership {
    let room = room_id!("!r:one.example");
    let say = |opinions: &mut Opinions, index: usize, of: &UserId| {
        let (server, view, is_up) = &views[index];
        let said = match (is_up, view.as_ref().is_some_and(|view| view.contains(of))) {
            (false, _) => Membership::Unavailable,
            (true, true) => Membership::Joined,
            (true, false) => Membership::NotJoined,
        };
        opinions.handle_said(now, server, room, of, said);
        said
    };
    let (mut own, mut doubts) = (Membership::Unseen, Vec::new());
    for (index, (server, ..)) in views.iter().enumerate() {
        if server == user.server_name() {
            own = say(opinions, index, user);
        } else if opinions.asks(now, server, room) && say(opinions, index, user) == Membership::NotJoined {
            let witness = opinions.witness(now, server, room, user);
            if witness.is_some_and(|witness| say(opinions, index, &witness) == Membership::Joined) {
                doubts.push(opinions.doubt(now, server, room, user));
            }
        }
    }
    agree(own, doubts)
}

/// Kicks, joins, homeservers that are down, that leave the room, and that hear of what the others did late or not at all.
#[test]
fn ten_thousand_questions_and_no_wrong_answer() {
    let mut rng = ChaCha20Rng::seed_from_u64(0x09);
    let names = ["one.example", "two.example", "three.example"];
    let people: Vec<OwnedUserId> = names
        .iter()
        .flat_map(|name| ["ada", "bob", "eve"].map(|who| UserId::parse(format!("@{who}:{name}")).unwrap()))
        .collect();
    let (mut removed, mut split, mut wrong, mut asked) = (0, 0, 0, 0);
    let mut now = epoch();
    for _ in 0..500 {
        let mut opinions = Opinions::default();
        let everybody: BTreeSet<OwnedUserId> = people.iter().cloned().collect();
        let server = |name: &&str| (ServerName::parse(*name).unwrap(), Some(everybody.clone()), true);
        let mut views: Vec<_> = names.iter().map(server).collect();
        // Whom some homeserver in the room has seen removed, and not come again.
        let mut kicked: BTreeSet<OwnedUserId> = BTreeSet::new();
        now += 2 * REMEMBERED;
        for person in &people {
            ask(&mut opinions, now, &views, person);
        }
        for _ in 0..20 {
            now += SECOND;
            let (which, whom) = (rng.random_range(0..3), people[rng.random_range(0..people.len())].clone());
            match rng.random_range(0..8) {
                // A kick that only some hear of.
                0 => {
                    for (_, view, _) in &mut views {
                        if rng.random_bool(0.5)
                            && let Some(view) = view
                        {
                            kicked.extend(view.take(&whom));
                        }
                    }
                }
                // The last of its users has left: it answers no about everybody.
                1 => views[which].1 = None,
                2 => views[which].2 = !views[which].2,
                _ => {}
            }
            let answer = ask(&mut opinions, now, &views, &whom);
            asked += 1;
            let own = views.iter().find(|(name, ..)| name == whom.server_name()).unwrap();
            let own_says = own.1.as_ref().is_some_and(|view| view.contains(&whom));
            let is_wrong = match answer {
                // Somebody says that he is, and his own does.
                Membership::Joined => !own.2 || !own_says,
                // He was removed as somebody saw who was in the room, or his own homeserver says so.
                Membership::NotJoined => !(kicked.contains(&whom) || own.2 && !own_says),
                Membership::Unavailable => own.2 && !(own_says && kicked.contains(&whom)),
                Membership::Unseen => true,
            };
            wrong += usize::from(is_wrong);
            if own.2 && own_says && kicked.contains(&whom) {
                split += 1;
                removed += usize::from(answer == Membership::NotJoined);
            }
        }
    }
    assert_eq!((asked, wrong), (10_000, 0));
    assert!(split > 300 && removed * 10 > split * 6, "{removed} of {split}: too few to prove anything");
}
