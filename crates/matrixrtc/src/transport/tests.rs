use serde_json::json;

use super::*;

fn parse(value: Value) -> Transport {
    Transport::parse(&value).expect("a transport")
}

fn full() -> Value {
    json!({
        "type": "rust_sfu", "version": 1, "url": "wss://sfu.example.org/rtc/v1", "service_url": "https://sfu.example.org",
        "sfu_id": "abc", "server_name": "example.org", "matrix": {"user_id": "@sfu:example.org", "device_id": "SFU"},
        "e2ee": ["sframe-rfc9605"], "region": "eu-1",
    })
}

#[test]
fn written_as_read() {
    let unknown = json!({"type": "org.example.pigeons", "loft": {"height": 3}});
    let livekit =
        json!({"type": "livekit", "livekit_service_url": "https://a.example.org", "livekit_alias": "!r", "x": 1});
    let mesh = json!({"type": "full_mesh", "x": 1});
    for value in [full(), unknown, livekit, mesh] {
        assert_eq!(parse(value.clone()).to_json(), value);
    }
}

#[test]
fn an_address_is_needed() {
    let rust_sfu = |object: &str| parse(serde_json::from_str(object).expect("JSON"));
    assert!(rust_sfu(r#"{"type":"rust_sfu","url":"wss://a"}"#).as_rust_sfu().is_some());
    assert!(rust_sfu(r#"{"type":"org.rust_sfu.rust_sfu","url":"wss://a"}"#).as_rust_sfu().is_some());
    assert!(rust_sfu(r#"{"type":"rust_sfu","matrix":{"user_id":"@s:a","device_id":"D"}}"#).as_rust_sfu().is_some());
    for bad in [
        r#"{"type":"rust_sfu"}"#,
        r#"{"type":"rust_sfu","sfu_id":"x"}"#,
        r#"{"type":"rust_sfu","url":"javascript:alert(1)"}"#,
        r#"{"type":"rust_sfu","url":"wss://a","service_url":"file:///etc/passwd"}"#,
        r#"{"type":"rust_sfu","url":"wss://a","matrix":{"user_id":"nobody","device_id":"D"}}"#,
        r#"{"type":"rust_sfu","url":"wss://a","matrix":{"user_id":"@s:a","device_id":""}}"#,
        r#"{"type":"rust_sfu","url":"wss://a","version":"1"}"#,
    ] {
        let transport = rust_sfu(bad);
        assert!(matches!(transport, Transport::Unknown(_)), "{bad}");
        assert_eq!(transport.kind(), "rust_sfu");
        assert_eq!(transport.to_json().to_string().len(), bad.len(), "kept word for word");
    }
}

#[test]
fn no_transport_at_all() {
    for value in [json!(null), json!("livekit"), json!({}), json!({"type": 1}), json!([])] {
        assert_eq!(Transport::parse(&value), Err(TransportError::NoType));
    }
    let large = json!({"type": "x", "y": "y".repeat(TRANSPORT_BYTES_MAX)});
    assert_eq!(Transport::parse(&large), Err(TransportError::TooLarge));
    assert_eq!(parse_list(&[full(), json!({})]), Err(TransportError::NoType));
    assert_eq!(parse_list(&vec![full(); 40]).map(|list| list.len()), Ok(TRANSPORTS_MAX));
}

#[test]
fn same_focus() {
    let with = |changes: Value| {
        let mut object = full();
        for (key, value) in changes.as_object().expect("an object") {
            match value {
                Value::Null => object.as_object_mut().and_then(|object| object.remove(key)),
                value => object.as_object_mut().and_then(|object| object.insert(key.clone(), value.clone())),
            };
        }
        parse(object)
    };
    let one = parse(full());
    assert!(one.is_same_focus(&with(json!({"url": "wss://other.example.org/rtc/v1"}))), "its key names it");
    assert!(!one.is_same_focus(&with(json!({"sfu_id": "def"}))), "another key, another focus");
    assert!(one.is_same_focus(&with(json!({"sfu_id": null}))), "the same address");
    assert!(!one.is_same_focus(&with(json!({"sfu_id": null, "url": "wss://other"}))));
    assert!(one.is_same_focus(&with(json!({"sfu_id": null, "url": null}))), "the same device");
    let livekit = |url: &str| parse(json!({"type": "livekit", "livekit_service_url": url}));
    assert!(livekit("https://a").is_same_focus(&livekit("https://a")));
    assert!(!livekit("https://a").is_same_focus(&livekit("https://b")));
    assert!(!one.is_same_focus(&livekit("https://a")));
}

#[test]
fn names() {
    assert_eq!(parse(json!({"type": "m.livekit", "url": "wss://a"})).kind(), "livekit");
    assert_eq!(parse(json!({"type": "m.livekit"})).kind(), "m.livekit", "lacks its address: of no use, but kept");
    assert_eq!(canonical_kind("org.rust_sfu.full_mesh"), "full_mesh");
    assert_eq!(canonical_kind("x"), "x");
}
