use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::Envelope;
use crate::todevice::client::{self, Client};
use crate::todevice::test_time::{Chance, epoch};
use crate::todevice::{ACK_DELAY, GIVE_UP};
use crate::wire::{Answer, Hello, Leave, Offer, Ping, Resume, Speakers};

fn address(n: usize) -> Address {
    Address { user_id: format!("@u{n}:x"), device_id: "D".into() }
}

fn claims(n: usize) -> Claims {
    Claims { room_id: "!r:x".into(), slot_id: "m.call#ROOM".into(), member_id: format!("m{n}") }
}

fn hello(resume: Option<Resume>) -> ClientMessage {
    ClientMessage::Hello(Hello { v: 1, token: None, resume, client: None })
}

fn offer(sdp: &str) -> ClientMessage {
    ClientMessage::Offer(Offer { sdp: sdp.into(), seq: 1, tracks: vec![] })
}

fn welcome() -> ServerMessage {
    let text = include_str!("../../../golden/server_welcome.json");
    Envelope::<ServerMessage>::parse(text).expect("good").expect("known").message
}

const CHANNEL: &str = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
const MEDIA: &str = "v=0\r\nm=application 9 x y\r\nm=audio 9 x 1\r\n";

/// A focus that lets everybody in, and devices, without a network between them.
struct Desk {
    now: Instant,
    server: Server,
    clients: Vec<Client>,
    /// What the focus heard of each link.
    requests: Vec<(LinkId, ClientMessage)>,
    joins: Vec<(LinkId, Address, Claims)>,
    closed: Vec<LinkId>,
    /// What each client heard.
    got: Vec<Vec<ServerMessage>>,
    ends: Vec<Vec<u16>>,
}

impl Desk {
    fn new(clients: usize) -> Self {
        Self {
            now: epoch(),
            server: Server::new("f".into()),
            clients: (0..clients).map(|n| Client::new(claims(n), format!("c{n}"))).collect(),
            requests: vec![],
            joins: vec![],
            closed: vec![],
            got: vec![vec![]; clients],
            ends: vec![vec![]; clients],
        }
    }

    fn say(&mut self, client: usize, message: ClientMessage) {
        self.clients[client].send(self.now, &Envelope { id: Some(1), re: None, message }).expect("room");
        self.run();
    }

    fn deliver(&mut self, from: usize, content: Content) {
        let bytes = content.to_json().len();
        self.server.handle_content(self.now, address(from), content, bytes);
    }

