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
    /// Of the focus, for clients. `None`: they have only its device.
    pub(crate) public_url: Option<&'a str>,
    /// User and id of the focus's Matrix device.
    pub(crate) device: Option<(&'a str, &'a str)>,
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
    let mut transport = json!({
        "type": "rust_sfu",
        "version": 1,
        "sfu_id": id,
        "server_name": setup.server_name,
        "e2ee": ["sframe-rfc9605"],
    });
    if let Some(public_url) = setup.public_url {
        transport["url"] = json!(signalling_url(public_url));
        transport["service_url"] = json!(public_url.trim_end_matches('/'));
    }
    if let Some((user_id, device_id)) = setup.device {
        transport["matrix"] = json!({ "user_id": user_id, "device_id": device_id });
    }
    transport
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
    let [server_name, focus_url, homeserver_url] =
        [setup.server_name, setup.focus_url, setup.homeserver_url].map(|text| json!(text));
    let public_url = setup.public_url.map(|url| format!("public_url = {}\n", json!(url))).unwrap_or_default();
    let device = setup.device.map(|(user_id, device_id)| {
        let (user_id, device_id) = (json!(user_id), json!(device_id));
        let password_file = "/etc/sfu-server/device_password";
        format!("\n[matrix.device]\nuser_id = {user_id}\ndevice_id = {device_id}\npassword_file = {password_file:?}\n")
    });
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
    if let Some((user_id, _)) = setup.device {
        let name = user_id.trim_start_matches('@').split(':').next().unwrap_or_default();
        let password = random::text::<24>()?;
        part(
            "to be run on the homeserver: the account of the Matrix device",
            format!(
                "register_new_matrix_user --config /etc/matrix-synapse/homeserver.yaml --no-admin --user {name} --password {password}"
            ),
        );
        part("/etc/sfu-server/device_password, readable by sfu-server only", password);
    }
    part("/etc/sfu-server/as_token, readable by sfu-server only", as_token);
    part("/etc/sfu-server/hs_token, readable by sfu-server only", hs_token);
    let device = device.unwrap_or_default();
    part(
        "/etc/sfu-server/config.toml: to be added",
        format!(
            "[state]\ndir = \"/var/lib/sfu-server\"\n\n[matrix]\nmode = \"appservice\"\n{public_url}{device}\n\
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
            public_url: Some("https://sfu.example.org/"),
            device: None,
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
    fn a_device_stands_in_the_transport_and_in_the_configuration() {
        let setup = Setup { public_url: None, device: Some(("@rtc:example.org", "RUSTSFU")), ..setup(false) };
        let text = text(&setup, None).expect("printed");
        let discovery: serde_json::Value =
            serde_json::from_str(part(&text, "https://<server name>/.well-known")).expect("JSON");
        let announced = &discovery["org.matrix.msc4143.rtc_foci"][0];
        assert_eq!(announced["matrix"], json!({"user_id": "@rtc:example.org", "device_id": "RUSTSFU"}));
        assert!(announced.get("url").is_none() && announced.get("service_url").is_none());
        let config: crate::config::Config =
            toml::from_str(part(&text, "/etc/sfu-server/config.toml")).expect("the server reads it");
        let device = config.matrix.device.as_ref().expect("a device");
        assert_eq!((device.user_id.as_str(), device.device_id.as_str()), ("@rtc:example.org", "RUSTSFU"));
        assert!(config.matrix.public_url.is_none() && config.matrix.homeservers.len() == 1);
        let password = part(&text, "/etc/sfu-server/device_password");
        assert!(
            password.len() >= 24 && part(&text, "to be run").ends_with(&format!("--user rtc --password {password}"))
        );
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
