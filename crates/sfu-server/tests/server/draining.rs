use std::time::{Duration, Instant};

use serde_json::json;
use sfu_server::config::Period;
use sfu_server::node::Node;

use crate::harness::{Client, config, get, node, within};

#[tokio::test]
async fn clients_are_told_to_move_and_a_stubborn_one_is_closed_in_time() {
    let mut config = config(true);
    config.drain.timeout = Period(Duration::from_millis(500));
    let node = Node::start(config).await.expect("started");
    let http = node.http_addr();
    let mut ada = Client::join(http, "room").await;
    let began = Instant::now();
    let shutdown = tokio::spawn(node.shutdown());
    let moved = ada.message().await;
    assert_eq!(moved["t"], "move", "{moved}");
    let ready = get(http, "/readyz").await;
    assert_eq!((ready.status, &ready.json()["reasons"]), (503, &json!(["draining"])));
    let (code, _) = ada.closed().await;
    assert_eq!(code, 4503);
    within("the end", shutdown).await.expect("no panic");
    assert!(began.elapsed() < Duration::from_millis(500) + Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(tokio::net::TcpStream::connect(http).await.is_err(), "the port is free again");
}

#[tokio::test]
async fn it_ends_as_soon_as_all_have_left() {
    let mut node = node(true).await;
    let mut ada = Client::join(node.http_addr(), "room").await;
    let http = node.http_addr();
    let client = tokio::spawn(async move {
        assert_eq!(ada.message().await["t"], "move");
        // While it drains, nobody new comes in.
        let token = crate::harness::token(http, "room", "Bob").await;
        let mut bob = Client::open(http).await;
        bob.send(json!({ "t": "hello", "b": { "v": 1, "token": token } })).await;
        let (code, _) = bob.closed().await;
        ada.send(json!({ "t": "leave", "b": { "code": "left" } })).await;
        (ada.closed().await.0, code)
    });
    within("the drain, although its timeout is a minute", node.drain()).await;
    assert_eq!(within("the clients", client).await.expect("no panic"), (1000, 4503));
    node.stop().await;
}

#[tokio::test]
async fn stop_waits_for_nobody() {
    let node = node(true).await;
    let mut ada = Client::join(node.http_addr(), "room").await;
    let stopped = tokio::spawn(node.stop());
    let (code, _) = ada.closed().await;
    assert_eq!(code, 4503);
    within("the end", stopped).await.expect("no panic");
}

#[tokio::test]
async fn a_healthy_node_reports_no_failure() {
    let mut node = node(true).await;
    let http = node.http_addr();
    tokio::select! {
        biased;
        failure = node.join() => panic!("{failure}"),
        response = get(http, "/healthz") => assert_eq!(response.status, 200),
    }
    node.stop().await;
}
