//! Media keys of a call of three, as clients exchange them: Alice is there, Bob comes, Carol comes, Bob leaves. What `Sender` wants sent goes to
//! the others' `Receiver`s, as if Olm had carried it.
//!
//! ```text
//! cargo run -p matrixrtc --example keys
//! ```

use std::time::{Duration, Instant};

use matrixrtc::event::encryption_key::{self, KeyMessage};
use matrixrtc::keys::{Origin, Output, Participant, Receiver, ReceiverConfig, RemoteKey, Sender, SenderConfig};
use matrixrtc::{MemberKey, SlotId, Timestamp};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use ruma::{RoomId, UserId, room_id};

const NAMES: [&str; 3] = ["alice", "bob", "carol"];

struct Client {
    me: MemberKey,
    sender: Sender,
    receiver: Receiver,
    rng: ChaCha20Rng,
}

/// Virtual time begins somewhere.
#[expect(clippy::disallowed_methods, reason = "an example's time is virtual; a client reads its clock here")]
fn epoch() -> Instant {
    Instant::now()
}

fn room() -> &'static RoomId {
    room_id!("!room:example.org")
}

fn client(name: &str, seed: u64) -> Client {
    let user = UserId::parse(format!("@{name}:example.org")).expect("a user id");
    let me = MemberKey { member_id: format!("{user}:DEVICE"), user, device: "DEVICE".into() };
    let config = ReceiverConfig { room_id: room().to_owned(), slot: SlotId::default(), cross_signed_only: false };
    Client {
        sender: Sender::new(SenderConfig::default(), &me),
        receiver: Receiver::new(config, &me),
        // A client takes the operating system's randomness.
        rng: ChaCha20Rng::seed_from_u64(seed),
        me,
    }
}

fn main() {
    let start = epoch();
    let mut clients: Vec<_> = NAMES.iter().zip(1..).map(|(name, seed)| client(name, seed)).collect();
    // Second, who is in the call from then on.
    let story: [(u64, &[usize]); 4] = [(0, &[0]), (20, &[0, 1]), (22, &[0, 1, 2]), (60, &[0, 2])];
    let mut present: Vec<usize> = Vec::new();
    for (at, now_present) in story {
        let now = start + Duration::from_secs(at);
        let names: Vec<_> = now_present.iter().map(|number| NAMES[*number]).collect();
        println!("\n{at} s: {} in the call", names.join(", "));
        let members: Vec<_> = now_present
            .iter()
            .map(|number| Participant { member: clients[*number].me.clone(), joined_at: Timestamp::from_millis(1) })
            .collect();
        for number in present.iter().filter(|number| !now_present.contains(number)) {
            clients[*number].sender.stop();
        }
        for number in now_present {
            let Client { sender, receiver, rng, .. } = &mut clients[*number];
            receiver.handle_members(now, &members);
            sender.handle_members(now, &members, rng);
            if !present.contains(number) {
                sender.start(now, rng);
            }
        }
        present = now_present.to_vec();
        for number in now_present {
            deliver(&mut clients, *number, now);
        }
    }
}

/// What one sender wants, at this moment.
fn deliver(clients: &mut [Client], from: usize, now: Instant) {
    loop {
        let output = clients[from].sender.poll_output();
        let me = clients[from].me.clone();
        match output {
            Output::SendKeys(send) => {
                let content = encryption_key::deployed(
                    &me,
                    room(),
                    &SlotId::default(),
                    send.index,
                    &send.key,
                    Timestamp::from_millis(1_790_000_000_000),
                );
                // The crypto layer tells who sent it; the content only claims.
                let origin = Origin::Olm { user: me.user.clone(), device: me.device.clone(), cross_signed: true };
                for receiver in clients.iter_mut().filter(|client| send.to.contains(&client.me)) {
                    let message = KeyMessage::read(encryption_key::TYPE, &content).expect("we wrote it");
                    let taken = receiver.receiver.handle_key(now, &origin, message);
                    let to = receiver.me.user.localpart();
                    while let Some(key) = receiver.receiver.poll_output() {
                        match key {
                            RemoteKey::Add { member, index, .. } => {
                                println!("      {to} opens {} with key {index}: {taken:?}", member.user.localpart());
                            }
                            RemoteKey::RemoveAll { member } => {
                                println!("      {to} forgets the keys of {}", member.user.localpart());
                            }
                        }
                    }
                }
                clients[from].sender.handle_sent(now, send.request_id, &[]);
            }
            Output::UseKey(key) => {
                let wait = key.at.saturating_duration_since(now).as_secs();
                println!("   {} uses key {} in {wait} s", me.user.localpart(), key.index);
            }
            Output::Timeout(_) => return,
        }
    }
}
