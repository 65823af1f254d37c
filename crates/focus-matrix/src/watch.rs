//! Whether those who are in a call are still in its room: asked as soon as somebody arrives, when a homeserver hints that
//! something changed, and over and over as long as the call lasts.
//!
//! What is asked about is a person in a room, whatever number of devices it calls with. A homeserver that does not answer
//! changes nothing: running calls go on without it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::authorize::Membership;

/// Who was removed is silent within 2 s: this, and the time that a question and the removal take.
pub const SWEEP: Duration = Duration::from_millis(1200);
/// Where the homeserver pushes what changes, a sweep only finds what was lost on the way.
pub const SWEEP_PUSHED: Duration = Duration::from_secs(15);
/// Questions on their way to one place. A homeserver that answers in 5 ms bears a call of 4800 so.
pub const IN_FLIGHT_MAX: usize = 16;
/// A check this old means that removals are not seen in time.
const STALE: Duration = Duration::from_secs(10);

/// One device in a call, as its token told.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    pub conference: String,
    pub identity: String,
    pub user: OwnedUserId,
    pub room: OwnedRoomId,
    /// Who is asked: questions to one lane wait for each other.
    pub lane: String,
    /// Whether that one pushes changes of the room.
    pub pushed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuestionId(u64);

/// One effect.
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    /// Is the user in the room? Each is answered by one [`Watch::handle_answer`].
    Ask { question: QuestionId, lane: String, user: OwnedUserId, room: OwnedRoomId },
    /// Is no longer in the room: ends its calls there, with all devices, and keeps it out.
    Remove { user: OwnedUserId, room: OwnedRoomId },
    /// Nothing to do before this time, unless something comes in. `None`: nothing at all.
    Timeout(Option<Instant>),
}

/// Plain numbers. All but the last two only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub checks: u64,
    /// Answers that said nothing, because nobody was there to say it.
    pub unanswered: u64,
    pub kicked: u64,
    /// Persons in rooms that are watched now.
    pub watched: usize,
    /// Of these, those of whom nothing was heard for 10 s.
    pub stale: usize,
}

type Key = (OwnedUserId, OwnedRoomId);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PersonId(u64);

struct Person {
    key: Key,
    /// Conference and identity of each device.
    devices: BTreeSet<(String, String)>,
    lane: String,
    pushed: bool,
    /// When somebody last said whether it is in the room.
    heard: Instant,
    state: State,
}

enum State {
    Due(Instant),
    /// `again`: something changed while the answer was on its way, so that it may be too old.
    Asked {
        again: bool,
    },
}

#[derive(Default)]
struct Lane {
    in_flight: usize,
    /// Everybody in [`State::Due`]. Those whose time has come wait for a place.
    due: BTreeSet<(Instant, PersonId)>,
}

/// The machine. Contract: any number of `handle_*`, then [`poll_output`](Self::poll_output) until it returns
/// [`Output::Timeout`]; [`handle_timeout`](Self::handle_timeout) at that time. As large as the calls of the focus are.
#[derive(Default)]
pub struct Watch {
    people: BTreeMap<PersonId, Person>,
    ids: BTreeMap<Key, PersonId>,
    lanes: BTreeMap<String, Lane>,
    /// A question keeps its place in the lane until it is answered, whoever is still there to hear it.
    questions: BTreeMap<QuestionId, (String, PersonId)>,
    next_id: u64,
    outputs: VecDeque<Output>,
    counts: Counts,
}

impl Watch {
    /// Somebody was let in. Checked at once: its token may be two minutes old.
    pub fn handle_arrived(&mut self, now: Instant, member: Member) {
        let key = (member.user, member.room);
        let id = match self.ids.get(&key) {
            Some(id) => *id,
            None => self.begin(now, key, member.lane, member.pushed),
        };
        if let Some(person) = self.people.get_mut(&id) {
            person.devices.insert((member.conference, member.identity));
        }
        self.check_now(now, id);
    }

    /// It left, in whatever way.
    pub fn handle_departed(&mut self, user: &UserId, room: &RoomId, conference: &str, identity: &str) {
        let Some(id) = self.id(user, room) else { return };
        let Some(person) = self.people.get_mut(&id) else { return };
        person.devices.remove(&(conference.to_owned(), identity.to_owned()));
        if person.devices.is_empty() {
            self.forget(id);
        }
    }

    /// A homeserver says that something about the user in the room has changed.
    pub fn handle_hint(&mut self, now: Instant, user: &UserId, room: &RoomId) {
        if let Some(id) = self.id(user, room) {
            self.check_now(now, id);
        }
    }

