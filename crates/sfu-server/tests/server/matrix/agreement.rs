//! Two homeservers of a room that do not agree.

use super::*;

/// Two homeservers, a node, and one user of each in a call; both homeservers know of both.
async fn call(name: &str) -> (Folder, [Homeserver; 2], Node, [Client; 2]) {
    let folder = Folder::new(name);
    let homeservers = [Homeserver::start("one.example").await, Homeserver::start("two.example").await];
    let [one, two] = &homeservers;
    let node = Node::start(config(&folder, MatrixMode::Appservice, &[one, two])).await.expect("started");
    let (ada, bob) = (one.user("ada"), two.user("bob"));
    for homeserver in &homeservers {
        homeserver.join(ROOM, &ada);
        homeserver.join(ROOM, &bob);
    }
    let focus = node.http_addr();
    let ada = enter(focus, &granted(&one.pass_on(focus, &ada, &proxied("m1")).await)).await;
    let bob = enter(focus, &granted(&two.pass_on(focus, &bob, &proxied("m1")).await)).await;
    // Each has been asked about both.
    two.is_asked(4).await;
    (folder, homeservers, node, [ada, bob])
}

async fn lives(client: &mut Client) {
    client.send(json!({ "t": "ping", "b": { "n": 1 } })).await;
    while client.message().await["t"] != "pong" {}
}

#[tokio::test]
async fn a_kick_counts_that_the_users_own_homeserver_has_not_heard_of() {
    let (_folder, [one, two], node, [mut ada, mut bob]) = call("cut-off").await;
    two.kick(ROOM, &one.user("ada"));
    let began = Instant::now();
    assert_eq!(ada.closed().await.0, 4403);
    assert!(began.elapsed() < SILENT_WITHIN, "{:?}", began.elapsed());
    let focus = node.http_addr();
    assert_eq!(refused(&one.pass_on(focus, &one.user("ada"), &proxied("m1")).await), (403, "M_FORBIDDEN".to_owned()));
    lives(&mut bob).await;
    // Somebody has let her in again.
    two.join(ROOM, &one.user("ada"));
    granted(&one.pass_on(focus, &one.user("ada"), &proxied("m1")).await);
    node.stop().await;
}

#[tokio::test]
async fn nobody_is_let_in_of_whom_one_in_the_room_has_not_heard() {
    let (_folder, [one, two], node, [_ada, _bob]) = call("unheard").await;
    let (focus, eve) = (node.http_addr(), one.user("eve"));
    one.join(ROOM, &eve);
    assert_eq!(refused(&one.pass_on(focus, &eve, &proxied("m1")).await), (502, "M_UNKNOWN".to_owned()));
    // It hears of it while it is asked.
    let asked = two.questions();
    let (body, hears) = (proxied("m1"), async {
        two.is_asked(asked + 2).await;
        two.join(ROOM, &eve);
    });
    let (response, ()) = tokio::join!(one.pass_on(focus, &eve, &body), hears);
    granted(&response);
    // One that does not answer keeps nobody out.
    two.set_down(true);
    let zoe = one.user("zoe");
    one.join(ROOM, &zoe);
    granted(&one.pass_on(focus, &zoe, &proxied("m1")).await);
    node.stop().await;
}

#[tokio::test]
async fn a_homeserver_that_leaves_the_room_takes_nobody_else_along() {
    let (_folder, [one, two], node, [mut ada, mut bob]) = call("leaves").await;
    two.leave(ROOM);
    let (code, _) = bob.closed().await;
    assert_eq!(code, 4403);
    let asked = one.questions();
    one.is_asked(asked + 3).await;
    lives(&mut ada).await;
    node.stop().await;
}
