//! Who may call, from outside: a node, homeservers that are asked, and clients.

mod agreement;
mod device;
mod homeserver;
mod old_tokens;
mod stranger;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sfu_server::config::{self, Config, MatrixMode};
use sfu_server::node::Node;

use crate::harness::{self, Client, get, request, within};
use homeserver::Homeserver;
use stranger::Stranger;

const ROOM: &str = "!r:one.example";
/// From the removal to the closed socket.
const SILENT_WITHIN: Duration = Duration::from_secs(2);

/// A folder for one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sfu-matrix-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(folder: &Folder, mode: MatrixMode, homeservers: &[&Homeserver]) -> Config {
    let mut config = harness::config(false);
    config.state.dir = Some(folder.0.join("state"));
    config.matrix.mode = mode;
    config.matrix.public_url = Some("https://sfu.example".to_owned());
    let entry = |homeserver: &&Homeserver| {
        let [as_token, hs_token, account] = homeserver.files(&folder.0);
        let has_tokens = mode == MatrixMode::Appservice;
        config::Homeserver {
            server_name: homeserver.name.clone(),
            url: format!("http://{}", homeserver.address),
            as_token_file: has_tokens.then_some(as_token),
            hs_token_file: has_tokens.then_some(hs_token),
            account_token_file: (!has_tokens).then_some(account),
            pushes_events: false,
        }
    };
    config.matrix.homeservers = homeservers.iter().map(entry).collect();
    config
}

fn proxied(member: &str) -> Value {
    json!({ "room_id": ROOM, "slot_id": "m.call#ROOM", "member_id": member, "device_id": "DEV" })
}

/// With an OpenID token, straight to the focus.
async fn openid(focus: SocketAddr, user: &str, device: &str, token: &Value) -> harness::Response {
    let member = json!({ "id": "m1", "claimed_user_id": user, "claimed_device_id": device });
    let body = json!({ "room_id": ROOM, "slot_id": "m.call#ROOM", "openid_token": token, "member": member });
    let head = "POST /_rust_sfu/v1/get_token\r\nContent-Type: application/json\r\n";
    request(focus, head, &body.to_string()).await
}

fn granted(response: &harness::Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.body);
    response.json()
}

fn refused(response: &harness::Response) -> (u16, String) {
    (response.status, response.json()["errcode"].as_str().expect("an errcode").to_owned())
}

async fn hello(focus: SocketAddr, grant: &Value) -> Client {
    let mut client = Client::open(focus).await;
    client.send(json!({ "t": "hello", "id": 1, "b": { "v": 1, "token": grant["token"] } })).await;
    client
}

async fn enter(focus: SocketAddr, grant: &Value) -> Client {
    let mut client = hello(focus, grant).await;
    let welcome = client.message().await;
    assert_eq!((&welcome["t"], &welcome["b"]["identity"]), (&json!("welcome"), &grant["identity"]), "{welcome}");
    client
}

