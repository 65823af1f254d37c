//! Delegated leaves, seen by a client and by its homeserver. Waiting is shortened ([`Timing`]); the order of things is not.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use focus_control::token::{Mint, Minter};
use focus_matrix::delegation::Timing;
use rand::SeedableRng as _;
use serde_json::json;
use sfu_server::config::{Config, Homeserver as HomeserverConfig, MatrixMode};
use sfu_server::node::Node;
use tokio::sync::mpsc;

use crate::harness::{Client, config, get, within};

const LOSS: Duration = Duration::from_millis(1500);
const GRACE: Duration = Duration::from_secs(3);

/// What a homeserver does with delayed events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// They are managed by their ids.
    Open,
    /// It wants a token.
    NeedsToken,
    /// It has none.
    Unsupported,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Managed {
    delay_id: String,
    action: String,
}

struct Shared {
    kind: Kind,
    /// Events that are scheduled.
    scheduled: Mutex<Vec<String>>,
    managed: mpsc::UnboundedSender<Managed>,
}

/// Ends with the test.
struct Homeserver {
    url: String,
    shared: Arc<Shared>,
    managed: mpsc::UnboundedReceiver<Managed>,
    _task: tokio::task::JoinSet<()>,
}

impl Homeserver {
    async fn start(kind: Kind) -> Self {
        let (sender, managed) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { kind, scheduled: Mutex::default(), managed: sender });
        let path = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{id}/{action}";
        let router = Router::new().route(path, post(manage)).with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move { drop(axum::serve(listener, router).await) });
        Self { url, shared, managed, _task: task }
    }

    fn schedule(&self, delay_id: &str) {
        self.shared.scheduled.lock().expect("no panic").push(delay_id.to_owned());
    }

    /// The next request about an event that exists.
    async fn next(&mut self) -> Managed {
        within("a request", self.managed.recv()).await.expect("the homeserver lives")
    }

    /// Waits for a request, past any restarts.
    async fn sent(&mut self) -> Managed {
        loop {
            let managed = self.next().await;
            if managed.action != "restart" {
                return managed;
            }
        }
    }
}

