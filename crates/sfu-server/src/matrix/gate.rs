//! From a request to a token: collects what is known about it, lets `focus_matrix` decide, and mints.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use focus_control::token::{LIFETIME_DEFAULT, Mint, Minter};
use focus_control::{Confirmation, Origin};
use focus_matrix::authorize::{
    Evidence, Grant, Membership, Mode, Policy, Refusal, TokenUse, Voucher, authorize, is_in_room,
};
use focus_matrix::quota::Quotas;
use focus_matrix::request::{Request, user_id};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId};
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::homeserver::{Homeservers, Reach};
use crate::config::{Config, MatrixMode};
use crate::control::{Order, wall_clock};
use crate::net::routes::SIGNALLING_PATH;
use crate::random;

/// Questions about OpenID tokens on their way. Whoever asks is nobody yet, so this is all that bounds strangers together.
const OPENID_MAX: usize = 64;

/// Who lets Matrix users in. One for the node.
pub(crate) struct Gate {
    policy: Policy,
    pub(super) homeservers: Arc<Homeservers>,
    minter: Minter,
    focus: String,
    sfu_id: String,
    /// Where clients connect to.
    url: String,
    orders: mpsc::Sender<Order>,
    /// Questions about OpenID tokens that may be on their way.
    pub(super) openid_places: Semaphore,
    quotas: Mutex<Quotas>,
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
}

/// What a client gets.
#[derive(Serialize)]
pub(crate) struct Granted {
    url: String,
    token: String,
    expires_in_ms: u64,
    identity: String,
    focus: String,
    sfu_id: String,
    can_publish: bool,
}

impl Granted {
    /// For one who does not ask over HTTP.
    pub(crate) fn into_token(self) -> String {
        self.token
    }
}

/// Who says whose request it is.
pub(crate) enum Proof {
    Homeserver {
        server: OwnedServerName,
        user: OwnedUserId,
    },
    OpenId {
        sub: OwnedUserId,
        usage: TokenUse,
    },
    /// A verified to-device message of the user.
    Device {
        user: OwnedUserId,
    },
}

/// The name of this focus in a transport: its token key, which is its own and nobody else's.
pub(crate) fn sfu_id(minter: &Minter) -> String {
    URL_SAFE_NO_PAD.encode(minter.public_key())
}

/// `wss://…/rtc/v1` for `https://…`, and so for http, which only this machine's own may use.
pub(crate) fn signalling_url(public_url: &str) -> String {
    let base = public_url.trim_end_matches('/');
    format!("{}{SIGNALLING_PATH}", base.replacen("http", "ws", 1))
}

