//! Who is in a session: one machine per slot, fed with the room's events.
//!
//! There is no call event. A session *is* its members, each is what the newest event of one device says, and so everybody who has
//! the same events sees the same session, whatever order they came in. Nobody can change what is said about anybody else.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use ruma::{OwnedDeviceId, OwnedUserId, RoomVersionId, UserId};

use crate::event::{Claim, Refusal, RoomEvent, legacy_member, member, slot};
use crate::membership::{MemberKey, Membership};
use crate::slot::SlotId;
use crate::time::{Clock, Timestamp};

mod change;
mod claims;
mod redactions;
mod room;
mod rules;

pub use change::{Change, LeftReason};
pub use rules::{Options, SlotRule};

use claims::{Claims, Place, Put};
use redactions::Redactions;
use room::RoomMembers;
use rules::Rules;

/// Users of whom anything is remembered. Rooms with more callers than this have other problems first.
pub const USERS_MAX: usize = 4_096;

/// Members of one slot in one room.
///
/// Contract: any number of `handle_*`, then [`Self::poll_output`] until it returns [`Output::Timeout`]; at that time,
/// [`Self::handle_timeout`].
///
/// Give it every event of the room that the homeserver gives, as it comes: state, sticky events, room membership, redactions; it
/// ignores what does not concern it. Encrypted events are given once they are decrypted. State must be given as the server
/// resolves it, so no state events from the past (as of back-pagination).
#[derive(Debug, Clone)]
pub struct Session {
    rules: Rules,
    clock: Clock,
    /// Where our own legacy event is, without a leading underscore.
    own_state_key: Option<String>,
    claims: BTreeMap<OwnedUserId, Claims>,
    room: RoomMembers,
    redactions: Redactions,
    members: BTreeMap<MemberKey, (Membership, Place)>,
    /// The latest time at which somebody left, as the event that made it so tells.
    left_at: Option<Timestamp>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Changed(Change),
    /// Somebody wants to be a member and nothing is known of whether they are in the room. They are no member until
    /// [`Session::handle_room_member`] or an `m.room.member` event says that they are. Once per user.
    Lookup(OwnedUserId),
    /// Somebody with the power to do so wrote over our own member event, the last one that we sent or one before it. Here that counts
    /// for nothing, but a client that comes later sees only theirs: what we are now, member or not, should be sent again. A client
    /// that does so at most every few seconds cannot be made to flood the room.
    Overwritten,
    /// Nothing more to do before this time, unless something comes in. `None`: nothing at all.
    Timeout(Option<Instant>),
}

/// Plain numbers for metrics; they only ever grow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// Member events that took effect, or would if their sender were in the room.
    pub accepted: u64,
    /// Sticky events that came after a newer one with the same key.
    pub superseded: u64,
    /// Member events that were refused, by [`Refusal::as_str`].
    pub refused: BTreeMap<&'static str, u64>,
}

impl Session {
    /// `wall` is what the wall clock shows at `now`.
    pub fn new(options: Options, now: Instant, wall: Timestamp) -> Self {
        let own_key = |(user, device): &(OwnedUserId, OwnedDeviceId)| {
            legacy_member::state_key(&RoomVersionId::V11, user, device, &options.slot)
        };
        let own_state_key = options.own.as_ref().map(|own| own_key(own).trim_start_matches('_').to_owned());
        Self {
            own_state_key,
            rules: Rules::new(options.slot, options.slot_rule, options.is_encrypted_only),
            clock: Clock::new(now, wall),
            claims: BTreeMap::new(),
            room: RoomMembers::default(),
            redactions: Redactions::default(),
            members: BTreeMap::new(),
            left_at: None,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// An event of the room, in the order in which the server gives them.
    pub fn handle_event(&mut self, now: Instant, event: &RoomEvent) {
        match event.kind.as_str() {
            legacy_member::TYPE => self.handle_legacy_member(now, event),
            member::TYPE | member::TYPE_UNSTABLE => self.handle_sticky_member(now, event),
            slot::TYPE | slot::TYPE_UNSTABLE => self.handle_slot(now, event),
            "m.room.member" => {
                if let Some((user, is_joined)) = room::parse(event) {
                    self.handle_room_member(now, &user, is_joined, event.sent_at);
                }
            }
            "m.room.redaction" => self.handle_redaction(now, event),
            _ => {}
        }
    }

    /// Whether a user is in the room, at `at` by the server's clock.
    pub fn handle_room_member(&mut self, now: Instant, user: &UserId, is_joined: bool, at: Timestamp) {
        if self.room.set(user, is_joined, at, self.claims.contains_key(user)) {
            self.derive(now, user);
        }
    }

    /// The wall clock was set, or turned out to be wrong.
    pub fn handle_clock(&mut self, now: Instant, wall: Timestamp) {
        self.clock = Clock::new(now, wall);
        self.derive_all(now);
    }

    /// Some membership has expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.derive_all(now);
        let wall = self.clock.wall(now);
        let users: Vec<_> = self.claims.keys().cloned().collect();
        for user in users {
            self.claims.entry(user.clone()).and_modify(|claims| claims.forget_ended(wall));
            self.release(&user);
        }
    }

    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        let ends = self.claims.values().filter_map(Claims::next_end);
        Output::Timeout(ends.min().and_then(|end| self.clock.instant(end)))
    }

