//! Attempts to have the focus ask a server in its own network. Each is made twice: guarded, when the canary must stay
//! untouched, and with every address allowed, when the canary must be hit. Otherwise it would prove nothing.

use std::net::IpAddr;

use super::rig::{Canary, Page, Rig};
use super::{WELL_KNOWN, ip};
use crate::matrix::fetch::Policy;

/// Addresses that nobody may send us to, one for each kind there is.
pub(super) const ADDRESSES: [&str; 29] = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2001::7f00:1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "ff02::1",
];

/// How the address gets to us.
#[derive(Debug, Clone, Copy)]
enum By {
    /// It is the server name.
    Literal,
    /// The server name resolves to it.
    Name,
    /// The server name has a port, and resolves to it.
    NameWithPort,
    /// `m.server` is the address.
    Delegation,
    /// `m.server` is a name that resolves to it.
    DelegatedName,
    /// The delegation is behind a redirect to the address.
    Redirect,
    /// The delegation is behind a redirect to a name that resolves to it.
    RedirectName,
    /// The second of three redirects.
    LaterRedirect,
    /// The name resolves to a good address the first time, and to this one the second.
    Rebinding,
}

const WAYS: [By; 9] = [
    By::Literal,
    By::Name,
    By::NameWithPort,
    By::Delegation,
    By::DelegatedName,
    By::Redirect,
    By::RedirectName,
    By::LaterRedirect,
    By::Rebinding,
];

const GOOD: &str = "93.184.215.14";
const SECRET: &str = "/secret";

fn in_url(ip: IpAddr) -> String {
    if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }
}

/// Whether a connection was made to the bad address.
async fn attempt(canary: &Canary, rig: &Rig, by: By, bad: IpAddr) -> bool {
    let good: &[IpAddr] = &[ip(GOOD)];
    let text = in_url(bad);
    rig.resolve("evil.example", &[good]);
    rig.resolve("inside.example", &[&[bad]]);
    rig.resolve("rebind.example", &[good, &[bad]]);
    canary.serve(SECRET, Page::json("{}"));
    let delegate = |to: &str| canary.serve(WELL_KNOWN, Page::json(&format!("{{\"m.server\":\"{to}\"}}")));
    let redirect = |to: &str| canary.serve(WELL_KNOWN, Page::redirect(to));
    let name = match by {
        By::Literal => text.clone(),
        By::Name => "inside.example".to_owned(),
        By::NameWithPort => "inside.example:8448".to_owned(),
        By::Delegation => {
            delegate(&format!("{text}:443"));
            "evil.example".to_owned()
        }
        By::DelegatedName => {
            delegate("inside.example");
            "evil.example".to_owned()
        }
        By::Redirect => {
            redirect(&format!("https://{text}:8443/admin"));
            "evil.example".to_owned()
        }
        By::RedirectName => {
            redirect("https://inside.example/admin");
            "evil.example".to_owned()
        }
        By::LaterRedirect => {
            redirect("/again");
            canary.serve("/again", Page::redirect(&format!("//{text}/admin")));
            "evil.example".to_owned()
        }
        By::Rebinding => {
            canary.serve(WELL_KNOWN, Page::json("{\"m.server\":\"rebind.example\"}"));
            "rebind.example".to_owned()
        }
    };
    let _ = rig.fetcher.federation_get(&name, SECRET).await;
    let reached = rig.dialed().iter().any(|to| to.ip() == bad);
    let came = !canary.take().is_empty();
    assert!(came || !reached, "whatever was dialed was reached");
    reached
}

#[tokio::test]
async fn no_way_leads_to_an_address_that_is_not_global() {
    let canary = Canary::start().await;
    let mut attempts = 0;
    for by in WAYS {
        for address in ADDRESSES {
            let bad = ip(address);
            let guarded = Rig::new(&canary, Policy::default());
            assert!(!attempt(&canary, &guarded, by, bad).await, "{by:?} {address}: the canary was hit");
            let unguarded = Rig::unguarded(&canary);
            assert!(attempt(&canary, &unguarded, by, bad).await, "{by:?} {address}: it would not have been hit anyway");
            attempts += 1;
        }
    }
    assert_eq!(attempts, ADDRESSES.len() * WAYS.len());
}

/// Of several addresses of a name only the good ones are connected to.
#[tokio::test]
async fn a_good_address_does_not_let_a_bad_one_in() {
    let canary = Canary::start().await;
    for address in ADDRESSES {
        let rig = Rig::new(&canary, Policy::default());
        rig.resolve("mixed.example", &[&[ip(address), ip(GOOD)]]);
        let answer = rig.fetcher.federation_get("mixed.example:1", SECRET).await;
        assert!(answer.is_ok());
        assert!(rig.dialed().iter().all(|to| to.ip() == ip(GOOD)), "{address}");
    }
}

/// What is no https address, or no server name, is not even resolved.
#[tokio::test]
async fn other_schemes_and_odd_names_lead_nowhere() {
    let canary = Canary::start().await;
    for location in [
        "http://other.example/",
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "ftp://other.example/",
        "gopher://other.example/",
        "https://user@other.example/",
        "https://user:pw@other.example/",
        "https:///",
        "unix:/run/docker.sock",
        "data:,x",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://[::ffff:7f00:1]/",
        "https://①②⑦.0.0.1/",
        "https://localhost%00.example/",
        "https://other_example/",
        "\\\\127.0.0.1\\x",
    ] {
        let rig = Rig::new(&canary, Policy::default());
        rig.resolve("evil.example", &[&[ip(GOOD)]]);
        canary.serve(WELL_KNOWN, Page::redirect(location));
        let _ = rig.fetcher.federation_get("evil.example", SECRET).await;
        assert!(rig.resolved().iter().all(|name| name == "evil.example"), "{location}: {:?}", rig.resolved());
        assert!(rig.dialed().iter().all(|to| to.ip() == ip(GOOD)), "{location}: {:?}", rig.dialed());
    }
    for name in [
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "[::1%25lo]",
        "user@evil.example",
        "evil.example/x",
        "evil.example?x",
        "evil.example#x",
        "evil.example:443/x",
        "evil.example\r\nX: y",
        "evil.example:99999",
        "",
        "[::ffff:127.0.0.1",
    ] {
        let rig = Rig::new(&canary, Policy::default());
        let answer = rig.fetcher.federation_get(name, SECRET).await;
        assert_eq!(answer.map(|_| ()), Err(crate::matrix::fetch::Refused::Name), "{name:?}");
        assert!(rig.resolved().is_empty() && rig.dialed().is_empty(), "{name:?}");
    }
}

/// A name that answers only to those who ask inside is refused after it was resolved, by its address.
#[tokio::test]
async fn names_of_this_machine_and_of_a_cloud_are_refused_by_their_addresses() {
    let canary = Canary::start().await;
    for (name, address) in [
        ("localhost", "127.0.0.1"),
        ("a.localhost", "::1"),
        ("localhost.localdomain", "127.0.0.1"),
        ("metadata.google.internal", "169.254.169.254"),
    ] {
        for guarded in [true, false] {
            let rig = if guarded { Rig::new(&canary, Policy::default()) } else { Rig::unguarded(&canary) };
            rig.resolve(name, &[&[ip(address)]]);
            let answer = rig.fetcher.federation_get(&format!("{name}:8448"), SECRET).await;
            assert_eq!((answer.is_err(), rig.dialed().is_empty()), (guarded, guarded), "{name}");
        }
    }
}
