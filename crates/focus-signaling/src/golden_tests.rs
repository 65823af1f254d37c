//! Every message has its golden JSON, which the TypeScript tests read as well.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::{CloseCode, Envelope, Errcode, limits::*, wire::*};

fn goldens(side: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("golden/ is part of the crate")
        .map(|entry| entry.expect("it can be listed"))
        .map(|entry| (entry.file_name().into_string().expect("names are ASCII"), entry.path()))
        .filter(|(name, path)| name.starts_with(side) && path.is_file())
        .map(|(name, path)| (name, fs::read_to_string(path).expect("it can be read")))
        .collect();
    files.sort();
    files
}

fn equal_json(name: &str, golden: &str, text: &str) {
    let golden: Value = serde_json::from_str(golden).expect("a golden file is JSON");
    let text: Value = serde_json::from_str(text).expect("a message is JSON");
    assert_eq!(golden, text, "{name}");
    assert!(golden.get("critical").is_none());
}

/// `client_offer_ice_restart.json` must be an `offer`.
fn named_after_type(name: &str, t: &str) {
    let stem = name.split_once('_').expect("side_type").1.trim_end_matches(".json");
    assert!(stem == t || stem.starts_with(&format!("{t}_")), "{name} holds a {t}");
}

#[test]
fn client_messages_read_and_write_as_golden() {
    let mut seen = BTreeSet::new();
    for (name, golden) in goldens("client_") {
        let envelope = Envelope::<ClientMessage>::parse(&golden, &Limits::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .unwrap_or_else(|| panic!("{name}: unknown type"));
        equal_json(&name, &golden, &envelope.to_text());
        let t = client_type(&envelope.message);
        named_after_type(&name, t);
        seen.insert(t);
    }
    assert_eq!(seen, CLIENT_TYPES.into_iter().collect());
}

#[test]
fn server_messages_read_and_write_as_golden() {
    let mut seen = BTreeSet::new();
    for (name, golden) in goldens("server_") {
        let envelope = Envelope::<ServerMessage>::parse(&golden)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .unwrap_or_else(|| panic!("{name}: unknown type"));
        equal_json(&name, &golden, &envelope.to_text());
        let t = server_type(&envelope.message);
        named_after_type(&name, t);
        seen.insert(t);
    }
    assert_eq!(seen, SERVER_TYPES.into_iter().collect());
}

#[test]
fn a_file_is_one_side_or_the_other() {
    assert_eq!(goldens("").len(), goldens("client_").len() + goldens("server_").len());
}

/// A new variant does not compile until it stands here, and then the tests above ask for its golden file.
macro_rules! types {
    ($list:ident, $name:ident, $message:ident, $($variant:ident = $t:literal),+ $(,)?) => {
        const $list: [&str; [$($t),+].len()] = [$($t),+];

        fn $name(message: &$message) -> &'static str {
            match message {
                $($message::$variant(..) => $t),+
            }
        }
    };
}

types!(
    CLIENT_TYPES,
    client_type,
    ClientMessage,
    Hello = "hello",
    Offer = "offer",
    Candidate = "candidate",
    Subscribe = "subscribe",
    Mute = "mute",
    Announce = "announce",
    Keyframe = "keyframe",
    DelegateLeave = "delegate_leave",
    TakeBackLeave = "take_back_leave",
    Ping = "ping",
    Leave = "leave"
);

types!(
    SERVER_TYPES,
    server_type,
    ServerMessage,
    Welcome = "welcome",
    Answer = "answer",
    Candidate = "candidate",
    Participant = "participant",
    Subscribed = "subscribed",
    Mute = "mute",
    Speakers = "speakers",
    Quality = "quality",
    Delegated = "delegated",
    Pong = "pong",
    Move = "move",
    Leave = "leave",
    Error = "error"
);

/// The words of the closed lists, each of which must stand in some golden file.
#[test]
fn every_word_has_a_golden() {
    let all: String = goldens("").into_iter().map(|(_, text)| text).collect();
    let words = [
        &["joined", "updated", "left", "lost"][..],
        &["microphone", "camera", "screen", "screen_audio", "audio", "video"],
        &["muted", "no_source", "bandwidth", "off"],
        &["good", "fair", "poor"],
        &["held", "returned"],
    ];
    for word in words.concat() {
        assert!(all.contains(&format!("\"{word}\"")), "{word}");
    }
}

/// `docs/signalling.md` has a row for each error and close code, and a section for each message.
#[test]
fn the_document_is_complete() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/signalling.md");
    let document = fs::read_to_string(document).expect("it is part of the repository");
    for code in Errcode::ALL {
        assert!(document.contains(&format!("\n| `{code}` | ")), "{code}");
    }
    for code in CloseCode::ALL {
        assert!(document.contains(&format!("\n| {} | {} | ", code.code(), code.reason())), "{code}");
    }
    for t in CLIENT_TYPES.into_iter().chain(SERVER_TYPES) {
        assert!(document.contains(&format!("\n### `{t}`\n")), "{t}");
    }
    for limit in [
        MESSAGE_BYTES_MAX,
        HELLO_BYTES_MAX,
        SDP_BYTES_MAX,
        BYTES_PER_COUNT,
        WANTS_MAX,
        TOKEN_BYTES_MAX,
        QUEUED_MESSAGES_MAX,
    ] {
        assert!(document.contains(&limit.to_string()), "{limit}");
    }
}

/// The fuzz target `wire` begins with the client's golden messages. `UPDATE_SEEDS=1` writes them anew.
#[test]
fn fuzz_seeds_are_the_golden_messages() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/wire");
    for (name, golden) in goldens("") {
        let value: Value = serde_json::from_str(&golden).expect("a golden file is JSON");
        // The machine hears nothing else before a hello was welcomed; see `fuzz_targets/wire.rs` for the records.
        let opening = match name.contains("hello") {
            true => "",
            false => "{\"t\":\"hello\",\"b\":{\"v\":1,\"token\":\"a\"}}\x1e@p\x1e@w\x1e",
        };
        let seed = format!("{opening}{value}\x1e@p");
        let path = directory.join(name.trim_end_matches(".json"));
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            fs::write(&path, &seed).expect("it can be written");
        }
        assert_eq!(fs::read_to_string(&path).unwrap_or_default(), seed, "{}", path.display());
    }
}
