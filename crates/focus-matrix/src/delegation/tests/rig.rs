//! One machine in virtual time, and what came out of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::super::*;

pub(super) const HS: &str = "hs.example";

#[expect(clippy::disallowed_methods, reason = "where virtual time begins; nothing depends on it")]
pub(super) fn epoch() -> Instant {
    Instant::now() + Duration::from_secs(100_000)
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn member(identity: &str) -> Member {
    Member { conference: "call".into(), identity: identity.into() }
}

pub(super) fn will(delay_id: &str) -> Will {
    Will { server_name: HS.into(), delay_id: delay_id.into(), delay: seconds(3600), on_leave: false }
}

pub(super) struct Rig {
    pub(super) machine: Delegation,
    pub(super) now: Instant,
    pub(super) saved: BTreeMap<Member, (Will, Instant)>,
    timing: Timing,
    asks: VecDeque<(AskId, Ask)>,
    tells: Vec<(u64, Option<u64>, News)>,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(Timing::default())
    }

    pub(super) fn with(timing: Timing) -> Self {
        Self {
            machine: Delegation::new([HS.to_owned()], timing.clone(), [1; 32]),
            now: epoch(),
            saved: BTreeMap::new(),
            timing,
            asks: VecDeque::new(),
            tells: Vec::new(),
        }
    }

    /// Session 1 is this member's, and its will is held.
    pub(super) fn held(identity: &str) -> Self {
        Self::held_with(identity, will("id"))
    }

    pub(super) fn held_with(identity: &str, will: Will) -> Self {
        let mut rig = Self::new();
        rig.join(1, identity);
        rig.machine.delegate(rig.now, SessionNumber(1), 7, will);
        for answer in [Answer::NotFound, Answer::Done] {
            let (id, _) = rig.ask();
            rig.answer(id, answer);
        }
        assert_eq!(rig.told(), [(1, Some(7), News::Held)]);
        rig
    }

    pub(super) fn join(&mut self, session: u64, identity: &str) {
        self.machine.handle_joined(self.now, SessionNumber(session), member(identity));
    }

    pub(super) fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        loop {
            match self.machine.poll_output(self.now) {
                Output::Timeout(_) => return outputs,
                output => outputs.push(output),
            }
        }
    }

    fn drain(&mut self) {
        for output in self.outputs() {
            match output {
                Output::Ask { id, server_name, ask } => {
                    assert_eq!(server_name, HS);
                    self.asks.push_back((id, ask));
                }
                Output::Tell { session, request, news } => self.tells.push((session.0, request, news)),
                Output::Save { member, will } => drop(self.saved.insert(member, (will, self.now))),
                Output::Forget { member } => drop(self.saved.remove(&member)),
                Output::Timeout(_) => {}
            }
        }
    }

    /// The next question.
    pub(super) fn ask(&mut self) -> (AskId, Ask) {
        self.drain();
        self.asks.pop_front().expect("a question")
    }

    /// Nothing is asked.
    pub(super) fn idle(&mut self) -> bool {
        self.drain();
        self.asks.is_empty()
    }

    pub(super) fn answer(&mut self, id: AskId, answer: Answer) {
        self.machine.handle_answer(self.now, id, answer);
        self.drain();
    }

    pub(super) fn told(&mut self) -> Vec<(u64, Option<u64>, News)> {
        self.drain();
        std::mem::take(&mut self.tells)
    }

    /// Deadline by deadline.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.drain();
            let Output::Timeout(at) = self.machine.poll_output(self.now) else { panic!("drained") };
            let Some(at) = at.filter(|at| *at <= end) else { break };
            assert!(at >= self.now, "it wants to be woken in the past");
            self.now = at;
            self.machine.handle_timeout(at);
        }
        self.now = end;
    }

    /// The member is there.
    pub(super) fn live(&mut self, session: u64, time: Duration) {
        for _ in 0..time.as_secs() {
            self.machine.handle_heard(self.now, SessionNumber(session));
            self.pass(seconds(1));
        }
    }

    pub(super) fn live_until_asked(&mut self, session: u64) {
        for _ in 0..10_000 {
            if !self.idle() {
                return;
            }
            self.live(session, seconds(1));
        }
        panic!("nothing was asked");
    }

    /// Another process takes up what this one has saved.
    pub(super) fn restart_focus(&mut self) {
        self.drain();
        self.asks.clear();
        self.machine = Delegation::new([HS.to_owned()], self.timing.clone(), [2; 32]);
        for (member, (will, since)) in &self.saved {
            self.machine.restore(self.now, member.clone(), will.clone(), self.now - *since);
        }
    }

    pub(super) fn assert_empty(&mut self) {
        self.drain();
        let machine = &self.machine;
        assert!(machine.jobs.is_empty() && machine.timers.is_empty() && self.saved.is_empty());
        assert!(machine.servers.is_idle());
    }
}
