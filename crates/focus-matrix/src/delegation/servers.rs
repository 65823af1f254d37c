//! The homeservers: what they allow, what waits for them, and how much at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::timing::ANSWER_TIMEOUT;
use super::{Ask, AskId, Member};

/// Questions to one homeserver at once.
const IN_FLIGHT_MAX: usize = 4;
/// What a homeserver allows is asked anew after this.
const OPEN_FOR: Duration = Duration::from_secs(3600);
/// The longest that a homeserver may have us wait after a 429.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What a homeserver said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 2xx.
    Done,
    /// 404 with another errcode than `M_UNRECOGNIZED`: it has no such delayed event.
    NotFound,
    /// 404 `M_UNRECOGNIZED`, 405: it has no such endpoint.
    Unrecognized,
    /// 401 or 403.
    Forbidden,
    /// 409: it was cancelled, or sent, before.
    Conflict,
    /// 429.
    LimitExceeded { retry_after: Duration },
    /// Another status, no connection, no answer.
    Failed,
}

/// In which order what waits is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Somebody is gone.
    Send,
    /// A member waits for an answer.
    Prove,
    /// There is a fifth of the delay left.
    Restart,
}

#[derive(Default)]
struct Server {
    /// It lets events be managed by their id, as far as is known, until then.
    open_until: Option<Instant>,
    paused_until: Option<Instant>,
    in_flight: usize,
    waiting: BTreeSet<(Urgency, Instant, Member)>,
    /// The entry in `waiting` of each member.
    entries: BTreeMap<Member, (Urgency, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Probe,
    Restart,
    Send,
}

pub(super) struct Asked {
    pub(super) member: Member,
    pub(super) kind: Kind,
    server_name: String,
    deadline: Instant,
}

#[derive(Default)]
pub(super) struct Servers {
    servers: BTreeMap<String, Server>,
    asked: BTreeMap<AskId, Asked>,
    next_id: u64,
}

impl Servers {
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let servers = names.into_iter().map(|name| (name, Server::default())).collect();
        Self { servers, ..Self::default() }
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.servers.contains_key(name)
    }

    pub(super) fn is_open(&self, name: &str, now: Instant) -> bool {
        self.servers.get(name).and_then(|server| server.open_until).is_some_and(|until| now < until)
    }

    pub(super) fn found_open(&mut self, name: &str, now: Instant) {
        if let Some(server) = self.servers.get_mut(name) {
            server.open_until = Some(now + OPEN_FOR);
        }
    }

    pub(super) fn pause(&mut self, name: &str, now: Instant, wait: Duration) {
        if let Some(server) = self.servers.get_mut(name) {
            server.paused_until = server.paused_until.max(Some(now + wait.min(PAUSE_MAX)));
        }
    }

    pub(super) fn enqueue(&mut self, name: &str, urgency: Urgency, now: Instant, member: &Member) {
        let Some(server) = self.servers.get_mut(name) else { return };
        match server.entries.get(member) {
            Some((old, _)) if *old == urgency => return,
            Some((old, at)) => drop(server.waiting.remove(&(*old, *at, member.clone()))),
            None => {}
        }
        server.entries.insert(member.clone(), (urgency, now));
        server.waiting.insert((urgency, now, member.clone()));
    }

    /// What waits is forgotten; what is on its way will be answered to nobody.
    pub(super) fn forget(&mut self, name: &str, member: &Member) {
        let Some(server) = self.servers.get_mut(name) else { return };
        if let Some((urgency, at)) = server.entries.remove(member) {
            server.waiting.remove(&(urgency, at, member.clone()));
        }
    }

    /// Takes the next that may be asked.
    pub(super) fn next(&mut self, now: Instant) -> Option<(String, Member)> {
        let may = |server: &Server| server.in_flight < IN_FLIGHT_MAX && server.paused_until.is_none_or(|at| at <= now);
        let found = self.servers.iter_mut().find(|(_, server)| may(server) && !server.waiting.is_empty());
        let (name, server) = found?;
        let (_, _, member) = server.waiting.pop_first()?;
        server.entries.remove(&member);
        Some((name.clone(), member))
    }

    pub(super) fn asked(&mut self, now: Instant, name: &str, member: &Member, ask: &Ask) -> AskId {
        let id = AskId(self.next_id);
        self.next_id += 1;
        if let Some(server) = self.servers.get_mut(name) {
            server.in_flight += 1;
        }
        let kind = match ask {
            Ask::Probe { .. } => Kind::Probe,
            Ask::Restart { .. } => Kind::Restart,
            Ask::Send { .. } => Kind::Send,
        };
        let (server_name, deadline) = (name.to_owned(), now + ANSWER_TIMEOUT);
        self.asked.insert(id, Asked { member: member.clone(), kind, server_name, deadline });
        id
    }

    pub(super) fn answered(&mut self, id: AskId) -> Option<Asked> {
        let asked = self.asked.remove(&id)?;
        if let Some(server) = self.servers.get_mut(&asked.server_name) {
            server.in_flight = server.in_flight.saturating_sub(1);
        }
        Some(asked)
    }

    /// Questions that nobody will answer any more.
    pub(super) fn overdue(&self, now: Instant) -> Vec<AskId> {
        self.asked.iter().filter(|(_, asked)| asked.deadline <= now).map(|(id, _)| *id).collect()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for server in self.servers.values_mut() {
            server.paused_until = server.paused_until.filter(|at| *at > now);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let paused = self.servers.values().filter(|server| !server.waiting.is_empty());
        let paused = paused.filter_map(|server| server.paused_until);
        // In order of their ids they are in order of their deadlines.
        paused.chain(self.asked.values().next().map(|asked| asked.deadline)).min()
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_empty()
            && self.servers.values().all(|s| s.waiting.is_empty() && s.entries.is_empty() && s.in_flight == 0)
    }
}
