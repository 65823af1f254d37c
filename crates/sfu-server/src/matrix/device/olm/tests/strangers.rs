//! Devices that mean harm, and how little of them is left.

use std::fs;

use matrix_sdk_crypto::vodozemac::olm::{Account as Keys, OlmMessage, SessionConfig};
use matrix_sdk_crypto::vodozemac::{Curve25519PublicKey, megolm};
use rusqlite::Connection;

use super::*;

const MALLORY: &str = "@mallory:evil";

/// With rows as few as they are in tests.
const DATABASE_BYTES_MAX: usize = 1 << 20;
/// What SQLite writes beside it before it is written into it.
const LOG_BYTES_MAX: usize = 8 << 20;

impl End {
    fn ask<T: rusqlite::types::FromSql>(&self, question: &str) -> T {
        let file = self.folder.path().join("matrix-sdk-crypto.sqlite3");
        let connection = Connection::open(file).expect("the keys");
        connection.query_row(question, [], |row| row.get(0)).expect("an answer")
    }

    fn rows(&self, table: &str) -> usize {
        self.ask(&format!("SELECT count(*) FROM {table}"))
    }

    fn assert_small(&self) {
        let bytes: usize = self.ask("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size");
        assert!(bytes < DATABASE_BYTES_MAX, "{bytes}");
        let files = fs::read_dir(self.folder.path()).expect("files");
        let bytes: u64 = files.map(|file| file.expect("a file").metadata().expect("its size").len()).sum();
        assert!(bytes < (DATABASE_BYTES_MAX + LOG_BYTES_MAX) as u64, "{bytes}");
    }

    /// Lets it make a fallback key, which serves any number of strangers.
    async fn has_fallback(&mut self) {
        let sync = json!({"next_batch": "s0", "device_one_time_keys_count": {"signed_curve25519": 50},
            "device_unused_fallback_key_types": []});
        self.olm.receive(self.now, serde_json::from_value(sync).expect("a sync")).await;
    }
}

/// One that makes up keys for each message.
struct Stranger {
    to: Curve25519PublicKey,
    fallback: Curve25519PublicKey,
}

impl Stranger {
    fn of(homeserver: &Homeserver, focus: &End) -> Self {
        let (to, fallback) = homeserver.keys_of(&focus.address);
        let key = |key: &str| Curve25519PublicKey::from_base64(key).expect("a key");
        Self { to: key(&to), fallback: key(&fallback) }
    }

    /// The first message of a new session of `keys`.
    fn writes(&self, user: &str, keys: &Keys, text: &str) -> Value {
        let session = keys.create_outbound_session(SessionConfig::version_1(), self.to, self.fallback);
        let OlmMessage::PreKey(message) = session.expect("a session").encrypt(text).expect("encrypted") else {
            panic!("the first one");
        };
        let ciphertext = json!({ self.to.to_base64(): {"type": 0, "body": message.to_base64()} });
        let content = json!({"algorithm": "m.olm.v1.curve25519-aes-sha2",
            "sender_key": keys.curve25519_key().to_base64(), "ciphertext": ciphertext});
        json!({"type": "m.room.encrypted", "sender": user, "content": content})
    }
}

fn room_key(n: usize) -> Value {
    let session = megolm::GroupSession::new(megolm::SessionConfig::version_1());
    json!({"algorithm": "m.megolm.v1.aes-sha2", "room_id": format!("!r{n}:evil"), "session_id": session.session_id(),
        "session_key": session.session_key().to_base64()})
}

#[tokio::test]
async fn keys_of_rooms_are_not_kept() {
    let (homeserver, mut focus, mut alice) = pair().await;
    let mut mallory = End::new(&homeserver, MALLORY, "PHONE").await;
    mallory.meets(&focus).await;
    mallory.writes(&focus, &content(1)).await;
    let _ = focus.syncs().await;
    let (user, device) = (FOCUS.try_into().expect("a user id"), focus.address.device_id.clone());
    for round in 0..40 {
        for n in 0..50 {
            let sent = mallory.olm.encrypt_and_send(user, &device, "m.room_key", &room_key(50 * round + n)).await;
            sent.expect("sent");
        }
        let events = homeserver.take(&focus.address);
        assert_eq!(events.len(), 50);
        assert!(focus.gets(events).await.is_empty());
        assert_eq!(focus.rows("inbound_group_session"), 0);
    }
    assert_eq!((focus.count(|c| &c.undecryptable), focus.count(|c| &c.unopened)), (0, 0), "they were opened");
    focus.assert_small();
    alice.writes(&focus, &content(2)).await;
    assert_eq!(numbers(&focus.syncs().await), [2]);
}