impl Gate {
    pub(crate) fn new(
        config: &Config,
        homeservers: Arc<Homeservers>,
        minter: Minter,
        orders: mpsc::Sender<Order>,
    ) -> Self {
        let mode = match config.matrix.mode {
            MatrixMode::Off => Mode::Off,
            MatrixMode::Appservice => Mode::Appservice,
            MatrixMode::Openid => Mode::Openid,
        };
        let full_access = homeservers.names().map(ToOwned::to_owned).collect();
        Self {
            policy: Policy { mode, full_access, open: config.matrix.open },
            homeservers,
            sfu_id: sfu_id(&minter),
            minter,
            focus: config.focus.name.clone(),
            url: signalling_url(config.matrix.public_url.as_deref().unwrap_or_default()),
            orders,
            openid_places: Semaphore::new(OPENID_MAX),
            quotas: Mutex::new(Quotas::default()),
            outcomes: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The step of the ladder, for an operator.
    pub(crate) fn step(&self) -> &'static str {
        match (self.policy.mode, self.policy.open) {
            (Mode::Off, _) => "off",
            (Mode::Appservice, _) => "appservice",
            (Mode::Openid, false) => "openid",
            (Mode::Openid, true) => "open",
        }
    }

    pub(crate) fn reach(&self) -> Vec<(String, Reach)> {
        self.homeservers.reach().map(|(name, reach)| (name.to_string(), reach)).collect()
    }

    /// How many requests came to what.
    pub(crate) fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn grant(&self, request: &Request, proof: Proof) -> Result<Granted, Refusal> {
        let decision = self.decide(request, proof).await;
        let outcome = match &decision {
            Ok(grant) if grant.publish => "granted",
            Ok(_) => "granted_to_listen",
            Err(Refusal::Forbidden) => "forbidden",
            Err(Refusal::Unavailable) => "unavailable",
            Err(Refusal::Limited(_)) => "limited",
        };
        self.count(outcome);
        self.mint(&decision?)
    }

    pub(crate) fn count(&self, outcome: &'static str) {
        *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
    }

    /// The rules are asked twice: first with the best that could be found out, so that nobody is asked about, and no
    /// quota used by, a request that is refused anyway.
    async fn decide(&self, request: &Request, proof: Proof) -> Result<Grant, Refusal> {
        let voucher = match proof {
            Proof::Homeserver { server, user } => Voucher::Homeserver { server, user },
            Proof::Device { user } => Voucher::Device { user },
            // The user's own homeserver was asked.
            Proof::OpenId { sub, usage } => Voucher::OpenId { server: sub.server_name().to_owned(), sub, usage },
        };
        let best = Evidence { voucher, membership: Membership::Joined, conference_exists: true, limited: None };
        let expected = authorize(&self.policy, request, &best)?;
        let now = Instant::now();
        let mut limited =
            self.quotas(|quotas| quotas.take_user(now, &expected.user, &expected.server, expected.publish).err());
        let mut membership = Membership::Joined;
        if limited.is_none() {
            membership = self.homeservers.membership(&request.user, &request.room).await;
        }
        if limited.is_none() && membership == Membership::Joined {
            limited = self.quotas(|quotas| quotas.take_room(now, &request.room).err());
        }
        let conference_exists = expected.create || self.conference_exists(&expected.conference).await;
        authorize(&self.policy, request, &Evidence { membership, conference_exists, limited, ..best })
    }

    /// Whether what a token told of its holder still holds. Asks anew.
    pub(super) async fn confirm(&self, origin: &Origin) -> Confirmation {
        let Some((user, room)) = ids(origin) else { return Confirmation::Fails };
        let membership = self.homeservers.membership(&user, &room).await;
        match is_in_room(&self.policy, membership) {
            Ok(()) => Confirmation::Holds,
            Err(Refusal::Forbidden) => Confirmation::Fails,
            Err(Refusal::Unavailable | Refusal::Limited(_)) => Confirmation::Unknown,
        }
    }

    fn quotas<T>(&self, take: impl FnOnce(&mut Quotas) -> T) -> T {
        take(&mut self.quotas.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Only a hint for the client's sake: when the token is used, control looks again.
    async fn conference_exists(&self, conference: &str) -> bool {
        let (answer, exists) = oneshot::channel();
        let order = Order::Exists { conference: conference.to_owned(), answer };
        self.orders.send(order).await.is_ok() && exists.await.unwrap_or(false)
    }

    fn mint(&self, grant: &Grant) -> Result<Granted, Refusal> {
        let origin = Origin::new(grant.user.as_str(), grant.server.as_str(), grant.room.as_str(), grant.create);
        let mint = Mint {
            identity: &grant.identity,
            conference: &grant.conference,
            // Who shows names knows them from the room.
            name: "",
            publish: grant.publish,
            lifetime: LIFETIME_DEFAULT,
        };
        let minted = random::seed().ok().and_then(|seed| {
            self.minter.mint_for(&mint, Some(&origin), wall_clock().unix, &mut StdRng::from_seed(seed)).ok()
        });
        let Some(token) = minted else {
            tracing::error!("cannot mint a token");
            return Err(Refusal::Unavailable);
        };
        Ok(Granted {
            url: self.url.clone(),
            token,
            expires_in_ms: LIFETIME_DEFAULT.as_millis() as u64,
            identity: grant.identity.clone(),
            focus: self.focus.clone(),
            sfu_id: self.sfu_id.clone(),
            can_publish: grant.publish,
        })
    }
}

/// What the words of an origin mean. The gate makes no token with others.
pub(super) fn ids(origin: &Origin) -> Option<(OwnedUserId, OwnedRoomId)> {
    Some((user_id(origin.user.as_str())?, RoomId::parse(origin.room.as_str()).ok()?))
}
