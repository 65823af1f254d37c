//! Messages that no honest client sends.

use std::time::Duration;

use focus_signaling::wire::{ClientMessage, Offer, PublishedTrack, Source, Subscribe, Want};
use sfu_testkit::{ClientSetup, Setup, World};

use super::{assert_call_goes_on, call_with};
use crate::story;

fn offer(sdp: String, seq: u64, tracks: Vec<PublishedTrack>) -> ClientMessage {
    ClientMessage::Offer(Offer { sdp, seq, tracks })
}

fn track(mid: &str) -> PublishedTrack {
    PublishedTrack { mid: mid.into(), source: Source::Camera, muted: false, enc: None, width: None, height: None }
}

const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";

fn media(mid: &str) -> String {
    format!(
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=rtpmap:96 VP8/90000\r\na=sendonly\r\n\
         a=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\n\
         a=fingerprint:sha-256 {}\r\n",
        vec!["AB"; 32].join(":")
    )
}

/// SDPs that no browser writes.
fn bombs() -> Vec<String> {
    let lines = |count: usize| (0..count).map(|n| media(&n.to_string())).collect::<String>();
    let bundle = |count: usize| {
        let mids: Vec<_> = (0..count).map(|n| n.to_string()).collect();
        format!("a=group:BUNDLE {}\r\n", mids.join(" "))
    };
    vec![
        String::new(),
        "v=0".into(),
        "\0\0\0".into(),
        HEAD.into(),
        format!("{HEAD}{}", "a=x\r\n".repeat(30_000)),
        format!("{HEAD}{}{}", bundle(3), media("same").repeat(3)),
        format!("{HEAD}a=group:BUNDLE 0\r\n{}", media("a-mid-that-is-longer-than-any-may-be")),
        format!("{HEAD}{}{}", bundle(255), lines(255)),
        format!("{HEAD}{}{}", bundle(300), lines(300)),
        format!("{HEAD}a=group:BUNDLE 0\r\n{}", media("0").replace("sha-256", "md5")),
        format!(
            "{HEAD}a=group:BUNDLE 0\r\n{}{}",
            media("0"),
            "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n".repeat(2000)
        ),
        format!("{HEAD}a=group:BUNDLE 0\r\n{}a=simulcast:send {}\r\n", media("0"), vec!["r"; 4000].join(";")),
        format!("{HEAD}a=group:BUNDLE 0\r\n{}", media("0").replace("a=mid:0\r\n", "")),
        format!("{HEAD}a=ice-lite\r\na=group:BUNDLE 0\r\n{}", media("0")),
    ]
}

story!(sdp_bombs_are_refused, Setup::default(), |w| {
    let (call, m) = call_with(w, ClientSetup::caller("mallory"));
    for (seq, sdp) in bombs().into_iter().enumerate() {
        w.say(m, offer(sdp, 100 + seq as u64, vec![track("0")]));
        w.run_for(Duration::from_millis(150));
    }
    assert!(!w.clients[m].view.errors.is_empty());
    assert_call_goes_on(w, call);
});

story!(the_first_offer_of_a_stranger_may_be_a_bomb_too, Setup::default(), |w| {
    let (call, _) = call_with(w, ClientSetup::caller("mallory"));
    for (n, sdp) in bombs().into_iter().enumerate() {
        let stranger = w.add(ClientSetup::viewer(&format!("stranger {n}")));
        w.with(stranger, |client, _| client.says_only_hello = true);
        w.rejoin(stranger);
        w.run_for(Duration::from_millis(100));
        w.say(stranger, offer(sdp, 1, vec![track("0")]));
        w.run_for(Duration::from_millis(100));
        w.leave(stranger);
    }
    w.run_secs(40);
    assert_eq!(w.foci[0].gauges().sessions, 3);
    w.reset_counts();
    w.run_secs(1);
    assert_call_goes_on(w, call);
});

