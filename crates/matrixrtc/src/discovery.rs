//! Which focus a client publishes to: its homeserver says so, else its server's `.well-known`, else its own configuration.
//!
//! A source that has nothing is not an error: 404, `M_UNRECOGNIZED` and an empty 200 all mean "ask the next one". Homeservers that
//! know the endpoint answer `{}` when nobody configured it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::transport::{Transport, parse_list};

/// What the client does with a request that is not answered for so long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Of requests to one source: a server that is being restarted is worth a second and a third, and no more.
const ATTEMPTS_MAX: u32 = 3;
/// Before the second; twice that before the third, and so on.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What a server that is busy may make us wait for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Asks for transports, once.
///
/// Contract: [`Self::poll_output`] until it returns [`Output::Timeout`] or [`Output::Done`]; send each request that it asks for,
/// then [`Self::handle_response`] or [`Self::handle_failure`]. `now` in the former is when the request is sent.
#[derive(Debug, Clone)]
pub struct Discovery {
    wanted: Vec<String>,
    configured: Vec<Transport>,
    state: State,
    attempts: u32,
    failures: Vec<(Source, Failure)>,
}

#[derive(Debug, Clone)]
enum State {
    /// To be asked now.
    Ready(Source),
    /// To be asked again at that time.
    Waiting(Source, Instant),
    Asked(Source, Instant),
    Done(Vec<Transport>, Option<Source>),
}

/// In the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `GET /_matrix/client/unstable/org.matrix.msc4143/rtc/transports`, with the user's access token.
    Homeserver,
    /// `GET https://{server_name}/.well-known/matrix/client`, without.
    WellKnown,
    Configuration,
}

impl Source {
    pub const HOMESERVER_PATH: &str = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports";
    pub const WELL_KNOWN_PATH: &str = "/.well-known/matrix/client";
    /// In `.well-known`.
    pub const WELL_KNOWN_KEY: &str = "org.matrix.msc4143.rtc_foci";

    fn next(self) -> Self {
        match self {
            Self::Homeserver => Self::WellKnown,
            Self::WellKnown | Self::Configuration => Self::Configuration,
        }
    }
}

/// Why a source that should have answered did not: for the log, when in the end there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection, no answer in time, or an answer that is not JSON.
    Unanswered,
    /// An HTTP status that is neither success nor "no such thing".
    Status(u16),
    /// There is a list, but none in it is of a kind that is wanted.
    NoneWanted,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Request(Source),
    /// Nothing to do before this time, unless an answer comes.
    Timeout(Instant),
    /// The first source's transports that has any of a wanted kind: those of wanted kinds, in its order. Empty, with no source: nobody
    /// has any.
    Done {
        transports: Vec<Transport>,
        source: Option<Source>,
    },
}

impl Discovery {
    /// `wanted` are kinds ([`Transport::kind`]) that this client can publish to; `configured` is what it falls back on.
    pub fn new(wanted: Vec<String>, configured: Vec<Transport>) -> Self {
        Self { wanted, configured, state: State::Ready(Source::Homeserver), attempts: 0, failures: Vec::new() }
    }

    /// The answer to the request that was asked for last. `retry_after` is the header's, where there is one; a `body` that is not
    /// JSON is `None`.
    pub fn handle_response(&mut self, now: Instant, status: u16, body: Option<&Value>, retry_after: Option<Duration>) {
        let State::Asked(source, _) = self.state else { return };
        match (status, body) {
            (200..=299, Some(body)) => self.take(source, body),
            (200..=299, None) => self.next(source, Some(Failure::Unanswered)),
            // "No such thing", in all the ways in which servers say so.
            (404 | 405, _) => self.next(source, None),
            (_, Some(body)) if body.get("errcode").is_some_and(|code| code == "M_UNRECOGNIZED") => {
                self.next(source, None);
            }
            (429 | 500..=599, _) => self.again(now, source, Failure::Status(status), retry_after),
            _ => self.next(source, Some(Failure::Status(status))),
        }
    }

    /// The request could not be sent, or there was no answer.
    pub fn handle_failure(&mut self, now: Instant) {
        if let State::Asked(source, _) = self.state {
            self.again(now, source, Failure::Unanswered, None);
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Asked(_, deadline) if now >= deadline => self.handle_failure(now),
            State::Waiting(source, at) if now >= at => self.state = State::Ready(source),
            _ => {}
        }
    }

    pub fn poll_output(&mut self, now: Instant) -> Output {
        if matches!(self.state, State::Ready(Source::Configuration)) {
            let transports = self.wanted_of(self.configured.clone());
            let source = (!transports.is_empty()).then_some(Source::Configuration);
            self.state = State::Done(transports, source);
        }
        match &self.state {
            State::Ready(source) => {
                let source = *source;
                self.attempts += 1;
                self.state = State::Asked(source, now + ANSWER_TIMEOUT);
                Output::Request(source)
            }
            State::Waiting(_, at) | State::Asked(_, at) => Output::Timeout(*at),
            State::Done(transports, source) => Output::Done { transports: transports.clone(), source: *source },
        }
    }

    /// What went wrong on the way.
    pub fn failures(&self) -> &[(Source, Failure)] {
        &self.failures
    }

    fn take(&mut self, source: Source, body: &Value) {
        let keys: &[&str] = match source {
            Source::WellKnown => &[Source::WELL_KNOWN_KEY],
            _ => &["rtc_transports", "transports"],
        };
        let lists = keys.iter().filter_map(|key| body.get(key)?.as_array());
        let Some(list) = lists.into_iter().find(|list| !list.is_empty()) else { return self.next(source, None) };
        // One entry that is none does not spoil the others: this is a server's configuration, typed by hand.
        let readable: Vec<Value> = list.iter().filter(|entry| Transport::parse(entry).is_ok()).cloned().collect();
        let transports = self.wanted_of(parse_list(&readable).unwrap_or_default());
        if transports.is_empty() {
            self.next(source, Some(Failure::NoneWanted));
        } else {
            self.state = State::Done(transports, Some(source));
        }
    }

    fn wanted_of(&self, transports: Vec<Transport>) -> Vec<Transport> {
        // A known kind that lacks its address has the right kind, and is of no use.
        let is_usable = |transport: &Transport| !matches!(transport, Transport::Unknown(_));
        let is_wanted = |transport: &Transport| self.wanted.iter().any(|kind| kind == transport.kind());
        transports.into_iter().filter(|transport| is_usable(transport) && is_wanted(transport)).collect()
    }

    fn next(&mut self, source: Source, failure: Option<Failure>) {
        self.failures.extend(failure.map(|failure| (source, failure)));
        self.attempts = 0;
        self.state = State::Ready(source.next());
    }

    fn again(&mut self, now: Instant, source: Source, failure: Failure, retry_after: Option<Duration>) {
        if self.attempts >= ATTEMPTS_MAX {
            return self.next(source, Some(failure));
        }
        let pause = retry_after.unwrap_or(RETRY_AFTER * 2_u32.pow(self.attempts.saturating_sub(1)));
        self.state = State::Waiting(source, now + pause.min(RETRY_AFTER_MAX));
    }
}

#[cfg(test)]
mod tests;