#[tokio::test]
async fn a_member_is_let_in_and_nobody_else() {
    let folder = Folder::new("let-in");
    let [one, two] = [Homeserver::start("one.example").await, Homeserver::start("two.example").await];
    let node = Node::start(config(&folder, MatrixMode::Appservice, &[&one, &two])).await.expect("started");
    let focus = node.http_addr();
    let (ada, bob, eve) = (one.user("ada"), two.user("bob"), two.user("eve"));
    for homeserver in [&one, &two] {
        homeserver.join(ROOM, &ada);
        homeserver.join(ROOM, &bob);
    }

    let grant = granted(&one.pass_on(focus, &ada, &proxied("m1")).await);
    assert_eq!((&grant["url"], &grant["can_publish"]), (&json!("wss://sfu.example/rtc/v1"), &json!(true)));
    let mut first = enter(focus, &grant).await;
    let second = granted(&two.pass_on(focus, &bob, &proxied("m1")).await);
    enter(focus, &second).await;
    let news = first.message().await;
    assert_eq!(news["b"]["participant"]["identity"], second["identity"], "{news}");

    let forbidden = (403, "M_FORBIDDEN".to_owned());
    let not_there = two.pass_on(focus, &eve, &proxied("m1")).await;
    let no_room = json!({ "room_id": "!none:one.example", "slot_id": "m.call#ROOM", "member_id": "m1" });
    let no_room = one.pass_on(focus, &ada, &no_room).await;
    assert_eq!((refused(&not_there), refused(&no_room)), (forbidden.clone(), forbidden.clone()));
    assert_eq!(not_there.body, no_room.body, "nobody learns which rooms there are");
    // A homeserver speaks for its own users, with its own token, and clients do not speak for it.
    assert_eq!(refused(&two.pass_on(focus, &ada, &proxied("m1")).await), forbidden);
    let line = "POST /_matrix/client/v1/rtc/livekit/rust_sfu/get_token";
    let forged = one.ask_as(focus, "hs-guess", line, &ada, &proxied("m1")).await;
    assert_eq!(refused(&forged), (401, "M_UNAUTHORIZED".to_owned()));
    let other =
        json!({ "room_id": ROOM, "slot_id": "m.call#ROOM", "member_id": "m1", "url": "wss://other.example/rtc/v1" });
    assert_eq!(refused(&one.pass_on(focus, &ada, &other).await), (404, "M_UNRECOGNIZED".to_owned()));
    assert_eq!(one.pass_on(focus, &ada, &json!({ "room_id": ROOM })).await.status, 400);

    let ready = get(focus, "/readyz").await.json();
    let homeservers = json!({ "one.example": "up", "two.example": "up" });
    assert_eq!(ready["matrix"], json!({ "step": "appservice", "homeservers": homeservers }));
    node.stop().await;
}

#[tokio::test]
async fn who_is_removed_is_put_out_and_stays_out_across_a_restart() {
    let folder = Folder::new("removed");
    let one = Homeserver::start("one.example").await;
    let config = config(&folder, MatrixMode::Appservice, &[&one]);
    let node = Node::start(config.clone()).await.expect("started");
    let focus = node.http_addr();
    let (ada, eve) = (one.user("ada"), one.user("eve"));
    one.join(ROOM, &ada);
    one.join(ROOM, &eve);
    let mut stays = enter(focus, &granted(&one.pass_on(focus, &ada, &proxied("m1")).await)).await;
    let mut goes = enter(focus, &granted(&one.pass_on(focus, &eve, &proxied("m1")).await)).await;
    let spare = granted(&one.pass_on(focus, &eve, &proxied("m1")).await);

    one.kick(ROOM, &eve);
    let began = Instant::now();
    let (code, last) = goes.closed().await;
    let took = began.elapsed();
    assert_eq!((code, &last.expect("a word")["b"]["code"]), (4403, &json!("M_FORBIDDEN")));
    assert!(took < SILENT_WITHIN, "{took:?}");
    assert_eq!(refused(&one.pass_on(focus, &eve, &proxied("m1")).await), (403, "M_FORBIDDEN".to_owned()));
    assert_eq!(hello(focus, &spare).await.closed().await.0, 4403);
    stays.send(json!({ "t": "ping", "b": { "n": 7 } })).await;
    while stays.message().await["t"] != "pong" {}
    // A socket that does not answer the farewell would keep the first process's files open for a while.
    drop((stays, goes));
    node.stop().await;

    // The next process cannot ask anybody, and still knows.
    one.set_down(true);
    let node = Node::start(config).await.expect("started again");
    assert_eq!(hello(node.http_addr(), &spare).await.closed().await.0, 4403);
    node.stop().await;
}

#[tokio::test]
async fn a_token_from_before_the_removal_is_of_no_use() {
    let folder = Folder::new("late");
    let one = Homeserver::start("one.example").await;
    let node = Node::start(config(&folder, MatrixMode::Appservice, &[&one])).await.expect("started");
    let eve = one.user("eve");
    one.join(ROOM, &eve);
    let grant = granted(&one.pass_on(node.http_addr(), &eve, &proxied("m1")).await);
    one.kick(ROOM, &eve);
    let (code, _) = hello(node.http_addr(), &grant).await.closed().await;
    assert_eq!(code, 4403, "asked about as soon as she is in");
    node.stop().await;
}

