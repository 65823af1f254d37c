//! Servers that are found by SRV records, and what such records may not do.

use super::*;

const FED: &str = "_matrix-fed._tcp.hs.example.";
const OLD: &str = "_matrix._tcp.hs.example.";

/// Asks `hs.example`; who was dialed last, and by which name the server was asked.
async fn ask(canary: &Canary, rig: &Rig) -> Result<(String, String), Refused> {
    canary.serve("/q", Page::json("{}"));
    canary.take();
    rig.fetcher.federation_get("hs.example", "/q").await?;
    let dialed = rig.dialed().last().expect("dialed").to_string();
    Ok((dialed, canary.take().pop().expect("asked").host))
}

fn rig(canary: &Canary) -> Rig {
    let rig = Rig::new(canary, Policy::default());
    rig.resolve("hs.example", &[&[ip("93.184.215.14")]]);
    rig.resolve("a.elsewhere.example", &[&[ip("93.184.215.15")]]);
    rig.resolve("b.elsewhere.example", &[&[ip("93.184.215.16")]]);
    rig.resolve("down.elsewhere.example", &[&[ip("93.184.215.98")]]);
    rig.resolve("inside.elsewhere.example", &[&[ip("10.0.0.1")]]);
    rig
}

fn found(address: &str) -> Result<(String, String), Refused> {
    Ok((address.to_owned(), "hs.example".to_owned()))
}

#[tokio::test]
async fn records_say_where_it_is_and_the_name_stays_its_own() {
    let canary = Canary::start().await;
    // No certificate is for the names that the records point to.
    let of = rig(&canary);
    of.services(FED, &[(20, 9, "a.elsewhere.example."), (10, 8449, "b.elsewhere.example.")]);
    of.services(OLD, &[(1, 7, "a.elsewhere.example.")]);
    assert_eq!(ask(&canary, &of).await, found("93.184.215.16:8449"));
    let of = rig(&canary);
    of.services(OLD, &[(1, 7, "a.elsewhere.example.")]);
    assert_eq!(ask(&canary, &of).await, found("93.184.215.15:7"), "the deprecated one");
    assert_eq!(ask(&canary, &rig(&canary)).await, found("93.184.215.14:8448"), "none at all");
}

#[tokio::test]
async fn the_next_place_is_tried_when_one_is_down() {
    let canary = Canary::start().await;
    let of = rig(&canary);
    of.services(FED, &[(1, 1, "down.elsewhere.example."), (2, 2, "unknown.example."), (3, 3, "a.elsewhere.example.")]);
    assert_eq!(ask(&canary, &of).await, found("93.184.215.15:3"));
    let of = rig(&canary);
    of.services(
        FED,
        &[1, 2, 3, 4].map(|n| (n, n, if n < 4 { "down.elsewhere.example." } else { "a.elsewhere.example." })),
    );
    assert_eq!(ask(&canary, &of).await, Err(Refused::Unreachable), "few are tried");
}

#[tokio::test]
async fn a_record_leads_nowhere_that_a_name_would_not() {
    for target in
        ["inside.elsewhere.example.", "127.0.0.1.", "127.1.", "[::1].", ".", "a_b.example.", "a.elsewhere.example"]
    {
        let canary = Canary::start().await;
        let of = rig(&canary);
        of.services(FED, &[(1, 8448, target)]);
        let answer = ask(&canary, &of).await;
        let expected = if target.starts_with("inside") { Refused::NotGlobal } else { Refused::Unresolved };
        assert_eq!(answer, Err(expected), "{target}");
        assert!(of.dialed().iter().all(|to| to.port() == 443), "{target}: only .well-known was asked");
    }
    let canary = Canary::start().await;
    let of = rig(&canary);
    of.services(FED, &[(1, 0, "a.elsewhere.example.")]);
    assert_eq!(ask(&canary, &of).await, Err(Refused::Unresolved), "port 0");
}

#[tokio::test]
async fn a_name_without_an_address_may_have_records() {
    let canary = Canary::start().await;
    canary.serve("/q", Page::json("{}"));
    let of = rig(&canary);
    of.services("_matrix-fed._tcp.no-address.example.", &[(1, 5, "a.elsewhere.example.")]);
    assert!(of.fetcher.federation_get("no-address.example", "/q").await.is_ok());
    assert_eq!(of.dialed().last().map(ToString::to_string).as_deref(), Some("93.184.215.15:5"));
}

#[tokio::test]
async fn a_delegated_name_may_have_records_and_one_with_a_port_has_none() {
    let canary = Canary::start().await;
    for (delegated, dialed) in [("hs.example", "93.184.215.15:5"), ("hs.example:8449", "93.184.215.14:8449")] {
        let of = rig(&canary);
        of.resolve("other.example", &[&[ip("93.184.215.17")]]);
        of.services(FED, &[(1, 5, "a.elsewhere.example.")]);
        canary.serve(WELL_KNOWN, Page::json(&format!("{{\"m.server\":\"{delegated}\"}}")));
        canary.serve("/q", Page::json("{}"));
        assert!(of.fetcher.federation_get("other.example", "/q").await.is_ok());
        assert_eq!(of.dialed().last().map(ToString::to_string).as_deref(), Some(dialed));
    }
}

#[tokio::test(start_paused = true)]
async fn name_servers_that_are_silent_are_not_waited_for() {
    let canary = Canary::start().await;
    let of = rig(&canary);
    of.resolve("slow-services.example", &[&[ip("93.184.215.14")]]);
    canary.serve("/q", Page::json("{}"));
    assert!(of.fetcher.federation_get("slow-services.example", "/q").await.is_ok());
    assert_eq!(of.dialed().last().map(ToString::to_string).as_deref(), Some("93.184.215.14:8448"));
}
