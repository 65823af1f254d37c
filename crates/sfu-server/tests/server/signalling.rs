use futures_util::SinkExt as _;
use serde_json::json;
use sfu_server::node::Node;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::{Client, config, get, node, token};

fn status(result: Result<Client, Error>) -> u16 {
    match result.map(|_| ()) {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?} instead of a refusal"),
    }
}

#[tokio::test]
async fn a_dev_token_is_welcome_once() {
    let node = node(true).await;
    let token = token(node.http_addr(), "room", "Ada").await;
    let hello = json!({ "t": "hello", "id": 7, "b": { "v": 1, "token": token } });
    let mut first = Client::open(node.http_addr()).await;
    first.send(hello.clone()).await;
    let welcome = first.message().await;
    assert_eq!((&welcome["t"], &welcome["re"]), (&json!("welcome"), &json!(7)), "{welcome}");
    assert_eq!(welcome["b"]["limits"]["message_bytes"], 1280 * 1024);
    first.send(json!({ "t": "ping", "id": 8, "b": { "n": 3 } })).await;
    assert_eq!(first.message().await, json!({ "t": "pong", "re": 8, "b": { "n": 3 } }));

    let mut second = Client::open(node.http_addr()).await;
    second.send(hello).await;
    let (code, error) = second.closed().await;
    assert_eq!((code, &error.expect("an error")["b"]["errcode"]), (4401, &json!("M_UNAUTHORIZED")));
    node.stop().await;
}

#[tokio::test]
async fn two_participants_see_each_other_come_and_go() {
    let node = node(true).await;
    let mut ada = Client::join(node.http_addr(), "room").await;
    let mut bob = Client::join(node.http_addr(), "room").await;
    let joined = ada.message().await;
    assert_eq!((&joined["t"], &joined["b"]["event"]), (&json!("participant"), &json!("joined")), "{joined}");
    bob.send(json!({ "t": "leave", "b": { "code": "left" } })).await;
    assert_eq!(bob.closed().await.0, 1000);
    let left = ada.message().await;
    assert_eq!((&left["b"]["event"], &left["b"]["reason"]), (&json!("left"), &json!("left")), "{left}");
    node.stop().await;
}

#[tokio::test]
async fn an_offer_is_answered_with_candidates_of_this_machine() {
    let node = node(true).await;
    let mut ada = Client::join(node.http_addr(), "room").await;
    let mut rtc = str0m::Rtc::new(std::time::Instant::now());
    let mut change = rtc.sdp_api();
    change.add_media(str0m::media::MediaKind::Audio, str0m::media::Direction::SendRecv, None, None, None);
    let (offer, _) = change.apply().expect("an offer");
    let offer = json!({ "sdp": offer.to_sdp_string(), "seq": 1, "tracks": [] });
    ada.send(json!({ "t": "offer", "id": 2, "b": offer })).await;
    let answer = ada.message().await;
    assert_eq!((&answer["t"], &answer["re"]), (&json!("answer"), &json!(2)), "{answer}");
    let sdp = answer["b"]["sdp"].as_str().expect("an SDP");
    let candidate = format!("127.0.0.1 {} typ host", node.media_addr().port());
    assert!(sdp.contains(&candidate) && sdp.contains("a=ice-lite"), "{sdp}");
    node.stop().await;
}

#[tokio::test]
async fn without_an_authoriser_nobody_is_let_in() {
    // Not even with a token that is signed with this server's own key.
    let key = std::env::temp_dir().join(format!("sfu-closed-{}", std::process::id()));
    let [mut open, mut closed] = [config(true), config(false)];
    (open.auth.signing_key_file, closed.auth.signing_key_file) = (Some(key.clone()), Some(key.clone()));
    let dev = Node::start(open).await.expect("started");
    let token = token(dev.http_addr(), "room", "Ada").await;
    let node = Node::start(closed).await.expect("started");
    std::fs::remove_file(&key).expect("made by the first");
    let mut client = Client::open(node.http_addr()).await;
    client.send(json!({ "t": "hello", "id": 1, "b": { "v": 1, "token": token } })).await;
    let (code, error) = client.closed().await;
    assert!(matches!(code, 4401 | 4403), "{code} {error:?}");
    assert_eq!(error.expect("an error")["t"], "error");
    dev.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn only_this_subprotocol_is_spoken() {
    let node = node(true).await;
    for subprotocol in [None, Some("rust-sfu.v2"), Some("livekit")] {
        assert_eq!(status(Client::try_open(node.http_addr(), subprotocol, &[]).await), 400, "{subprotocol:?}");
    }
    Client::try_open(node.http_addr(), Some("other, rust-sfu.v1"), &[]).await.expect("one of several");
    assert_eq!(get(node.http_addr(), "/rtc/v1").await.status, 400, "no WebSocket at all");
    node.stop().await;
}

#[tokio::test]
async fn pages_of_other_hosts_are_refused_unless_listed() {
    let mut config = config(true);
    config.http.allowed_origins = vec!["https://call.example".into()];
    let node = Node::start(config).await.expect("started");
    let to = node.http_addr();
    let open = async |origin: String| Client::try_open(to, Some("rust-sfu.v1"), &[("origin", origin)]).await;
    assert_eq!(status(open("https://evil.example".into()).await), 403);
    assert_eq!(status(open(format!("http://localhost:{}", to.port())).await), 403);
    open(format!("http://{to}")).await.expect("the same host");
    open("https://call.example".into()).await.expect("a listed page");
    let metrics = get(to, "/metrics").await.body;
    assert!(metrics.contains("sfu_websockets_refused_total{reason=\"origin\"} 2"), "{metrics}");
    node.stop().await;
}

#[tokio::test]
async fn garbage_closes_its_own_socket_only() {
    let node = node(true).await;
    let mut good = Client::join(node.http_addr(), "room").await;
    for (message, code) in [
        (Message::text("garbage"), 4400),
        (Message::text(r#"{"t":"offer","b":{}}"#), 4400),
        (Message::binary(vec![1, 2, 3]), 4400),
        (Message::text(format!("\"{}\"", "x".repeat(300 * 1024))), 4413),
    ] {
        let mut bad = Client::open(node.http_addr()).await;
        bad.0.send(message).await.expect("sent");
        let (closed, error) = bad.closed().await;
        assert_eq!(closed, code);
        assert_eq!(error.expect("an error")["t"], "error");
    }
    // Absurd rather than too large: it is not even read to its end.
    let mut absurd = Client::open(node.http_addr()).await;
    let _ = absurd.0.send(Message::text("x".repeat(4 * 1024 * 1024))).await;
    let ended = crate::harness::within("the end of the socket", async {
        use futures_util::StreamExt as _;
        while let Some(Ok(_)) = absurd.0.next().await {}
    });
    ended.await;
    good.send(json!({ "t": "ping", "b": { "n": 1 } })).await;
    assert_eq!(good.message().await["t"], "pong");
    node.stop().await;
}
