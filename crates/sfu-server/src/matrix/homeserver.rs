//! The homeservers that the operator named: their tokens, and what they say about who is in which room.

mod rooms;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use aws_lc_rs::constant_time;
use focus_matrix::authorize::Membership;
use focus_matrix::opinions::{Doubt, Opinions, agree};
use futures_util::future::{join, join_all};
use ruma::{OwnedServerName, RoomId, ServerName, UserId};
use serde::Deserialize;

use self::rooms::Rooms;
use super::fetch::{Fetcher, Method, Refused, segment};
use crate::config::{self, Config, MatrixMode};

/// A token file is one line.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;
/// How long the word of other homeservers than the user's own is waited for. One that takes longer is left alone for a while.
const OTHERS_WAIT: Duration = Duration::from_millis(1500);
/// Between two of them a join takes some 100 ms. One that has not heard of it is asked again.
const UNHEARD_TRIES: u32 = 3;
const UNHEARD_PAUSE: Duration = Duration::from_millis(400);
/// Of MSC4502, by its unstable name.
const IS_JOINED: &str = "io.element.msc4502";

#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    #[error("matrix.homeservers: {path}: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("matrix.homeservers: {path}: not a token in one line")]
    NotAToken { path: PathBuf },
    #[error("matrix.homeservers: {0}: is no server name")]
    Name(String),
    #[error("matrix.homeservers: two homeservers have the same hs_token: nobody could tell them apart")]
    SameToken,
}

/// A credential: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl Secret {
    fn read(path: Option<&Path>) -> Result<Option<Self>, TokenFileError> {
        let Some(path) = path else { return Ok(None) };
        let failed = |error| TokenFileError::Read { path: path.to_owned(), error };
        let mut text = String::new();
        io::Read::read_to_string(
            &mut io::Read::take(fs::File::open(path).map_err(failed)?, TOKEN_FILE_BYTES_MAX),
            &mut text,
        )
        .map_err(failed)?;
        let token = text.trim();
        let is_token = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        is_token
            .then(|| Some(Self(token.to_owned())))
            .ok_or_else(|| TokenFileError::NotAToken { path: path.to_owned() })
    }
}

/// What a homeserver answered last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reach {
    Unknown,
    Up,
    Down,
    /// It does not take our token, or its registration lacks the scope.
    Refuses,
    /// It does not know MSC4502.
    Unsupported,
}

impl Reach {
    const ALL: [Self; 5] = [Self::Unknown, Self::Up, Self::Down, Self::Refuses, Self::Unsupported];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unknown => "not asked yet",
            Self::Up => "up",
            Self::Down => "down",
            Self::Refuses => "refuses our token",
            Self::Unsupported => "does not know MSC4502 (is_joined)",
        }
    }
}

struct Homeserver {
    name: OwnedServerName,
    as_token: Option<Secret>,
    hs_token: Option<Secret>,
    account_token: Option<Secret>,
    pushes_events: bool,
    reach: AtomicU8,
    /// What the account was told of its rooms a moment ago.
    rooms: Rooms,
}

/// All of them. Asked in the order in which they are configured.
pub(crate) struct Homeservers {
    list: Vec<Homeserver>,
    mode: MatrixMode,
    fetch: Arc<Fetcher>,
    opinions: Mutex<Opinions>,
}

#[derive(Deserialize)]
struct IsJoined {
    joined: bool,
}

