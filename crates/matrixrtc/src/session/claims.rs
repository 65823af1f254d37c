//! What one user's events say. The newest in each place counts: a place is a state key, or a key of the room's sticky map.

use std::collections::BTreeMap;

use ruma::{EventId, OwnedDeviceId, OwnedEventId};

use super::change::LeftReason;
use super::rules::Rules;
use crate::event::{Claim, Refusal, RoomEvent};
use crate::membership::{MemberKey, Membership};
use crate::time::Timestamp;

/// Places of one user. A sticky leave takes one until its stickiness ends, at most an hour.
pub(super) const PLACES_MAX: usize = 64;

#[derive(Debug, Clone, Default)]
pub(super) struct Claims {
    state: BTreeMap<String, Entry>,
    sticky: BTreeMap<(String, String), StickyEntry>,
}

/// Where an event belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    State(String),
    Sticky {
        kind: String,
        key: String,
        /// MSC4354: of two events with the same key, the one whose `origin_server_ts` plus duration is later counts.
        rank: Timestamp,
        ends: Timestamp,
    },
}

#[derive(Debug, Clone)]
struct Entry {
    event_id: OwnedEventId,
    sent_at: Timestamp,
    claim: Result<Claim, Refusal>,
    redacted_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct StickyEntry {
    entry: Entry,
    rank: Timestamp,
    ends: Timestamp,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    Superseded,
    Expired,
    TooMany,
}

impl Claims {
    pub(super) fn put(
        &mut self,
        event: &RoomEvent,
        place: Place,
        claim: Result<Claim, Refusal>,
        wall: Timestamp,
    ) -> Put {
        let entry = Entry { event_id: event.event_id.clone(), sent_at: event.sent_at, claim, redacted_at: None };
        match place {
            Place::State(state_key) => {
                let is_joined = matches!(entry.claim, Ok(Claim::Joined(_)));
                if !is_joined && !self.state.contains_key(&state_key) {
                    return Put::Done; // There is nothing to leave.
                }
                if !self.state.contains_key(&state_key) && !self.make_room(wall) {
                    return Put::TooMany;
                }
                self.state.insert(state_key, entry);
            }
            Place::Sticky { kind, key, rank, ends } => {
                let place = (kind, key);
                if let Some(known) = self.sticky.get(&place) {
                    if (known.rank, &known.entry.event_id) >= (rank, &entry.event_id) {
                        return Put::Superseded;
                    }
                } else if ends <= wall {
                    return Put::Expired;
                } else if !self.make_room(wall) {
                    return Put::TooMany;
                }
                self.sticky.insert(place, StickyEntry { entry, rank, ends });
            }
        }
        Put::Done
    }

    /// Drops what has ended, and if need be the leave that ends first.
    fn make_room(&mut self, wall: Timestamp) -> bool {
        if self.len() < PLACES_MAX {
            return true;
        }
        self.forget_ended(wall);
        if self.len() >= PLACES_MAX {
            let leaves = self.sticky.iter().filter(|(_, sticky)| !matches!(sticky.entry.claim, Ok(Claim::Joined(_))));
            let first = leaves.min_by_key(|(_, sticky)| sticky.ends).map(|(place, _)| place.clone());
            if let Some(first) = first {
                self.sticky.remove(&first);
            }
        }
        self.len() < PLACES_MAX
    }

    /// Whether there was such an event.
    pub(super) fn redact(&mut self, event_id: &EventId, at: Timestamp) -> bool {
        let entries = self.state.values_mut().chain(self.sticky.values_mut().map(|sticky| &mut sticky.entry));
        let mut found = false;
        for entry in entries.filter(|entry| entry.event_id == event_id) {
            entry.redacted_at = Some(at);
            found = true;
        }
        found
    }

    /// The members that these claims make: one per device. A sticky event outdoes a state event, else the newer one counts.
    pub(super) fn members(&self, rules: &Rules, wall: Timestamp) -> BTreeMap<MemberKey, (Membership, Place)> {
        let sticky = self.sticky.iter().filter(|(_, sticky)| sticky.ends > wall).map(|((kind, key), sticky)| {
            let (kind, key) = (kind.clone(), key.clone());
            (&sticky.entry, Place::Sticky { kind, key, rank: sticky.rank, ends: sticky.ends })
        });
        let state = self.state.iter().map(|(key, entry)| (entry, Place::State(key.clone())));
        let mut devices: BTreeMap<&OwnedDeviceId, (&Membership, Place)> = BTreeMap::new();
        let order = |m: &Membership| (m.form.is_sticky(), m.sent_at, m.event_id.clone());
        for (entry, place) in sticky.chain(state) {
            let Some(membership) = entry.membership() else { continue };
            if membership.expires_at <= wall || !rules.has_place_for(membership) {
                continue;
            }
            let is_better = |(known, _): &(&Membership, Place)| order(membership) > order(known);
            if devices.get(&membership.key.device).is_none_or(is_better) {
                devices.insert(&membership.key.device, (membership, place));
            }
        }
        devices.into_values().map(|(membership, place)| (membership.key.clone(), (membership.clone(), place))).collect()
    }

    /// Why a membership that was made at `place` is not there any more, and since when.
    pub(super) fn why_gone(
        &self,
        rules: &Rules,
        membership: &Membership,
        place: &Place,
        wall: Timestamp,
    ) -> (LeftReason, Timestamp) {
        let entry = match place {
            Place::State(state_key) => self.state.get(state_key),
            Place::Sticky { kind, key, .. } => {
                self.sticky.get(&(kind.clone(), key.clone())).map(|sticky| &sticky.entry)
            }
        };
        let Some(entry) = entry else { return (LeftReason::Expired, membership.expires_at) };
        if let Some(at) = entry.redacted_at {
            return (LeftReason::Redacted, at);
        }
        match &entry.claim {
            Ok(Claim::Left(leave)) => (LeftReason::Said(leave.clone()), entry.sent_at),
            Err(refusal) => (LeftReason::Spoilt(*refusal), entry.sent_at),
            Ok(Claim::Joined(now)) if !rules.has_place_for(now) => {
                (LeftReason::SlotClosed, rules.closed_at().unwrap_or(wall))
            }
            Ok(Claim::Joined(now)) if now.expires_at <= wall => (LeftReason::Expired, now.expires_at),
            Ok(Claim::Joined(now)) => (LeftReason::Replaced, now.sent_at),
        }
    }

    /// When the next of them ends.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        let state = self.state.values().filter_map(|entry| entry.membership().map(|membership| membership.expires_at));
        state.chain(self.sticky.values().map(|sticky| sticky.ends)).min()
    }

    pub(super) fn forget_ended(&mut self, wall: Timestamp) {
        self.state.retain(|_, entry| entry.membership().is_some_and(|membership| membership.expires_at > wall));
        self.sticky.retain(|_, sticky| sticky.ends > wall);
    }

    /// State is given in the server's order, so an event that says nothing any more need not be remembered.
    pub(super) fn forget_left_state(&mut self) {
        self.state.retain(|_, entry| entry.membership().is_some());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.is_empty() && self.sticky.is_empty()
    }

    fn len(&self) -> usize {
        self.state.len() + self.sticky.len()
    }
}

impl Entry {
    fn membership(&self) -> Option<&Membership> {
        match &self.claim {
            Ok(Claim::Joined(membership)) if self.redacted_at.is_none() => Some(membership),
            _ => None,
        }
    }
}
