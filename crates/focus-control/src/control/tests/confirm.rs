//! Joins with tokens from a while ago: by rule, and many against a model of who may come in.

use focus_signaling::CloseCode;
use focus_signaling::wire::{ClientMessage, Leave, ServerMessage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use sfu_core::Command;

use super::world::{UNIX, World, ms};
use crate::bounds::{CONFIRM_RETRY, CONFIRM_TIMEOUT};
use crate::token::{LIFETIME_DEFAULT, Mint};
use crate::{Confirmation, ConnectionId, ControlBounds, Origin};

fn world(bounds: ControlBounds) -> World {
    let mut w = World::with(1, usize::MAX, bounds);
    w.control.confirm_joins();
    w
}

fn token(w: &mut World, user: &str) -> String {
    let mint = Mint { identity: user, conference: "call", name: user, publish: true, lifetime: LIFETIME_DEFAULT };
    let origin = Origin::new(user, "home", "room", true);
    w.minter.mint_for(&mint, Some(&origin), UNIX + (w.now - w.start), &mut w.rng).unwrap()
}

fn answer(w: &mut World, connection: ConnectionId, confirmation: Confirmation) {
    w.control.handle_confirmed(w.now, connection, confirmation);
    w.settle();
}

/// Says hello with a token from three seconds ago.
fn knock(w: &mut World, user: &str) -> ConnectionId {
    let token = token(w, user);
    w.pass(ms(3000));
    let connection = w.hello(token);
    assert_eq!(w.knocks.pop().map(|(connection, origin)| (connection, origin.user.0)), Some((connection, user.into())));
    connection
}

#[test]
fn a_fresh_token_lets_in_at_once_and_an_older_one_when_it_is_confirmed() {
    let mut w = world(ControlBounds::default());
    let fresh = token(&mut w, "alice");
    w.pass(ms(2000));
    let alice = w.hello(fresh);
    w.welcomed(alice);
    assert!(w.knocks.is_empty());

    w.hold = true;
    let bob = knock(&mut w, "bob");
    let connects = |w: &World| w.workers[0].inbox.iter().any(|(_, command)| matches!(command, Command::Connect { .. }));
    assert!(!connects(&w) && !w.inboxes.contains_key(&bob), "no media before the answer");
    answer(&mut w, bob, Confirmation::Holds);
    assert!(connects(&w));
    w.release();
    w.welcomed(bob);
    answer(&mut w, bob, Confirmation::Fails);
    assert!(!w.closed.contains_key(&bob), "answered already");

    let eve = knock(&mut w, "eve");
    answer(&mut w, eve, Confirmation::Fails);
    assert_eq!(w.refused(eve), ("M_FORBIDDEN".into(), CloseCode::Forbidden));
    // Nobody could be asked about one whose origin is not known.
    let somebody = w.token("somebody", "call");
    w.pass(ms(60_000));
    let somebody = w.hello(somebody);
    w.welcomed(somebody);
}

#[test]
fn without_an_answer_nobody_new_comes_in_and_the_token_stays_good() {
    let mut w = world(ControlBounds::default());
    let fresh = token(&mut w, "alice");
    let alice = w.hello(fresh);
    let alice = w.welcomed(alice);
    let old = token(&mut w, "bob");
    w.pass(ms(3000));
    let [silent, down] = [w.hello(old.clone()), w.hello(old.clone())];
    answer(&mut w, down, Confirmation::Unknown);
    let error = w.inboxes[&down].first().cloned();
    let Some((Some(1), ServerMessage::Error(error))) = error else { panic!("{error:?}") };
    assert_eq!(error.retry_after_ms, Some(CONFIRM_RETRY.as_millis() as u64));
    let timeout = ("M_CONNECTION_TIMEOUT".to_owned(), CloseCode::Timeout);
    assert_eq!(w.refused(down), timeout);
    w.pass(CONFIRM_TIMEOUT - ms(1));
    assert!(!w.closed.contains_key(&silent));
    // Who is in goes on, and comes back.
    w.drop_socket(&alice);
    let alice = w.resume(&alice);
    assert!(alice.welcome.resumed);
    w.pass(ms(1));
    assert_eq!(w.refused(silent), timeout);
    answer(&mut w, silent, Confirmation::Holds);
    assert_eq!((w.control.counters().refused_unconfirmed, w.control.gauges().sessions), (2, 1));

    let again = w.hello(old.clone());
    answer(&mut w, again, Confirmation::Holds);
    w.welcomed(again);
    let twice = w.hello(old);
    assert_eq!(w.refused(twice).1, CloseCode::BadToken);
}

#[test]
fn much_may_happen_while_one_waits() {
    let bounds = ControlBounds { waiting: 2, ..ControlBounds::default() };
    let mut w = world(bounds);
    // Its client goes.
    let gone = knock(&mut w, "alice");
    w.control.handle_closed(w.now, gone);
    answer(&mut w, gone, Confirmation::Holds);
    let leaves = knock(&mut w, "alice");
    w.say(leaves, 2, ClientMessage::Leave(Leave { code: "left".into(), reason: None }));
    assert_eq!(w.closed[&leaves], CloseCode::Normal);
    // It is removed.
    let removed = knock(&mut w, "eve");
    w.control.remove(w.now, "room", "eve");
    answer(&mut w, removed, Confirmation::Holds);
    assert_eq!(w.refused(removed).1, CloseCode::Forbidden);
    // Its token is shown twice.
    let token = token(&mut w, "bob");
    w.pass(ms(3000));
    let [first, second] = [w.hello(token.clone()), w.hello(token)];
    // The door is crowded.
    w.pass(ms(1));
    let crowded = knock_refused(&mut w);
    assert_eq!(crowded, ("M_CONNECTION_TIMEOUT".to_owned(), CloseCode::Timeout));
    for connection in [first, second] {
        answer(&mut w, connection, Confirmation::Holds);
    }
    w.welcomed(first);
    assert_eq!(w.refused(second).1, CloseCode::BadToken);
    // The focus shuts down.
    let late = knock(&mut w, "carol");
    w.control.drain(w.now, ms(10_000));
    answer(&mut w, late, Confirmation::Holds);
    assert_eq!(w.refused(late).1, CloseCode::Draining);
    w.pass(ms(10_000));
}

fn knock_refused(w: &mut World) -> (String, CloseCode) {
    let token = token(w, "dan");
    w.pass(ms(3000));
    let connection = w.hello(token);
    w.refused(connection)
}

#[test]
fn a_clock_that_was_set_back_makes_no_token_fresh() {
    let mut w = world(ControlBounds::default());
    w.pass(ms(10_000));
    let token = token(&mut w, "alice");
    let clock = crate::WallClock { instant: w.now, unix: UNIX };
    w.control.set_clock(clock);
    w.hello(token);
    assert_eq!(w.knocks.len(), 1);
}

/// What is known of a person outside of the focus.
#[derive(Default, Clone)]
struct Person {
    is_member: bool,
    was_member_ms: u64,
    /// With the time when it was made, and whether it let somebody in.
    tokens: Vec<(String, u64, bool)>,
    /// When the focus saw that it was removed.
    removed_ms: Option<u64>,
}

/// What must become of a join, in plain numbers.
fn model(person: &Person, made: u64, used: bool, now: u64, is_up: bool) -> Result<(), CloseCode> {
    let unix = |ms: u64| UNIX.as_millis() as u64 / 1000 + ms / 1000;
    let exact_age = now + UNIX.as_millis() as u64 - unix(made) * 1000;
    if used || exact_age > 125_000 {
        Err(CloseCode::BadToken)
    } else if person.removed_ms.is_some_and(|removed| unix(made) * 1000 <= UNIX.as_millis() as u64 + removed) {
        Err(CloseCode::Forbidden)
    } else if exact_age <= 2000 {
        Ok(())
    } else if !is_up {
        Err(CloseCode::Timeout)
    } else if !person.is_member {
        Err(CloseCode::Forbidden)
    } else {
        Ok(())
    }
}

#[test]
fn ten_thousand_joins_with_outages_and_kicks_and_no_wrong_grant() {
    let mut rng = ChaCha20Rng::seed_from_u64(0x0d00_5eed);
    let mut w = world(ControlBounds::default());
    let mut people = vec![Person::default(); 6];
    let (mut is_up, mut joins, mut seen) = (true, 0, std::collections::BTreeMap::<String, usize>::new());
    while joins < 10_000 {
        let pick = rng.random_range(0..people.len());
        let (user, now) = (format!("u{pick}"), (w.now - w.start).as_millis() as u64);
        let person = &mut people[pick];
        match rng.random_range(0..20) {
            0 => is_up = !is_up,
            1 if !is_up => is_up = true,
            2 => person.is_member = false,
            3..6 => person.is_member = true,
            // The token endpoint, which asks the homeserver.
            6..11 if is_up && person.is_member && person.tokens.len() < 8 => {
                let token = token(&mut w, &user);
                people[pick].tokens.push((token, now, false));
            }
            11..18 if !person.tokens.is_empty() => {
                let at = rng.random_range(0..person.tokens.len());
                let (token, made, used) = person.tokens[at].clone();
                let expected = model(person, made, used, now, is_up);
                let connection = w.hello(token);
                if let Some((connection, _)) = w.knocks.pop() {
                    let confirmation = match (is_up, people[pick].is_member) {
                        (true, true) => Confirmation::Holds,
                        (true, false) => Confirmation::Fails,
                        (false, _) => Confirmation::Unknown,
                    };
                    answer(&mut w, connection, confirmation);
                }
                let person = &mut people[pick];
                let found = match w.closed.get(&connection) {
                    Some(code) => Err(*code),
                    None => {
                        w.welcomed(connection);
                        let since = now - person.was_member_ms;
                        assert!(person.is_member || since <= 2000, "let in {since} ms after it was removed");
                        person.tokens[at].2 = true;
                        Ok(())
                    }
                };
                assert_eq!(found, expected, "join {joins}");
                joins += 1;
                *seen.entry(format!("{found:?}")).or_default() += 1;
                if used || rng.random_bool(0.2) {
                    person.tokens.remove(at);
                }
            }
            _ => w.pass(ms(rng.random_range(0..1500))),
        }
        // The focus asks about those who are in, as long as somebody answers.
        let now = (w.now - w.start).as_millis() as u64;
        for (n, person) in people.iter_mut().enumerate() {
            if person.is_member {
                person.was_member_ms = now;
            } else if is_up && w.control.has_user(&format!("u{n}")) {
                w.control.remove(w.now, "room", &format!("u{n}"));
                w.settle();
                person.removed_ms = Some(now);
            }
        }
        w.watched.clear();
    }
    assert!(seen.len() == 4 && seen.values().all(|count| *count > 300), "too few to prove anything: {seen:?}");
}

impl crate::Control {
    fn has_user(&self, user: &str) -> bool {
        self.participants.values().any(|p| p.origin.as_ref().is_some_and(|origin| origin.user.as_str() == user))
    }
}
