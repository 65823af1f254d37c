//! Single rules by name, and all of them together against a model that was written apart from them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use ruma::{ServerName, UserId};

use super::*;

const SERVERS: [&str; 5] = ["a.example", "b.example", "b.example:8448", "far.example", "FAR.example"];
const WAIT: Duration = Duration::from_secs(3);

fn server(name: &str) -> OwnedServerName {
    ServerName::parse(name).unwrap()
}

fn user(server: &str) -> OwnedUserId {
    UserId::parse(format!("@ada:{server}")).unwrap()
}

fn policy(mode: Mode) -> Policy {
    Policy { mode, full_access: [server("a.example"), server("b.example")].into(), open: false }
}

fn request(user: &UserId) -> Request {
    Request::parse("!r:a.example", "m.call#ROOM", "m1", user.as_str(), Some("DEV")).unwrap()
}

fn openid(user: &UserId) -> Evidence {
    let server = user.server_name().to_owned();
    let voucher = Voucher::OpenId { server, sub: user.to_owned(), usage: TokenUse::FirstOrSame };
    Evidence { voucher, membership: Membership::Joined, conference_exists: true, limited: None }
}

#[test]
fn one_of_ours_may_begin_and_publish() {
    let ada = user("a.example");
    let evidence = Evidence { conference_exists: false, ..openid(&ada) };
    let grant = authorize(&policy(Mode::Appservice), &request(&ada), &evidence).unwrap();
    assert!(grant.publish && grant.create);
    assert_eq!(grant.identity, matrixrtc::identity::participant(&ada, "m1"));
    assert_eq!((grant.server.as_str(), grant.room.as_str()), ("a.example", "!r:a.example"));
}

#[test]
fn a_stranger_may_listen_where_there_is_a_call() {
    let zoe = user("far.example");
    let grant = authorize(&policy(Mode::Appservice), &request(&zoe), &openid(&zoe)).unwrap();
    assert!(!grant.publish && !grant.create);
    let no_call = Evidence { conference_exists: false, ..openid(&zoe) };
    let no_room = Evidence { membership: Membership::NotJoined, ..openid(&zoe) };
    let [no_call, no_room] =
        [no_call, no_room].map(|e| authorize(&policy(Mode::Appservice), &request(&zoe), &e).err().unwrap());
    assert_eq!(no_call, no_room);
    assert_eq!(no_call.to_string(), no_room.to_string());
}

#[test]
fn nobody_is_somebody_else() {
    let (ada, eve) = (user("a.example"), user("b.example"));
    let refused = |request: &Request, evidence: &Evidence| {
        authorize(&policy(Mode::Appservice), request, evidence).err() == Some(Refusal::Forbidden)
    };
    assert!(refused(&request(&ada), &openid(&eve)), "claimed_user_id is not the token's");
    // A server that vouches for another's user.
    let voucher = Voucher::Homeserver { server: server("b.example"), user: ada.clone() };
    assert!(refused(&request(&ada), &Evidence { voucher, ..openid(&ada) }));
    let voucher = Voucher::OpenId { server: server("b.example"), sub: ada.clone(), usage: TokenUse::FirstOrSame };
    assert!(refused(&request(&ada), &Evidence { voucher, ..openid(&ada) }));
    let voucher = Voucher::OpenId { server: server("a.example"), sub: ada.clone(), usage: TokenUse::OtherDevice };
    assert!(refused(&request(&ada), &Evidence { voucher, ..openid(&ada) }));
}

#[test]
fn when_nobody_can_tell_the_operator_decides_and_an_outage_lets_nobody_in() {
    let ada = user("a.example");
    let decide = |mode, open, membership| {
        authorize(&Policy { open, ..policy(mode) }, &request(&ada), &Evidence { membership, ..openid(&ada) }).err()
    };
    assert_eq!(decide(Mode::Openid, true, Membership::Unseen), None);
    assert_eq!(decide(Mode::Openid, false, Membership::Unseen), Some(Refusal::Forbidden));
    assert_eq!(decide(Mode::Appservice, true, Membership::Unseen), Some(Refusal::Forbidden));
    assert_eq!(decide(Mode::Openid, true, Membership::NotJoined), Some(Refusal::Forbidden));
    for (mode, open) in [(Mode::Appservice, false), (Mode::Openid, true)] {
        assert_eq!(decide(mode, open, Membership::Unavailable), Some(Refusal::Unavailable));
    }
}

