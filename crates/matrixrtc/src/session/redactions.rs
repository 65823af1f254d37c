//! Redactions that may come before what they redact.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use ruma::{EventId, OwnedEventId};

use crate::event::RoomEvent;
use crate::time::Timestamp;

/// Remembered, of the whole room. Who came late by more than this many redactions has its event taken for one that stands.
const REDACTIONS_MAX: usize = 256;

#[derive(Debug, Clone, Default)]
pub(super) struct Redactions {
    at: BTreeMap<OwnedEventId, Timestamp>,
    order: VecDeque<OwnedEventId>,
}

impl Redactions {
    pub(super) fn remember(&mut self, event_id: &EventId, at: Timestamp) {
        if self.at.insert(event_id.to_owned(), at).is_some() {
            return;
        }
        self.order.push_back(event_id.to_owned());
        if self.order.len() > REDACTIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.at.remove(&oldest);
        }
    }

    /// The event as it is now.
    pub(super) fn applied<'a>(&self, event: &'a RoomEvent) -> Cow<'a, RoomEvent> {
        if self.at.contains_key(&event.event_id) && !event.is_redacted {
            Cow::Owned(RoomEvent { is_redacted: true, ..event.clone() })
        } else {
            Cow::Borrowed(event)
        }
    }
}
