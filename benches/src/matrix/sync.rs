//! What `/sync` brings a device: member events of one room, who is in that room, and what came encrypted to it: keys, and
//! signalling of a focus.

use std::time::{Duration, Instant};

use anyhow::Result;
use focus_signaling::todevice::EVENT_TYPE;
use matrix_sdk::config::SyncSettings;
use matrix_sdk::deserialized_responses::{AlgorithmInfo, EncryptionInfo, ProcessedToDeviceEvent};
use matrix_sdk::ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId};
use matrix_sdk::sync::{State, SyncResponse};
use matrixrtc::RoomEvent;
use matrixrtc::event::{encryption_key, key_request};
use serde_json::Value;
use tokio::sync::mpsc;

use super::account::Account;
use super::http::segment;
use super::sticky::Stickies;

/// A long poll.
const POLL: Duration = Duration::from_secs(30);
/// After a failed one.
const RETRY: Duration = Duration::from_millis(500);

/// One answer, or the part of it that matters here.
#[derive(Debug)]
pub struct News {
    /// When it came.
    pub at: Instant,
    /// State of the room, in its order, and sticky member events.
    pub events: Vec<RoomEvent>,
    pub to_device: Vec<ToDevice>,
    /// Signalling of a focus's device.
    pub signals: Vec<ToDevice>,
    /// To-device messages that came in clear or could not be decrypted.
    pub refused: u64,
}

/// A decrypted to-device message, of a sender that Olm vouches for.
#[derive(Debug, Clone)]
pub struct ToDevice {
    pub kind: String,
    pub sender: OwnedUserId,
    /// Claimed by the sender.
    pub device: OwnedDeviceId,
    /// Curve25519 identity key of the sender.
    pub key: String,
    pub content: Value,
}

/// Syncs until nobody takes the news any more.
pub async fn run(account: Account, room: OwnedRoomId, news: mpsc::Sender<News>) {
    let mut timeout = Duration::ZERO;
    let mut stickies = Stickies::default();
    while !news.is_closed() {
        let answer = tokio::select! {
            answer = account.client.sync_once(SyncSettings::new().timeout(timeout)) => answer,
            () = news.closed() => return,
        };
        match answer {
            Ok(answer) => {
                let is_first = std::mem::replace(&mut timeout, POLL).is_zero();
                let mut told = read(&answer, &room);
                if !is_first && goes_back(&answer, &room) {
                    told.events.extend(state(&account, &room).await);
                }
                let joined = answer.rooms.joined.get(&room);
                let timeline = joined.into_iter().flat_map(|joined| &joined.timeline.events);
                told.events.extend(timeline.filter_map(|event| stickies.handle(event)));
                if is_first || joined.is_some_and(|joined| joined.timeline.limited) {
                    told.events.extend(stickies.ask(&account, &room).await);
                }
                if let Some(room) = account.client.get_room(&room) {
                    told.events.extend(stickies.opened(&room).await);
                }
                let _ = news.send(told).await;
            }
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

fn read(answer: &SyncResponse, room: &RoomId) -> News {
    let mut news =
        News { at: Instant::now(), events: Vec::new(), to_device: Vec::new(), signals: Vec::new(), refused: 0 };
    if let Some(joined) = answer.rooms.joined.get(room) {
        let (State::Before(state) | State::After(state)) = &joined.state;
        let state = state.iter().map(|raw| raw.json().get());
        // After a state that is whole, its events in the timeline say nothing: some have lost already.
        let is_whole = matches!(joined.state, State::After(_));
        let timeline = joined.timeline.events.iter().filter(|_| !is_whole).map(|event| event.raw().json().get());
        let events = state.chain(timeline).filter_map(|json| serde_json::from_str(json).ok());
        news.events.extend(events.filter_map(|event: Value| {
            event.get("state_key")?;
            RoomEvent::from_json(&event).ok()
        }));
    }
    for event in &answer.to_device {
        match event {
            ProcessedToDeviceEvent::Decrypted { raw, encryption_info } => {
                if let Ok(Some(message)) = read_message(raw.json().get(), encryption_info) {
                    let place = if message.kind == EVENT_TYPE { &mut news.signals } else { &mut news.to_device };
                    place.push(message);
                }
            }
            _ => news.refused += 1,
        }
    }
    news
}

/// Servers that write at the same time make branches of the room's history, and a sync that tells of one begins with its
/// state, which is older than what was told before (MSC4222). How things stand then has to be asked for.
fn goes_back(answer: &SyncResponse, room: &RoomId) -> bool {
    let state = answer.rooms.joined.get(room).map(|joined| &joined.state);
    matches!(state, Some(State::Before(state)) if !state.is_empty())
}

/// The room's state now; nothing if the homeserver does not say.
async fn state(account: &Account, room: &RoomId) -> Vec<RoomEvent> {
    let path = format!("/_matrix/client/v3/rooms/{}/state", segment(room.as_str()));
    let state = account.api.get(&path).await.unwrap_or_default();
    state.as_array().into_iter().flatten().filter_map(|event| RoomEvent::from_json(event).ok()).collect()
}

fn read_message(json: &str, info: &EncryptionInfo) -> Result<Option<ToDevice>> {
    let mut event: Value = serde_json::from_str(json)?;
    let kind = event["type"].as_str().unwrap_or_default().to_owned();
    let is_key = kind == encryption_key::TYPE || encryption_key::SPEC_TYPES.contains(&kind.as_str());
    let is_known = is_key || kind == key_request::TYPE || kind == EVENT_TYPE;
    let AlgorithmInfo::OlmV1Curve25519AesSha2 { curve25519_public_key_base64: key } = &info.algorithm_info else {
        return Ok(None);
    };
    let Some(device) = info.sender_device.clone().filter(|_| is_known) else { return Ok(None) };
    let content = event["content"].take();
    Ok(Some(ToDevice { kind, sender: info.sender.clone(), device, key: key.clone(), content }))
}
