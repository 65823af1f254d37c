use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;
use sfu_server::node::Node;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::{Client, config, get, node, token, within};

async fn with_connections(connections: usize) -> Node {
    let mut config = config(true);
    config.limits.connections = connections;
    Node::start(config).await.expect("a node starts")
}

#[tokio::test]
async fn a_websocket_is_a_connection_as_long_as_it_lives() {
    let node = with_connections(2).await;
    let to = node.http_addr();
    let _ada = Client::join(to, "room").await;
    let bob = Client::open(to).await;
    let mut third = tokio::spawn(async move { get(to, "/healthz").await.status });
    // It waits for as long as both live, so this cannot fail by chance.
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut third).await.is_err(), "served beyond the bound");
    drop(bob);
    assert_eq!(within("a place", third).await.expect("answered"), 200);
    node.stop().await;
}

#[tokio::test]
async fn sockets_that_say_nothing_leave_room_for_others() {
    let node = with_connections(16).await;
    let to = node.http_addr();
    let token = token(to, "room", "Ada").await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(Client::open(to).await);
    }
    match Client::try_open(to, Some("rust-sfu.v1"), &[]).await.map(|_| ()) {
        Err(Error::Http(response)) => {
            assert_eq!((response.status().as_u16(), response.headers()["retry-after"].as_bytes()), (503, &b"2"[..]));
        }
        other => panic!("{other:?} instead of a refusal"),
    }
    assert!(get(to, "/metrics").await.body.contains("sfu_websockets_refused_total{reason=\"waiting\"} 1\n"));
    // Who is welcome makes room for the next.
    silent[0].send(json!({ "t": "hello", "id": 1, "b": { "v": 1, "token": token } })).await;
    assert_eq!(silent[0].message().await["t"], "welcome");
    silent.push(Client::open(to).await);
    node.stop().await;
}

#[tokio::test]
async fn frames_that_are_no_messages_have_a_bound() {
    let node = node(true).await;
    let mut good = Client::join(node.http_addr(), "room").await;
    let fragment = |opcode| Message::Frame(Frame::message(Vec::new(), OpCode::Data(opcode), false));
    for (first, flood) in [
        (None, Message::Ping(Default::default())),
        (None, Message::Pong(Default::default())),
        (Some(fragment(Data::Text)), fragment(Data::Continue)),
    ] {
        let mut bad = Client::join(node.http_addr(), "another room").await;
        if let Some(first) = first {
            bad.0.feed(first).await.expect("sent");
        }
        for _ in 0..1000 {
            bad.0.feed(flood.clone()).await.expect("sent");
        }
        bad.0.flush().await.expect("sent");
        assert_eq!(bad.closed().await.0, 4429, "{flood:?}");
    }
    // What is within the bound is nobody's business.
    for _ in 0..100 {
        good.0.feed(Message::Ping(Default::default())).await.expect("sent");
    }
    good.send(json!({ "t": "ping", "b": { "n": 1 } })).await;
    loop {
        if let Some(Ok(Message::Text(text))) = within("a pong", futures_util::StreamExt::next(&mut good.0)).await {
            assert!(text.contains("pong"), "{text}");
            break;
        }
    }
    node.stop().await;
}
