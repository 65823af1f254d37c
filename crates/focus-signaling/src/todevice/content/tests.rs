use super::*;
use crate::todevice::MESSAGE_BYTES_MAX;

fn json(extra: &str) -> String {
    format!(r#"{{"room_id":"!r:x","slot_id":"m.call#ROOM","member_id":"m","session":"c1"{extra}}}"#)
}

#[test]
fn a_message_stays_as_it_was_written() {
    let message = r#"{"t":"hello","id":1,"b":{"v":1,"later":[1.50]}}"#;
    let content =
        Content::parse(&json(&format!(r#","dest_session":"f1","seq":1,"ack":2,"m":{message}"#))).expect("good");
    assert_eq!(content.m.as_ref().map(|m| m.get()), Some(message));
    assert_eq!((content.seq, content.ack, content.close), (Some(1), Some(2), None));
    let again = Content::parse(&content.to_json()).expect("good");
    assert_eq!(again.to_json(), content.to_json());
}

#[test]
fn what_is_no_content_is_refused() {
    assert_eq!(Content::parse("[]").err(), Some(ContentError::Json));
    assert_eq!(Content::parse(r#"{"room_id":"!r:x"}"#).err(), Some(ContentError::Json));
    for field in [r#","dest_session":"""#, r#","seq":9007199254740992,"m":{}"#, r#","ack":9007199254740992"#] {
        assert_eq!(Content::parse(&json(field)).err(), Some(ContentError::Field), "{field}");
    }
    let long = json("").replace("c1", &"c".repeat(SESSION_BYTES_MAX + 1));
    assert_eq!(Content::parse(&long).err(), Some(ContentError::Field));
    for field in [r#","seq":0,"m":{}"#, r#","seq":1"#, r#","m":{}"#, r#","seq":1,"m":{},"close":1000"#] {
        assert_eq!(Content::parse(&json(field)).err(), Some(ContentError::Shape), "{field}");
    }
    let large = json(&format!(r#","seq":1,"m":{{"x":"{}"}}"#, "x".repeat(CONTENT_BYTES_MAX)));
    assert_eq!(Content::parse(&large).err(), Some(ContentError::TooLarge));
}

#[test]
fn the_largest_message_fits_with_the_longest_words() {
    let word = "w".repeat(WORD_BYTES_MAX);
    let session = "s".repeat(SESSION_BYTES_MAX);
    let content = Content {
        room_id: word.clone(),
        slot_id: word.clone(),
        member_id: word,
        session: session.clone(),
        dest_session: Some(session),
        seq: Some(INTEGER_MAX),
        ack: Some(INTEGER_MAX),
        m: RawValue::from_string(format!("{:?}", "x".repeat(MESSAGE_BYTES_MAX - 2))).ok(),
        close: None,
    };
    assert!(Content::parse(&content.to_json()).is_ok());
}

#[test]
fn ids_are_not_shown() {
    let content = Content::parse(&json("")).expect("good");
    let address = Address { user_id: "@a:x".into(), device_id: "D".into() };
    let shown = format!("{content:?} {:?} {address:?}", content.claims());
    for id in ["!r:x", "m.call", "c1", "@a:x"] {
        assert!(!shown.contains(id), "{shown}");
    }
}

/// Golden contents of that kind, by name.
fn goldens(kind: &str) -> Vec<(String, String)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/to_device");
    let files = std::fs::read_dir(directory).expect("golden/ is part of the crate");
    let names = files.map(|file| file.expect("listed").file_name().into_string().expect("names are ASCII"));
    let mut of_kind: Vec<_> = names
        .filter_map(|name| Some((name.strip_prefix(kind)?.trim_end_matches(".json").to_owned(), name.clone())))
        .map(|(stem, name)| (stem, std::fs::read_to_string(format!("{directory}/{name}")).expect("read")))
        .collect();
    of_kind.sort();
    assert!(!of_kind.is_empty());
    of_kind
}

fn value(json: &str) -> serde_json::Value {
    serde_json::from_str(json).expect("JSON")
}

#[test]
fn good_contents_read_and_write_as_golden() {
    for (name, golden) in goldens("good_") {
        let content = Content::parse(&golden).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(value(&content.to_json()), value(&golden), "{name}");
    }
}

#[test]
fn golden_junk_is_refused_for_what_its_name_says() {
    for (name, golden) in goldens("junk_") {
        let wanted = match name.split_once('_').map(|(kind, _)| kind) {
            Some("json") => ContentError::Json,
            Some("field") => ContentError::Field,
            Some("shape") => ContentError::Shape,
            _ => panic!("{name}: what is it?"),
        };
        assert_eq!(Content::parse(&golden).err(), Some(wanted), "{name}");
    }
}

/// Both documents show a content, and show it as it is.
#[test]
fn the_documents_show_golden_contents() {
    let goldens: Vec<_> = goldens("good_").into_iter().map(|(_, golden)| value(&golden)).collect();
    for document in ["rust_sfu.md", "signalling.md"] {
        let path = format!("{}/../../docs/{document}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("part of the repository");
        let blocks = text.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
        let shown: Vec<_> = blocks.filter(|block| block.contains("q7Jm2v")).collect();
        assert!(!shown.is_empty(), "{document}");
        for block in shown {
            assert!(goldens.contains(&value(block)), "{document}: {block}");
        }
    }
}

/// The fuzz target `to_device` begins with them. `UPDATE_SEEDS=1` writes them anew.
#[test]
fn fuzz_seeds_are_the_golden_contents() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/to_device");
    for (name, golden) in goldens("good_").into_iter().chain(goldens("junk_")) {
        let (path, seed) = (format!("{directory}/{name}"), value(&golden).to_string());
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            std::fs::write(&path, &seed).expect("it can be written");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), seed, "{path}");
    }
}