    pub fn handle_answer(&mut self, now: Instant, question: QuestionId, answer: Membership) {
        let Some((lane, id)) = self.questions.remove(&question) else { return };
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.in_flight -= 1;
        }
        self.counts.checks += 1;
        self.answered(now, id, answer);
        self.ask_those_due(now, &lane);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let lanes: Vec<String> = self.lanes.keys().cloned().collect();
        for lane in lanes {
            self.ask_those_due(now, &lane);
        }
    }

    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| {
            // A full lane goes on when an answer comes, not by the clock.
            let open = self.lanes.values().filter(|lane| lane.in_flight < IN_FLIGHT_MAX);
            Output::Timeout(open.filter_map(|lane| lane.due.first()).map(|(at, _)| *at).min())
        })
    }

    pub fn counts(&self, now: Instant) -> Counts {
        let stale = self.people.values().filter(|p| now.saturating_duration_since(p.heard) > STALE).count();
        Counts { watched: self.people.len(), stale, ..self.counts }
    }

    fn id(&self, user: &UserId, room: &RoomId) -> Option<PersonId> {
        self.ids.get(&(user.to_owned(), room.to_owned())).copied()
    }

    fn begin(&mut self, now: Instant, key: Key, lane: String, pushed: bool) -> PersonId {
        let id = PersonId(self.next_id);
        self.next_id += 1;
        self.ids.insert(key.clone(), id);
        self.lanes.entry(lane.clone()).or_default().due.insert((now, id));
        let (devices, state) = (BTreeSet::new(), State::Due(now));
        self.people.insert(id, Person { key, devices, lane, pushed, heard: now, state });
        id
    }

    fn forget(&mut self, id: PersonId) {
        let Some(person) = self.people.remove(&id) else { return };
        self.ids.remove(&person.key);
        if let (State::Due(at), Some(lane)) = (person.state, self.lanes.get_mut(&person.lane)) {
            lane.due.remove(&(at, id));
        }
        self.lanes.retain(|_, lane| lane.in_flight > 0 || !lane.due.is_empty());
    }

    fn check_now(&mut self, now: Instant, id: PersonId) {
        let Some(person) = self.people.get_mut(&id) else { return };
        match &mut person.state {
            State::Asked { again } => *again = true,
            State::Due(at) => {
                let lane = self.lanes.entry(person.lane.clone()).or_default();
                lane.due.remove(&(*at, id));
                // Who is overdue keeps its turn.
                *at = now.min(*at);
                lane.due.insert((*at, id));
            }
        }
        let lane = person.lane.clone();
        self.ask_those_due(now, &lane);
    }

    /// The longest due first, as far as there are places.
    fn ask_those_due(&mut self, now: Instant, name: &str) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        while lane.in_flight < IN_FLIGHT_MAX
            && let Some(first @ (_, id)) = lane.due.first().copied().filter(|(at, _)| *at <= now)
        {
            lane.due.remove(&first);
            let Some(person) = self.people.get_mut(&id) else { continue };
            let question = QuestionId(self.next_id);
            self.next_id += 1;
            person.state = State::Asked { again: false };
            lane.in_flight += 1;
            self.questions.insert(question, (name.to_owned(), id));
            let (user, room) = person.key.clone();
            self.outputs.push_back(Output::Ask { question, lane: name.to_owned(), user, room });
        }
        self.lanes.retain(|_, lane| lane.in_flight > 0 || !lane.due.is_empty());
    }

    fn answered(&mut self, now: Instant, id: PersonId, answer: Membership) {
        let Some(person) = self.people.get_mut(&id) else { return };
        let State::Asked { again } = person.state else { return };
        let sweep = if person.pushed { SWEEP_PUSHED } else { SWEEP };
        match answer {
            Membership::Joined => person.heard = now,
            Membership::NotJoined if !again => {
                self.counts.kicked += 1;
                let (user, room) = person.key.clone();
                self.outputs.push_back(Output::Remove { user, room });
                return self.forget(id);
            }
            // It may have come back while that was said.
            Membership::NotJoined => {}
            Membership::Unseen | Membership::Unavailable => self.counts.unanswered += 1,
        }
        // As often also when nothing was heard: one question that fails costs little, and an outage ends at some time.
        let at = if again { now } else { now + sweep };
        person.state = State::Due(at);
        self.lanes.entry(person.lane.clone()).or_default().due.insert((at, id));
    }
}

#[cfg(test)]
mod tests;
