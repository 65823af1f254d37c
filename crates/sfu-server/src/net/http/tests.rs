use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, timeout};

use super::*;

/// Larger than what is buffered on the way.
const LARGE: usize = 4 * 1024 * 1024;

/// A connection, in virtual time; the permits tell when it is over.
fn connection() -> (DuplexStream, Arc<Semaphore>, watch::Sender<bool>) {
    let router = Router::new()
        .route("/", get(async || "here"))
        .route("/large", get(async || Bytes::from(vec![7; LARGE])))
        .route("/read", post(async |body: Bytes| body));
    let (client, server) = tokio::io::duplex(64 * 1024);
    let permits = Arc::new(Semaphore::new(1));
    let permit = permits.clone().try_acquire_owned().expect("one");
    let place = Arc::new(Sources::default()).enter([127, 0, 0, 1].into()).expect("room");
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(serve_http(server, router, Held { _places: Arc::new((permit, place)) }, stopped));
    (client, permits, stop)
}

/// How long it takes until the connection's place is free.
async fn until_free(permits: &Semaphore) -> Duration {
    let start = Instant::now();
    timeout(10 * HTTP_MAX, permits.acquire()).await.expect("it is given back").expect("open").forget();
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_gives_its_place_back() {
    for request in [
        "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
        "POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
        "GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let (mut client, permits, _stop) = connection();
        client.write_all(request.as_bytes()).await.expect("sent");
        assert_eq!(until_free(&permits).await, HTTP_MAX, "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_client_does_not_keep_a_node_from_stopping() {
    let (mut client, permits, stop) = connection();
    client.write_all(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n").await.expect("sent");
    stop.send_replace(true);
    assert!(until_free(&permits).await <= HTTP_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_used_again_and_again_ends_between_two_requests() {
    let (mut client, permits, _stop) = connection();
    let (start, mut answers) = (Instant::now(), 0);
    loop {
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"here") {
            assert_ne!(client.read_buf(&mut answer).await.expect("read"), 0, "cut off");
        }
        answers += 1;
        let mut byte = [0];
        if let Ok(end) = timeout(Duration::from_secs(3), client.read(&mut byte)).await {
            assert_eq!(end.expect("an end"), 0);
            break;
        }
    }
    assert_eq!((start.elapsed(), answers), (LAST_REQUEST, 7));
    until_free(&permits).await;
}
