//! What `/sync` brings a device: member events of one room, who is in that room, and keys that came encrypted to it.

use std::time::{Duration, Instant};

use anyhow::Result;
use matrix_sdk::config::SyncSettings;
use matrix_sdk::deserialized_responses::ProcessedToDeviceEvent;
use matrix_sdk::ruma::{DeviceId, OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use matrix_sdk::sync::{State, SyncResponse};
use matrixrtc::RoomEvent;
use matrixrtc::event::encryption_key;
use serde_json::Value;
use tokio::sync::mpsc;

use super::account::Account;

/// A long poll.
const POLL: Duration = Duration::from_secs(30);
/// After a failed one.
const RETRY: Duration = Duration::from_millis(500);

/// One answer, or the part of it that matters here.
#[derive(Debug)]
pub struct News {
    /// When it came.
    pub at: Instant,
    /// State of the room, in its order.
    pub events: Vec<RoomEvent>,
    pub to_device: Vec<ToDevice>,
    /// To-device messages that came in clear or could not be decrypted.
    pub refused: u64,
}

/// A decrypted to-device message, of a sender that Olm vouches for.
#[derive(Debug, Clone)]
pub struct ToDevice {
    pub kind: String,
    pub sender: OwnedUserId,
    pub device: OwnedDeviceId,
    pub content: Value,
}

/// Syncs until nobody takes the news any more.
pub async fn run(account: Account, room: OwnedRoomId, news: mpsc::Sender<News>) {
    let mut timeout = Duration::ZERO;
    while !news.is_closed() {
        let answer = tokio::select! {
            answer = account.client.sync_once(SyncSettings::new().timeout(timeout)) => answer,
            () = news.closed() => return,
        };
        match answer {
            Ok(answer) => {
                timeout = POLL;
                let _ = news.send(read(&answer, &room)).await;
            }
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

fn read(answer: &SyncResponse, room: &RoomId) -> News {
    let mut news = News { at: Instant::now(), events: Vec::new(), to_device: Vec::new(), refused: 0 };
    if let Some(joined) = answer.rooms.joined.get(room) {
        let (State::Before(state) | State::After(state)) = &joined.state;
        let before = state.iter().map(|raw| raw.json().get());
        // After a state that is whole already, its events come again: they change nothing.
        let timeline = joined.timeline.events.iter().map(|event| event.raw().json().get());
        let events = before.chain(timeline).filter_map(|json| serde_json::from_str(json).ok());
        news.events.extend(events.filter_map(|event: Value| {
            event.get("state_key")?;
            RoomEvent::from_json(&event).ok()
        }));
    }
    for event in &answer.to_device {
        match event {
            ProcessedToDeviceEvent::Decrypted { raw, encryption_info } => {
                let device = encryption_info.sender_device.as_deref();
                if let Ok(Some(message)) = read_message(raw.json().get(), &encryption_info.sender, device) {
                    news.to_device.push(message);
                }
            }
            _ => news.refused += 1,
        }
    }
    news
}

fn read_message(json: &str, sender: &UserId, device: Option<&DeviceId>) -> Result<Option<ToDevice>> {
    let mut event: Value = serde_json::from_str(json)?;
    let kind = event["type"].as_str().unwrap_or_default().to_owned();
    let is_key = kind == encryption_key::TYPE || encryption_key::SPEC_TYPES.contains(&kind.as_str());
    let Some(device) = device.filter(|_| is_key) else { return Ok(None) };
    let content = event["content"].take();
    Ok(Some(ToDevice { kind, sender: sender.to_owned(), device: device.to_owned(), content }))
}
