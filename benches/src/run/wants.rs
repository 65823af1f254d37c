//! Which tracks a participant has still to subscribe to, and the slots that are free for them.

use focus_signaling::wire;

use super::media;
use super::participant::Shared;
use super::peer;
use super::person::Person;
use super::plan::Source;
use super::receive::{Expected, Stream};

/// A receiving m-line: what it can carry, mid, SSRC.
type Slot = (Source, String, u32);

/// See the module.
pub struct Wants<'a> {
    shared: &'a Shared,
    person: &'a Person,
    /// Mid of the first published track.
    first_mid: usize,
    /// `None` until the answer.
    free: Option<Vec<Slot>>,
    waiting: Vec<Wanted>,
    taken: Vec<(Wanted, Slot)>,
    /// Participants of whom nobody has said yet who they are.
    strangers: Vec<wire::Participant>,
}

/// One track of the plan, as it is there.
#[derive(Clone)]
struct Wanted {
    /// Id of the participant that publishes it.
    participant: String,
    track: String,
    expected: Expected,
}

impl<'a> Wants<'a> {
    pub fn new(shared: &'a Shared, person: &'a Person, first_mid: usize) -> Self {
        let (waiting, taken, strangers) = (Vec::new(), Vec::new(), Vec::new());
        Self { shared, person, first_mid, free: None, waiting, taken, strangers }
    }

    /// Everything of `other` that the plan has for this participant.
    pub fn learn(&mut self, other: &wire::Participant) {
        let plan = &self.shared.plan;
        self.strangers.retain(|stranger| stranger.id != other.id);
        let Some(number) = self.shared.door.person(self.person.number, other) else {
            self.strangers.push(other.clone());
            return;
        };
        let wanted = plan.wanted(plan.seat(self.person.number));
        for track in &other.tracks {
            let Some(source) = Source::of_wire(track.source) else { continue };
            let expected = Expected { person: number as u32, source };
            let known = |it: &Wanted| it.participant == other.id && it.expected == expected;
            let is_known = self.waiting.iter().chain(self.taken.iter().map(|(it, _)| it)).any(known);
            if wanted.contains(&(plan.seat(number), source)) && !is_known {
                let (participant, track) = (other.id.clone(), track.track.clone());
                self.waiting.push(Wanted { participant, track, expected });
            }
        }
    }

    /// Tries the strangers again.
    pub fn meet(&mut self) {
        let strangers = std::mem::take(&mut self.strangers);
        strangers.iter().for_each(|other| self.learn(other));
    }

    /// The participant is gone: its slots are free.
    pub fn forget(&mut self, participant: &str) {
        self.strangers.retain(|stranger| stranger.id != participant);
        self.waiting.retain(|wanted| wanted.participant != participant);
        let (gone, taken): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.taken).into_iter().partition(|(wanted, _)| wanted.participant == participant);
        self.taken = taken;
        if let Some(free) = &mut self.free {
            free.extend(gone.into_iter().map(|(_, slot)| slot));
        }
    }

    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn slots(&mut self, answer: &str) {
        let plan = &self.shared.plan;
        let seat = plan.seat(self.person.number);
        let ssrcs = peer::ssrcs(answer);
        // Behind what is published, in the order of the plan.
        let mids = plan.slots(seat).into_iter().zip(self.first_mid + plan.published(seat).len()..);
        let free = mids.filter_map(|(source, mid)| {
            let mid = mid.to_string();
            let ssrc = ssrcs.iter().find(|(found, _)| *found == mid)?.1;
            Some((source, mid, ssrc))
        });
        self.free = Some(free.collect());
    }

    /// What can be asked for now.
    pub fn take(&mut self) -> Vec<wire::Want> {
        let Some(free) = &mut self.free else { return Vec::new() };
        let mut wants = Vec::new();
        for wanted in std::mem::take(&mut self.waiting) {
            let Expected { source, .. } = wanted.expected;
            let Some(at) = free.iter().position(|(slot, ..)| slot.is_audio() == source.is_audio()) else {
                // Somebody is about to leave.
                self.waiting.push(wanted);
                continue;
            };
            let slot = free.remove(at);
            self.person.record().streams.insert(slot.2, Stream::new(wanted.expected, media::fps(source)));
            let (width, height) = self.shared.plan.size(source).unzip();
            let (track, mid) = (wanted.track.clone(), Some(slot.1.clone()));
            wants.push(wire::Want { track, mid, width, height, fps: None, off: false });
            self.taken.push((wanted, slot));
        }
        wants
    }
}
