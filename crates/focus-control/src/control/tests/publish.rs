use focus_signaling::wire::{
    Announce, Candidate, ClientMessage, KeySalt, Kind, Mute, Offer, ParticipantEvent, PublishedTrack, ServerMessage,
    Source,
};
use sfu_core::{Command, CommandError, Event, Mid, TrackId};

use super::world::{Client, World, ms};
use crate::ControlBounds;
use crate::bounds::OFFER_INTERVAL;
use crate::token::{LIFETIME_DEFAULT, Mint};

fn mute(w: &mut World, client: &Client, track: &str, muted: bool) {
    w.say(client.connection, 8, ClientMessage::Mute(Mute { track: track.to_owned(), muted }));
}

/// What the client is told last of somebody's tracks and keys.
fn updated(w: &mut World, client: &Client) -> focus_signaling::wire::Participant {
    match w.read(client).pop() {
        Some(ServerMessage::Participant(ParticipantEvent::Updated { participant })) => participant,
        other => panic!("no update, but {other:?}"),
    }
}

#[test]
fn an_accepted_offer_is_answered_and_the_others_learn_of_its_tracks() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    w.read(&alice);
    w.offer(&alice, 1, &[("0", Source::Microphone), ("1", Source::Camera)]);
    assert_eq!(w.heard(&alice), ["answer 1 re Some(101)"]);
    let told = updated(&mut w, &bob);
    let mut kinds: Vec<_> = told.tracks.iter().map(|t| (t.source, t.kind, t.muted)).collect();
    kinds.sort_by_key(|kind| format!("{kind:?}"));
    assert_eq!(kinds, [(Source::Camera, Kind::Video, false), (Source::Microphone, Kind::Audio, false)]);
    let Some(Command::Offer { sdp, published, .. }) = w.workers[0].log.last() else { panic!() };
    assert_eq!((sdp.as_str(), published.len()), ("sdp", 2));
    let carol = w.join("carol", "call");
    let known = carol.welcome.participants.iter().find(|p| p.id == alice.id()).unwrap();
    assert_eq!(known.tracks, told.tracks);
}

#[test]
fn a_track_keeps_its_id_while_source_and_m_line_stay() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    let first = w.publish(&alice, 1, &[("0", Source::Microphone), ("1", Source::Camera)]);
    w.read(&bob);
    let same = w.publish(&alice, 2, &[("0", Source::Microphone), ("1", Source::Camera)]);
    assert_eq!(first, same);
    assert!(w.read(&bob).is_empty(), "nothing has changed");
    let other = w.publish(&alice, 3, &[("0", Source::Microphone), ("1", Source::Screen)]);
    assert_eq!(first[0], other[0]);
    assert_ne!(first[1], other[1], "another source is another track");
    assert_eq!(updated(&mut w, &bob).tracks.len(), 2);
    w.publish(&alice, 4, &[("1", Source::Screen)]);
    assert_eq!(updated(&mut w, &bob).tracks.len(), 1);
    let again = w.publish(&alice, 5, &[("0", Source::Microphone), ("1", Source::Screen)]);
    assert_ne!(first[0], again[0], "it had ended");
    assert_eq!((w.control.gauges().tracks, w.control.counters().offers), (2, 5));
}

#[test]
fn offers_come_one_by_one_and_in_order() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    w.publish(&alice, 5, &[]);
    for seq in [5, 4, 0] {
        w.offer(&alice, seq, &[]);
        assert_eq!(w.heard(&alice), [format!("M_INVALID_PARAM re Some({})", 100 + seq)]);
    }
    w.hold = true;
    w.offer(&alice, 6, &[]);
    w.offer(&alice, 7, &[]);
    assert_eq!(w.heard(&alice), ["M_LIMIT_EXCEEDED re Some(107)"]);
    w.release();
    assert_eq!(w.heard(&alice), ["answer 6 re Some(106)"]);
    w.publish(&alice, 7, &[]);
}

