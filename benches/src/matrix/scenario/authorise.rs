//! Random requests for tokens of random users for random rooms, through their homeservers and with OpenID tokens, while people join,
//! leave, are kicked and banned: everything that is granted must be what the model allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use matrix_sdk::ruma::{OwnedRoomId, UserId};
use matrixrtc::transport::RustSfu;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;
use tokio::task::JoinSet;

use super::model::{Model, Standing, Step};
use crate::cli::AuthoriseArgs;
use crate::matrix::account::Account;
use crate::matrix::focus::{self, Ask};
use crate::matrix::http::Refused;
use crate::matrix::room;
use crate::matrix::setup::Setup;
use crate::run::report::Spread;

/// Requests at a time.
const AT_ONCE: usize = 16;
/// Steps between two heaps of requests.
const STEPS: usize = 8;
/// From a step to the requests that must know of it: federation, and what the focus promises.
const SETTLE: Duration = Duration::from_secs(2);
/// A focus that limits requests is asked again.
const RETRY: Duration = Duration::from_millis(250);
const TRIES: usize = 40;
const PROGRESS: usize = 1000;

#[derive(Debug, Default, Serialize)]
struct Report {
    command: &'static str,
    homeservers: usize,
    users: u8,
    rooms: u8,
    steps: usize,
    requests: usize,
    granted: usize,
    refused: usize,
    /// What the focus gave although the model does not allow it, and the other way round.
    wrong_grants: usize,
    wrong_refusals: usize,
    /// Neither a token nor a refusal, by status.
    unclear: BTreeMap<String, usize>,
    /// Of requests, by kind.
    kinds: BTreeMap<&'static str, usize>,
    answer_ms: Spread,
}

/// Whom a request is from, and how it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Through the asker's homeserver.
    Proxied,
    /// With the asker's OpenID token.
    OpenId,
    /// With the asker's OpenID token, for somebody else.
    OpenIdOfOther,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Proxied => "application_service",
            Self::OpenId => "openid",
            Self::OpenIdOfOther => "openid_of_other",
        }
    }
}

/// What all requests share.
struct World {
    setup: Setup,
    focus: RustSfu,
    accounts: Vec<Account>,
    /// OpenID tokens, by account: one for many requests, as clients do.
    openid: Vec<serde_json::Value>,
    rooms: Vec<OwnedRoomId>,
}

pub async fn run(args: &AuthoriseArgs) -> Result<()> {
    let scenario = &args.scenario;
    let setup = Setup::new(&scenario.matrix, scenario.server.as_deref(), scenario.ca.as_deref()).await?;
    let mut rng = StdRng::from_os_rng();
    let mut model = Model::default();
    let world = Arc::new(world(args, setup, &mut model).await?);
    let mut report = Report {
        command: "matrix authorise",
        homeservers: world.setup.homeservers.len(),
        users: args.users,
        rooms: args.rooms,
        ..Report::default()
    };
    let mut answers = Vec::new();
    while report.requests < args.requests {
        report.steps += steps(&world, &mut model, &mut rng).await?;
        tokio::time::sleep(SETTLE).await;
        let heap = (args.every as usize).min(args.requests - report.requests);
        answers.extend(requests(&world, &model, &mut rng, heap, &mut report).await);
        if report.requests / PROGRESS != (report.requests - heap) / PROGRESS {
            eprintln!("{} requests, {} wrong grants", report.requests, report.wrong_grants);
        }
    }
    report.answer_ms = Spread::of(answers);
    crate::report::print(&report)?;
    ensure!(report.wrong_grants == 0, "{} tokens were given that must not be", report.wrong_grants);
    ensure!(report.granted > 0, "no token was given at all");
    Ok(())
}

