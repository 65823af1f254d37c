//! Sticky member events (MSC4354) as a sync brings them: in the timeline, which `matrix-sdk` decrypts as far as it has the keys, or,
//! if that had a gap, in a section that it does not know.

use std::collections::VecDeque;

use matrix_sdk::Room;
use matrix_sdk::deserialized_responses::{TimelineEvent, TimelineEventKind};
use matrix_sdk::ruma::OwnedDeviceId;
use matrix_sdk::ruma::RoomId;
use matrix_sdk::ruma::serde::Raw;
use matrixrtc::RoomEvent;
use matrixrtc::event::{STICKY_MAX, member};
use serde_json::{Value, json};

use super::account::Account;
use super::http::segment;

/// Events that wait for their key; then the oldest is given up.
const WAITING_MAX: usize = 64;
const STICKY: &str = "msc4354_sticky";
const LEFT: &str = "msc4354_sticky_duration_ttl_ms";

/// See the module.
#[derive(Debug, Default)]
pub struct Stickies {
    /// As they came.
    waiting: VecDeque<Value>,
}

impl Stickies {
    /// What a sync tells; [`Self::opened`] has what came of it.
    pub fn handle(&mut self, event: &TimelineEvent) -> Option<RoomEvent> {
        match &event.kind {
            TimelineEventKind::Decrypted(decrypted) => {
                let mut json: Value = serde_json::from_str(decrypted.event.json().get()).ok()?;
                // The envelope is lost, and with it the whole duration: that of all clients' member events.
                if json["unsigned"].get(LEFT).is_some() {
                    json[STICKY] = json!({"duration_ms": STICKY_MAX.as_millis() as u64});
                }
                member(&json, decrypted.encryption_info.sender_device.clone())
            }
            _ => {
                let json: Value = serde_json::from_str(event.raw().json().get()).ok()?;
                self.handle_raw(json)
            }
        }
    }

    /// One as it is on the wire.
    fn handle_raw(&mut self, json: Value) -> Option<RoomEvent> {
        json.get(STICKY)?;
        if json["type"] != "m.room.encrypted" {
            return member(&json, None);
        }
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(json);
        None
    }

    /// Those that can be decrypted now.
    pub async fn opened(&mut self, room: &Room) -> Vec<RoomEvent> {
        let mut events = Vec::new();
        for json in std::mem::take(&mut self.waiting) {
            let Ok(raw) = Raw::new(&json) else { continue };
            let Ok(event) = room.decrypt_event(&raw.cast_unchecked(), None).await else { continue };
            match &event.kind {
                TimelineEventKind::Decrypted(decrypted) => {
                    let Ok(mut clear) = serde_json::from_str::<Value>(decrypted.event.json().get()) else { continue };
                    clear[STICKY] = json[STICKY].clone();
                    events.extend(member(&clear, decrypted.encryption_info.sender_device.clone()));
                }
                _ => self.waiting.push_back(json),
            }
        }
        events
    }

    /// Asks for all that are in force. A sync that begins anew acknowledges no message to the device.
    pub async fn ask(&mut self, account: &Account, room: &RoomId) -> Vec<RoomEvent> {
        let none = json!({"types": []});
        let filter = json!({
            "room": {"rooms": [room], "timeline": {"limit": 1}, "state": none, "ephemeral": none, "account_data": none},
            "presence": none, "account_data": none,
        });
        let path = format!("/_matrix/client/v3/sync?timeout=0&filter={}", segment(&filter.to_string()));
        let answer = account.api.get(&path).await.unwrap_or_default();
        let joined = &answer["rooms"]["join"][room.as_str()];
        let lists = [&joined[STICKY]["events"], &joined["timeline"]["events"]];
        let events = lists.into_iter().filter_map(Value::as_array).flatten();
        events.filter_map(|event| self.handle_raw(event.clone())).collect()
    }
}

fn member(json: &Value, encrypted_by: Option<OwnedDeviceId>) -> Option<RoomEvent> {
    let event = RoomEvent::from_json(json).ok()?;
    member::is_member(&event).then_some(RoomEvent { encrypted_by, ..event })
}
