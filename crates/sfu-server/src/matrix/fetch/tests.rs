//! The guard, seen from whoever tries to get past it. Nothing leaves loopback: the dialer of these tests writes down where it
//! was sent, and connects to a canary instead.

mod attacks;
mod rig;
mod services;

use std::net::IpAddr;

use rig::{Canary, Page, Rig};

use super::*;

const WELL_KNOWN: &str = "/.well-known/matrix/server";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

#[tokio::test]
async fn an_honest_server_is_found_in_every_way_the_standard_has() {
    let canary = Canary::start().await;
    for (server_name, delegated, dialed, host) in [
        ("hs.example:8449", None, "93.184.215.14:8449", "hs.example:8449"),
        ("93.184.215.14", None, "93.184.215.14:8448", "93.184.215.14"),
        ("93.184.215.14:1", None, "93.184.215.14:1", "93.184.215.14:1"),
        ("[2606:4700::1]:2", None, "[2606:4700::1]:2", "[2606:4700::1]:2"),
        ("hs.example", None, "93.184.215.14:8448", "hs.example"),
        ("hs.example", Some("other.example"), "93.184.215.15:8448", "other.example"),
        ("hs.example", Some("other.example:443"), "93.184.215.15:443", "other.example:443"),
        ("hs.example", Some("93.184.215.16"), "93.184.215.16:8448", "93.184.215.16"),
    ] {
        let rig = Rig::new(&canary, Policy::default());
        rig.resolve("hs.example", &[&[ip("93.184.215.14")]]);
        rig.resolve("other.example", &[&[ip("93.184.215.15")]]);
        if let Some(delegated) = delegated {
            canary.serve(WELL_KNOWN, Page::json(&format!("{{\"m.server\":\"{delegated}\"}}")));
        }
        canary.serve("/question?a=b", Page::json("{\"answer\":1}"));
        let answer = rig.fetcher.federation_get(server_name, "/question?a=b").await;
        assert_eq!(answer.map(|a| a.status), Ok(200), "{server_name}");
        assert_eq!(rig.dialed().last().map(ToString::to_string).as_deref(), Some(dialed), "{server_name}");
        assert_eq!(canary.take().last().map(|r| r.host.clone()).as_deref(), Some(host), "{server_name}");
    }
}

#[tokio::test]
async fn a_delegation_may_be_behind_three_redirects_but_not_four() {
    for (redirects, found) in [(3, "93.184.215.15"), (4, "93.184.215.14")] {
        let canary = Canary::start().await;
        let rig = Rig::new(&canary, Policy::default());
        rig.resolve("hs.example", &[&[ip("93.184.215.14")]]);
        rig.resolve("other.example", &[&[ip("93.184.215.15")]]);
        canary.serve(WELL_KNOWN, Page::redirect("/1"));
        for n in 1..redirects {
            canary.serve(&format!("/{n}"), Page::redirect(&format!("https://other.example/{}", n + 1)));
        }
        canary.serve(&format!("/{redirects}"), Page::json("{\"m.server\":\"other.example\"}"));
        let _ = rig.fetcher.federation_get("hs.example", "/q").await;
        assert_eq!(rig.dialed().last().expect("asked").to_string(), format!("{found}:8448"));
    }
}

#[tokio::test]
async fn a_configured_server_is_asked_where_the_operator_said_and_by_no_other_way() {
    let canary = Canary::start().await;
    canary.serve("/base/question", Page::json("{}"));
    let url = reqwest::Url::parse(&format!("https://localhost:{}/base/", canary.port())).expect("a URL");
    let rig = Rig::new(&canary, Policy { homeservers: [("HS.example".into(), url)].into(), ..Policy::default() });
    let answer = rig.fetcher.federation_get("hs.EXAMPLE", "/question").await.expect("answered");
    assert_eq!(answer.status, 200);
    assert!(rig.dialed().is_empty() && rig.resolved().is_empty(), "no discovery");
    assert_eq!(canary.take().len(), 1);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let canary = Canary::start().await;
    let rig = Rig::new(&canary, Policy::default());
    rig.resolve("not-in-the-certificate.example", &[&[ip("93.184.215.14")]]);
    let answer = rig.fetcher.federation_get("not-in-the-certificate.example:1", "/q").await;
    assert_eq!(answer.map(|_| ()), Err(Refused::Unreachable));
    assert!(canary.take().is_empty());
}

#[tokio::test]
async fn too_much_is_not_read() {
    let canary = Canary::start().await;
    let rig = Rig::new(&canary, Policy::default());
    rig.resolve("hs.example", &[&[ip("93.184.215.14")]]);
    canary.serve("/fits", Page::json(&" ".repeat(GUARDED_BYTES_MAX)));
    canary.serve("/large", Page::json(&" ".repeat(GUARDED_BYTES_MAX + 1)));
    let get = async |path| rig.fetcher.federation_get("hs.example:1", path).await.map(|a| a.status);
    assert_eq!(get("/fits").await, Ok(200));
    assert_eq!(get("/large").await, Err(Refused::BadAnswer));
    assert_eq!(get("/fits").await, Err(Refused::Recently), "one that failed is left alone");
}

#[tokio::test(start_paused = true)]
async fn neither_resolving_nor_connecting_nor_answering_may_take_long() {
    let canary = Canary::start().await;
    for (name, limit) in [("slow-name.example:1", CONNECT_TIMEOUT), ("slow-dial.example:1", CONNECT_TIMEOUT)] {
        let rig = Rig::new(&canary, Policy::default());
        rig.resolve("slow-dial.example", &[&[ip("93.184.215.99")]]);
        let before = tokio::time::Instant::now();
        let answer = rig.fetcher.federation_get(name, "/q").await;
        assert_eq!(answer.map(|_| ()), Err(Refused::Timeout), "{name}");
        assert!(before.elapsed() <= limit + Duration::from_millis(10), "{name}: {:?}", before.elapsed());
    }
}

#[tokio::test]
async fn what_went_wrong_is_counted_and_not_told() {
    let canary = Canary::start().await;
    let rig = Rig::new(&canary, Policy::default());
    rig.resolve("inside.example", &[&[ip("10.0.0.1")]]);
    let errors = [
        rig.fetcher.federation_get("inside.example:1", "/q").await,
        rig.fetcher.federation_get("nowhere.example:1", "/q").await,
        rig.fetcher.federation_get("a b", "/q").await,
    ];
    let texts = errors.map(|answer| answer.map(|_| ()).expect_err("refused").to_string());
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    let (asked, counts) = rig.fetcher.counts();
    assert_eq!(asked, 3);
    let some: Vec<_> = counts.into_iter().filter(|(_, n)| *n > 0).collect();
    assert_eq!(some, [("name", 1), ("unresolved", 1), ("not_global", 1)]);
}
