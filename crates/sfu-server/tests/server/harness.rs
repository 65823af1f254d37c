//! A node, a plain HTTP client, and a signalling client that knows nothing of the server's own types.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use sfu_server::config::Config;
use sfu_server::node::Node;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what} took longer than {DEADLINE:?}"))
}

/// A configuration that collides with nothing and leaves loopback alone.
pub fn config(dev: bool) -> Config {
    let loopback: SocketAddr = "127.0.0.1:0".parse().expect("address");
    let mut config = Config { dev, ..Config::default() };
    config.http.listen = loopback;
    config.media.listen = vec![loopback];
    config.media.workers = 2;
    if !dev {
        config.metrics.listen = Some(loopback);
    }
    config
}

pub async fn node(dev: bool) -> Node {
    Node::start(config(dev)).await.expect("a node starts")
}

pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// `head`: request line and headers, without `Host`, `Connection` and `Content-Length`.
pub async fn request(to: SocketAddr, head: &str, body: &str) -> Response {
    let stream = TcpStream::connect(to).await.expect("connected");
    let host = match head.contains("Host: ") {
        true => String::new(),
        false => format!("Host: {to}\r\n"),
    };
    let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let length = body.len();
    let text = format!("{line} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    exchange(stream, &text).await
}

pub async fn exchange(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, text: &str) -> Response {
    stream.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    within("an answer", stream.read_to_end(&mut answer)).await.expect("received");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    Response { status, head: head.to_owned(), body: body.to_owned() }
}

pub async fn get(to: SocketAddr, path: &str) -> Response {
    request(to, &format!("GET {path}"), "").await
}

pub async fn token(to: SocketAddr, conference: &str, name: &str) -> String {
    let body = json!({ "conference": conference, "name": name }).to_string();
    let response = request(to, "POST /dev/token\r\nContent-Type: application/json\r\n", &body).await;
    assert_eq!(response.status, 200, "{}", response.body);
    let answer = response.json();
    assert_eq!(answer["url"], "/rtc/v1");
    answer["token"].as_str().expect("a token").to_owned()
}

/// A signalling socket.
pub struct Client(pub WebSocketStream<TcpStream>);

impl Client {
    pub async fn open(to: SocketAddr) -> Self {
        Self::try_open(to, Some("rust-sfu.v1"), &[]).await.expect("opened")
    }

    pub async fn try_open(
        to: SocketAddr,
        subprotocol: Option<&'static str>,
        headers: &[(&'static str, String)],
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{to}/rtc/v1").into_client_request()?;
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert("sec-websocket-protocol", subprotocol.parse().expect("a header"));
        }
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        let stream = TcpStream::connect(to).await.expect("connected");
        let (socket, _) = within("a handshake", tokio_tungstenite::client_async(request, stream)).await?;
        Ok(Self(socket))
    }

    /// A participant with a session.
    pub async fn join(to: SocketAddr, conference: &str) -> Self {
        let mut client = Self::open(to).await;
        let token = token(to, conference, "Ada").await;
        client.send(json!({ "t": "hello", "id": 1, "b": { "v": 1, "token": token } })).await;
        let welcome = client.message().await;
        assert_eq!((&welcome["t"], &welcome["re"]), (&json!("welcome"), &json!(1)), "{welcome}");
        client
    }

    pub async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("sent");
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        match within("a message", self.0.next()).await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// Code of the close frame that comes after any number of messages, with the last of them.
    pub async fn closed(&mut self) -> (u16, Option<Value>) {
        let mut last = None;
        loop {
            match within("a close frame", self.0.next()).await {
                Some(Ok(Message::Text(text))) => last = serde_json::from_str(&text).ok(),
                Some(Ok(Message::Close(Some(CloseFrame { code, .. })))) => {
                    // Reading on is what sends the answer to it.
                    let _ = within("the end of the socket", self.0.next()).await;
                    return (code.into(), last);
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?} instead of a close frame"),
            }
        }
    }
}
