//! Single rules, and a world of homeservers that are cut off from one another, in which the truth is known.

use std::collections::BTreeSet;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use ruma::{room_id, server_name, user_id};

use super::*;
use crate::test_time::epoch;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn who_was_there_was_removed_and_who_was_not_is_not_heard_of() {
    let (mut opinions, now) = (Opinions::default(), epoch());
    let (two, room) = (server_name!("two.example"), room_id!("!r:one.example"));
    let (ada, eve) = (user_id!("@ada:one.example"), user_id!("@eve:one.example"));
    opinions.handle_said(now, two, room, ada, Membership::Joined);
    assert_eq!(opinions.handle_inside(now, two, room, ada), Doubt::Removed);
    assert_eq!(opinions.handle_inside(now, two, room, eve), Doubt::Unheard);
    assert_eq!(opinions.handle_inside(now, server_name!("three.example"), room, ada), Doubt::Unheard);
    assert_eq!(opinions.handle_inside(now, two, room_id!("!s:one.example"), ada), Doubt::Unheard);
    assert_eq!(opinions.handle_inside(now + REMEMBERED, two, room, ada), Doubt::Unheard);
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
    // One that is in the room and knows nobody who calls there.
    let three = server_name!("three.example");
    opinions.handle_inside(start, three, room, ada);
    assert_eq!((0..20).filter(|n| opinions.asks(start + *n * SECOND, three, room)).count(), 20);
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

/// One homeserver.
struct View {
    name: OwnedServerName,
    /// Whom it believes to be in the room. `None`: it is not in it itself.
    members: Option<BTreeSet<OwnedUserId>>,
    is_up: bool,
    /// When it did not answer.
    was_down: Option<Instant>,
    /// Of whom it has ever said yes.
    said_yes: BTreeSet<OwnedUserId>,
}

impl View {
    fn has(&self, user: &UserId) -> bool {
        self.members.as_ref().is_some_and(|members| members.contains(user))
    }

    fn answers(&mut self, now: Instant, user: &UserId) -> Membership {
        if !self.is_up {
            self.was_down = Some(now);
            return Membership::Unavailable;
        }
        self.was_down = None;
        if !self.has(user) {
            return Membership::NotJoined;
        }
        self.said_yes.insert(user.to_owned());
        Membership::Joined
    }
}

/// Asks as the server does, of homeservers that answer from what they see at that moment.
fn ask(opinions: &mut Opinions, now: Instant, views: &mut [View], user: &UserId) -> Membership {
    let room = room_id!("!r:one.example");
    let (mut own, mut doubts) = (Membership::Unseen, Vec::new());
    for view in views {
        let is_own = view.name == user.server_name();
        if !is_own && !opinions.asks(now, &view.name, room) {
            continue;
        }
        let said = view.answers(now, user);
        opinions.handle_said(now, &view.name, room, user, said);
        if is_own {
            own = said;
        } else if said == Membership::NotJoined && view.members.is_some() {
            doubts.push(opinions.handle_inside(now, &view.name, room, user));
        }
    }
    agree(own, doubts)
}

/// Kicks and joins that only some hear of, homeservers that are down, and such as leave the room.
#[test]
fn ten_thousand_questions_and_no_wrong_answer() {
    let mut rng = ChaCha20Rng::seed_from_u64(0x09);
    let names = ["one.example", "two.example", "three.example"];
    let people: Vec<OwnedUserId> = names
        .iter()
        .flat_map(|name| ["ada", "bob", "eve"].map(|who| UserId::parse(format!("@{who}:{name}")).unwrap()))
        .collect();
    let (mut removed, mut waits, mut wrong, mut asked) = (0, 0, 0, 0);
    let mut now = epoch();
    for _ in 0..500 {
        let mut opinions = Opinions::default();
        let everybody: BTreeSet<OwnedUserId> = people.iter().filter(|_| rng.random_bool(0.8)).cloned().collect();
        let view = |name: &&str| View {
            name: ServerName::parse(*name).unwrap(),
            members: Some(everybody.clone()),
            is_up: true,
            was_down: None,
            said_yes: BTreeSet::new(),
        };
        let mut views: Vec<_> = names.iter().map(view).collect();
        now += 2 * REMEMBERED;
        for person in &people {
            ask(&mut opinions, now, &mut views, person);
        }
        for _ in 0..20 {
            now += SECOND;
            let (which, whom) = (rng.random_range(0..3), people[rng.random_range(0..people.len())].clone());
            let change = rng.random_range(0..8);
            for view in &mut views {
                let (hears, is_home) = (rng.random_bool(0.5), view.name == whom.server_name());
                match (change, &mut view.members) {
                    (0, Some(members)) if hears => drop(members.remove(&whom)),
                    (1, Some(members)) if hears || is_home => drop(members.insert(whom.clone())),
                    _ => {}
                }
            }
            match change {
                // The last of its users has left: it answers no about everybody.
                2 => views[which].members = None,
                3 => views[which].is_up = !views[which].is_up,
                _ => {}
            }
            let left_alone = |view: &View| view.was_down.is_some_and(|when| now < when + ASK_AGAIN);
            let free: Vec<bool> = views.iter().map(|view| view.is_up && !left_alone(view)).collect();
            let answer = ask(&mut opinions, now, &mut views, &whom);
            asked += 1;
            let own = views.iter().find(|view| view.name == whom.server_name()).unwrap();
            let own_says = own.is_up && own.has(&whom);
            // In the room, asked, and without him; and whether it has ever seen him there.
            let doubters = || {
                let others = views.iter().zip(&free).filter(|(view, free)| view.name != own.name && **free);
                others.map(|(view, _)| view).filter(|view| view.members.is_some() && !view.has(&whom))
            };
            let doubted = doubters().next().is_some();
            let is_right = match answer {
                Membership::Joined => own_says && !doubted,
                Membership::NotJoined => own.is_up && !own_says || doubters().any(|view| view.said_yes.contains(&whom)),
                Membership::Unavailable => !own.is_up || doubted,
                Membership::Unseen => false,
            };
            wrong += usize::from(!is_right);
            removed += usize::from(own_says && answer == Membership::NotJoined);
            waits += usize::from(own_says && answer == Membership::Unavailable);
        }
    }
    assert_eq!((asked, wrong), (10_000, 0));
    assert!(removed > 150 && waits > 60, "{removed} removed, {waits} wait: too few to prove anything");
}