#[tokio::test]
async fn sessions_give_way_and_are_made_again() {
    let (homeserver, mut focus, mut alice) = pair().await;
    focus.has_fallback().await;
    alice.writes(&focus, &content(1)).await;
    assert_eq!(numbers(&focus.syncs().await), [1]);
    focus.olm.send(&alice.address, &content(2)).await;
    assert_eq!(numbers(&alice.syncs().await), [2]);
    let alices = alice.rows("session");

    // One with a key for each message, and one that makes session after session.
    let stranger = Stranger::of(&homeserver, &focus);
    let same = Keys::new();
    for _ in 0..25 {
        let others = (0..50).map(|n| stranger.writes(&format!("@m{n}:evil"), &Keys::new(), "{}"));
        let events = others.chain((0..50).map(|_| stranger.writes(MALLORY, &same, "{}"))).collect();
        assert!(focus.gets(events).await.is_empty());
        assert!(focus.rows("session") <= keys::SESSIONS_MAX);
        assert!(focus.rows("olm_hash") <= keys::HASHES_MAX);
    }
    assert_eq!(focus.rows("session"), keys::SESSIONS_MAX);
    assert_eq!(focus.count(|c| &c.unopened), 0);
    focus.assert_small();

    // Alice knows nothing of it, and writes as before. The focus makes itself known to her anew.
    alice.writes(&focus, &content(3)).await;
    let events = homeserver.take(&focus.address);
    assert!(focus.gets(events).await.is_empty());
    // Strangers were asked about as well.
    loop {
        let done = focus.olm.done().await.expect("claimed");
        let is_claimed = matches!(done, Done::Claimed);
        assert!(focus.olm.handle_done(done).await.is_empty());
        if is_claimed {
            break;
        }
    }
    let events = homeserver.take(&alice.address);
    assert!(alice.gets(events).await.is_empty());
    assert_eq!(alice.rows("session"), alices + 1);
    alice.writes(&focus, &content(4)).await;
    assert_eq!(numbers(&focus.syncs().await), [4]);
}

#[tokio::test]
async fn devices_that_never_wrote_are_not_kept() {
    let (homeserver, mut focus, mut alice) = pair().await;
    for n in 0..10 {
        End::new(&homeserver, ALICE, &format!("OTHER{n}")).await;
    }
    alice.writes(&focus, &content(1)).await;
    assert_eq!(numbers(&focus.syncs().await), [1]);
    assert_eq!(focus.rows("device"), 2, "its own, and that of Alice which wrote");
    // Another one later; the first stays known.
    let mut tablet = End::new(&homeserver, ALICE, "TABLET").await;
    tablet.meets(&focus).await;
    tablet.writes(&focus, &content(2)).await;
    assert_eq!(numbers(&focus.syncs().await), [2]);
    assert_eq!(focus.rows("device"), 3);
    alice.writes(&focus, &content(3)).await;
    let events = homeserver.take(&focus.address);
    assert_eq!(numbers(&focus.gets(events).await), [3]);
}

#[tokio::test]
async fn a_flood_is_not_opened_and_others_come_through() {
    let (homeserver, mut focus, mut alice) = pair().await;
    focus.has_fallback().await;
    let stranger = Stranger::of(&homeserver, &focus);
    let keys = Keys::new();
    let mut events: Vec<_> = (0..300).map(|_| stranger.writes(MALLORY, &keys, "{}")).collect();
    alice.writes(&focus, &content(1)).await;
    events.extend(homeserver.take(&focus.address));
    assert!(focus.gets(events).await.is_empty(), "she is to be asked about");
    let (opened, unopened) = (focus.count(|c| &c.undecryptable), focus.count(|c| &c.unopened));
    assert_eq!(opened + unopened, 300);
    assert!(opened < 100, "{opened}");
    let mut received = Vec::new();
    while received.is_empty() {
        let done = focus.olm.done().await.expect("looked up");
        received = focus.olm.handle_done(done).await;
    }
    assert_eq!(numbers(&received), [1]);
}

/// What one message costs, for docs/matrix.md: `cargo test -p sfu-server --lib what_a_flood_costs -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "prints times"]
async fn what_a_flood_costs() {
    let (homeserver, mut focus, mut alice) = pair().await;
    focus.has_fallback().await;
    alice.writes(&focus, &content(1)).await;
    let _ = focus.syncs().await;
    let (stranger, same) = (Stranger::of(&homeserver, &focus), Keys::new());
    for what in ["a new device each", "one device, new sessions", "malformed", "too many of one user", "one session"] {
        let (mut events, mut took) = (0, Vec::new());
        for round in 0..40 {
            let user = |n| format!("@m{n}:evil");
            let batch: Vec<Value> = match what {
                "a new device each" => (0..100).map(|n| stranger.writes(&user(n), &Keys::new(), "{}")).collect(),
                "one device, new sessions" => (0..100).map(|n| stranger.writes(&user(n), &same, "{}")).collect(),
                "malformed" => (0..100)
                    .map(|n| {
                        let mut event = stranger.writes(&user(n), &Keys::new(), "{}");
                        event["content"]["ciphertext"] = json!({});
                        event
                    })
                    .collect(),
                "too many of one user" => {
                    focus.now -= PAUSE;
                    (0..100).map(|_| stranger.writes(MALLORY, &same, "{}")).collect()
                }
                _ => {
                    for n in 0..50 {
                        alice.writes(&focus, &content(2 + 50 * round + n)).await;
                    }
                    homeserver.take(&focus.address)
                }
            };
            events += batch.len();
            let begun = Instant::now();
            focus.gets(batch).await;
            took.push(begun.elapsed());
        }
        took.sort_unstable();
        let each = took.iter().sum::<Duration>() / u32::try_from(events).expect("few");
        println!("{what}: {each:?} each; a sync {:?} median, {:?} worst", took[took.len() / 2], took[took.len() - 1]);
    }
    println!("unopened {}", focus.count(|c| &c.unopened));
}