story!(a_storm_of_subscriptions_is_weathered, Setup::default(), |w| {
    let (call, m) = call_with(w, ClientSetup::caller("mallory"));
    let videos = call.map(|client| w.track(client, Source::Camera));
    let mids: Vec<_> = w.clients[m].slots.slots.iter().filter_map(|slot| slot.mid.clone()).collect();
    for round in 0..200usize {
        let want = Want {
            track: videos[round % 2].clone(),
            mid: Some(mids[round % mids.len()].clone()),
            width: Some((round as u32 * 37) % 1300),
            height: Some((round as u32 * 11) % 730),
            fps: None,
            off: round % 7 == 0,
        };
        w.say(m, ClientMessage::Subscribe(Subscribe { tracks: vec![want; 1 + round % 5] }));
        w.run_for(Duration::from_millis(25));
    }
    let asked: u64 = call.iter().map(|c| w.clients[*c].publishers[1].requests).sum();
    assert!(asked < 60, "{asked} key frames in 5 s, of two cameras");
    assert_call_goes_on(w, call);
});

fn flood(w: &mut World, text: impl Fn(usize) -> String) -> ([usize; 2], usize) {
    let third = ClientSetup { resumes_after: None, ..ClientSetup::caller("mallory") };
    let (call, m) = call_with(w, third);
    for round in 0..400 {
        w.with(m, |client, _| client.say_raw(text(round)));
        w.run_for(Duration::from_millis(1));
    }
    (call, m)
}

story!(a_flood_of_messages_is_dammed, Setup::default(), |w| {
    let (call, m) = flood(w, |n| format!(r#"{{"t":"ping","id":{n},"b":{{"n":{n}}}}}"#));
    w.run_for(Duration::from_millis(100));
    assert_eq!(w.clients[m].view.closed, Some(4429));
    assert!(w.clients[m].view.has_error("M_LIMIT_EXCEEDED"));
    assert_call_goes_on(w, call);
});

story!(malformed_messages_are_answered_and_then_not, Setup::default(), |w| {
    let broken = ["", "{", "[]", "null", r#"{"t":1}"#, r#"{"t":"offer","b":{}}"#, r#"{"t":"offer","b":[1]}"#, "\u{1}"];
    let (call, m) = flood(w, |n| broken[n % broken.len()].to_owned());
    w.run_for(Duration::from_millis(100));
    assert_eq!(w.clients[m].view.closed, Some(4400));
    assert!(w.clients[m].view.has_error("M_BAD_JSON") && w.clients[m].view.has_error("M_NOT_JSON"));
    assert_call_goes_on(w, call);
});

story!(a_message_that_is_too_large_ends_its_socket, Setup::default(), |w| {
    let third = ClientSetup { resumes_after: None, ..ClientSetup::caller("mallory") };
    let (call, m) = call_with(w, third);
    w.with(m, |client, _| client.say_raw(format!(r#"{{"t":"ping","b":{{"n":1,"x":"{}"}}}}"#, "x".repeat(1_400_000))));
    w.run_for(Duration::from_millis(100));
    assert_eq!(w.clients[m].view.closed, Some(4413));
    assert_call_goes_on(w, call);
});

story!(more_tracks_than_may_be_are_refused, Setup::default(), |w| {
    let (call, m) = call_with(w, ClientSetup::caller("mallory"));
    let tracks = (0..40).map(|n| track(&n.to_string())).collect();
    w.say(m, offer(HEAD.to_owned(), 100, tracks));
    let wants =
        vec![Want { track: "t1".into(), mid: Some("0".into()), width: None, height: None, fps: None, off: false }; 600];
    w.say(m, ClientMessage::Subscribe(Subscribe { tracks: wants }));
    w.run_for(Duration::from_millis(200));
    assert_eq!(w.clients[m].view.errors.len(), 2, "{:?}", w.clients[m].view.errors);
    assert_call_goes_on(w, call);
});

story!(who_says_nothing_is_shown_the_door, Setup::default(), |w| {
    let (call, _) = call_with(w, ClientSetup::caller("mallory"));
    let mute = w.add(ClientSetup::viewer("mute"));
    w.open_silently(mute);
    let took = w.run_until("it is closed", Duration::from_secs(20), |w| w.clients[mute].view.closed == Some(4408));
    assert!(took > Duration::from_secs(9), "{took:?}");
    assert_call_goes_on(w, call);
});
