//! Sessions that go on over their own data channel.

use focus_signaling::channel::{self, Assembly, Frame};
use focus_signaling::limits::{MESSAGE_BYTES_MAX, RESUME_TIMEOUT, SILENCE_TIMEOUT};
use focus_signaling::wire::{ClientMessage, Hello, Ping, Resume, ServerMessage, Source, Welcome};
use focus_signaling::{CloseCode, Envelope};
use sfu_core::{Command, CommandError, Event};

use super::world::{Client, World, ms};

fn say(w: &mut World, client: &Client, message: ClientMessage) {
    if matches!(message, ClientMessage::Hello(_)) {
        w.event(0, Event::Data { peer: client.peer(), data: channel::begin_frame() });
    }
    let text = Envelope { id: Some(1), re: None, message }.to_text();
    for data in channel::frames(&text) {
        w.event(0, Event::Data { peer: client.peer(), data });
    }
}

fn hello(client: &Client, secret: &str) -> ClientMessage {
    let resume = Some(Resume { session: client.welcome.session.clone(), secret: secret.to_owned() });
    ClientMessage::Hello(Hello { v: 1, token: None, resume, client: None })
}

/// What the focus said on a channel since the last time.
fn heard(w: &mut World, client: &Client) -> (Vec<ServerMessage>, Option<u16>) {
    let mut assembly = Assembly::new(MESSAGE_BYTES_MAX);
    let (mut messages, mut closed) = (Vec::new(), None);
    for command in std::mem::take(&mut w.workers[0].log) {
        let Command::SendData { peer, data } = command else { continue };
        if peer != client.peer() {
            continue;
        }
        match assembly.handle_data(&data).unwrap() {
            Some(Frame::Text(text)) => {
                messages.push(Envelope::<ServerMessage>::parse(&text).unwrap().unwrap().message);
            }
            Some(Frame::Close(code)) => closed = Some(code),
            Some(Frame::Begin) | None => {}
        }
    }
    (messages, closed)
}

fn move_over(w: &mut World, client: &Client) -> Welcome {
    say(w, client, hello(client, &client.welcome.secret));
    let (messages, closed) = heard(w, client);
    assert_eq!(closed, None);
    match messages.into_iter().next() {
        Some(ServerMessage::Welcome(welcome)) => welcome,
        other => panic!("no welcome, but {other:?}"),
    }
}

#[test]
fn a_session_moves_to_its_data_channel_and_on() {
    let mut w = World::new();
    let [a, b] = ["a", "b"].map(|name| w.join(name, "c"));
    w.publish(&b, 1, &[("0", Source::Camera)]);
    let welcome = move_over(&mut w, &a);
    assert!(welcome.resumed);
    assert_eq!(welcome.participants[0].tracks.len(), 1, "it missed nothing");
    assert_eq!(w.closed[&a.connection], CloseCode::Replaced);
    // From here on it hears of the others there, and is answered there.
    w.publish(&b, 2, &[]);
    let (messages, _) = heard(&mut w, &a);
    assert!(matches!(&messages[..], [ServerMessage::Participant(_)]), "{messages:?}");
    say(&mut w, &a, ClientMessage::Ping(Ping { n: 3 }));
    assert_eq!(heard(&mut w, &a).0, [ServerMessage::Pong(Ping { n: 3 })]);
    // And back to a socket.
    let back = w.resume(&Client { welcome, ..a.clone() });
    assert!(back.welcome.resumed);
    assert_eq!(heard(&mut w, &a).1, Some(4409));
    say(&mut w, &a, ClientMessage::Ping(Ping { n: 4 }));
    assert_eq!(heard(&mut w, &a), (vec![], None), "what was on its way is void");
    w.leave(&back);
    w.leave(&b);
}

