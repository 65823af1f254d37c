//! What there has to be before anybody joins: accounts, rooms, and who is in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use matrix_sdk::reqwest;
use matrix_sdk::ruma::{OwnedRoomId, OwnedUserId, UserId};
use matrixrtc::MemberFormat;
use matrixrtc::transport::RustSfu;

use super::account::{Account, http_client};
use super::homeserver::Homeserver;
use super::weather::Weather;
use super::{focus, room};
use crate::cli::{MatrixArgs, MemberEvents};

/// Homeservers, and what to ask them with.
pub struct Setup {
    pub http: reqwest::Client,
    pub homeservers: Vec<Homeserver>,
    /// Tells the users of this run from those of others.
    run: u32,
    /// What members' events shall be.
    format: MemberFormat,
    /// Invited to every room.
    guests: Vec<OwnedUserId>,
    /// If the homeservers announce none.
    configured: Option<RustSfu>,
    pub weather: Option<Arc<Weather>>,
    /// By homeserver: where it is found in that weather.
    through: Vec<String>,
}

impl Setup {
    pub async fn new(args: &MatrixArgs, server: Option<&str>, ca: Option<&Path>) -> Result<Self> {
        let http = http_client(ca)?;
        let secrets = &args.registration_secret_file;
        let fits = secrets.len() < 2 || secrets.len() == args.homeserver.len();
        ensure!(fits, "--registration-secret-file: one for all homeservers, or one for each");
        let homeserver = |(number, url): (usize, &String)| {
            let secret = secrets.get(number).or(secrets.first()).map(PathBuf::as_path);
            Homeserver::new(&http, url, secret, args.accounts.as_deref())
        };
        let homeservers = args.homeserver.iter().enumerate().map(homeserver).collect::<Result<Vec<_>>>()?;
        let weather = (!args.weather.is_fair()).then(|| Weather::new(&args.weather, &http));
        let mut through = Vec::new();
        for homeserver in &homeservers {
            through.push(match &weather {
                Some(weather) => weather.over(&homeserver.api.base).await?,
                None => homeserver.api.base.clone(),
            });
        }
        let configured = server.map(configured);
        let format = match args.member_events {
            MemberEvents::State => MemberFormat::State,
            MemberEvents::Sticky => MemberFormat::Sticky,
        };
        let guests = args.guest.iter().map(|user| user.parse().context("--guest: no Matrix user id"));
        let guests = guests.collect::<Result<Vec<_>>>()?;
        Ok(Self { homeservers, http, run: rand::random(), format, guests, configured, weather, through })
    }

    /// The account of that number; homeservers take turns.
    pub async fn account(&self, number: usize) -> Result<Account> {
        let at = number % self.homeservers.len();
        let homeserver = &self.homeservers[at];
        let credentials = homeserver.user(self.run, number / self.homeservers.len()).await?;
        let account = Account::log_in(&self.http, homeserver, &self.through[at], &credentials, self.format).await?;
        if let Some((weather, token)) = self.weather.as_ref().zip(account.client.access_token()) {
            weather.member(&token, number);
        }
        Ok(account)
    }

    /// An encrypted room with all of them in it; the first one is its creator.
    pub async fn room(&self, members: &[&Account]) -> Result<OwnedRoomId> {
        let (owner, others) = members.split_first().context("a room of nobody")?;
        let guests = self.guests.iter().map(|guest| &**guest);
        let users: Vec<&UserId> = others.iter().map(|account| &*account.user).chain(guests).collect();
        let room = room::create(owner, &users).await?;
        if !self.guests.is_empty() {
            eprintln!("guests are invited to {room}");
        }
        for account in others {
            room::join(account, &room, &[owner.user.server_name().as_str()]).await?;
        }
        Ok(room)
    }

    pub async fn focus(&self, account: &Account) -> Result<RustSfu> {
        let focus = focus::discover(account, self.configured.as_ref()).await?;
        if let Some((weather, address)) = self.weather.as_ref().zip(focus.matrix.as_ref()) {
            weather.focus(&address.user_id);
        }
        Ok(focus)
    }
}

/// `server`: as `--server` has it.
fn configured(server: &str) -> RustSfu {
    let server = server.trim_end_matches('/');
    let service = server.replacen("ws", "http", usize::from(server.starts_with("ws")));
    let socket = service.replacen("http", "ws", 1);
    RustSfu { service_url: Some(service), ..RustSfu::at_url(format!("{socket}/rtc/v1")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_focus_by_its_address() {
        for server in ["https://sfu.example/", "wss://sfu.example"] {
            let focus = configured(server);
            assert_eq!(focus.url.as_deref(), Some("wss://sfu.example/rtc/v1"));
            assert_eq!(focus.service_url.as_deref(), Some("https://sfu.example"));
        }
        assert_eq!(configured("http://127.0.0.1:8080").url.as_deref(), Some("ws://127.0.0.1:8080/rtc/v1"));
    }
}
