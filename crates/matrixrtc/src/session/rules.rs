//! What counts in this session, beyond what a single event says.

use ruma::{OwnedDeviceId, OwnedUserId};

use crate::event::{Claim, Refusal, RoomEvent, slot};
use crate::membership::Membership;
use crate::slot::SlotId;
use crate::time::Timestamp;

/// What a [`Session`](super::Session) is told at its start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    pub slot: SlotId,
    pub slot_rule: SlotRule,
    /// Refuse sticky member events in clear, as MSC4143 asks for in encrypted rooms. Leaves are taken in clear as well, for those that
    /// the server holds back are never encrypted by today's clients. Legacy events are room state, which is never encrypted.
    pub is_encrypted_only: bool,
    /// Who we are, if a member.
    pub own: Option<(OwnedUserId, OwnedDeviceId)>,
}

/// How much an `m.rtc.slot` event means for sticky members. Legacy ones know nothing of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlotRule {
    Ignore,
    /// A slot that is closed has no members; without any slot event there may be some. No client sends slots yet.
    #[default]
    IfThere,
    /// As MSC4143 has it: no open slot, no members.
    Required,
}

#[derive(Debug, Clone)]
pub(super) struct Rules {
    slot: SlotId,
    slot_rule: SlotRule,
    is_encrypted_only: bool,
    /// Whether the slot is open, and since when, once an event told.
    open: Option<(bool, Timestamp)>,
}

impl Rules {
    pub(super) fn new(slot: SlotId, slot_rule: SlotRule, is_encrypted_only: bool) -> Self {
        Self { slot, slot_rule, is_encrypted_only, open: None }
    }

    pub(super) fn slot(&self) -> &SlotId {
        &self.slot
    }

    /// What can be said when the event comes and holds for good.
    pub(super) fn check(&self, event: &RoomEvent, claim: Claim) -> Result<Claim, Refusal> {
        let Claim::Joined(membership) = &claim else { return Ok(claim) };
        if membership.slot != self.slot {
            return Err(Refusal::OtherSlot);
        }
        if self.is_encrypted_only && membership.form.is_sticky() && event.encrypted_by.is_none() {
            return Err(Refusal::Cleartext);
        }
        Ok(claim)
    }

    /// Whether that changed anything.
    pub(super) fn set_slot(&mut self, event: &RoomEvent) -> bool {
        let Ok(slot) = slot::parse(event) else { return false };
        if slot.id != self.slot {
            return false;
        }
        let before = self.is_open();
        let is_usable = slot.is_open && (slot.encryption.is_some() || !self.is_encrypted_only);
        self.open = Some((is_usable, event.sent_at));
        self.is_open() != before
    }

    pub(super) fn has_place_for(&self, membership: &Membership) -> bool {
        !membership.form.is_sticky() || self.is_open()
    }

    /// When the slot was closed.
    pub(super) fn closed_at(&self) -> Option<Timestamp> {
        self.open.filter(|(is_open, _)| !is_open).map(|(_, at)| at)
    }

    fn is_open(&self) -> bool {
        match self.slot_rule {
            SlotRule::Ignore => true,
            SlotRule::IfThere => self.open.is_none_or(|(is_open, _)| is_open),
            SlotRule::Required => self.open.is_some_and(|(is_open, _)| is_open),
        }
    }
}
