use serde_json::json;
use tokio::net::TcpStream;

use crate::harness::{exchange, get, node, request};

#[tokio::test]
async fn a_node_is_alive_and_with_dev_ready() {
    let dev = node(true).await;
    assert_eq!(get(dev.http_addr(), "/healthz").await.status, 200);
    let ready = get(dev.http_addr(), "/readyz").await;
    assert_eq!((ready.status, ready.json()), (200, json!({ "ready": true, "reasons": [] })));
    assert_eq!(ready.header("access-control-allow-origin"), Some("*"));
    dev.stop().await;
}

#[tokio::test]
async fn without_an_authoriser_a_node_is_alive_but_not_ready() {
    let node = node(false).await;
    assert_eq!(get(node.http_addr(), "/healthz").await.status, 200);
    let ready = get(node.http_addr(), "/readyz").await;
    assert_eq!((ready.status, ready.json()), (503, json!({ "ready": false, "reasons": ["no authoriser configured"] })));
    assert_eq!(node.call_page(), None);
    node.stop().await;
}

#[tokio::test]
async fn tokens_for_anybody_are_only_there_with_dev() {
    let dev = node(true).await;
    let ask = async |node: &sfu_server::node::Node, body: &str| {
        let response = request(node.http_addr(), "POST /dev/token\r\nContent-Type: application/json\r\n", body).await;
        (response.status, response.json()["errcode"].as_str().map(str::to_owned))
    };
    assert_eq!(ask(&dev, r#"{"conference":"c","name":"Ada"}"#).await, (200, None));
    assert_eq!(ask(&dev, r#"{"conference":"c"}"#).await, (200, None));
    assert_eq!(ask(&dev, "x").await, (400, Some("M_NOT_JSON".into())));
    assert_eq!(ask(&dev, r#"{"name":"Ada"}"#).await, (400, Some("M_BAD_JSON".into())));
    assert_eq!(ask(&dev, r#"{"conference":"","name":"Ada"}"#).await, (400, Some("M_INVALID_PARAM".into())));
    assert_eq!(request(dev.http_addr(), "POST /dev/token", &"x".repeat(10_000)).await.status, 413);
    dev.stop().await;
    let node = node(false).await;
    assert_eq!(ask(&node, r#"{"conference":"c","name":"Ada"}"#).await, (404, Some("M_NOT_FOUND".into())));
    // Nobody waits for the body of a request that is refused anyway.
    let stream = TcpStream::connect(node.http_addr()).await.expect("connected");
    let head = "POST /dev/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n";
    let response = exchange(stream, head).await;
    assert_eq!((response.status, &response.json()["errcode"]), (404, &json!("M_NOT_FOUND")));
    node.stop().await;
}

#[tokio::test]
async fn metrics_have_a_listener_of_their_own_but_with_dev() {
    let dev = node(true).await;
    assert_eq!(dev.metrics_addr(), None);
    let metrics = get(dev.http_addr(), "/metrics").await;
    assert!(metrics.status == 200 && metrics.body.contains("\nsfu_participants 0\n"), "{}", metrics.body);
    dev.stop().await;
    let node = node(false).await;
    assert_eq!(get(node.http_addr(), "/metrics").await.status, 404);
    let own = node.metrics_addr().expect("a listener");
    assert!(get(own, "/metrics").await.body.contains("sfu_build_info{version="));
    assert_eq!(get(own, "/healthz").await.status, 404);
    node.stop().await;
}

#[tokio::test]
async fn the_page_comes_with_the_headers_that_protect_it() {
    let node = node(true).await;
    for path in ["/", "/call/abc"] {
        let page = get(node.http_addr(), path).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert!(page.header("permissions-policy").is_some());
    }
    node.stop().await;
}

#[tokio::test]
async fn what_is_not_there_or_not_meant_so_is_told_in_matrix_words() {
    let node = node(true).await;
    let to = node.http_addr();
    for (head, status, errcode) in [
        ("GET /nothing", 404, "M_NOT_FOUND"),
        ("GET /assets/../../../../etc/passwd", 404, "M_NOT_FOUND"),
        ("GET /assets/%2e%2e/index.html", 404, "M_NOT_FOUND"),
        ("POST /nothing", 404, "M_NOT_FOUND"),
        ("POST /healthz", 405, "M_UNRECOGNIZED"),
        ("GET /dev/token", 405, "M_UNRECOGNIZED"),
    ] {
        let response = request(to, head, "").await;
        assert_eq!((response.status, &response.json()["errcode"]), (status, &json!(errcode)), "{head}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{head}");
    }
    let preflight = request(to, "OPTIONS /dev/token\r\nOrigin: https://x.example\r\n", "").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some("*")));
    node.stop().await;
}

#[tokio::test]
async fn with_dev_on_loopback_other_host_names_are_not_served() {
    let node = node(true).await;
    for (host, status) in [("localhost", 200), ("127.0.0.1:1", 200), ("evil.example", 421), ("", 421)] {
        assert_eq!(request(node.http_addr(), &format!("GET /\r\nHost: {host}\r\n"), "").await.status, status, "{host}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let node = node(true).await;
    let large = format!("GET /\r\nX: {}\r\n", "x".repeat(20_000));
    assert_eq!(request(node.http_addr(), &large, "").await.status, 431);
    let many: String = (0..100).map(|n| format!("X{n}: x\r\n")).collect();
    assert_eq!(request(node.http_addr(), &format!("GET /\r\n{many}"), "").await.status, 431);
    node.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_in_a_line() {
    let first = node(true).await;
    let mut config = crate::harness::config(true);
    config.http.listen = first.http_addr();
    let error = sfu_server::node::Node::start(config).await.map(|_| ()).expect_err("taken").to_string();
    assert!(error.starts_with("http.listen 127.0.0.1:") && !error.contains('\n'), "{error}");
    let mut config = crate::harness::config(true);
    config.media.listen = vec![first.media_addr()];
    let error = sfu_server::node::Node::start(config).await.map(|_| ()).expect_err("taken").to_string();
    assert!(error.starts_with("media.listen 127.0.0.1:"), "{error}");
    first.stop().await;
}
