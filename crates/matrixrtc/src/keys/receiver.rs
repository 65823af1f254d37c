//! The keys of the others: whose they are, and which are refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};

use super::{DeviceKey, MEMBERS_MAX, MediaKey, Participant, device_of};
use crate::event::encryption_key::KeyMessage;
use crate::membership::MemberKey;
use crate::slot::SlotId;
use crate::time::Timestamp;

/// Devices whose keys are kept though they are no members: their key was faster than their member event, or they come back.
/// Beyond this the one that was heard longest ago is forgotten.
pub const STRANGERS_MAX: usize = 256;
/// For how long they are kept.
pub const STRANGER_TIME: Duration = Duration::from_secs(60);
/// Keys of one device. It has one in use and two on their way, so that these reach back many rotations.
pub const KEYS_PER_DEVICE_MAX: usize = 16;

/// Who sent a to-device message, as the crypto layer vouches for it and never as the message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It came in clear.
    Cleartext,
    /// It was Olm-encrypted by this device of this user. `cross_signed`: the user's own identity vouches for the device (MSC4153).
    Olm { user: OwnedUserId, device: OwnedDeviceId, cross_signed: bool },
}

/// Why a key is not taken. To be counted: [`Self::as_str`] has few values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum KeyRefusal {
    #[error("it came in clear")]
    Cleartext,
    #[error("its sender's device is not cross-signed")]
    NotCrossSigned,
    #[error("it is for another room")]
    OtherRoom,
    #[error("it is for another session of the room")]
    OtherSession,
    #[error("it names another device than the one that sent it")]
    ForeignDevice,
    #[error("it names another member than the one that sent it")]
    ForeignMember,
    #[error("a newer key with this index was there before")]
    Outdated,
    #[error("it is our own")]
    Own,
}

impl KeyRefusal {
    /// A label for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cleartext => "cleartext",
            Self::NotCrossSigned => "not_cross_signed",
            Self::OtherRoom => "other_room",
            Self::OtherSession => "other_session",
            Self::ForeignDevice => "foreign_device",
            Self::ForeignMember => "foreign_member",
            Self::Outdated => "outdated",
            Self::Own => "own",
        }
    }
}

/// What to tell whoever decrypts media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteKey {
    /// Frames of this member with this key index open with this key. It replaces an earlier one of the same index.
    Add { member: MemberKey, index: u8, key: MediaKey },
    /// The member is gone: forget its keys.
    RemoveAll { member: MemberKey },
}

/// Which session, and how strict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverConfig {
    pub room_id: OwnedRoomId,
    pub slot: SlotId,
    /// Refuse keys of devices that are not cross-signed (MSC4153).
    pub cross_signed_only: bool,
}

#[derive(Debug)]
struct Held {
    key: MediaKey,
    claimed: Option<String>,
    sent_at: Option<Timestamp>,
    /// Running number: the smallest is the oldest.
    arrived: u64,
}

#[derive(Debug)]
struct Device {
    keys: BTreeMap<u8, Held>,
    /// As members; empty for a stranger. More than one if a member id of an earlier join still stands.
    members: BTreeSet<MemberKey>,
    heard_at: Instant,
}

/// The machine of all other members' keys in one session.
///
/// Contract: after each `handle_*`, [`poll_output`](Self::poll_output) until it returns `None`. It needs no clock of its own: what is
/// too old is forgotten when something happens.
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    me: DeviceKey,
    devices: BTreeMap<DeviceKey, Device>,
    arrivals: u64,
    refused: BTreeMap<KeyRefusal, u64>,
    outputs: VecDeque<RemoteKey>,
}

impl Receiver {
    /// `me` is our own membership.
    pub fn new(config: ReceiverConfig, me: &MemberKey) -> Self {
        let (devices, refused, outputs) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        Self { config, me: device_of(me), devices, arrivals: 0, refused, outputs }
    }

    /// All members of the session as they are now. Keys that were there before their member are given out.
    pub fn handle_members(&mut self, now: Instant, members: &[Participant]) {
        self.forget(now);
        let mut after: BTreeMap<DeviceKey, BTreeSet<MemberKey>> = BTreeMap::new();
        for Participant { member, .. } in members {
            let device = device_of(member);
            if device != self.me && (after.len() < MEMBERS_MAX || after.contains_key(&device)) {
                after.entry(device).or_default().insert(member.clone());
            }
        }
        for (id, device) in &mut self.devices {
            let now_members = after.remove(id).unwrap_or_default();
            for member in device.members.difference(&now_members) {
                self.outputs.push_back(RemoteKey::RemoveAll { member: member.clone() });
            }
            if now_members.is_empty() && !device.members.is_empty() {
                device.heard_at = now;
            }
            let before = std::mem::replace(&mut device.members, now_members);
            for member in device.members.difference(&before) {
                for (index, held) in &device.keys {
                    if is_own_claim(member, held.claimed.as_deref()) {
                        let (member, key) = (member.clone(), held.key.clone());
                        self.outputs.push_back(RemoteKey::Add { member, index: *index, key });
                    } else {
                        *self.refused.entry(KeyRefusal::ForeignMember).or_default() += 1;
                    }
                }
            }
        }
        for (id, members) in after {
            self.devices.insert(id, Device { keys: BTreeMap::new(), members, heard_at: now });
        }
        self.forget(now);
    }