/// The rules as a table of everything that must hold, with strings and flags instead of the machine's types.
struct Model {
    allowed: bool,
    publish: bool,
    /// The one thing that is missing is an answer, or time.
    temporary: bool,
}

fn model(policy: &Policy, request: &Request, evidence: &Evidence) -> Model {
    let ours = ["a.example", "b.example"];
    let home = request.user.as_str().split_once(':').map(|(_, server)| server).unwrap_or_default();
    let is_ours = ours.contains(&home);
    let proved = match &evidence.voucher {
        Voucher::Homeserver { server, user } => {
            policy.mode == Mode::Appservice && is_ours && server.as_str() == home && *user == request.user
        }
        Voucher::Device { user } => policy.mode != Mode::Off && *user == request.user,
        Voucher::OpenId { server, sub, usage } => {
            policy.mode != Mode::Off
                && server.as_str() == home
                && *sub == request.user
                && *usage == TokenUse::FirstOrSame
        }
    };
    let known_member = evidence.membership == Membership::Joined;
    let waved_through = evidence.membership == Membership::Unseen && policy.open && policy.mode == Mode::Openid;
    let has_call = is_ours || evidence.conference_exists;
    let in_time = evidence.limited.is_none();
    let unanswered = evidence.membership == Membership::Unavailable;
    Model {
        allowed: proved && in_time && (known_member || waved_through) && has_call,
        publish: is_ours,
        temporary: proved && (!in_time || unanswered),
    }
}

#[test]
fn ten_thousand_requests_and_no_wrong_grant() {
    let mut rng = ChaCha20Rng::seed_from_u64(0x5eed);
    let (mut granted, mut listeners, mut wrong) = (0, 0, 0);
    for _ in 0..10_000 {
        let pick = |rng: &mut ChaCha20Rng| SERVERS[rng.random_range(0..SERVERS.len())];
        let home = pick(&mut rng);
        // Mostly what an honest client sends, so that grants are not rare.
        let honest = |rng: &mut ChaCha20Rng| if rng.random_bool(0.9) { home } else { pick(rng) };
        let (said_by, said_of) = (server(honest(&mut rng)), user(honest(&mut rng)));
        let voucher = match rng.random_range(0..5) {
            0 => Voucher::Device { user: said_of },
            1 | 2 => Voucher::Homeserver { server: said_by, user: said_of },
            _ => {
                let usage = if rng.random_bool(0.9) { TokenUse::FirstOrSame } else { TokenUse::OtherDevice };
                Voucher::OpenId { server: said_by, sub: said_of, usage }
            }
        };
        let membership = match rng.random_range(0..10) {
            0 => Membership::NotJoined,
            1 | 2 => Membership::Unseen,
            3 => Membership::Unavailable,
            _ => Membership::Joined,
        };
        let limited = rng.random_bool(0.1).then_some(WAIT);
        let evidence = Evidence { voucher, membership, conference_exists: rng.random_bool(0.7), limited };
        let mode = [Mode::Off, Mode::Appservice, Mode::Appservice, Mode::Openid][rng.random_range(0..4)];
        let policy = Policy { open: rng.random_bool(0.3), ..policy(mode) };
        let room = ["!r:a.example", "!v12room"][rng.random_range(0..2)];
        let request = Request::parse(room, "m.call#ROOM", "m1", user(home).as_str(), Some("DEV")).unwrap();

        let (decision, model) = (authorize(&policy, &request, &evidence), model(&policy, &request, &evidence));
        let agrees = match decision {
            Ok(grant) => {
                granted += 1;
                listeners += usize::from(!grant.publish);
                model.allowed
                    && grant.publish == model.publish
                    && grant.create == model.publish
                    && grant.user == request.user
                    && grant.room.as_str() == room
            }
            Err(Refusal::Limited(wait)) => !model.allowed && model.temporary && wait == WAIT,
            Err(Refusal::Unavailable) => !model.allowed && model.temporary,
            Err(Refusal::Forbidden) => !model.allowed,
        };
        wrong += usize::from(!agrees);
    }
    assert_eq!(wrong, 0);
    assert!(granted > 1000 && listeners > 200, "{granted} grants, {listeners} to listen: too few to prove anything");
}