#[test]
fn a_refused_offer_changes_nothing() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    w.publish(&alice, 1, &[("0", Source::Camera)]);
    w.read(&bob);
    for (seq, error, code) in [
        (2, CommandError::Sdp("no".into()), "M_INVALID_PARAM"),
        (3, CommandError::WrongMid(Mid::new("0").unwrap()), "M_INVALID_PARAM"),
        (4, CommandError::TooMany { what: "m-lines", limit: 1 }, "M_TOO_LARGE"),
        (5, CommandError::PeerFailed, "M_UNKNOWN"),
    ] {
        w.workers[0].fail = Some(error);
        w.pass(OFFER_INTERVAL);
        w.offer(&alice, seq, &[("0", Source::Camera), ("1", Source::Microphone)]);
        assert_eq!(w.heard(&alice), [format!("{code} re Some({})", 100 + seq)]);
    }
    assert!(w.read(&bob).is_empty());
    assert_eq!(w.control.gauges().tracks, 1);
    w.publish(&alice, 6, &[("0", Source::Camera)]);
}

#[test]
fn an_offer_that_cannot_be_is_refused_here() {
    let limits = focus_signaling::wire::Limits { published_tracks: 2, ..Default::default() };
    let mut w = World::with(1, 9, ControlBounds { limits, ..Default::default() });
    let alice = w.join("alice", "call");
    let camera = Source::Camera;
    w.offer(&alice, 1, &[("0", camera), ("1", camera), ("2", camera)]);
    w.offer(&alice, 2, &[("0", camera), ("0", Source::Screen)]);
    w.offer(&alice, 3, &[("no mid", camera)]);
    let said = ["M_TOO_LARGE re Some(101)", "M_INVALID_PARAM re Some(102)", "M_INVALID_PARAM re Some(103)"];
    assert_eq!(w.heard(&alice), said);

    let listener = Mint { identity: "l", conference: "call", name: "l", publish: false, lifetime: LIFETIME_DEFAULT };
    let token = w.mint(&listener);
    let connection = w.hello(token);
    let listener = w.welcomed(connection);
    w.offer(&listener, 1, &[("0", camera)]);
    assert_eq!(w.heard(&listener), ["M_FORBIDDEN re Some(101)"]);
    assert!(w.publish(&listener, 2, &[]).is_empty(), "it may listen");
    assert_eq!(w.workers[0].log.iter().filter(|c| matches!(c, Command::Offer { .. })).count(), 1);
}

#[test]
fn a_track_that_ends_is_off_for_its_subscribers_once() {
    for by_engine in [false, true] {
        let mut w = World::new();
        let alice = w.join("alice", "call");
        let bob = w.join("bob", "call");
        let ids = w.publish(&alice, 1, &[("0", Source::Camera), ("1", Source::Microphone)]);
        w.subscribe(&bob, &[(&ids[0], "5"), (&ids[1], "6")]);
        w.read(&bob);
        if by_engine {
            w.event(0, Event::TrackEnded { track: TrackId::parse(&ids[0]).unwrap() });
        } else {
            w.offer(&alice, 2, &[("1", Source::Microphone)]);
        }
        assert_eq!(w.heard(&bob), ["subscribed 5:Off", "updated alice 1"], "{by_engine}");
        assert_eq!((w.control.gauges().tracks, w.control.gauges().subscriptions), (1, 1));
        w.subscribe(&bob, &[(&ids[0], "5")]);
        assert_eq!(w.heard(&bob), ["M_NOT_FOUND re Some(7)"]);
        w.leave(&alice);
        assert_eq!(w.heard(&bob), ["subscribed 6:Off", "left Left"]);
    }
}

#[test]
fn a_track_that_the_engine_ends_while_an_offer_is_on_its_way_stays_ended() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let track = TrackId::parse(&w.publish(&alice, 1, &[("0", Source::Camera)])[0]).unwrap();
    w.hold = true;
    w.offer(&alice, 2, &[("0", Source::Camera)]);
    w.event(0, Event::TrackEnded { track });
    w.release();
    assert_eq!(w.control.gauges().tracks, 0);
}