    fn run(&mut self) {
        let mut again = true;
        while again {
            again = false;
            for at in 0..self.clients.len() {
                loop {
                    match self.clients[at].poll_output() {
                        client::Output::Transmit(content) => self.deliver(at, content),
                        client::Output::Message(envelope) => self.got[at].push(envelope.message),
                        client::Output::Closed(code) => self.ends[at].push(code),
                        client::Output::Lost => self.ends[at].push(0),
                        client::Output::Timeout(_) => break,
                    }
                    again = true;
                }
            }
            loop {
                match self.server.poll_output() {
                    Output::Transmit { to, content } => {
                        let at = (0..self.clients.len()).find(|n| address(*n) == to).expect("a device");
                        self.clients[at].handle_content(self.now, content);
                    }
                    Output::Join { link, id, from, claims } => {
                        self.joins.push((link, from, claims));
                        self.server.send(self.now, link, id, welcome());
                    }
                    Output::Request { link, message, .. } => self.requests.push((link, message)),
                    Output::Closed { link } => self.closed.push(link),
                    Output::Timeout(_) => break,
                }
                again = true;
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.server.handle_timeout(self.now);
        for client in &mut self.clients {
            client.handle_timeout(self.now);
        }
        self.run();
    }

    fn errors(&self, client: usize) -> Vec<&str> {
        let code = |m: &'_ ServerMessage| if let ServerMessage::Error(e) = m { Some(e.errcode.clone()) } else { None };
        let found = self.got[client].iter().filter_map(code);
        found
            .map(|code| {
                ["M_BAD_JSON", "M_INVALID_PARAM", "M_BAD_STATE"].into_iter().find(|c| *c == code).unwrap_or("?")
            })
            .collect()
    }
}

#[test]
fn a_device_joins_and_negotiates_its_data_channel() {
    let mut desk = Desk::new(1);
    desk.say(0, hello(None));
    assert_eq!(desk.joins, [(LinkId(0), address(0), claims(0))]);
    let ServerMessage::Welcome(welcome) = &desk.got[0][0] else { panic!("{:?}", desk.got[0]) };
    assert!(welcome.participants.is_empty(), "they are told over the data channel");
    desk.say(0, offer(CHANNEL));
    assert_eq!(desk.requests, [(LinkId(0), offer(CHANNEL))]);
    let answer = ServerMessage::Answer(Answer { sdp: "v=0".into(), seq: 1, tracks: vec![] });
    desk.server.send(desk.now, LinkId(0), Some(1), answer.clone());
    desk.server.send(desk.now, LinkId(0), None, ServerMessage::Speakers(Speakers { speakers: vec![] }));
    desk.run();
    assert_eq!(desk.got[0][1..], [answer], "and nothing that the data channel will tell");
    // The session goes on over the data channel.
    desk.server.close(desk.now, LinkId(0), CloseCode::Replaced);
    desk.run();
    assert_eq!((desk.ends[0].as_slice(), desk.closed.as_slice()), ([4409].as_slice(), [LinkId(0)].as_slice()));
    desk.wait(ACK_DELAY);
    assert_eq!(desk.server.sizes(), (1, 0), "nothing is left of it");
}

#[test]
fn only_what_belongs_here_is_said_here() {
    let mut desk = Desk::new(2);
    desk.say(0, hello(None));
    desk.say(0, offer(MEDIA));
    desk.say(0, ClientMessage::Subscribe(crate::wire::Subscribe { tracks: vec![] }));
    assert_eq!(desk.errors(0), ["M_INVALID_PARAM", "M_BAD_STATE"]);
    assert!(desk.requests.is_empty());
    // Who takes a session up may restart the ICE of all that it had.
    let resume = || Some(Resume { session: "s".into(), secret: "x".into() });
    desk.say(1, hello(resume()));
    desk.server.send(desk.now, LinkId(1), Some(1), welcome());
    desk.say(1, offer(MEDIA));
    assert_eq!(desk.requests, [(LinkId(1), hello(resume())), (LinkId(1), offer(MEDIA))]);
    let mut desk = Desk::new(1);
    desk.say(0, ClientMessage::Hello(Hello { v: 1, token: Some("t".into()), resume: None, client: None }));
    assert_eq!((desk.errors(0), desk.ends[0].as_slice()), (vec!["M_BAD_JSON"], [4400].as_slice()));
    assert!(desk.joins.is_empty());
}

#[test]
fn who_may_not_join_is_told_why() {
    let mut desk = Desk::new(1);
    desk.clients[0].send(desk.now, &Envelope { id: Some(1), re: None, message: hello(None) }).expect("room");
    let client::Output::Transmit(content) = desk.clients[0].poll_output() else { panic!("an event") };
    desk.deliver(0, content);
    let Output::Join { link, id, .. } = desk.server.poll_output() else { panic!("a join") };
    desk.server.refuse(desk.now, link, id, (Errcode::Forbidden, "not in the room"), CloseCode::Forbidden);
    desk.run();
    assert_eq!(desk.ends[0], [4403]);
    assert!(matches!(&desk.got[0][..], [ServerMessage::Error(error)] if error.errcode == "M_FORBIDDEN"));
}

#[test]
fn a_join_that_is_repeated_after_its_link_ended_begins_nothing() {
    let mut desk = Desk::new(1);
    desk.clients[0].send(desk.now, &Envelope { id: Some(1), re: None, message: hello(None) }).expect("room");
    let client::Output::Transmit(first) = desk.clients[0].poll_output() else { panic!("an event") };
    desk.deliver(0, first.clone());
    desk.run();
    desk.say(0, ClientMessage::Leave(Leave { code: "left".into(), reason: None }));
    desk.server.close(desk.now, LinkId(0), CloseCode::Normal);
    desk.run();
    desk.wait(ACK_DELAY);
    assert_eq!(desk.server.sizes().1, 0);
    desk.deliver(0, first.clone());
    desk.run();
    assert_eq!((desk.joins.len(), desk.server.counters().late), (1, 1));
    // Another device cannot be what it repeats.
    desk.clients.push(Client::new(claims(1), "unused".into()));
    desk.got.push(vec![]);
    desk.ends.push(vec![]);
    desk.deliver(1, first);
    desk.run();
    assert_eq!(desk.joins[1], (LinkId(1), address(1), claims(0)), "it may ask, in its own name");
}

#[test]
fn a_focus_that_began_anew_says_so() {
    let mut desk = Desk::new(1);
    desk.say(0, hello(None));
    desk.server = Server::new("g".into());
    desk.say(0, offer(CHANNEL));
    assert_eq!((desk.ends[0].as_slice(), desk.requests.len()), ([GOING_AWAY].as_slice(), 0));
    assert_eq!(desk.server.counters().unknown, 1);
}

#[test]
fn a_device_has_a_pace_and_few_links() {
    let mut desk = Desk::new(2);
    desk.say(1, hello(None));
    for n in 0..100 {
        let mut client = Client::new(claims(0), format!("flood{n}"));
        client.send(desk.now, &Envelope { id: None, re: None, message: hello(None) }).expect("room");
        let client::Output::Transmit(content) = client.poll_output() else { panic!("an event") };
        desk.deliver(0, content);
    }
    let links = (0..100).filter(|_| matches!(desk.server.poll_output(), Output::Join { .. })).count();
    assert_eq!(links, LINKS_PER_DEVICE_MAX);
    assert_eq!(desk.server.counters().refused, 100 - LINKS_PER_DEVICE_MAX as u64);
    desk.say(1, ClientMessage::Ping(Ping { n: 7 }));
    assert!(desk.got[1].contains(&ServerMessage::Pong(Ping { n: 7 })), "others do not feel it");
}

#[test]
fn a_client_that_does_not_answer_is_lost() {
    let mut desk = Desk::new(1);
    desk.clients[0].send(desk.now, &Envelope { id: Some(1), re: None, message: hello(None) }).expect("room");
    let client::Output::Transmit(content) = desk.clients[0].poll_output() else { panic!("an event") };
    desk.deliver(0, content);
    let Output::Join { link, id, .. } = desk.server.poll_output() else { panic!("a join") };
    desk.server.send(desk.now, link, id, welcome());
    let mut sent = 0;
    while let Some(at) = loop {
        match desk.server.poll_output() {
            Output::Transmit { .. } => sent += 1,
            Output::Closed { link } => desk.closed.push(link),
            Output::Timeout(at) => break at,
            _ => panic!("nothing else"),
        }
    } {
        desk.now = at;
        desk.server.handle_timeout(at);
    }
    assert_eq!((sent, desk.closed.len(), desk.server.counters().lost), (5, 1, 1));
    assert_eq!(desk.server.sizes(), (1, 0));
}

/// Devices join over a bad network while a hostile one repeats what it can see and forges the rest.
#[test]
fn all_join_once_over_a_bad_network() {
    const HONEST: usize = 3;
    let mut lost = 0;
    for seed in 0..200 {
        let mut chance = Chance(seed);
        let start = epoch();
        let mut now = start;
        let mut server = Server::new(format!("f{seed}"));
        let mut clients: Vec<_> = (0..HONEST).map(|n| Client::new(claims(n), format!("s{n}"))).collect();
        let mut flight: Vec<(Instant, Result<usize, usize>, Content)> = Vec::new();
        let mut seen: Vec<Content> = Vec::new();
        let (mut joins, mut answers, mut ends) = (Vec::new(), vec![0; HONEST], BTreeSet::new());
        for client in &mut clients {
            client.send(now, &Envelope { id: Some(1), re: None, message: hello(None) }).expect("room");
        }
        while now < start + 2 * GIVE_UP {
            now += Duration::from_millis(20);
            server.handle_timeout(now);
            for (at, client) in clients.iter_mut().enumerate() {
                client.handle_timeout(now);
                loop {
                    match client.poll_output() {
                        client::Output::Transmit(content) => {
                            seen.push(content.clone());
                            let copies = if chance.is(10) { 0 } else { 1 + chance.below(2) };
                            for _ in 0..copies {
                                flight.push((
                                    now + Duration::from_millis(10 + chance.below(600)),
                                    Ok(at),
                                    content.clone(),
                                ));
                            }
                        }
                        client::Output::Message(envelope) => match envelope.message {
                            ServerMessage::Welcome(_) => {
                                let message = offer(CHANNEL);
                                client.send(now, &Envelope { id: Some(2), re: None, message }).expect("room");
                            }
                            ServerMessage::Answer(_) => answers[at] += 1,
                            other => panic!("seed {seed}: {other:?}"),
                        },
                        client::Output::Lost => drop(ends.insert(at)),
                        client::Output::Closed(code) => panic!("seed {seed}: closed {code}"),
                        client::Output::Timeout(_) => break,
                    }
                }
            }
            // The hostile device says what others said, and changes it.
            if chance.is(10) && !seen.is_empty() {
                let mut content = seen[chance.below(seen.len() as u64) as usize].clone();
                match chance.below(4) {
                    0 => content.dest_session = Some(format!("f{seed}.{}", chance.below(3))),
                    1 => content.close = if content.m.is_none() { Some(1000) } else { None },
                    2 => content.seq = content.seq.map(|seq| seq + chance.below(5)),
                    _ => {}
                }
                flight.push((now, Ok(HONEST), content));
            }
            // An old event of an honest device comes again.
            if chance.is(5) && !flight.is_empty() {
                let copy = flight[chance.below(flight.len() as u64) as usize].clone();
                flight.push((now + Duration::from_secs(chance.below(10)), copy.1, copy.2));
            }
            flight.sort_by_key(|(at, ..)| *at);
            let due = flight.partition_point(|(at, ..)| *at <= now);
            for (_, way, content) in flight.drain(..due).collect::<Vec<_>>() {
                match way {
                    Ok(from) => server.handle_content(now, address(from), content, 600),
                    Err(to) if to < HONEST => clients[to].handle_content(now, content),
                    Err(_) => {}
                }
            }
            loop {
                match server.poll_output() {
                    Output::Transmit { to, content } => {
                        let to = (0..=HONEST).find(|n| address(*n) == to).expect("a device");
                        if !chance.is(10) {
                            flight.push((now + Duration::from_millis(10 + chance.below(600)), Err(to), content));
                        }
                    }
                    Output::Join { link, id, from, claims } => {
                        // Only an honest device gets in: the hostile one is no member.
                        if from == address(HONEST) {
                            server.refuse(now, link, id, (Errcode::Forbidden, "no"), CloseCode::Forbidden);
                        } else {
                            joins.push((from, claims));
                            server.send(now, link, id, welcome());
                        }
                    }
                    Output::Request { link, id, message } => {
                        assert!(matches!(message, ClientMessage::Offer(_)), "seed {seed}: {message:?}");
                        let answer = Answer { sdp: "v=0".into(), seq: 1, tracks: vec![] };
                        server.send(now, link, id, ServerMessage::Answer(answer));
                    }
                    Output::Closed { .. } => {}
                    Output::Timeout(_) => break,
                }
            }
        }
        // Four losses in a row end a link; that is rare, and then it is known to be lost.
        lost += ends.len();
        for (at, answers) in answers.iter().enumerate() {
            let own = joins.iter().filter(|(from, _)| *from == address(at)).count();
            assert!(own == 1 || ends.contains(&at), "seed {seed}: {own} joins of {at}");
            assert!(*answers == 1 || ends.contains(&at), "seed {seed}: {answers} answers to {at}");
        }
        assert!(joins.iter().all(|(from, claims_)| (0..HONEST).any(|n| *from == address(n) && *claims_ == claims(n))));
    }
    assert!(lost <= 3, "{lost} of 600 gave up");
}
