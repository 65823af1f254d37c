//! Two ends with real Olm machines, and a homeserver between them that does as the test wants.

mod fake;
mod folder;
mod strangers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use focus_signaling::todevice::{Claims, Content};
use serde_json::{Value, json};

use super::requests::query;
use super::*;
use fake::Homeserver;
pub(super) use folder::Folder;

const FOCUS: &str = "@focus:one";
const ALICE: &str = "@alice:one";

/// One device.
struct End {
    address: Address,
    olm: Olm,
    homeserver: Homeserver,
    counters: Arc<Counters>,
    folder: Folder,
    /// Of the sync that is next.
    now: Instant,
}

/// Until a sender may send as many as before.
const PAUSE: Duration = Duration::from_secs(10);

impl End {
    async fn new(homeserver: &Homeserver, user: &str, device: &str) -> Self {
        let account =
            Account { user_id: user.try_into().expect("a user id"), device_id: device.into(), token: String::new() };
        let counters = Arc::<Counters>::default();
        let client = Client::new(homeserver.device(user, device));
        let folder = Folder::default();
        let (olm, _) = Olm::open(client, &account, folder.path(), counters.clone()).await.expect("a device");
        let address = Address { user_id: user.to_owned(), device_id: device.to_owned() };
        Self { address, olm, homeserver: homeserver.clone(), counters, folder, now: Instant::now() }
    }

    /// Learns of the other's devices, as a client does before it writes first.
    async fn meets(&mut self, other: &End) {
        let user: OwnedUserId = other.address.user_id.as_str().try_into().expect("a user id");
        let (id, request) = self.olm.machine.query_keys_for_users([user.as_ref()]);
        let answer = query(&self.olm.client, json!(request.device_keys)).await.expect("an answer");
        self.olm.machine.mark_request_as_sent(&id, &answer).await.expect("taken");
    }

    /// Writes; the first time, the session has to be made.
    async fn writes(&mut self, to: &End, content: &Content) {
        while self.olm.try_send(&to.address, content).await.is_none() {
            let done = self.olm.done().await.expect("claimed");
            assert!(matches!(done, Done::Claimed));
            self.olm.handle_done(done).await;
        }
    }

    /// Hands in events.
    async fn gets(&mut self, events: Vec<Value>) -> Vec<Received> {
        let sync = json!({
            "next_batch": "s1",
            "to_device": { "events": events },
            "device_one_time_keys_count": { "signed_curve25519": 50 },
            "device_unused_fallback_key_types": ["signed_curve25519"],
        });
        self.now += PAUSE;
        self.olm.receive(self.now, serde_json::from_value(sync).expect("a sync")).await
    }

    /// What the homeserver has for it, and what was answered after somebody was asked.
    async fn syncs(&mut self) -> Vec<Received> {
        let events = self.homeserver.take(&self.address);
        let mut received = self.gets(events).await;
        if received.is_empty() {
            let done = self.olm.done().await.expect("looked up");
            received.extend(self.olm.handle_done(done).await);
        }
        received
    }

    fn count(&self, of: fn(&Counters) -> &AtomicU64) -> u64 {
        of(&self.counters).load(Ordering::Relaxed)
    }
}

fn content(seq: u64) -> Content {
    let claims = Claims { room_id: "!r:one".into(), slot_id: "m.call#ROOM".into(), member_id: "m1".into() };
    let Claims { room_id, slot_id, member_id } = claims;
    let m = serde_json::value::to_raw_value(&json!({"t": "ping", "b": {"n": seq}})).expect("JSON");
    Content {
        room_id,
        slot_id,
        member_id,
        session: "q7Jm2v".into(),
        dest_session: None,
        seq: Some(seq),
        ack: None,
        m: Some(m),
        close: None,
    }
}

fn numbers(received: &[Received]) -> Vec<u64> {
    received.iter().filter_map(|(_, content, _)| content.seq).collect()
}

async fn pair() -> (Homeserver, End, End) {
    let homeserver = Homeserver::default();
    let focus = End::new(&homeserver, FOCUS, "FOCUS").await;
    let mut alice = End::new(&homeserver, ALICE, "PHONE").await;
    alice.meets(&focus).await;
    (homeserver, focus, alice)
}

#[tokio::test]
async fn there_and_back() {
    let (_, mut focus, mut alice) = pair().await;
    alice.writes(&focus, &content(1)).await;
    let received = focus.syncs().await;
    assert_eq!(numbers(&received), [1]);
    assert_eq!(received[0].0, alice.address);
    assert_eq!(received[0].2, content(1).to_json().len());
    // Whoever wrote made the session that the answer takes: no key is claimed for it.
    focus.olm.send(&alice.address, &content(2)).await;
    assert_eq!((focus.count(|c| &c.sent), focus.count(|c| &c.unsent)), (1, 0));
    assert_eq!(numbers(&alice.syncs().await), [2]);
    assert_eq!(alice.homeserver.claimed(), 1);
}

