//! Members are kicked from the room, one after the other, again and again, while the others go on: how long until nothing goes to them or comes from them,
//! and do they stay out?

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::plan;
use crate::cli::KickArgs;
use crate::matrix::door::Door;
use crate::matrix::focus::Token;
use crate::matrix::room;
use crate::run::call::Call;
use crate::run::participant;
use crate::run::person::Person;
use crate::run::report::Spread;

const PACE: Duration = Duration::from_millis(500);
/// Nothing for so long is silence.
const SILENCE: Duration = Duration::from_secs(1);
/// Whoever is not in the room is out of the call after so long.
const PROMISE: Duration = Duration::from_secs(2);
/// For silence, and for a new join.
const PATIENCE: Duration = Duration::from_secs(30);
/// Media that are younger flow.
const FRESH: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(10);
const RETRY: Duration = Duration::from_millis(500);

#[derive(Debug, Default, Serialize)]
struct Report {
    command: &'static str,
    participants: u8,
    kicks: usize,
    /// From the request to kick to the last packet that was forwarded to or from who was kicked; 0: none came after it.
    silence_ms: Spread,
    /// To the end of the session.
    removed_ms: Spread,
    /// Kicks after which it did not become silent.
    not_silenced: usize,
    /// Tokens given to who was kicked.
    tokens_after: usize,
    /// Tokens of before the kick, for another join, that were shown after it; how long the sessions lasted that they opened (`null`: none
    /// did), and how many for too long.
    stale_tokens: usize,
    stale_token_ms: Spread,
    stayed_after: usize,
    /// Rounds that could not begin, as it did not get in again.
    not_rejoined: usize,
    /// Who is not in the call at its end.
    failed: usize,
}

pub async fn run(args: &KickArgs) -> Result<()> {
    let (scenario, plan) = (&args.scenario, plan(args.participants));
    let door = Door::new(&plan, &scenario.matrix, scenario.server.as_deref(), scenario.ca.as_deref()).await?;
    let door = Arc::new(door);
    let mut call = Call::start(plan, door.clone(), PACE)?;
    call.joined().await;
    // All but the room's creator, in turn: a focus limits how often one may ask for tokens.
    let mut victims: Vec<usize> = (1..call.people.len()).collect();
    let failed = call.people.iter().find_map(|person| person.record().failed.clone());
    ensure!(failed.is_none(), "somebody did not get in: {}", failed.unwrap_or_default());

    let mut report = Report { command: "matrix kick", participants: args.participants, ..Report::default() };
    let mut times = Times::default();
    let mut before = None;
    while report.kicks < args.kicks && report.not_rejoined <= args.kicks {
        if report.kicks.is_multiple_of(10) {
            eprintln!("kick {} of {}", report.kicks, args.kicks);
        }
        // While one is kicked, the one before tries what it may not and is invited again, unless it is the same one.
        let people = call.people.clone();
        let (round, tried) = match before.take() {
            Some(kicked) if victims.len() > 1 => {
                victims.rotate_left(1);
                let (round, tried) = tokio::join!(kick(&door, &people, victims[0]), tried(&door, kicked));
                (Some(round?), Some(tried?))
            }
            Some(kicked) => (None, Some(tried(&door, kicked).await?)),
            None => (Some(kick(&door, &people, victims[0]).await?), None),
        };
        if let Some(tried) = tried {
            report.take(&mut times, tried);
            call.again(tried.victim);
        }
        match round {
            Some(Round::Kicked(kicked)) => {
                report.kicks += 1;
                report.not_silenced += usize::from(kicked.silent_ms.is_none());
                times.silence.extend(kicked.silent_ms);
                times.removed.extend(kicked.removed_ms);
                before = Some(kicked);
            }
            Some(Round::NotThere(victim)) => {
                report.not_rejoined += 1;
                back(&door, victim).await?;
                call.again(victim);
            }
            None => {}
        }
    }
    if let Some(kicked) = before {
        let tried = tried(&door, kicked).await?;
        report.take(&mut times, tried);
        call.again(tried.victim);
    }
    report.silence_ms = Spread::of(times.silence);
    report.removed_ms = Spread::of(times.removed);
    report.stale_token_ms = Spread::of(times.stale);
    call.joined().await;
    report.failed = call.people.iter().filter(|person| person.record().failed.is_some()).count();
    call.end().await;
    crate::report::print(&report)?;
    let Report { not_silenced, tokens_after, stayed_after, failed, .. } = report;
    ensure!(report.kicks > 0, "nobody was kicked");
    ensure!(not_silenced + tokens_after + stayed_after + failed == 0, "not all stayed out, or others did not stay in");
    Ok(())
}

/// In milliseconds.
#[derive(Default)]
struct Times {
    silence: Vec<f64>,
    removed: Vec<f64>,
    stale: Vec<f64>,
}

