//! Workers without their threads: turned by hand, so that each step is decided by the test.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use sfu_core::{ConferenceId, ParticipantId, PeerId, Speaker, TrackId};
use str0m::media::{Direction, MediaKind};

use super::directory::Directory;
use super::mailbox::{Dropped, Mailbox};
use super::spawn::Parts;
use super::stats::Shared;
use super::*;
use crate::net::udp::bind;

struct Turned {
    worker: Worker,
    address: SocketAddr,
    commands: mpsc::Sender<ToWorker>,
    control: mpsc::Receiver<FromWorker>,
}

/// Two workers with a socket each. In life they share one port; here a test chooses whose socket a datagram reaches.
fn pair(control_room: usize) -> [Turned; 2] {
    let mailboxes: Arc<[Mailbox]> = [Mailbox::new(|| {}), Mailbox::new(|| {})].into();
    let (directory, dropped) = (Arc::new(Directory::default()), Arc::new(Dropped::default()));
    [WorkerId(0), WorkerId(1)].map(|id| {
        let socket = bind("127.0.0.1:0".parse().expect("address"), false).expect("bound");
        let address = socket.local_addr().expect("bound").as_socket().expect("inet");
        let (commands, receiver) = mpsc::channel(8);
        let (sender, control) = mpsc::channel(control_room);
        let worker = Worker::new(Parts {
            id,
            poll: Poll::new().expect("poll"),
            sockets: vec![socket],
            addresses: MediaAddresses::new(&[address], &[], &[], true),
            registrar: Registrar::new(directory.clone(), id),
            mailboxes: Mailboxes::new(mailboxes.clone(), id, dropped.clone()),
            commands: receiver,
            control: sender,
            shared: Shared::default(),
        });
        Turned { worker: worker.expect("made"), address, commands, control }
    })
}

impl Turned {
    fn command(&mut self, request: u64, command: Command) {
        self.commands.try_send(ToWorker::Command { request: RequestId(request), command }).expect("room");
    }

    fn turn(&mut self) {
        assert!(self.worker.turn(Instant::now()));
    }

    /// Turns until a datagram has come to its socket: loopback delivers within the send, so the first turn sees it.
    fn turn_for_datagram(&mut self) {
        self.worker.sockets[0].readable = true;
        self.turn();
    }
}

/// A peer at `worker`, made by a real offer; returns the ufrag of the answer.
fn peer(worker: &mut Turned) -> String {
    let mut client = str0m::Rtc::new(Instant::now());
    let mut change = client.sdp_api();
    change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
    let (offer, _) = change.apply().expect("an offer");
    let peer = PeerId(1);
    worker.command(1, Command::Connect { peer, conference: ConferenceId(1), participant: ParticipantId(1) });
    worker.command(2, Command::Offer { peer, sdp: offer.to_sdp_string(), published: Vec::new() });
    worker.turn();
    loop {
        if let FromWorker::Reply { request: RequestId(2), reply, .. } = worker.control.try_recv().expect("a reply") {
            let Ok(Reply::Answer { sdp }) = reply else { panic!("{reply:?}") };
            let line = sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).expect("a ufrag");
            return line.trim().to_owned();
        }
    }
}