async fn manage(
    State(shared): State<Arc<Shared>>,
    Path((delay_id, action)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    assert!(!headers.contains_key("authorization"), "a focus has no token of a user");
    let error = |status, errcode| (status, Json(json!({ "errcode": errcode, "error": "" }))).into_response();
    match shared.kind {
        Kind::NeedsToken => return error(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN"),
        Kind::Unsupported => return error(StatusCode::NOT_FOUND, "M_UNRECOGNIZED"),
        Kind::Open => {}
    }
    let mut scheduled = shared.scheduled.lock().expect("no panic");
    let Some(at) = scheduled.iter().position(|id| *id == delay_id) else {
        return error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    };
    if action == "send" {
        scheduled.remove(at);
    }
    let _ = shared.managed.send(Managed { delay_id, action });
    Json(json!({})).into_response()
}

struct World {
    hs: Homeserver,
    dir: PathBuf,
    config: Config,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl World {
    async fn new(name: &str, kind: Kind) -> Self {
        let hs = Homeserver::start(kind).await;
        let dir = std::env::temp_dir().join(format!("sfu-delegation-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let mut config = config(false);
        config.state.dir = Some(dir.clone());
        config.drain.timeout = sfu_server::config::Period(Duration::from_millis(1));
        config.matrix.mode = MatrixMode::Openid;
        config.matrix.public_url = Some("https://sfu.example".into());
        let (server_name, url) = ("hs.example".to_owned(), hs.url.clone());
        config.matrix.homeservers = vec![HomeserverConfig { server_name, url, ..HomeserverConfig::default() }];
        config.delegation = Timing { loss: LOSS, grace: GRACE, delay_min: Duration::from_secs(1), ..Timing::default() };
        Self { hs, dir, config }
    }

    async fn node(&self) -> Node {
        Node::start(self.config.clone()).await.expect("started")
    }

    /// A participant with a token as the focus itself would mint it.
    async fn join(&self, http: SocketAddr, identity: &str, publish: bool) -> Client {
        let key = std::fs::read_to_string(self.dir.join("signing.key")).expect("a key");
        let seed = base64::engine::general_purpose::STANDARD.decode(key.trim()).expect("base64");
        let minter = Minter::from_seed(&<[u8; 32]>::try_from(seed).expect("a seed"), "localhost").expect("a key");
        let lifetime = focus_control::token::LIFETIME_DEFAULT;
        let mint = Mint { identity, conference: "call", name: identity, publish, lifetime };
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let token = minter.mint(&mint, unix, &mut rand::rngs::StdRng::from_os_rng()).expect("minted");
        let mut client = Client::open(http).await;
        client.send(json!({ "t": "hello", "id": 1, "b": { "v": 1, "token": token } })).await;
        assert_eq!(client.message().await["t"], "welcome");
        client
    }
}

async fn delegate(client: &mut Client, delay_id: &str, server_name: &str, on_leave: bool) -> serde_json::Value {
    let body = json!({ "delay_id": delay_id, "delay_ms": 1000, "server_name": server_name, "on_leave": on_leave });
    client.send(json!({ "t": "delegate_leave", "id": 5, "b": body })).await;
    client.answer(5).await
}

impl Client {
    async fn answer(&mut self, id: u64) -> serde_json::Value {
        loop {
            let message = self.message().await;
            if message["re"] == id {
                return message;
            }
        }
    }

    /// Something that reaches the control plane at once, as a ping does now and then.
    async fn live(&mut self) {
        self.send(json!({ "t": "keyframe", "id": 9, "b": { "track": "t-0" } })).await;
        self.answer(9).await;
    }
}

#[tokio::test]
async fn a_will_is_restarted_while_its_client_lives_and_sent_when_it_dies() {
    let mut w = World::new("dies", Kind::Open).await;
    let node = w.node().await;
    let mut client = w.join(node.http_addr(), "ada", true).await;
    w.hs.schedule("the-will");
    assert_eq!(delegate(&mut client, "the-will", "hs.example", false).await["b"]["state"], "held");
    // Longer than the silence that counts: 5 times 0.75 s.
    let mut last = Instant::now();
    for _ in 0..6 {
        assert_eq!(w.hs.next().await.action, "restart");
        last = Instant::now();
        client.live().await;
    }
    drop(client);
    let sent = w.hs.sent().await;
    assert_eq!((sent.delay_id.as_str(), sent.action.as_str()), ("the-will", "send"));
    let took = last.elapsed();
    assert!(took >= LOSS && took < LOSS + Duration::from_secs(5), "{took:?}");
    node.stop().await;
}

#[tokio::test]
async fn it_survives_a_restart_of_the_focus_without_a_false_leave() {
    let mut w = World::new("restart", Kind::Open).await;
    let node = w.node().await;
    let mut client = w.join(node.http_addr(), "ada", true).await;
    w.hs.schedule("the-will");
    assert_eq!(delegate(&mut client, "the-will", "hs.example", false).await["b"]["state"], "held");
    node.shutdown().await;
    drop(client);
    let node = w.node().await;
    let started = Instant::now();
    // Restarts go on although nobody is there yet.
    for _ in 0..3 {
        assert_eq!(w.hs.next().await.action, "restart");
    }
    let mut client = w.join(node.http_addr(), "ada", true).await;
    while started.elapsed() < GRACE + LOSS {
        assert_eq!(w.hs.next().await.action, "restart", "no false leave");
        client.live().await;
    }
    drop(client);
    assert_eq!(w.hs.sent().await.action, "send");
    node.stop().await;
}

#[tokio::test]
async fn who_does_not_come_back_after_a_restart_of_the_focus_is_gone_after_the_grace() {
    let mut w = World::new("grace", Kind::Open).await;
    let node = w.node().await;
    let mut client = w.join(node.http_addr(), "ada", true).await;
    w.hs.schedule("the-will");
    assert_eq!(delegate(&mut client, "the-will", "hs.example", false).await["b"]["state"], "held");
    node.shutdown().await;
    let started = Instant::now();
    let node = w.node().await;
    assert_eq!(w.hs.sent().await.action, "send");
    assert!(started.elapsed() >= GRACE, "{:?}", started.elapsed());
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_has_it_sent_if_it_asked_for_that_and_can_take_it_back() {
    let mut w = World::new("leaves", Kind::Open).await;
    let node = w.node().await;
    let mut ada = w.join(node.http_addr(), "ada", true).await;
    let mut bob = w.join(node.http_addr(), "bob", true).await;
    w.hs.schedule("ada's");
    w.hs.schedule("bob's");
    assert_eq!(delegate(&mut ada, "ada's", "hs.example", true).await["b"]["state"], "held");
    assert_eq!(delegate(&mut bob, "bob's", "hs.example", true).await["b"]["state"], "held");
    bob.send(json!({ "t": "take_back_leave", "id": 6, "b": {} })).await;
    assert_eq!(bob.answer(6).await["b"]["state"], "returned");
    bob.send(json!({ "t": "take_back_leave", "id": 7, "b": {} })).await;
    assert_eq!(bob.answer(7).await["b"]["errcode"], "M_NOT_FOUND");
    for client in [&mut bob, &mut ada] {
        client.send(json!({ "t": "leave", "b": { "code": "left" } })).await;
        assert_eq!(client.closed().await.0, 1000);
    }
    assert_eq!(w.hs.sent().await, Managed { delay_id: "ada's".into(), action: "send".into() });
    let metrics = get(node.metrics_addr().expect("metrics"), "/metrics").await.body;
    assert!(metrics.contains("sfu_delegated_leave_events_total{event=\"taken_back\"}"), "{metrics}");
    node.stop().await;
}

#[tokio::test]
async fn what_cannot_be_held_is_refused_so_that_the_client_goes_on_itself() {
    for (kind, server_name, publish, errcode) in [
        (Kind::NeedsToken, "hs.example", true, "M_FORBIDDEN"),
        (Kind::Unsupported, "hs.example", true, "M_UNRECOGNIZED"),
        (Kind::Open, "hs.example", true, "M_NOT_FOUND"),
        (Kind::Open, "elsewhere.example", true, "M_FORBIDDEN"),
        (Kind::Open, "hs.example", false, "M_FORBIDDEN"),
    ] {
        let w = World::new("refused", kind).await;
        let node = w.node().await;
        let mut client = w.join(node.http_addr(), "ada", publish).await;
        let answer = delegate(&mut client, "unknown", server_name, false).await;
        assert_eq!((&answer["t"], &answer["b"]["errcode"]), (&json!("error"), &json!(errcode)), "{answer}");
        node.stop().await;
    }
}
