//! Homeservers on a bad day: a proxy in front of one that loses, delays and repeats to-device messages between members and
//! the focus's device, as they are on the wire, which is encrypted. Everything else passes.
//!
//! What becomes of a member's n-th message in either direction is a function of the seed.

mod chance;
mod proxy;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use matrix_sdk::reqwest;
use matrix_sdk::ruma::OwnedUserId;
use serde_json::Value;
use tokio::net::TcpListener;

use self::chance::{Chance, Fate};
use crate::cli::WeatherArgs;
use crate::run::report::WeatherReport;

/// A sync is held for no longer: what was delayed comes with the next one.
const HOLD_MAX: Duration = Duration::from_millis(300);

/// What the proxies of all homeservers share.
#[derive(Debug)]
pub struct Weather {
    args: WeatherArgs,
    http: reqwest::Client,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By access token.
    members: BTreeMap<String, Member>,
    foci: Vec<OwnedUserId>,
    counts: WeatherReport,
}

#[derive(Debug)]
struct Member {
    up: Chance,
    down: Chance,
    held: Vec<(Instant, Value)>,
}

impl Weather {
    pub fn new(args: &WeatherArgs, http: &reqwest::Client) -> Arc<Self> {
        Arc::new(Self { args: args.clone(), http: http.clone(), inner: Mutex::default() })
    }

    /// The address of a proxy in front of `homeserver`.
    pub async fn over(self: &Arc<Self>, homeserver: &str) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(proxy::serve(listener, homeserver.to_owned(), self.clone()));
        Ok(format!("http://{address}"))
    }

    /// Whose messages are concerned; `number`: of the member, in the run.
    pub fn member(&self, token: &str, number: usize) {
        let chance = |direction| Chance::new(&self.args, number, direction);
        let member = Member { up: chance(0), down: chance(1), held: Vec::new() };
        self.inner().members.insert(token.to_owned(), member);
    }

    /// Messages from and to this user are concerned.
    pub fn focus(&self, user: &OwnedUserId) {
        self.inner().foci.push(user.clone());
    }

    pub fn counts(&self) -> WeatherReport {
        self.inner().counts
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Whole after each step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the member's message is to be passed on, each time. `None`: it is none of ours.
    fn going_up(&self, token: &str, message: &Value) -> Option<Vec<Duration>> {
        let mut inner = self.inner();
        let Inner { members, foci, counts } = &mut *inner;
        let to = message.get("messages")?.as_object()?;
        if !foci.iter().any(|focus| to.contains_key(focus.as_str())) {
            return None;
        }
        Some(members.get_mut(token)?.up.next().apply(counts))
    }

    /// The events that a sync brings the member now, of those that the homeserver has for it.
    fn coming_down(&self, token: &str, now: Instant, events: Vec<Value>) -> Vec<Value> {
        let mut inner = self.inner();
        let Inner { members, foci, counts } = &mut *inner;
        let Some(member) = members.get_mut(token) else { return events };
        let mut passed = Vec::new();
        for event in events {
            if !foci.iter().any(|focus| event["sender"] == focus.as_str()) {
                passed.push(event);
                continue;
            }
            for after in member.down.next().apply(counts) {
                match after.is_zero() {
                    true => passed.push(event.clone()),
                    false => member.held.push((now + after, event.clone())),
                }
            }
        }
        let (due, held) = std::mem::take(&mut member.held).into_iter().partition(|(at, _)| *at <= now);
        member.held = held;
        passed.extend(due.into_iter().map(|(_, event)| event));
        passed
    }
}

impl Fate {
    /// When to pass the message on, each time; counted.
    fn apply(self, counts: &mut WeatherReport) -> Vec<Duration> {
        match self {
            Self::Passed => counts.passed += 1,
            Self::Lost => counts.lost += 1,
            Self::Delayed(_) => counts.delayed += 1,
            Self::Repeated(_) => counts.repeated += 1,
        }
        match self {
            Self::Passed => vec![Duration::ZERO],
            Self::Lost => Vec::new(),
            Self::Delayed(after) => vec![after],
            Self::Repeated(after) => vec![Duration::ZERO, after],
        }
    }
}
