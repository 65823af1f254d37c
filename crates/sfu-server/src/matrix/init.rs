//! What an operator needs to make a focus an application service of a homeserver, with fresh tokens: text, nothing else.

use std::fmt::Write as _;

use focus_control::token::Minter;
use serde_json::json;

use super::gate::{sfu_id, signalling_url};
use crate::random::{self, OsError};

/// Id of the application service, and local part of its user.
const ID: &str = "rust-sfu";
const SENDER: &str = "_rust_sfu";
/// Under what Synapse lets an application service take over (it allows `rtc/livekit` and what is below it).
pub(crate) const PROXY_PREFIX: &str = "rtc/livekit/rust_sfu";
const SCOPE: &str = "urn:matrix:client:io.element.msc4502:rooms:is_joined";

/// What cannot be guessed.
pub(crate) struct Setup<'a> {
    pub(crate) server_name: &'a str,
    /// Of the focus, for clients.
    pub(crate) public_url: &'a str,
    /// Of the focus, for the homeserver.
    pub(crate) focus_url: &'a str,
    /// Of the homeserver, for the focus.
    pub(crate) homeserver_url: &'a str,
    /// All events of the homeserver's users are pushed.
    pub(crate) push: bool,
}

/// What both homeservers and clients announce.
fn transport(setup: &Setup<'_>, minter: Option<&Minter>) -> serde_json::Value {
    let id = minter.map_or_else(|| "<printed when --config names a configuration with a key>".to_owned(), sfu_id);
    json!({
        "type": "rust_sfu",
        "version": 1,
        "url": signalling_url(setup.public_url),
        "service_url": setup.public_url.trim_end_matches('/'),
        "sfu_id": id,
        "server_name": setup.server_name,
        "e2ee": ["sframe-rfc9605"],
    })
}

/// `minter`: with the key of the focus. `None`: there is no key that would be the same at the next start.
pub(crate) fn text(setup: &Setup<'_>, minter: Option<&Minter>) -> Result<String, OsError> {
    let (as_token, hs_token) = (random::text::<32>()?, random::text::<32>()?);
    let transport = transport(setup, minter);
    let users = match setup.push {
        // Every local user: so the homeserver pushes what happens in their rooms.
        true => format!("[{{exclusive: false, regex: {}}}]", json!(format!("@.*:{}", regex(setup.server_name)))),
        false => "[]".to_owned(),
    };
    let url = if setup.push { json!(setup.focus_url) } else { json!(null) };
    let [server_name, focus_url, homeserver_url, public_url] =
        [setup.server_name, setup.focus_url, setup.homeserver_url, setup.public_url].map(|text| json!(text));
    let pushes = if setup.push { "\npushes_events = true" } else { "" };
    let mut text = String::new();
    let mut part = |head: &str, body: String| {
        let _ = write!(text, "# ---- {head}\n{}\n\n", body.trim_end());
    };
    part(
        "rust-sfu.yaml, beside homeserver.yaml: the application service",
        format!(
            "id: {ID}\nurl: {url}\nas_token: {as_token:?}\nhs_token: {hs_token:?}\nsender_localpart: {SENDER}\n\
             rate_limited: false\nnamespaces: {{users: {users}, aliases: [], rooms: []}}\n\
             io.element.msc4502.scopes: [{SCOPE:?}]\n\
             io.element.msc4512.proxy_prefix: {PROXY_PREFIX}\nio.element.msc4512.proxy_url: {focus_url}\n"
        ),
    );
    part(
        "homeserver.yaml: to be added (Synapse 1.163 or later)",
        format!(
            "app_service_config_files:\n  - /etc/matrix-synapse/rust-sfu.yaml\nexperimental_features:\n  \
             msc4143_enabled: true\n  msc4354_enabled: true\n  msc4502_enabled: true\n  msc4512_enabled: true\n\
             max_event_delay_duration: 24h\nmatrix_rtc:\n  transports:\n    - {transport}\n"
        ),
    );
    let discovery = json!({ "org.matrix.msc4143.rtc_foci": [transport] });
    part(
        "https://<server name>/.well-known/matrix/client: to be added, for clients that look there",
        serde_json::to_string_pretty(&discovery).unwrap_or_default(),
    );
    part("/etc/sfu-server/as_token, readable by sfu-server only", as_token);
    part("/etc/sfu-server/hs_token, readable by sfu-server only", hs_token);
    part(
        "/etc/sfu-server/config.toml: to be added",
        format!(
            "[state]\ndir = \"/var/lib/sfu-server\"\n\n[matrix]\nmode = \"appservice\"\npublic_url = {public_url}\n\n\
             [[matrix.homeservers]]\nserver_name = {server_name}\nurl = {homeserver_url}\n\
             as_token_file = \"/etc/sfu-server/as_token\"\nhs_token_file = \"/etc/sfu-server/hs_token\"{pushes}\n"
        ),
    );
    Ok(text)
}

/// A server name as a pattern that matches nothing else.
fn regex(server_name: &str) -> String {
    server_name.chars().flat_map(|c| (!c.is_ascii_alphanumeric()).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(push: bool) -> Setup<'static> {
        Setup {
            server_name: "example.org",
            public_url: "https://sfu.example.org/",
            focus_url: "http://127.0.0.1:8080",
            homeserver_url: "http://127.0.0.1:8008",
            push,
        }
    }

    /// The text of one part.
    fn part<'a>(text: &'a str, head: &str) -> &'a str {
        let (_, rest) = text.split_once(&format!("# ---- {head}")).expect("a part");
        let (_, body) = rest.split_once('\n').expect("a head");
        body.split("# ----").next().expect("a body").trim()
    }

    #[test]
    fn the_parts_fit_together() {
        let minter = Minter::from_seed(&[7; 32], "sfu.example.org").expect("a key");
        let text = text(&setup(false), Some(&minter)).expect("printed");
        let (as_token, hs_token) = (part(&text, "/etc/sfu-server/as_token"), part(&text, "/etc/sfu-server/hs_token"));
        assert!(as_token != hs_token && as_token.len() >= 40);
        let registration = part(&text, "rust-sfu.yaml");
        for line in [format!("as_token: {as_token:?}"), format!("hs_token: {hs_token:?}"), "url: null".into()] {
            assert!(registration.lines().any(|l| l == line), "{line} in\n{registration}");
        }
        let config: crate::config::Config =
            toml::from_str(part(&text, "/etc/sfu-server/config.toml")).expect("the server reads it");
        assert_eq!(config.matrix.homeservers[0].server_name, "example.org");
        let discovery: serde_json::Value =
            serde_json::from_str(part(&text, "https://<server name>/.well-known")).expect("JSON");
        let announced = &discovery["org.matrix.msc4143.rtc_foci"][0];
        assert_eq!(announced["url"], "wss://sfu.example.org/rtc/v1");
        assert_eq!(announced["service_url"], "https://sfu.example.org");
        assert_eq!(announced["sfu_id"], sfu_id(&minter));
        assert!(part(&text, "homeserver.yaml").contains(&announced.to_string()));
    }

    #[test]
    fn pushing_names_the_servers_own_users_and_no_others() {
        let text = text(&setup(true), None).expect("printed");
        let registration = part(&text, "rust-sfu.yaml");
        assert!(registration.contains(r#"regex: "@.*:example\\.org""#), "{registration}");
        assert!(registration.contains("url: \"http://127.0.0.1:8080\""));
        assert!(part(&text, "/etc/sfu-server/config.toml").contains("pushes_events = true"));
    }
}