impl Homeservers {
    pub(crate) fn load(config: &Config, fetch: Arc<Fetcher>) -> Result<Self, TokenFileError> {
        let list = config.matrix.homeservers.iter().map(Homeserver::load).collect::<Result<Vec<_>, _>>()?;
        for (n, homeserver) in list.iter().enumerate() {
            let same = |other: &Homeserver| other.hs_token.is_some() && other.hs_token == homeserver.hs_token;
            if list[..n].iter().any(same) {
                return Err(TokenFileError::SameToken);
            }
        }
        Ok(Self { list, mode: config.matrix.mode, fetch, opinions: Mutex::default() })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &ServerName> {
        self.list.iter().map(|homeserver| &*homeserver.name)
    }

    pub(crate) fn is_configured(&self, server: &ServerName) -> bool {
        self.names().any(|name| name == server)
    }

    /// Whose `hs_token` it is. Takes as long whatever the token is.
    pub(crate) fn by_hs_token(&self, token: &str) -> Option<&ServerName> {
        let mut found = None;
        for homeserver in &self.list {
            let Some(Secret(own)) = &homeserver.hs_token else { continue };
            if constant_time::verify_slices_are_equal(own.as_bytes(), token.as_bytes()).is_ok() {
                found = Some(&*homeserver.name);
            }
        }
        found
    }

    /// Whether what changes in the rooms of the user is pushed to us.
    pub(crate) fn pushes(&self, server: &ServerName) -> bool {
        match self.list.iter().find(|homeserver| homeserver.name == server) {
            Some(homeserver) => homeserver.pushes_events,
            None => self.list.iter().all(|homeserver| homeserver.pushes_events),
        }
    }

    /// Each by name, with what it answered last.
    pub(crate) fn reach(&self) -> impl Iterator<Item = (&ServerName, Reach)> {
        self.list.iter().map(|homeserver| {
            let reach = usize::from(homeserver.reach.load(Ordering::Relaxed));
            (&*homeserver.name, Reach::ALL.get(reach).copied().unwrap_or(Reach::Unknown))
        })
    }

    /// Whether the user is in the room, as far as somebody knows. A user's own homeserver knows best, unless another that is in the room
    /// knows better; of a user of none of them, each that is in the room knows.
    pub(crate) async fn membership(&self, user: &UserId, room: &RoomId) -> Membership {
        let own = self.list.iter().find(|homeserver| homeserver.name == user.server_name());
        if let (Some(own), MatrixMode::Appservice) = (own, self.mode) {
            return self.agreed(own, user, room).await;
        }
        let others = self.list.iter().filter(|homeserver| homeserver.name != user.server_name());
        let (mut refuted, mut unavailable) = (false, false);
        for homeserver in own.into_iter().chain(others) {
            match self.ask(homeserver, user, room).await {
                Membership::Joined => return Membership::Joined,
                Membership::NotJoined => refuted = true,
                Membership::Unavailable => unavailable = true,
                Membership::Unseen => {}
            }
        }
        match (unavailable, refuted) {
            (true, _) => Membership::Unavailable,
            (false, true) => Membership::NotJoined,
            (false, false) => Membership::Unseen,
        }
    }

    /// All are asked at once. Without the answer of another it is as its own says.
    async fn agreed(&self, own: &Homeserver, user: &UserId, room: &RoomId) -> Membership {
        let others: Vec<_> = self.opinions(|opinions| {
            let asks = |other: &&Homeserver| other.name != own.name && opinions.asks(Instant::now(), &other.name, room);
            self.list.iter().filter(asks).collect()
        });
        let doubts = others.into_iter().map(|other| async move {
            if let Ok(doubt) = tokio::time::timeout(OTHERS_WAIT, self.doubt(other, user, room)).await {
                return doubt;
            }
            self.opinions(|opinions| {
                opinions.handle_said(Instant::now(), &other.name, room, user, Membership::Unavailable);
            });
            Doubt::None
        });
        let (said, doubts) = join(self.hear(own, user, room), join_all(doubts)).await;
        agree(said, doubts)
    }

    /// What a homeserver that is not the user's own has against him.
    async fn doubt(&self, other: &Homeserver, user: &UserId, room: &RoomId) -> Doubt {
        for attempt in 1.. {
            if self.hear(other, user, room).await != Membership::NotJoined {
                break;
            }
            // Is it in the room at all? Asked afterwards: it may just have left.
            if !self.is_inside(other, room).await {
                break;
            }
            let inside = |opinions: &mut Opinions| opinions.handle_inside(Instant::now(), &other.name, room, user);
            if self.opinions(inside) == Doubt::Removed {
                return Doubt::Removed;
            }
            if attempt >= UNHEARD_TRIES {
                return Doubt::Unheard;
            }
            // A join is on its way between two homeservers for a moment.
            tokio::time::sleep(UNHEARD_PAUSE).await;
        }
        Doubt::None
    }

    async fn hear(&self, homeserver: &Homeserver, user: &UserId, room: &RoomId) -> Membership {
        let said = self.ask(homeserver, user, room).await;
        self.opinions(|opinions| opinions.handle_said(Instant::now(), &homeserver.name, room, user, said));
        said
    }

    fn opinions<T>(&self, with: impl FnOnce(&mut Opinions) -> T) -> T {
        with(&mut self.opinions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks each once about nothing in particular, to know whether it answers.
    pub(crate) async fn probe(&self) {
        for homeserver in &self.list {
            let name = &homeserver.name;
            let ids = (UserId::parse(format!("@probe:{name}")), RoomId::parse(format!("!probe:{name}")));
            if let (Ok(user), Ok(room)) = ids {
                self.ask(homeserver, &user, &room).await;
            }
        }
    }

    /// Something has changed in the room: what was said of it before is of no use.
    pub(crate) fn forget(&self, room: &RoomId) {
        for homeserver in &self.list {
            homeserver.rooms.forget(room);
        }
    }

    async fn ask(&self, homeserver: &Homeserver, user: &UserId, room: &RoomId) -> Membership {
        if let (Some(token), MatrixMode::Appservice) = (&homeserver.as_token, self.mode) {
            return self.is_joined(homeserver, token, user, room).await;
        }
        match &homeserver.account_token {
            Some(token) => self.joined_members(homeserver, token, user, room).await,
            None => Membership::Unseen,
        }
    }

    /// Whether a homeserver is in the room itself.
    async fn is_inside(&self, homeserver: &Homeserver, room: &RoomId) -> bool {
        // An account sees no other rooms.
        let Some(token) = &homeserver.as_token else { return true };
        let (room, server) = (segment(room.as_str()), segment(homeserver.name.as_str()));
        let path = format!("/_matrix/client/unstable/{IS_JOINED}/rooms/{room}/is_joined?server_name={server}");
        let answer = self.get(homeserver, token, &path).await;
        answer.is_some_and(|answer| {
            answer.status == 200 && answer.json::<IsJoined>().is_ok_and(|IsJoined { joined }| joined)
        })
    }

    /// MSC4502.
    async fn is_joined(&self, homeserver: &Homeserver, token: &Secret, user: &UserId, room: &RoomId) -> Membership {
        let (room, user) = (segment(room.as_str()), segment(user.as_str()));
        let path = format!("/_matrix/client/unstable/{IS_JOINED}/rooms/{room}/is_joined?mxid={user}");
        let Some(answer) = self.get(homeserver, token, &path).await else { return Membership::Unavailable };
        let (reach, membership) = match answer.status {
            200 => match answer.json::<IsJoined>() {
                Ok(IsJoined { joined: true }) => (Reach::Up, Membership::Joined),
                Ok(IsJoined { joined: false }) => (Reach::Up, Membership::NotJoined),
                Err(_) => (Reach::Down, Membership::Unavailable),
            },
            401 | 403 => (Reach::Refuses, Membership::Unavailable),
            404 => (Reach::Unsupported, Membership::Unavailable),
            // It does not take such an id for one, so that nobody is there by it.
            400 => (Reach::Up, Membership::Unseen),
            _ => (Reach::Down, Membership::Unavailable),
        };
        homeserver.set(reach);
        membership
    }

    async fn joined_members(
        &self,
        homeserver: &Homeserver,
        token: &Secret,
        user: &UserId,
        room: &RoomId,
    ) -> Membership {
        let answer = homeserver.rooms.ask(&self.fetch, &homeserver.name, &token.0, room).await;
        if let Some(reach) = answer.reach {
            homeserver.set(reach);
        }
        answer.membership(user)
    }

    async fn get(&self, homeserver: &Homeserver, token: &Secret, path: &str) -> Option<super::fetch::Answer> {
        let server = homeserver.name.as_str();
        let answer = self.fetch.configured().call(server, Method::Get, path, Some(&token.0), None).await;
        if answer.as_ref().is_err_and(|refused| *refused != Refused::Busy) {
            homeserver.set(Reach::Down);
        }
        answer.ok()
    }
}

impl Homeserver {
    fn load(config: &config::Homeserver) -> Result<Self, TokenFileError> {
        let name =
            ServerName::parse(&config.server_name).map_err(|_| TokenFileError::Name(config.server_name.clone()))?;
        Ok(Self {
            name,
            as_token: Secret::read(config.as_token_file.as_deref())?,
            hs_token: Secret::read(config.hs_token_file.as_deref())?,
            account_token: Secret::read(config.account_token_file.as_deref())?,
            pushes_events: config.pushes_events,
            reach: AtomicU8::new(Reach::Unknown as u8),
            rooms: Rooms::default(),
        })
    }

    fn set(&self, reach: Reach) {
        let before = self.reach.swap(reach as u8, Ordering::Relaxed);
        if before != reach as u8 {
            match reach {
                Reach::Up | Reach::Unknown => tracing::info!(server = %self.name, "homeserver answers"),
                _ => tracing::warn!(server = %self.name, state = reach.word(), "homeserver: nobody of it is let in"),
            }
        }
    }
}
