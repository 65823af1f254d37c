//! Frames come that do not open: when to ask whose they are for the key ([`key_request`](crate::event::key_request)).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::{MEMBERS_MAX, Participant};
use crate::membership::MemberKey;

/// A key may be on its way: Olm is slower than media.
pub const ASK_AFTER: Duration = Duration::from_secs(2);
/// From one question to the next, doubled each time. Whoever is asked answers no more often than this.
pub const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Then the frames may as well be somebody else's.
pub const ASKS_MAX: u32 = 5;

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask this member.
    Ask(MemberKey),
    /// Nothing now: call [`Asker::handle_timeout`] at that time, if there is one.
    Timeout(Option<Instant>),
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// `None`: asked often enough.
    at: Option<Instant>,
    asks: u32,
}

/// The machine of the questions in one session. It knows of at most [`MEMBERS_MAX`] members that do not open.
///
/// Contract: any number of `handle_*`, then [`poll_output`](Self::poll_output) until it returns [`Output::Timeout`].
#[derive(Debug, Default)]
pub struct Asker {
    waiting: BTreeMap<MemberKey, Waiting>,
    outputs: VecDeque<Output>,
}

impl Asker {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether what comes from this member does not open, as often as one likes. Only members that
    /// [know the question](crate::event::key_request::is_known_to).
    pub fn handle_lacking(&mut self, now: Instant, member: &MemberKey, lacks: bool) {
        if !lacks {
            self.waiting.remove(member);
        } else if !self.waiting.contains_key(member) && self.waiting.len() < MEMBERS_MAX {
            self.waiting.insert(member.clone(), Waiting { at: Some(now + ASK_AFTER), asks: 0 });
        }
    }

    /// All members of the session as they are now.
    pub fn handle_members(&mut self, members: &[Participant]) {
        let present: BTreeSet<_> = members.iter().map(|it| &it.member).collect();
        self.waiting.retain(|member, _| present.contains(member));
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (member, waiting) in &mut self.waiting {
            if waiting.at.is_some_and(|at| at <= now) {
                self.outputs.push_back(Output::Ask(member.clone()));
                waiting.asks += 1;
                waiting.at = (waiting.asks < ASKS_MAX).then(|| now + ASK_AGAIN * 2u32.pow(waiting.asks - 1));
            }
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        let next = || Output::Timeout(self.waiting.values().filter_map(|waiting| waiting.at).min());
        self.outputs.pop_front().unwrap_or_else(next)
    }
}