/// Each room has a creator of its own, who stays; half of the others are in it.
async fn world(args: &AuthoriseArgs, setup: Setup, model: &mut Model) -> Result<World> {
    let (mut accounts, mut openid, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..usize::from(args.users) {
        let account = setup.account(number).await?;
        openid.push(account.openid().await?);
        accounts.push(account);
    }
    for number in 0..usize::from(args.rooms) {
        let owner = number % accounts.len();
        let inside: Vec<usize> =
            (0..accounts.len()).filter(|user| *user != owner && (user + number) % 2 == 0).collect();
        let members: Vec<&Account> =
            std::iter::once(owner).chain(inside.iter().copied()).map(|at| &accounts[at]).collect();
        rooms.push(setup.room(&members).await?);
        for user in inside.into_iter().chain([owner]) {
            model.set(user, number, Standing::Joined);
        }
    }
    let focus = setup.focus(&accounts[0]).await?;
    Ok(World { setup, focus, accounts, openid, rooms })
}

/// Does some random steps that can be done.
async fn steps(world: &World, model: &mut Model, rng: &mut StdRng) -> Result<usize> {
    let mut done = 0;
    while done < STEPS {
        let (user, number) = (rng.random_range(0..world.accounts.len()), rng.random_range(0..world.rooms.len()));
        let step = Step::ALL[rng.random_range(0..Step::ALL.len())];
        let owner = number % world.accounts.len();
        let Some(next) = step.apply(model.get(user, number)).filter(|_| user != owner) else { continue };
        let (account, moderator, room) = (&world.accounts[user], &world.accounts[owner], &world.rooms[number]);
        let target: &UserId = &account.user;
        let via = moderator.user.server_name().as_str();
        let did = match step {
            Step::Join => room::join(account, room, &[via]).await,
            Step::Leave => room::leave(account, room).await.map_err(Into::into),
            Step::Invite => room::moderate(moderator, room, "invite", target).await.map_err(Into::into),
            Step::Kick => room::moderate(moderator, room, "kick", target).await.map_err(Into::into),
            Step::Ban => room::moderate(moderator, room, "ban", target).await.map_err(Into::into),
            Step::Unban => room::moderate(moderator, room, "unban", target).await.map_err(Into::into),
        };
        // A homeserver that does not know of the step before refuses this one, which then has not happened.
        match did {
            Ok(()) => model.set(user, number, next),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
        done += 1;
    }
    Ok(done)
}

/// Milliseconds that the answers took.
async fn requests(world: &Arc<World>, model: &Model, rng: &mut StdRng, count: usize, report: &mut Report) -> Vec<f64> {
    let (mut running, mut took, mut begun, first) = (JoinSet::new(), Vec::new(), 0, report.requests);
    loop {
        while begun < count && running.len() < AT_ONCE {
            let kind = [Kind::Proxied, Kind::Proxied, Kind::OpenId, Kind::OpenIdOfOther][rng.random_range(0..4)];
            // In turn: a focus limits how often each of them may ask.
            let (asker, room) = ((first + begun) % world.accounts.len(), rng.random_range(0..world.rooms.len()));
            let claimed = match kind {
                Kind::OpenIdOfOther => (asker + rng.random_range(1..world.accounts.len())) % world.accounts.len(),
                _ => asker,
            };
            let member_id = format!("{:016x}", rng.random::<u64>());
            let allowed = model.allows(asker, claimed, room);
            let world = world.clone();
            running.spawn(async move {
                let began = Instant::now();
                let answer = world.ask(kind, asker, claimed, room, &member_id).await;
                (kind, allowed, answer, began.elapsed())
            });
            begun += 1;
        }
        let Some(Ok((kind, allowed, answer, lasted))) = running.join_next().await else { return took };
        report.requests += 1;
        *report.kinds.entry(kind.name()).or_default() += 1;
        took.push(lasted.as_secs_f64() * 1e3);
        match answer {
            Ok(()) => {
                report.granted += 1;
                report.wrong_grants += usize::from(!allowed);
            }
            Err(Refused::Answer { status: 401 | 403 | 404, .. }) => {
                report.refused += 1;
                report.wrong_refusals += usize::from(allowed && kind == Kind::Proxied);
            }
            Err(error) => *report.unclear.entry(unclear(&error)).or_default() += 1,
        }
    }
}

fn unclear(error: &Refused) -> String {
    match error {
        Refused::Answer { status, errcode, error } => format!("{status} {errcode}: {error}"),
        Refused::Lost(_) => "no answer".to_owned(),
    }
}

impl World {
    async fn ask(&self, kind: Kind, asker: usize, claimed: usize, room: usize, member_id: &str) -> Result<(), Refused> {
        let ask = Ask { room: &self.rooms[room], slot_id: "m.call#ROOM", member_id };
        for _ in 0..TRIES {
            let answer = match kind {
                Kind::Proxied => focus::proxied(&self.accounts[asker], &self.focus, ask).await,
                Kind::OpenId | Kind::OpenIdOfOther => {
                    let who = &self.accounts[claimed];
                    focus::openid(&self.setup.http, &self.focus, ask, &self.openid[asker], (&who.user, &who.device))
                        .await
                }
            };
            match answer {
                Err(Refused::Answer { status: 429, .. }) => tokio::time::sleep(RETRY).await,
                Ok(answer) if answer["token"].is_string() => return Ok(()),
                Ok(_) => break,
                Err(error) => return Err(error),
            }
        }
        Err(Refused::Answer { status: 429, errcode: "M_LIMIT_EXCEEDED".to_owned(), error: String::new() })
    }
}