#[test]
fn a_channel_is_for_its_own_participant_only() {
    let mut w = World::new();
    let [a, b] = ["a", "b"].map(|name| w.join(name, "c"));
    // A stolen secret is of no use on another's channel; nor is a token.
    say(&mut w, &b, hello(&a, &a.welcome.secret));
    let (messages, closed) = heard(&mut w, &b);
    assert!(matches!(&messages[..], [ServerMessage::Error(error)] if error.errcode == "M_UNAUTHORIZED"));
    assert_eq!(closed, Some(4401));
    let token = w.token("e", "c");
    say(&mut w, &b, ClientMessage::Hello(Hello { v: 1, token: Some(token), resume: None, client: None }));
    assert_eq!(heard(&mut w, &b).1, Some(4401));
    // Neither has lost its session, nor its socket.
    assert!(w.closed.is_empty());
    assert_eq!(w.control.gauges().sessions, 2);
    assert!(move_over(&mut w, &a).resumed);
}

#[test]
fn a_session_whose_channel_is_lost_is_held() {
    let mut w = World::new();
    let a = w.join("a", "c");
    let welcome = move_over(&mut w, &a);
    w.event(0, Event::DataClosed { peer: a.peer() });
    w.pass(RESUME_TIMEOUT - ms(1));
    let back = w.resume(&Client { welcome, ..a.clone() });
    assert!(back.welcome.resumed);
    // Silence is the same.
    move_over(&mut w, &back);
    w.pass(SILENCE_TIMEOUT);
    assert_eq!(heard(&mut w, &back).1, Some(4408));
    assert_eq!(w.control.gauges().sessions, 1);
    w.pass(RESUME_TIMEOUT);
    assert_eq!(w.control.gauges().sessions, 0);
}

#[test]
fn a_client_that_does_not_read_loses_its_channel_and_keeps_its_session() {
    let mut w = World::new();
    let a = w.join("a", "c");
    move_over(&mut w, &a);
    w.workers[0].fail = Some(CommandError::DataChannel);
    say(&mut w, &a, ClientMessage::Ping(Ping { n: 1 }));
    assert_eq!((w.control.counters().slow_channels, w.control.gauges().sessions), (1, 1));
    w.workers[0].log.clear();
    say(&mut w, &a, hello(&a, "x"));
    assert_eq!(heard(&mut w, &a), (vec![], None), "half a message was said, and nothing fits behind it");
    assert_eq!(w.control.counters().data_ignored, 2);
    // A channel that was opened anew is another one.
    w.event(0, Event::DataClosed { peer: a.peer() });
    say(&mut w, &a, hello(&a, "x"));
    assert_eq!(heard(&mut w, &a).1, Some(4401));
}

#[test]
fn last_words_come_over_the_channel_before_the_peer_is_ended() {
    let mut w = World::new();
    let a = w.join("a", "c");
    move_over(&mut w, &a);
    w.control.drain(w.now, ms(100));
    w.pass(ms(100));
    let log = &w.workers[0].log;
    let end = log.iter().position(|command| matches!(command, Command::Disconnect { .. })).unwrap();
    assert!(!log[end..].iter().any(|command| matches!(command, Command::SendData { .. })));
    let (messages, closed) = heard(&mut w, &a);
    assert!(matches!(&messages[..], [ServerMessage::Move(_), ServerMessage::Leave(_)]), "{messages:?}");
    assert_eq!(closed, Some(4503));
}

#[test]
fn what_another_worker_says_of_a_peer_does_not_count() {
    let mut w = World::with(2, usize::MAX, crate::ControlBounds::default());
    let a = w.join("a", "c");
    let text = Envelope { id: Some(1), re: None, message: hello(&a, &a.welcome.secret) }.to_text();
    for data in channel::frames(&text) {
        w.event(1, Event::Data { peer: a.peer(), data });
    }
    w.event(1, Event::DataClosed { peer: a.peer() });
    assert_eq!(w.control.counters().data_ignored, 1);
    assert!(w.closed.is_empty());
}