#[tokio::test]
async fn without_the_homeserver_calls_go_on_and_nobody_new_comes() {
    let folder = Folder::new("down");
    let one = Homeserver::start("one.example").await;
    let node = Node::start(config(&folder, MatrixMode::Appservice, &[&one])).await.expect("started");
    let focus = node.http_addr();
    let ada = one.user("ada");
    one.join(ROOM, &ada);
    let mut client = enter(focus, &granted(&one.pass_on(focus, &ada, &proxied("m1")).await)).await;
    one.set_down(true);
    assert_eq!(refused(&one.pass_on(focus, &ada, &proxied("m2")).await), (502, "M_UNKNOWN".to_owned()));
    // Two rounds of questions that nobody answers.
    let metrics = node.metrics_addr().expect("a listener");
    let unanswered = async {
        while !get(metrics, "/metrics").await.body.lines().any(|line| {
            let value = line.strip_prefix("sfu_matrix_membership_checks_total{event=\"unanswered\"} ");
            value.and_then(|value| value.parse::<f64>().ok()).is_some_and(|value| value >= 2.0)
        }) {
            tokio::task::yield_now().await;
        }
    };
    within("two questions", unanswered).await;
    client.send(json!({ "t": "ping", "b": { "n": 1 } })).await;
    assert_eq!(client.message().await["t"], "pong");
    assert_eq!(get(focus, "/readyz").await.json()["matrix"]["homeservers"]["one.example"], "down");
    one.set_down(false);
    granted(&one.pass_on(focus, &ada, &proxied("m2")).await);
    node.stop().await;
}

#[tokio::test]
async fn a_push_is_acted_on_without_waiting_for_the_sweep() {
    let folder = Folder::new("push");
    let one = Homeserver::start("one.example").await;
    let mut config = config(&folder, MatrixMode::Appservice, &[&one]);
    // Swept every 15 s only.
    config.matrix.homeservers[0].pushes_events = true;
    let node = Node::start(config).await.expect("started");
    let focus = node.http_addr();
    let eve = one.user("eve");
    one.join(ROOM, &eve);
    let mut client = enter(focus, &granted(&one.pass_on(focus, &eve, &proxied("m1")).await)).await;
    one.kick(ROOM, &eve);
    let event =
        json!({ "type": "m.room.member", "room_id": ROOM, "state_key": eve, "content": { "membership": "leave" } });
    let began = Instant::now();
    let events = json!({ "events": [{ "type": "m.room.message", "room_id": ROOM }, event] });
    let line = "PUT /_matrix/app/v1/transactions/1";
    assert_eq!(one.ask_as(focus, "hs-guess", line, "", &events).await.status, 401);
    assert_eq!(one.ask_as(focus, &one.hs_token(), line, "", &events).await.status, 200);
    assert_eq!(client.closed().await.0, 4403);
    assert!(began.elapsed() < SILENT_WITHIN);
    node.stop().await;
}

#[tokio::test]
async fn a_stranger_listens_where_there_is_a_call() {
    let folder = Folder::new("stranger");
    let one = Homeserver::start("one.example").await;
    let far = Stranger::start(&folder.0).await;
    let mut config = config(&folder, MatrixMode::Appservice, &[&one]);
    config.matrix.allow_private = vec!["127.0.0.0/8".parse().expect("a network")];
    config.matrix.ca_file = Some(far.certificate.clone());
    let node = Node::start(config).await.expect("started");
    let focus = node.http_addr();
    let (ada, zoe) = (one.user("ada"), far.user.clone());
    one.join(ROOM, &ada);
    one.join(ROOM, &zoe);
    let token = far.openid_token();
    let early = openid(focus, &zoe, "DEV", &token).await;
    assert_eq!(refused(&early), (403, "M_FORBIDDEN".to_owned()));
    let _ada = enter(focus, &granted(&one.pass_on(focus, &ada, &proxied("m1")).await)).await;
    let grant = granted(&openid(focus, &zoe, "DEV", &token).await);
    assert_eq!(grant["can_publish"], false);
    let mut client = enter(focus, &grant).await;
    let again = openid(focus, &zoe, "OTHER", &token).await;
    assert_eq!((refused(&again), again.body), ((403, "M_FORBIDDEN".to_owned()), early.body));
    // A user whose server is another one's, and a token that is none.
    let liar = openid(focus, &ada, "DEV", &token).await;
    assert_eq!(refused(&liar), (401, "M_UNAUTHORIZED".to_owned()));
    let mut wrong = token.clone();
    wrong["access_token"] = json!("wrong");
    assert_eq!(refused(&openid(focus, &zoe, "DEV", &wrong).await), (401, "M_UNAUTHORIZED".to_owned()));
    one.kick(ROOM, &zoe);
    assert_eq!(client.closed().await.0, 4403);
    node.stop().await;
}