/// A STUN binding request (RFC 8489 §5) for this ufrag, not authenticated.
fn stun(ufrag: &str) -> Vec<u8> {
    let name = format!("{ufrag}:them");
    let padded = name.len().next_multiple_of(4);
    let mut message = vec![0, 1];
    message.extend(((4 + padded) as u16).to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend([7; 12]);
    message.extend([0, 6]);
    message.extend((name.len() as u16).to_be_bytes());
    message.extend(name.as_bytes());
    message.resize(20 + 4 + padded, 0);
    message
}

#[test]
fn a_datagram_on_the_wrong_socket_reaches_its_worker_exactly_once() {
    let [mut a, mut b] = pair(64);
    let ufrag = peer(&mut b);
    let client = UdpSocket::bind("127.0.0.1:0").expect("bound");
    client.send_to(&stun(&ufrag), a.address).expect("sent");
    a.turn_for_datagram();
    assert_eq!((a.worker.counters.misrouted_sent, a.worker.counters.misrouted_unowned), (1, 0));
    assert_eq!(b.worker.mailboxes.own_length(), 1);
    for _ in 0..3 {
        b.turn();
        a.turn();
    }
    let counters = b.worker.counters;
    assert_eq!((counters.misrouted_received, counters.misrouted_late, counters.misrouted_sent), (1, 0, 0));
    let engine = b.worker.engine.counters();
    assert_eq!((engine.datagrams_received, engine.datagrams_unknown), (1, 0));
    assert_eq!(a.worker.counters.misrouted_received, 0);
}

#[test]
fn a_datagram_that_comes_too_late_is_not_sent_on_again() {
    let [mut a, mut b] = pair(64);
    // The directory names a peer that B no longer has, and, worse, B believes that A has it.
    b.worker.registrar.note(&Event::LocalUfrags { peer: PeerId(9), ufrags: vec!["gone".into()] });
    let client = UdpSocket::bind("127.0.0.1:0").expect("bound");
    client.send_to(&stun("gone"), a.address).expect("sent");
    a.turn_for_datagram();
    a.worker.registrar.note(&Event::LocalUfrags { peer: PeerId(9), ufrags: vec!["gone".into()] });
    b.turn();
    a.turn();
    assert_eq!((b.worker.counters.misrouted_received, b.worker.counters.misrouted_late), (1, 1));
    assert_eq!((b.worker.counters.misrouted_sent, a.worker.counters.misrouted_received), (0, 0));
}

#[test]
fn a_datagram_of_nobody_goes_nowhere() {
    let [mut a, b] = pair(64);
    let client = UdpSocket::bind("127.0.0.1:0").expect("bound");
    client.send_to(&stun("nobody"), a.address).expect("sent");
    client.send_to(&[255; 40], a.address).expect("sent");
    a.turn_for_datagram();
    assert_eq!((a.worker.counters.misrouted_unowned, a.worker.counters.misrouted_sent), (1, 0));
    assert_eq!(a.worker.engine.counters().datagrams_junk, 1);
    assert_eq!(b.worker.mailboxes.own_length(), 0);
}

#[test]
fn a_worker_never_waits_for_the_control_task_and_loses_no_reply() {
    let [mut a, _b] = pair(1);
    for n in 0..5 {
        a.command(n, Command::Disconnect { peer: PeerId(n) });
    }
    a.turn();
    assert_eq!(a.worker.outbox.len(), 4, "one fits into the channel");
    for n in 0..5 {
        let FromWorker::Reply { request, reply, .. } = a.control.try_recv().expect("a reply") else {
            panic!("a reply")
        };
        assert_eq!((request, reply), (RequestId(n), Err(CommandError::UnknownPeer)));
        a.turn();
    }
    assert!(a.control.try_recv().is_err());
}

#[test]
fn only_news_is_dropped_when_the_control_task_is_behind() {
    let [mut a, _b] = pair(1);
    let speaker = Speaker { participant: ParticipantId(1), level: 1 };
    let news = Event::Speakers { conference: ConferenceId(1), speakers: vec![speaker] };
    assert!(a.worker.for_control(news.clone()).is_some());
    while a.worker.outbox.len() < OUTBOX_NEWS_MAX {
        a.worker.outbox.push_back(FromWorker::Event { worker: WorkerId(0), event: news.clone() });
    }
    assert!(a.worker.for_control(news).is_none());
    assert_eq!(a.worker.counters.events_dropped, 1);
    assert!(a.worker.for_control(Event::TrackEnded { track: TrackId(1) }).is_some());
    let address = Event::AddressAdded { peer: PeerId(1), address: a.address };
    assert!(a.worker.for_control(address).is_none(), "for the directory only");
}

#[test]
fn data_that_control_has_no_time_for_ends_its_channel() {
    let [mut a, _b] = pair(1);
    let data = || Event::Data { peer: PeerId(1), data: vec![0; 10] };
    assert_eq!(a.worker.for_control(data()), Some(data()));
    while a.worker.outbox.len() < OUTBOX_NEWS_MAX {
        a.worker.outbox.push_back(FromWorker::Event { worker: WorkerId(0), event: data() });
    }
    for n in 1..=3 {
        let told = a.worker.for_control(data());
        assert_eq!(told, (n == 1).then_some(Event::DataClosed { peer: PeerId(1) }), "once is enough");
        a.worker.outbox.extend(told.map(|event| FromWorker::Event { worker: WorkerId(0), event }));
        assert_eq!((a.worker.counters.data_ignored, a.worker.counters.events_dropped), (n, 0));
    }
}

#[test]
fn a_worker_stops_when_told_and_when_nobody_is_left() {
    let [mut a, b] = pair(1);
    a.commands.try_send(ToWorker::Stop).expect("room");
    assert!(!a.worker.turn(Instant::now()));
    let Turned { mut worker, commands, .. } = b;
    drop(commands);
    assert!(!worker.turn(Instant::now()));
}