    /// Everybody in the session, ourselves included, in the order in which all sort them: [`Membership::by_age`].
    pub fn members(&self) -> Vec<&Membership> {
        let mut members: Vec<_> = self.members.values().map(|(membership, _)| membership).collect();
        members.sort_by(|one, two| one.by_age(two));
        members
    }

    pub fn member(&self, key: &MemberKey) -> Option<&Membership> {
        self.members.get(key).map(|(membership, _)| membership)
    }

    /// When somebody last left: input of [`mesh::decide`](crate::mesh::decide).
    pub fn last_left_at(&self) -> Option<Timestamp> {
        self.left_at
    }

    pub fn slot(&self) -> &SlotId {
        self.rules.slot()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn handle_legacy_member(&mut self, now: Instant, event: &RoomEvent) {
        let Some(state_key) = event.state_key.clone() else { return self.refuse(Refusal::NotMember) };
        let claim = legacy_member::parse(&self.redactions.applied(event));
        if claim == Err(Refusal::ForeignStateKey) {
            if self.own_state_key.as_deref().is_some_and(|own| own == state_key.trim_start_matches('_')) {
                self.outputs.push_back(Output::Overwritten);
            }
            return self.refuse(Refusal::ForeignStateKey);
        }
        self.claim(now, event, Place::State(state_key), claim);
    }

    fn handle_sticky_member(&mut self, now: Instant, event: &RoomEvent) {
        if event.state_key.is_some() {
            return self.refuse(Refusal::NotMember);
        }
        let key = match member::sticky_key(event) {
            Ok(key) => key.to_owned(),
            Err(refusal) => return self.refuse(refusal),
        };
        let Some(sticky) = event.sticky else { return self.refuse(Refusal::NotSticky) };
        let wall = self.clock.wall(now);
        let place = Place::Sticky {
            kind: event.kind.clone(),
            key,
            rank: event.sent_at.plus(sticky.duration),
            ends: sticky.ends(event.sent_at, wall),
        };
        let claim = member::parse(&self.redactions.applied(event), wall);
        self.claim(now, event, place, claim);
    }

    fn claim(&mut self, now: Instant, event: &RoomEvent, place: Place, claim: Result<Claim, Refusal>) {
        let claim = claim.and_then(|claim| self.rules.check(event, claim));
        if let Err(refusal) = &claim {
            self.refuse(*refusal);
        }
        let wall = self.clock.wall(now);
        let user = &event.sender;
        if self.claims.len() >= USERS_MAX && !self.claims.contains_key(user) {
            return self.refuse(Refusal::TooMany);
        }
        let doubt = match &claim {
            Ok(Claim::Joined(membership)) => self.doubt(membership, wall),
            _ => None,
        };
        let is_ok = claim.is_ok() && doubt.is_none();
        let claims = self.claims.entry(user.clone()).or_default();
        match claims.put(event, place, claim, wall) {
            Put::Done => self.counters.accepted += u64::from(is_ok),
            Put::Superseded => self.counters.superseded += 1,
            Put::Expired => self.refuse(Refusal::Expired),
            Put::TooMany => self.refuse(Refusal::TooMany),
        }
        if let Some(refusal) = doubt {
            self.refuse(refusal);
        }
        let is_claimant = self.claims.get(user).is_some_and(|claims| !claims.is_empty());
        if is_claimant && self.room.ask(user) {
            self.outputs.push_back(Output::Lookup(user.clone()));
        }
        self.derive(now, user);
        self.release(user);
    }

    /// What now keeps a membership from counting, and later may not.
    fn doubt(&self, membership: &Membership, wall: Timestamp) -> Option<Refusal> {
        if membership.expires_at <= wall {
            Some(Refusal::Expired)
        } else if !self.rules.has_place_for(membership) {
            Some(Refusal::SlotClosed)
        } else if self.room.get(&membership.key.user).is_some_and(|(is_joined, _)| !is_joined) {
            Some(Refusal::NotInRoom)
        } else {
            None
        }
    }

    /// Forgets what is of no more use about a user.
    fn release(&mut self, user: &UserId) {
        if let Some(claims) = self.claims.get_mut(user) {
            claims.forget_left_state();
            if claims.is_empty() {
                self.claims.remove(user);
                self.room.release(user);
            }
        }
    }

    fn handle_slot(&mut self, now: Instant, event: &RoomEvent) {
        if self.rules.set_slot(event) {
            self.derive_all(now);
        }
    }

    fn handle_redaction(&mut self, now: Instant, event: &RoomEvent) {
        let Some(redacted) = &event.redacts else { return };
        self.redactions.remember(redacted, event.sent_at);
        let user =
            self.claims.iter_mut().find_map(|(user, claims)| claims.redact(redacted, event.sent_at).then_some(user));
        if let Some(user) = user.cloned() {
            self.derive(now, &user);
            self.release(&user);
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        *self.counters.refused.entry(refusal.as_str()).or_default() += 1;
    }

    fn derive_all(&mut self, now: Instant) {
        let users: Vec<_> = self.claims.keys().cloned().collect();
        for user in users {
            self.derive(now, &user);
        }
    }

    /// Compares who of this user's devices is a member with who was.
    fn derive(&mut self, now: Instant, user: &UserId) {
        let wall = self.clock.wall(now);
        let room = self.room.get(user);
        let nothing = Claims::default();
        let claims = self.claims.get(user).unwrap_or(&nothing);
        let mut present = match room {
            Some((true, _)) => claims.members(&self.rules, wall),
            _ => BTreeMap::new(),
        };
        let before: Vec<MemberKey> = self
            .members
            .range(MemberKey::first_of(user)..)
            .map(|(key, _)| key)
            .take_while(|key| key.user == user)
            .cloned()
            .collect();
        for key in before {
            match present.remove(&key) {
                Some((now, place)) => {
                    let Some(known) = self.members.get_mut(&key) else { continue };
                    let before = std::mem::replace(known, (now.clone(), place)).0;
                    if before != now {
                        self.outputs.push_back(Output::Changed(Change::Updated { before, now }));
                    }
                }
                None => {
                    let Some((membership, place)) = self.members.remove(&key) else { continue };
                    let successor = present.values().map(|(new, _)| new).find(|new| new.key.device == key.device);
                    let (reason, at) = match (room, claims.why_gone(&self.rules, &membership, &place, wall)) {
                        (Some((false, at)), _) => (LeftReason::NotInRoom, at),
                        (_, (LeftReason::Replaced, at)) => {
                            (LeftReason::Replaced, successor.map_or(at, |new| new.sent_at))
                        }
                        (_, why) => why,
                    };
                    self.left_at = self.left_at.max(Some(at));
                    self.outputs.push_back(Output::Changed(Change::Left { membership, reason, at }));
                }
            }
        }
        for (key, (membership, place)) in present {
            self.outputs.push_back(Output::Changed(Change::Joined(membership.clone())));
            self.members.insert(key, (membership, place));
        }
    }
}

#[cfg(test)]
mod tests;
