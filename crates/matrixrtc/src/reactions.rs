//! Raised hands and emojis of a session's members.
//!
//! Each belongs to one member event of its sender, and goes with it: a member that joins anew has its hand down. A client that joins late
//! asks the homeserver for the annotations of each member event (`/relations/{event}/m.annotation`), and gives them in as events.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use ruma::{EventId, OwnedEventId, OwnedUserId};

use crate::event::RoomEvent;
use crate::event::reaction::{self, Shown};
use crate::membership::MemberKey;
use crate::time::Timestamp;

/// How long an emoji is shown.
pub const EMOJI_TIME: Duration = Duration::from_secs(3);
/// Hands that were raised before their member was seen. The oldest is forgotten.
pub const EARLY_MAX: usize = 64;

/// What to show. Hands are in the order in which they were raised: see [`Reactions::hands`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    HandRaised { member: MemberKey, at: Timestamp },
    HandLowered { member: MemberKey },
    EmojiShown { member: MemberKey, emoji: String, name: Option<String> },
    EmojiGone { member: MemberKey },
}

#[derive(Debug)]
struct Hand {
    event: OwnedEventId,
    at: Timestamp,
}

#[derive(Debug)]
struct Early {
    event: OwnedEventId,
    sender: OwnedUserId,
    target: OwnedEventId,
    at: Timestamp,
}

/// The machine of one session.
///
/// Contract: after each `handle_*`, [`poll_output`](Self::poll_output) until `None`; call [`handle_timeout`](Self::handle_timeout) at
/// [`next_timeout`](Self::next_timeout). A hand and an emoji per member at most, so it grows with the session.
#[derive(Debug, Default)]
pub struct Reactions {
    /// By member event.
    members: BTreeMap<OwnedEventId, MemberKey>,
    hands: BTreeMap<MemberKey, Hand>,
    emojis: BTreeMap<MemberKey, Instant>,
    early: VecDeque<Early>,
    outputs: VecDeque<Change>,
}

impl Reactions {
    pub fn new() -> Self {
        Self::default()
    }

    /// All members as they are now, each with its member event.
    pub fn handle_members(&mut self, members: impl IntoIterator<Item = (MemberKey, OwnedEventId)>) {
        let before =
            std::mem::replace(&mut self.members, members.into_iter().map(|(member, event)| (event, member)).collect());
        for (_, member) in before.into_iter().filter(|(event, member)| self.members.get(event) != Some(member)) {
            if self.hands.remove(&member).is_some() {
                self.outputs.push_back(Change::HandLowered { member: member.clone() });
            }
            if self.emojis.remove(&member).is_some() {
                self.outputs.push_back(Change::EmojiGone { member });
            }
        }
        let early = std::mem::take(&mut self.early);
        for hand in early {
            self.on_hand(hand);
        }
    }

    /// Any event of the room: what concerns hands and emojis is picked out. The same event twice is one.
    pub fn handle_event(&mut self, now: Instant, event: &RoomEvent) {
        if let Some(redacted) = &event.redacts {
            return self.on_redacted(redacted);
        }
        match reaction::parse(event) {
            Some((Shown::Hand, target)) => {
                let (sender, at) = (event.sender.clone(), event.sent_at);
                self.on_hand(Early { event: event.event_id.clone(), sender, target, at });
            }
            Some((Shown::Emoji { emoji, name }, target)) => {
                let Some(member) = self.owner(&target, &event.sender) else { return };
                if self.emojis.contains_key(&member) {
                    return;
                }
                self.emojis.insert(member.clone(), now + EMOJI_TIME);
                self.outputs.push_back(Change::EmojiShown { member, emoji, name });
            }
            None => {}
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let over: Vec<_> = self.emojis.iter().filter(|(_, until)| **until <= now).map(|(it, _)| it.clone()).collect();
        for member in over {
            self.emojis.remove(&member);
            self.outputs.push_back(Change::EmojiGone { member });
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.emojis.values().min().copied()
    }

    /// What to show next.
    pub fn poll_output(&mut self) -> Option<Change> {
        self.outputs.pop_front()
    }

    /// Raised hands, the first to be raised first.
    pub fn hands(&self) -> Vec<&MemberKey> {
        let mut hands: Vec<_> = self.hands.iter().collect();
        hands.sort_by(|(_, one), (_, two)| one.at.cmp(&two.at).then_with(|| one.event.cmp(&two.event)));
        hands.into_iter().map(|(member, _)| member).collect()
    }

    /// The event to redact so that this member's hand goes down; for our own.
    pub fn hand_event(&self, member: &MemberKey) -> Option<&EventId> {
        self.hands.get(member).map(|hand| &*hand.event)
    }

    fn owner(&self, target: &EventId, sender: &OwnedUserId) -> Option<MemberKey> {
        self.members.get(target).filter(|member| member.user == *sender).cloned()
    }

    fn on_hand(&mut self, hand: Early) {
        let Some(member) = self.members.get(&hand.target) else {
            if self.early.len() == EARLY_MAX {
                self.early.pop_front();
            }
            return self.early.push_back(hand);
        };
        if member.user == hand.sender && !self.hands.contains_key(member) {
            let (member, at) = (member.clone(), hand.at);
            self.hands.insert(member.clone(), Hand { event: hand.event, at });
            self.outputs.push_back(Change::HandRaised { member, at });
        }
    }

    fn on_redacted(&mut self, event: &EventId) {
        self.early.retain(|hand| hand.event != event);
        let lowered = self.hands.iter().find(|(_, hand)| hand.event == event).map(|(member, _)| member.clone());
        if let Some(member) = lowered {
            self.hands.remove(&member);
            self.outputs.push_back(Change::HandLowered { member });
        }
    }
}

#[cfg(test)]
mod tests;