enum Round {
    Kicked(Kicked),
    /// It did not come back from the kick before.
    NotThere(usize),
}

struct Kicked {
    victim: usize,
    /// Of before the kick, and not used.
    token: Token,
    silent_ms: Option<f64>,
    removed_ms: Option<f64>,
}

/// What one who was kicked achieved.
#[derive(Clone, Copy)]
struct Tried {
    victim: usize,
    has_token: bool,
    /// With the token of before.
    stayed: Option<Duration>,
}

impl Report {
    fn take(&mut self, times: &mut Times, tried: Tried) {
        self.tokens_after += usize::from(tried.has_token);
        self.stale_tokens += 1;
        self.stayed_after += usize::from(tried.stayed.is_some_and(|stayed| stayed >= PROMISE));
        times.stale.extend(tried.stayed.map(|stayed| stayed.as_secs_f64() * 1e3));
    }
}

/// Kicks one whose media flow, and waits for silence.
async fn kick(door: &Door, people: &[Arc<Person>], victim: usize) -> Result<Round> {
    if !flows(people, victim).await {
        let why = people[victim].record().failed.clone();
        eprintln!("it did not come back: {}", why.as_deref().unwrap_or("no media"));
        return Ok(Round::NotThere(victim));
    }
    let seat = &door.seats[victim];
    let token = door.token(seat, &format!("{:032x}", rand::random::<u128>())).await.context("before the kick")?;
    let kicked_at = Instant::now();
    moderate(door, victim, "kick").await?;
    let since = |at: Instant| at.saturating_duration_since(kicked_at).as_secs_f64() * 1e3;
    let silent = silent(people, victim, kicked_at).await;
    let (silent_ms, removed_ms) = (silent.map(|(last, _)| since(last)), silent.map(|(_, ended)| since(ended)));
    Ok(Round::Kicked(Kicked { victim, token, silent_ms, removed_ms }))
}

/// Asks for a token, and uses one of before; then it is let into the room again.
async fn tried(door: &Door, kicked: Kicked) -> Result<Tried> {
    let Kicked { victim, token, .. } = kicked;
    let member_id = format!("{:032x}", rand::random::<u128>());
    let has_token = door.token(&door.seats[victim], &member_id).await.is_ok();
    let stayed = participant::stay(door.connect(token).await?, PROMISE).await;
    back(door, victim).await?;
    Ok(Tried { victim, has_token, stayed })
}

async fn moderate(door: &Door, victim: usize, action: &str) -> Result<()> {
    let (owner, seat) = (&door.seats[0], &door.seats[victim]);
    room::moderate(&owner.device.account, &owner.room, action, &seat.device.account.user).await.context("to moderate")
}

/// Into the room again.
async fn back(door: &Door, victim: usize) -> Result<()> {
    let seat = &door.seats[victim];
    // Refused if it is in the room and only could not get into the call.
    let _ = moderate(door, victim, "invite").await;
    let via = door.seats[0].device.account.user.server_name().as_str().to_owned();
    // A homeserver that has not yet heard of the kick in all places refuses the join for a moment.
    let until = Instant::now() + PATIENCE;
    while let Err(error) = room::join(&seat.device.account, &seat.room, &[&via]).await {
        ensure!(Instant::now() < until, "cannot come back: {error:#}");
        tokio::time::sleep(RETRY).await;
        let _ = moderate(door, victim, "invite").await;
    }
    Ok(())
}

/// The last packet to or from the person, and the last one in each direction.
fn last(people: &[Arc<Person>], victim: usize) -> (Option<Instant>, Option<Instant>) {
    let to = people[victim].record().heard_at;
    let others = people.iter().filter(|person| person.number != victim);
    let from = others.filter_map(|person| {
        let record = person.record();
        let own = record.streams.values().filter(|stream| stream.expected.person as usize == victim);
        own.filter_map(|stream| stream.last_at).max()
    });
    (to, from.max())
}

/// Waits until media go both ways.
async fn flows(people: &[Arc<Person>], victim: usize) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let fresh = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < FRESH);
        let (to, from) = last(people, victim);
        if fresh(to) && fresh(from) {
            return true;
        }
        if people[victim].record().failed.is_some() {
            return false;
        }
        tokio::time::sleep(STEP).await;
    }
    false
}

/// Waits for silence: the last packet, and when the session was seen to have ended.
async fn silent(people: &[Arc<Person>], victim: usize, since: Instant) -> Option<(Instant, Instant)> {
    let mut ended = None;
    while since.elapsed() < PATIENCE {
        let (to, from) = last(people, victim);
        let last = to.max(from).map_or(since, |at| at.max(since));
        if people[victim].record().failed.is_some() {
            ended.get_or_insert_with(Instant::now);
        }
        if let Some(ended) = ended.filter(|_| last.elapsed() > SILENCE) {
            return Some((last, ended));
        }
        tokio::time::sleep(STEP).await;
    }
    None
}
