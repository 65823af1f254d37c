//! Tokens that are a while old, and homeservers that do not answer when they are used.

use base64::Engine as _;
use focus_control::Origin;
use focus_control::token::{LIFETIME_DEFAULT, Mint, Minter};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

/// One as the node itself made it so long ago.
fn token(folder: &Folder, config: &Config, user: &str, age: Duration) -> Value {
    let key = std::fs::read_to_string(folder.0.join("state/signing.key")).expect("made by the node");
    let seed = base64::engine::general_purpose::STANDARD.decode(key.trim()).expect("base64");
    let minter = Minter::from_seed(&seed.try_into().expect("32 bytes"), config.focus.name.clone()).expect("a key");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let server = user.split_once(':').expect("a user id").1;
    let origin = Origin::new(user, server, ROOM, true);
    let mint = Mint { identity: user, conference: "call", name: "", publish: true, lifetime: LIFETIME_DEFAULT };
    let mut rng = StdRng::from_seed([user.as_bytes()[1]; 32]);
    let token = minter.mint_for(&mint, Some(&origin), now - age, &mut rng).expect("minted");
    json!({ "token": token, "identity": user })
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

/// How many were turned away for this reason.
async fn refusals(node: &Node, reason: &str) -> f64 {
    let metrics = node.metrics_addr().expect("a listener");
    let line = format!("sfu_refusals_total{{reason=\"{reason}\"}} ");
    let count = async {
        loop {
            let body = get(metrics, "/metrics").await.body;
            let value = body.lines().find_map(|l| l.strip_prefix(&line)).and_then(|value| value.parse().ok());
            if let Some(value) = value.filter(|value| *value > 0.0) {
                return value;
            }
            tokio::task::yield_now().await;
        }
    };
    within("a count", count).await
}

#[tokio::test]
async fn nobody_new_comes_in_while_the_homeserver_is_down_and_those_inside_stay() {
    let folder = Folder::new("old-down");
    let one = Homeserver::start("one.example").await;
    let config = config(&folder, MatrixMode::Appservice, &[&one]);
    let node = Node::start(config.clone()).await.expect("started");
    let focus = node.http_addr();
    let (ada, bob, eve) = (one.user("ada"), one.user("bob"), one.user("eve"));
    for user in [&ada, &bob, &eve] {
        one.join(ROOM, user);
    }
    let mut inside = enter(focus, &granted(&one.pass_on(focus, &ada, &proxied("m1")).await)).await;
    let (old, kicked) = (token(&folder, &config, &bob, minute()), token(&folder, &config, &eve, minute()));
    // Removed when the focus cannot see it.
    one.set_down(true);
    one.kick(ROOM, &eve);
    for grant in [&kicked, &old] {
        let mut client = hello(focus, grant).await;
        let error = client.message().await;
        assert_eq!((&error["t"], &error["b"]["errcode"]), (&json!("error"), &json!("M_CONNECTION_TIMEOUT")), "{error}");
        assert_eq!(error["b"]["retry_after_ms"], 2000);
        assert_eq!(client.closed().await.0, 4408);
    }
    assert_eq!(refusals(&node, "unconfirmed").await, 2.0);
    inside.send(json!({ "t": "ping", "b": { "n": 1 } })).await;
    assert_eq!(inside.message().await["t"], "pong");
    // Up again: the one is let in with the token that it has, the other is not.
    one.set_down(false);
    enter(focus, &old).await;
    assert_eq!(hello(focus, &kicked).await.closed().await.0, 4403);
    node.stop().await;
}

#[tokio::test]
async fn a_homeserver_that_is_silent_keeps_nobody_waiting_for_long() {
    let folder = Folder::new("old-silent");
    let one = Homeserver::start("one.example").await;
    let config = config(&folder, MatrixMode::Openid, &[&one]);
    let node = Node::start(config.clone()).await.expect("started");
    let ada = one.user("ada");
    one.join(ROOM, &ada);
    let old = token(&folder, &config, &ada, minute());
    one.set_silent(true);
    let began = Instant::now();
    let mut client = hello(node.http_addr(), &old).await;
    assert_eq!(client.message().await["b"]["errcode"], "M_CONNECTION_TIMEOUT");
    assert_eq!(client.closed().await.0, 4408);
    // Before a client gives up, and before the question does.
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    one.set_silent(false);
    enter(node.http_addr(), &old).await;
    node.stop().await;
}

#[tokio::test]
async fn where_nobody_can_tell_an_open_door_stays_open() {
    let folder = Folder::new("old-open");
    let one = Homeserver::start("one.example").await;
    let mut config = config(&folder, MatrixMode::Openid, &[&one]);
    config.matrix.homeservers[0].account_token_file = None;
    config.matrix.open = true;
    let node = Node::start(config.clone()).await.expect("started");
    enter(node.http_addr(), &token(&folder, &config, &one.user("ada"), minute())).await;
    node.stop().await;
}