#[tokio::test]
async fn clear_text_is_dropped_and_counted() {
    let (_, mut focus, _alice) = pair().await;
    let event = |kind: &str| json!({"type": kind, "sender": ALICE, "content": content(1)});
    let received = focus.gets(vec![event(EVENT_TYPE), event("m.room_key_request"), json!({"sender": ALICE})]).await;
    assert!(received.is_empty());
    assert_eq!(focus.count(|c| &c.clear_text), 1);
    // Also what only pretends to be encrypted.
    let claims = json!({"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "A".repeat(43), "ciphertext": {}});
    let received = focus.gets(vec![json!({"type": "m.room.encrypted", "sender": ALICE, "content": claims})]).await;
    assert!(received.is_empty());
    assert_eq!(focus.count(|c| &c.clear_text), 1);
}

#[tokio::test]
async fn order_and_repetition_are_harmless() {
    let (homeserver, mut focus, mut alice) = pair().await;
    for seq in 1..=4 {
        alice.writes(&focus, &content(seq)).await;
    }
    let events = homeserver.take(&focus.address);
    let shuffled = [&events[2..], &events[1..2], &events[..1]].concat();
    let mut received = focus.gets(shuffled).await;
    let done = focus.olm.done().await.expect("looked up");
    received.extend(focus.olm.handle_done(done).await);
    assert_eq!(numbers(&received), [3, 4, 2, 1]);

    // A homeserver that repeats what it had: nothing comes of it, and the session goes on.
    assert!(focus.gets(events).await.is_empty());
    assert_eq!(focus.count(|c| &c.undecryptable), 4);
    focus.olm.send(&alice.address, &content(5)).await;
    assert_eq!(numbers(&alice.syncs().await), [5]);
    alice.writes(&focus, &content(6)).await;
    let events = homeserver.take(&focus.address);
    assert_eq!(numbers(&focus.gets(events).await), [6]);
}

#[tokio::test]
async fn a_homeserver_cannot_pass_it_off_as_somebody_elses() {
    let (homeserver, mut focus, mut alice) = pair().await;
    End::new(&homeserver, "@mallory:one", "PHONE").await;
    alice.writes(&focus, &content(1)).await;
    let mut events = homeserver.take(&focus.address);
    events[0]["sender"] = json!("@mallory:one");
    assert!(focus.gets(events).await.is_empty());
    assert_eq!(focus.count(|c| &c.undecryptable), 1);
}

#[tokio::test]
async fn a_device_that_its_homeserver_does_not_list_is_nobody() {
    let (homeserver, mut focus, mut alice) = pair().await;
    alice.writes(&focus, &content(1)).await;
    homeserver.unlist(&alice.address);
    assert!(focus.syncs().await.is_empty());
    assert_eq!(focus.count(|c| &c.unknown_device), 1);
    focus.olm.send(&alice.address, &content(2)).await;
    assert_eq!(focus.count(|c| &c.unsent), 1, "there is nobody to encrypt for");
}

#[tokio::test]
async fn nobody_waits_for_a_homeserver_that_does_not_answer() {
    let (homeserver, mut focus, mut alice) = pair().await;
    let mut mallory = End::new(&homeserver, "@mallory:evil", "PHONE").await;
    mallory.meets(&focus).await;
    mallory.writes(&focus, &content(1)).await;
    alice.writes(&focus, &content(2)).await;
    homeserver.hangs("evil");
    let events = homeserver.take(&focus.address);
    assert_eq!(events.len(), 2);
    let received = tokio::time::timeout(PAUSE, focus.gets(events)).await.expect("nobody is waited for");
    assert!(received.is_empty(), "both are to be asked about");
    let done = focus.olm.done().await.expect("looked up");
    assert_eq!(numbers(&focus.olm.handle_done(done).await), [2]);
}

#[tokio::test]
async fn junk_inside_the_encryption_is_counted() {
    let (homeserver, mut focus, mut alice) = pair().await;
    alice.writes(&focus, &content(1)).await;
    assert_eq!(numbers(&focus.syncs().await), [1]);
    let junk = Content { member_id: String::new(), ..content(2) };
    alice.writes(&focus, &junk).await;
    let events = homeserver.take(&focus.address);
    assert!(focus.gets(events).await.is_empty());
    assert_eq!(focus.count(|c| &c.malformed), 1);
}
