//! A homeserver, as its users come to it: registration with Synapse's shared secret, or names and passwords that there are.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use aws_lc_rs::hmac;
use matrix_sdk::reqwest;
use serde_json::json;

use super::http::{Api, text};

/// See the module.
#[derive(Debug)]
pub struct Homeserver {
    pub api: Api,
    users: Users,
}

#[derive(Debug)]
enum Users {
    /// The registration_shared_secret.
    Made {
        secret: String,
    },
    Given(Vec<Credentials>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl Homeserver {
    pub fn new(client: &reqwest::Client, url: &str, secret: Option<&Path>, accounts: Option<&Path>) -> Result<Self> {
        let read = |file: &Path| fs::read_to_string(file).with_context(|| file.display().to_string());
        let users = match (secret, accounts) {
            (Some(file), _) => Users::Made { secret: read(file)?.trim().to_owned() },
            (None, Some(file)) => Users::Given(given(&read(file)?, url)?),
            (None, None) => {
                bail!("--homeserver: no users: --registration-secret-file makes them, --accounts names them")
            }
        };
        Ok(Self { api: Api::new(client, url), users })
    }

    /// The user of that number, made if need be. `run` tells the users of one run from those of others.
    pub async fn user(&self, run: u32, number: usize) -> Result<Credentials> {
        match &self.users {
            Users::Given(users) => {
                let user = users.get(number);
                user.cloned().with_context(|| format!("--accounts has only {} users of {}", users.len(), self.api.base))
            }
            Users::Made { secret } => {
                let user = format!("bench-{run:08x}-{number}");
                let password = format!("{:032x}", rand::random::<u128>());
                self.register(secret, &user, &password).await.with_context(|| format!("at {}", self.api.base))?;
                Ok(Credentials { user, password })
            }
        }
    }

    /// Synapse's `/_synapse/admin/v1/register`.
    async fn register(&self, secret: &str, user: &str, password: &str) -> Result<()> {
        let path = "/_synapse/admin/v1/register";
        let nonce = self.api.get(path).await.context("no nonce to register with")?;
        let nonce = text(&nonce, "nonce")?;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
        let tag = hmac::sign(&key, [nonce, user, password, "notadmin"].join("\0").as_bytes());
        let mac: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let body = json!({"nonce": nonce, "username": user, "password": password, "admin": false, "mac": mac});
        self.api.post(path, body).await.context("cannot register: is it the right secret?")?;
        Ok(())
    }
}

/// The lines of `url`.
fn given(file: &str, url: &str) -> Result<Vec<Credentials>> {
    let mut users = Vec::new();
    for line in file.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(words.len() == 3, "--accounts: a line has a homeserver's URL, a user name and a password");
        if words[0].trim_end_matches('/') == url.trim_end_matches('/') {
            users.push(Credentials { user: words[1].to_owned(), password: words[2].to_owned() });
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_one_homeserver() {
        let file =
            "# comment\nhttp://a.example alice one\n\nhttp://b.example/ bob two\nhttp://a.example/ carol three\n";
        let users = given(file, "http://a.example").expect("users");
        let names: Vec<&str> = users.iter().map(|user| user.user.as_str()).collect();
        assert_eq!(names, ["alice", "carol"]);
        assert!(given("http://a.example alice", "http://a.example").is_err());
    }
}