#[test]
fn only_its_publisher_mutes_a_track() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    let eve = w.join("eve", "other");
    let track = w.publish(&alice, 1, &[("0", Source::Microphone)]).remove(0);
    w.read(&bob);
    mute(&mut w, &alice, &track, true);
    assert_eq!((w.heard(&bob), w.heard(&alice)), (vec!["mute true".to_owned()], vec![]));
    mute(&mut w, &alice, &track, true);
    assert!(w.heard(&bob).is_empty(), "it was muted");
    let carol = w.join("carol", "call");
    assert!(carol.welcome.participants.iter().any(|p| p.tracks.iter().any(|t| t.muted)));
    mute(&mut w, &bob, &track, false);
    assert_eq!(w.heard(&bob), ["joined carol", "M_FORBIDDEN re Some(8)"]);
    mute(&mut w, &eve, &track, false);
    mute(&mut w, &eve, "t1", false);
    mute(&mut w, &eve, "nonsense", false);
    assert_eq!(w.heard(&eve), ["M_NOT_FOUND re Some(8)"; 3], "no word about what others have");
    w.read(&alice);
    w.workers[0].fail = Some(CommandError::UnknownTrack);
    mute(&mut w, &alice, &track, false);
    assert_eq!(w.heard(&alice), ["M_NOT_FOUND re Some(8)"]);
    assert!(w.heard(&bob).is_empty());
}

#[test]
fn announced_keys_reach_the_others_and_put_all_tracks_under_them() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let bob = w.join("bob", "call");
    let open = PublishedTrack {
        mid: "1".into(),
        source: Source::Camera,
        muted: false,
        enc: None,
        width: Some(640),
        height: Some(360),
    };
    let enc = Some(focus_signaling::wire::Encryption { format: "sframe".into(), key_index: 0 });
    let closed = PublishedTrack { mid: "0".into(), source: Source::Microphone, enc, ..open.clone() };
    w.hold = true;
    w.say(alice.connection, 2, ClientMessage::Offer(Offer { sdp: String::new(), seq: 1, tracks: vec![open, closed] }));
    let keys = vec![KeySalt { index: 3, salt: "AAAAAAAAAAAAAAAAAAAAAA".into() }];
    w.say(alice.connection, 3, ClientMessage::Announce(Announce { keys: keys.clone(), key_index: 3 }));
    assert_eq!(updated(&mut w, &bob).keys, keys, "keys come at once");
    w.release();
    let told = updated(&mut w, &bob);
    let index = |source| told.tracks.iter().find(|t| t.source == source).unwrap().enc.as_ref().map(|e| e.key_index);
    assert_eq!((index(Source::Microphone), index(Source::Camera)), (Some(3), None));
    w.say(alice.connection, 4, ClientMessage::Announce(Announce { keys: vec![], key_index: 4 }));
    let told = updated(&mut w, &bob);
    assert!(told.keys.is_empty());
    assert_eq!(told.tracks.iter().filter_map(|t| t.enc.as_ref()).map(|e| e.key_index).collect::<Vec<_>>(), [4]);
}

#[test]
fn candidates_go_to_the_worker() {
    let mut w = World::new();
    let alice = w.join("alice", "call");
    let say = |w: &mut World, text: &str| {
        w.say(alice.connection, 2, ClientMessage::Candidate(Candidate { candidate: text.into() }));
    };
    say(&mut w, "");
    assert_eq!(w.workers[0].log.len(), 1, "the end of candidates is nothing to an ICE-lite agent");
    say(&mut w, "candidate:1");
    assert!(matches!(&w.workers[0].log[1], Command::Candidate { candidate, .. } if candidate == "candidate:1"));
    w.workers[0].fail = Some(CommandError::Candidate);
    say(&mut w, "candidate:nonsense");
    assert_eq!(w.heard(&alice), ["M_INVALID_PARAM re Some(2)"]);
    w.pass(ms(1));
}
