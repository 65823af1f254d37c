//! A homeserver on loopback that knows some tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::get;
use serde_json::json;

use super::*;
use crate::matrix::fetch::Policy;

struct Homeserver {
    fetcher: Fetcher,
    asked: Arc<AtomicUsize>,
    _task: tokio::task::JoinSet<()>,
}

/// Answers for `hs.example`. A token is `of:` and a user id.
async fn homeserver() -> Homeserver {
    let asked = Arc::new(AtomicUsize::new(0));
    let userinfo = async |State(count): State<Arc<AtomicUsize>>, RawQuery(query): RawQuery| {
        count.fetch_add(1, Ordering::Relaxed);
        let url = reqwest::Url::parse(&format!("http://hs/?{}", query.unwrap_or_default())).expect("a query");
        let tokens: Vec<_> = url.query_pairs().filter(|(name, _)| name == "access_token").collect();
        match tokens[0].1.strip_prefix("of:").filter(|_| tokens.len() == 1) {
            Some(user) => axum::Json(json!({ "sub": user })).into_response(),
            None => (StatusCode::UNAUTHORIZED, axum::Json(json!({ "errcode": "M_UNKNOWN_TOKEN" }))).into_response(),
        }
    };
    let router = axum::Router::new().route("/_matrix/federation/v1/openid/userinfo", get(userinfo));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = reqwest::Url::parse(&format!("http://{}", listener.local_addr().expect("an address"))).expect("a URL");
    let mut task = tokio::task::JoinSet::new();
    let router = router.with_state(asked.clone());
    task.spawn(async move { drop(axum::serve(listener, router).await) });
    let policy = Policy { homeservers: [("hs.example".to_owned(), url)].into(), ..Policy::default() };
    Homeserver { fetcher: Fetcher::new(policy).expect("a fetcher"), asked, _task: task }
}

fn token(text: &str) -> OpenIdToken {
    OpenIdToken { access_token: text.into(), matrix_server_name: "hs.example".into(), expires_in: 3600 }
}

#[tokio::test]
async fn a_token_is_asked_about_once_and_good_for_one_user_and_device() {
    let hs = homeserver().await;
    let openid = OpenId::default();
    let ada = token("of:@ada:hs.example");
    let verify = async |user, device| openid.verify(&hs.fetcher, &ada, user, device).await.map(|u| u.to_string());
    assert_eq!(verify("@ada:hs.example", "A").await.as_deref(), Ok("@ada:hs.example"));
    assert_eq!(verify("@ada:hs.example", "A").await.as_deref(), Ok("@ada:hs.example"));
    assert_eq!(hs.asked.load(Ordering::Relaxed), 1);
    assert_eq!(verify("@ada:hs.example", "B").await, Err(OpenIdError::Reused));
    assert_eq!(verify("@bob:hs.example", "A").await, Err(OpenIdError::Reused));
    assert_eq!(hs.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn nobody_is_whom_his_own_homeserver_does_not_name() {
    let hs = homeserver().await;
    let openid = OpenId::default();
    let strange = OpenIdToken { matrix_server_name: "evil.example".into(), ..token("of:@ada:hs.example") };
    let long = token(&format!("of:@ada:hs.example{}", " ".repeat(TOKEN_BYTES_MAX)));
    for (token, user, error) in [
        (token("of:@bob:hs.example"), "@ada:hs.example", OpenIdError::Unknown),
        (token("of:@ada:other.example"), "@ada:hs.example", OpenIdError::Unknown),
        (token("unknown"), "@ada:hs.example", OpenIdError::Unknown),
        (token("of:@ada:other.example"), "@ada:other.example", OpenIdError::Form),
        (strange, "@ada:hs.example", OpenIdError::Form),
        (token("of:@ada:hs.example"), "ada", OpenIdError::Form),
        (long, "@ada:hs.example", OpenIdError::Form),
        (token("of:@ada:hs.example&access_token=x"), "@ada:hs.example", OpenIdError::Unknown),
    ] {
        let verified = openid.verify(&hs.fetcher, &token, user, "A").await;
        assert_eq!(verified.map(|_| ()), Err(error), "{user}");
    }
    assert!(openid.used.lock().expect("no panic").is_empty(), "what failed is not remembered");
}

#[tokio::test]
async fn a_token_is_forgotten_when_it_has_expired_and_memory_is_bounded() {
    let openid = OpenId::default();
    let now = Instant::now();
    let user = OwnedUserId::try_from("@ada:hs.example").expect("a user");
    let used = |expires| Use { user: user.clone(), device: "A".into(), expires };
    openid.remember([255; 32], used(now)).expect("new");
    assert!(openid.recall(&[255; 32]).is_none());
    openid.remember([255; 32], Use { device: "B".into(), ..used(now + LIFETIME_MAX) }).expect("the old use is over");
    for n in 0..REMEMBERED_MAX + 5 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        openid.remember(hash, used(now + Duration::from_secs(60 + n as u64))).expect("new");
    }
    assert_eq!(openid.used.lock().expect("no panic").len(), REMEMBERED_MAX);
    assert!(openid.recall(&[0; 32]).is_none() && openid.recall(&[255; 32]).is_some(), "the first to expire made room");
}