    /// A key message, and who really sent it. A key of a device that is no member yet is kept for [`STRANGER_TIME`].
    ///
    /// # Errors
    /// Why it is not taken. It is counted, see [`refused`](Self::refused).
    pub fn handle_key(&mut self, now: Instant, origin: &Origin, message: KeyMessage) -> Result<(), KeyRefusal> {
        let taken = self.take(now, origin, message);
        if let Err(refusal) = taken {
            *self.refused.entry(refusal).or_default() += 1;
        }
        self.forget(now);
        taken
    }

    /// What to tell whoever decrypts media next.
    pub fn poll_output(&mut self) -> Option<RemoteKey> {
        self.outputs.pop_front()
    }

    /// How many keys were refused, and why.
    pub fn refused(&self) -> &BTreeMap<KeyRefusal, u64> {
        &self.refused
    }

    fn take(&mut self, now: Instant, origin: &Origin, message: KeyMessage) -> Result<(), KeyRefusal> {
        let Origin::Olm { user, device, cross_signed } = origin else { return Err(KeyRefusal::Cleartext) };
        if self.config.cross_signed_only && !cross_signed {
            return Err(KeyRefusal::NotCrossSigned);
        }
        if message.room_id != self.config.room_id {
            return Err(KeyRefusal::OtherRoom);
        }
        if message.slot.as_ref().is_some_and(|slot| *slot != self.config.slot) {
            return Err(KeyRefusal::OtherSession);
        }
        if message.device.as_ref().is_some_and(|claimed| claimed != device) {
            return Err(KeyRefusal::ForeignDevice);
        }
        let id = (user.clone(), device.clone());
        if id == self.me {
            return Err(KeyRefusal::Own);
        }
        self.check_claim(&id, message.member_id.as_deref())?;
        let sender = self.devices.entry(id).or_insert_with(|| Device {
            keys: BTreeMap::new(),
            members: BTreeSet::new(),
            heard_at: now,
        });
        let before = sender.keys.get(&message.index).and_then(|held| held.sent_at);
        if before.zip(message.sent_at).is_some_and(|(before, sent_at)| sent_at < before) {
            return Err(KeyRefusal::Outdated);
        }
        self.arrivals += 1;
        sender.heard_at = now;
        let (index, key, claimed) = (message.index, message.key, message.member_id);
        for member in sender.members.iter().filter(|member| is_own_claim(member, claimed.as_deref())) {
            self.outputs.push_back(RemoteKey::Add { member: member.clone(), index, key: key.clone() });
        }
        sender.keys.insert(index, Held { key, claimed, sent_at: message.sent_at, arrived: self.arrivals });
        if sender.keys.len() > KEYS_PER_DEVICE_MAX {
            let oldest = sender.keys.iter().min_by_key(|(_, held)| held.arrived).map(|(index, _)| *index);
            oldest.and_then(|index| sender.keys.remove(&index));
        }
        Ok(())
    }

    /// The member id in a message is its sender's own, or nobody's yet.
    fn check_claim(&self, id: &DeviceKey, claimed: Option<&str>) -> Result<(), KeyRefusal> {
        let Some(claim) = claimed else { return Ok(()) };
        let own = self.devices.get(id).map(|device| &device.members);
        let is_own = own.is_some_and(|members| members.iter().any(|member| is_own_claim(member, claimed)));
        let is_member = own.is_some_and(|members| !members.is_empty());
        let is_others = || {
            let others = self.devices.iter().filter(|(other, _)| *other != id);
            others.flat_map(|(_, device)| &device.members).any(|member| is_own_claim(member, Some(claim)))
        };
        // A member that has just rejoined may be ahead of its own event; somebody else's id never is.
        if is_own || (!is_others() && (!is_member || !looks_like_legacy(claim))) {
            Ok(())
        } else {
            Err(KeyRefusal::ForeignMember)
        }
    }

    fn forget(&mut self, now: Instant) {
        self.devices.retain(|_, device| !device.members.is_empty() || now < device.heard_at + STRANGER_TIME);
        let strangers = self.devices.values().filter(|device| device.members.is_empty()).count();
        for _ in STRANGERS_MAX..strangers {
            let silent = self.devices.iter().filter(|(_, device)| device.members.is_empty());
            let oldest = silent.min_by_key(|(_, device)| device.heard_at).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.devices.remove(&id));
        }
    }
}

/// Deployed clients name themselves `user:device` whatever their member id is; what names nobody is its sender's.
fn is_own_claim(member: &MemberKey, claimed: Option<&str>) -> bool {
    claimed.is_none_or(|claimed| {
        claimed == member.member_id
            || claimed.strip_prefix(member.user.as_str()).and_then(|rest| rest.strip_prefix(':'))
                == Some(member.device.as_str())
    })
}

/// `@user:server:device`: a name that tells whose it is.
fn looks_like_legacy(claim: &str) -> bool {
    claim.starts_with('@')
}

#[cfg(test)]
mod tests;
