use super::*;

fn parse(text: &str) -> Result<Option<Envelope<ClientMessage>>, ParseError> {
    Envelope::<ClientMessage>::parse(text, &Limits::default())
}

#[track_caller]
fn refused(text: &str, re: Option<u64>, code: Errcode, field: &str) {
    let error = parse(text).expect_err("it must be refused");
    assert_eq!((error.re, error.code), (re, code), "{}", error.detail);
    assert!(error.detail.starts_with(field), "{:?} does not begin with {field:?}", error.detail);
}

fn offer(sdp: &str, tracks: &str) -> String {
    format!(r#"{{"t":"offer","id":5,"b":{{"sdp":{sdp:?},"seq":1,"tracks":[{tracks}]}}}}"#)
}

fn subscribe(wants: &str) -> String {
    format!(r#"{{"t":"subscribe","id":5,"b":{{"tracks":[{wants}]}}}}"#)
}

#[test]
fn numbers_survive_and_order_does_not_matter() {
    let ping = |id, re, n| Envelope { id, re, message: ClientMessage::Ping(Ping { n }) };
    assert_eq!(parse(r#"{"b":{"n":1},"re":3,"id":2,"t":"ping"}"#), Ok(Some(ping(Some(2), Some(3), 1))));
    assert_eq!(parse(r#"{"t":"ping","b":{"n":1}}"#), Ok(Some(ping(None, None, 1))));
    assert_eq!(parse(r#"{"t":"ping","id":null,"b":{"n":1}}"#), Ok(Some(ping(None, None, 1))));
    assert_eq!(parse("{\"\\u0074\":\"pi\\u006eg\",\n\"b\":{\"n\":1}}"), Ok(Some(ping(None, None, 1))));
    let text = ping(Some(2), None, 1).to_text();
    assert_eq!(text, r#"{"id":2,"t":"ping","b":{"n":1}}"#);
}

#[test]
fn unknown_fields_are_ignored() {
    let text = r#"{"t":"ping","id":1,"x":[{}],"b":{"n":1,"later":{"n":"x"},"critical":true}}"#;
    assert!(matches!(parse(text), Ok(Some(_))));
}

#[test]
fn what_is_not_json() {
    for text in [
        "",
        " ",
        "{",
        "[1",
        "hello",
        "{\"t\":}",
        "{\"t\":\"ping\",\"b\":{\"n\":1}}x",
        "{\"t\":\"ping\",\"b\":{\"n\":01}}",
    ] {
        refused(text, None, Errcode::NotJson, "");
    }
    // Half of a surrogate pair is found only when the string is read, and then the number is known already.
    refused(r#"{"t":"mute","id":4,"b":{"track":"\ud800","muted":true}}"#, Some(4), Errcode::NotJson, "b.track");
}

#[test]
fn json_of_the_wrong_shape() {
    for text in ["1", "null", "[]", "\"ping\"", "[{\"t\":\"ping\"}]"] {
        refused(text, None, Errcode::BadJson, "a message is an object");
    }
    refused("{}", None, Errcode::BadJson, "t: missing");
    refused(r#"{"id":8}"#, Some(8), Errcode::BadJson, "t: missing");
    refused(r#"{"id":8,"t":9}"#, Some(8), Errcode::BadJson, "t: invalid type");
    refused(r#"{"id":8,"t":"ping"}"#, Some(8), Errcode::BadJson, "b: missing, or not");
    for body in ["7", "null", "[1]"] {
        let text = format!(r#"{{"id":8,"t":"ping","b":{body}}}"#);
        refused(&text, Some(8), Errcode::BadJson, "b: missing, or not");
    }
    refused(r#"{"id":8,"t":"ping","b":{}}"#, Some(8), Errcode::BadJson, "b: missing field `n`");
    refused(r#"{"id":8,"t":"ping","b":{"n":"x"}}"#, Some(8), Errcode::BadJson, "b.n: invalid type");
    refused(r#"{"id":8,"t":"ping","t":"ping","b":{"n":1}}"#, None, Errcode::BadJson, "a field of the envelope");
    refused(
        &subscribe(r#"{"track":"a","off":true},{"track":"b","fps":-1}"#),
        Some(5),
        Errcode::BadJson,
        "b.tracks[1].fps",
    );
}

#[test]
fn numbers_are_integers_that_javascript_holds() {
    for number in ["-1", "1.5", "\"1\"", "9007199254740992", "1e400", "{}"] {
        refused(&format!(r#"{{"t":"ping","id":{number},"b":{{"n":1}}}}"#), None, Errcode::BadJson, "id: ");
        refused(&format!(r#"{{"t":"ping","id":1,"re":{number},"b":{{"n":1}}}}"#), Some(1), Errcode::BadJson, "re: ");
    }
    assert!(parse(r#"{"t":"ping","id":9007199254740991,"b":{"n":9007199254740991}}"#).is_ok());
    refused(r#"{"t":"ping","id":1,"b":{"n":9007199254740992}}"#, Some(1), Errcode::BadJson, "b.n: ");
}

#[test]
fn an_unknown_type_is_ignored_unless_critical() {
    for body in ["", r#","b":{}"#, r#","b":{"critical":false}"#, r#","b":{"critical":1}"#, r#","b":[true]"#] {
        assert_eq!(parse(&format!(r#"{{"t":"wave","id":1{body}}}"#)), Ok(None), "{body}");
    }
    let critical = r#"{"t":"wave","id":1,"b":{"critical":true}}"#;
    refused(critical, Some(1), Errcode::Unrecognized, "t: unknown type \"wave\"");
    // A type of the other direction is as unknown as any.
    assert_eq!(parse(r#"{"t":"welcome","id":1,"b":{}}"#), Ok(None));
}

#[test]
fn deep_nesting_does_not_reach_the_stack() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert!(parse(&format!(r#"{{"t":"ping","x":{deep},"b":{{"n":1,"y":{deep}}}}}"#)).is_ok());
    assert_eq!(parse(&format!(r#"{{"t":"wave","b":{deep}}}"#)), Ok(None));
    refused(&"[".repeat(100_000), None, Errcode::NotJson, "");
    refused(&format!(r#"{{"t":"ping","id":1,"b":{deep}}}"#), Some(1), Errcode::BadJson, "b");
    refused(&format!(r#"{{"t":"ping","id":1,"b":{{"n":{deep}}}}}"#), Some(1), Errcode::BadJson, "b.n");
}

#[test]
fn hello_has_one_credential_and_this_version() {
    let hello = |body: &str| format!(r#"{{"t":"hello","id":1,"b":{{{body}}}}}"#);
    let resume = r#""resume":{"session":"s-1","secret":"x"}"#;
    assert!(parse(&hello(r#""v":1,"token":"a.b.c""#)).is_ok());
    assert!(parse(&hello(&format!(r#""v":1,{resume}"#))).is_ok());
    refused(&hello(r#""v":2,"token":"a""#), Some(1), Errcode::Unrecognized, "b.v: ");
    assert!(parse(&hello(r#""v":1"#)).is_ok(), "whether it needs one is for the connection to know");
    refused(&hello(&format!(r#""v":1,"token":"a",{resume}"#)), Some(1), Errcode::BadJson, "b.token: ");
    refused(&hello(r#""v":1,"token":"""#), Some(1), Errcode::BadJson, "b.token: empty");
    refused(&hello(r#""v":1,"token":"a b""#), Some(1), Errcode::BadJson, "b.token: ");
    let long = "x".repeat(4097);
    refused(&hello(&format!(r#""v":1,"token":"{long}""#)), Some(1), Errcode::TooLarge, "b.token: 4097 bytes");
    let long = "x".repeat(33);
    let body = format!(r#""v":1,"resume":{{"session":"{long}","secret":"x"}}"#);
    refused(&hello(&body), Some(1), Errcode::TooLarge, "b.resume.session: 33 bytes");
    let long = "x".repeat(65);
    let body = format!(r#""v":1,"resume":{{"session":"s","secret":"{long}"}}"#);
    refused(&hello(&body), Some(1), Errcode::TooLarge, "b.resume.secret: 65 bytes");
    refused(&hello(&format!(r#""v":1,"token":"a","client":"{long}""#)), Some(1), Errcode::TooLarge, "b.client: 65");
    refused(&hello(r#""v":1,"token":"a","client":"a\nb""#), Some(1), Errcode::BadJson, "b.client: ");
}

#[test]
fn an_offer_is_bounded() {
    let max = "x".repeat(1024 * 1024);
    assert!(parse(&offer(&max, "")).is_ok());
    refused(&offer(&(max + "x"), ""), Some(5), Errcode::TooLarge, "b.sdp: 1048577 bytes");
    assert!(parse(&offer(&"m=audio\r\n".repeat(256), "")).is_ok());
    refused(&offer(&"m=audio\r\n".repeat(257), ""), Some(5), Errcode::TooLarge, "b.sdp: 257 m-lines");
    let few = Limits { m_lines: 1, published_tracks: 0, ..Limits::default() };
    assert!(Envelope::<ClientMessage>::parse(&offer("m=a\nm=b\n", ""), &few).is_err());
    let track = |i: usize| format!(r#"{{"mid":"{i}","source":"camera"}}"#);
    let tracks = |n: usize| (0..n).map(track).collect::<Vec<_>>().join(",");
    assert!(Envelope::<ClientMessage>::parse(&offer("", &tracks(1)), &few).is_err());
    assert!(parse(&offer("", &tracks(16))).is_ok());
    refused(&offer("", &tracks(17)), Some(5), Errcode::TooLarge, "b.tracks: 17 tracks");
}

#[test]
fn a_published_track_is_bounded() {
    let track = |more: &str| offer("", &format!(r#"{{"source":"camera",{more}}}"#));
    assert!(parse(&track(r#""mid":"abcdefghijklmnop","width":16384,"height":16384"#)).is_ok());
    refused(&track(r#""mid":"abcdefghijklmnopq""#), Some(5), Errcode::TooLarge, "b.tracks[0].mid: 17 bytes");
    refused(&track(r#""mid":"""#), Some(5), Errcode::BadJson, "b.tracks[0].mid: empty");
    refused(&track(r#""mid":"0\r\na=x""#), Some(5), Errcode::BadJson, "b.tracks[0].mid: ");
    refused(&track(r#""mid":"0","width":16385"#), Some(5), Errcode::BadJson, "b.tracks[0].width: 16385");
    refused(&track(r#""mid":"0","height":16385"#), Some(5), Errcode::BadJson, "b.tracks[0].height: 16385");
    let long = "x".repeat(33);
    let enc = format!(r#""mid":"0","enc":{{"format":"{long}","key_index":1}}"#);
    refused(&track(&enc), Some(5), Errcode::TooLarge, "b.tracks[0].enc.format: 33 bytes");
    let twice = r#"{"source":"camera","mid":"0"},{"source":"screen","mid":"0"}"#;
    refused(&offer("", twice), Some(5), Errcode::BadJson, "b.tracks[1].mid: named twice");
    refused(
        &offer("", r#"{"source":"hat","mid":"0"}"#),
        Some(5),
        Errcode::BadJson,
        "b.tracks[0].source: unknown variant",
    );
}

#[test]
fn wants_are_bounded() {
    let wants = |n: usize| (0..n).map(|i| format!(r#"{{"track":"t{i}","mid":"{i}"}}"#)).collect::<Vec<_>>().join(",");
    assert!(parse(&subscribe(&wants(512))).is_ok());
    refused(&subscribe(&wants(513)), Some(5), Errcode::TooLarge, "b.tracks: 513 wants");
    refused(&subscribe(r#"{"track":"t"}"#), Some(5), Errcode::BadJson, "b.tracks[0].mid: missing");
    refused(&subscribe(r#"{"track":"t","mid":" "}"#), Some(5), Errcode::BadJson, "b.tracks[0].mid: ");
    refused(&subscribe(r#"{"track":"","off":true}"#), Some(5), Errcode::BadJson, "b.tracks[0].track: empty");
    let long = "x".repeat(33);
    let want = format!(r#"{{"track":"{long}","off":true}}"#);
    refused(&subscribe(&want), Some(5), Errcode::TooLarge, "b.tracks[0].track: 33 bytes");
    for (field, max) in [("width", 16_384), ("height", 16_384), ("fps", 240)] {
        let want = |value: u32| subscribe(&format!(r#"{{"track":"t","mid":"0","{field}":{value}}}"#));
        assert!(parse(&want(0)).is_ok() && parse(&want(max)).is_ok());
        refused(&want(max + 1), Some(5), Errcode::BadJson, &format!("b.tracks[0].{field}: {}", max + 1));
    }
}

#[test]
fn a_message_names_a_track_and_a_slot_once() {
    let twice = r#"{"track":"a","mid":"0"},{"track":"a","mid":"1"}"#;
    refused(&subscribe(twice), Some(5), Errcode::BadJson, "b.tracks[1].track: named twice");
    let twice = r#"{"track":"a","mid":"0"},{"track":"b","mid":"0"}"#;
    refused(&subscribe(twice), Some(5), Errcode::BadJson, "b.tracks[1].mid: named twice");
    assert!(parse(&subscribe(r#"{"track":"a","mid":"0","off":true},{"track":"b","mid":"0"}"#)).is_ok());
}

#[test]
fn an_announcement_is_bounded() {
    let announce = |keys: &str| format!(r#"{{"t":"announce","id":5,"b":{{"key_index":0,"keys":[{keys}]}}}}"#);
    let key = |salt: &str| format!(r#"{{"index":0,"salt":"{salt}"}}"#);
    let good = key("AAECAwQFBgcICQoLDA0ODw");
    assert!(parse(&announce(&vec![good.clone(); 16].join(","))).is_ok());
    refused(&announce(&vec![good; 17].join(",")), Some(5), Errcode::TooLarge, "b.keys: 17 keys");
    let wrong =
        ["", "AAECAwQFBgcICQoLDA0OD", "AAECAwQFBgcICQoLDA0ODw==", "AAECAwQFBgcICQoLDA0OD+", "AAECAwQFBgcICQoLDA0ODx"];
    for salt in wrong {
        refused(&announce(&key(salt)), Some(5), Errcode::BadJson, "b.keys[0].salt: ");
    }
}

#[test]
fn small_messages_are_bounded() {
    let message = |t: &str, body: &str| format!(r#"{{"t":"{t}","id":5,"b":{{{body}}}}}"#);
    let long = "x".repeat(600);
    let candidate = format!(r#""candidate":"candidate:{long}""#);
    refused(&message("candidate", &candidate), Some(5), Errcode::TooLarge, "b.candidate: 610 bytes");
    refused(&message("candidate", r#""candidate":"a=candidate:1""#), Some(5), Errcode::BadJson, "b.candidate: ");
    refused(&message("candidate", r#""candidate":"candidate:1\r\nm=""#), Some(5), Errcode::BadJson, "b.candidate: ");
    refused(&message("mute", &format!(r#""muted":true,"track":"{long}""#)), Some(5), Errcode::TooLarge, "b.track: ");
    refused(&message("keyframe", r#""track":"ä""#), Some(5), Errcode::BadJson, "b.track: ");
    refused(&message("leave", &format!(r#""code":"{long}""#)), Some(5), Errcode::TooLarge, "b.code: ");
    let reason = format!(r#""code":"left","reason":"{long}""#);
    refused(&message("leave", &reason), Some(5), Errcode::TooLarge, "b.reason: 600 bytes");
    refused(&message("leave", r#""code":"left","reason":"\u0000""#), Some(5), Errcode::BadJson, "b.reason: ");
}

#[test]
fn a_client_ignores_what_a_later_focus_says() {
    assert_eq!(Envelope::<ServerMessage>::parse(r#"{"t":"wave","b":{}}"#), Ok(None));
    let error = Envelope::<ServerMessage>::parse(r#"{"t":"pong","re":1,"b":{}}"#).expect_err("n is missing");
    assert_eq!((error.code, error.detail.as_str()), (Errcode::BadJson, "b: missing field `n`"));
}

#[test]
fn the_id_of_a_refused_message() {
    assert_eq!(read_id(r#"{"t":"ping","id":7,"b":{}}"#), Some(7));
    assert_eq!(read_id(r#"{"t":"ping","id":-7}"#), None);
    assert_eq!(read_id(r#"{"id":7"#), None);
}