#[tokio::test]
async fn with_openid_an_account_sees_the_room_or_the_operator_opens_the_door() {
    let folder = Folder::new("openid");
    let one = Homeserver::start("one.example").await;
    let (ada, eve) = (one.user("ada"), one.user("eve"));
    one.join(ROOM, &ada);
    let (ada_token, eve_token) = (one.openid_token(&ada), one.openid_token(&eve));
    let seen = config(&folder, MatrixMode::Openid, &[&one]);
    let node = Node::start(seen.clone()).await.expect("started");
    let grant = granted(&openid(node.http_addr(), &ada, "DEV", &ada_token).await);
    enter(node.http_addr(), &grant).await;
    let forbidden = (403, "M_FORBIDDEN".to_owned());
    assert_eq!(refused(&openid(node.http_addr(), &eve, "DEV", &eve_token).await), forbidden);
    assert_eq!(one.pass_on(node.http_addr(), &ada, &proxied("m1")).await.status, 401, "no application service");
    assert_eq!(get(node.http_addr(), "/readyz").await.json()["matrix"]["step"], "openid");
    node.stop().await;

    let mut blind = seen;
    blind.matrix.homeservers[0].account_token_file = None;
    let node = Node::start(blind.clone()).await.expect("started");
    assert_eq!(refused(&openid(node.http_addr(), &ada, "DEV", &ada_token).await), forbidden);
    node.stop().await;
    blind.matrix.open = true;
    let node = Node::start(blind).await.expect("started");
    granted(&openid(node.http_addr(), &eve, "DEV", &eve_token).await);
    assert_eq!(get(node.http_addr(), "/readyz").await.json()["matrix"]["step"], "open");
    assert!(one.questions() == 0, "nobody was asked as an application service");
    node.stop().await;
}

/// Else Synapse would use it again in the very moment in which the focus closes it.
#[tokio::test]
async fn a_connection_that_brought_a_token_is_not_kept() {
    let folder = Folder::new("one-request");
    let one = Homeserver::start("one.example").await;
    let node = Node::start(config(&folder, MatrixMode::Appservice, &[&one])).await.expect("started");
    for line in ["POST /_matrix/client/v1/rtc/livekit/rust_sfu/get_token", "POST /_rust_sfu/v1/get_token"] {
        let stream = tokio::net::TcpStream::connect(node.http_addr()).await.expect("connected");
        let head = format!("{line} HTTP/1.1\r\nHost: focus\r\nContent-Length: 2\r\n\r\n{{}}");
        // Ends with the connection, which without the word would be 15 s later.
        let answer = harness::exchange(stream, &head).await;
        assert!(matches!(answer.status, 400 | 401), "{}", answer.body);
        assert_eq!(answer.header("connection"), Some("close"), "{line}");
    }
    node.stop().await;
}

#[tokio::test]
async fn without_a_matrix_section_there_are_no_such_paths() {
    for dev in [false, true] {
        let node = harness::node(dev).await;
        let focus = node.http_addr();
        for line in ["POST /_rust_sfu/v1/get_token", "POST /_matrix/client/v1/rtc/livekit/rust_sfu/get_token"] {
            assert_eq!(request(focus, line, "{}").await.status, 404, "{line}");
        }
        assert_eq!(get(focus, "/readyz").await.json().get("matrix"), None);
        node.stop().await;
    }
}
