//! The messages of `rust-sfu.v1`, exactly as they stand on the wire.
//!
//! One message is one JSON object in one WebSocket text frame (or one data-channel message):
//! `{"t": type, "id": number?, "re": number?, "b": {…}}`. `id` numbers a request; the answer carries it in `re`.
//! Fields that a reader does not know are ignored, so that a later minor version can add some.
//! `golden/*.json` holds one example of every message; the Rust and the TypeScript tests both read them.

use serde::{Deserialize, Serialize};

/// WebSocket subprotocol, and the only protocol version there is.
pub const SUBPROTOCOL: &str = "rust-sfu.v1";
/// Value of `v` in `hello` and `welcome`.
pub const VERSION: u32 = 1;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "b", rename_all = "snake_case")]
pub enum ClientMessage {
    /// First message on every socket: a token, or the right to resume.
    Hello(Hello),
    /// SDP offer of the client (always the offerer), with what it publishes.
    Offer(Offer),
    /// A trickled ICE candidate of the client. Optional: the focus is ICE-lite and learns addresses from checks.
    Candidate(Candidate),
    /// Wanted subscriptions. Tracks that are not named keep what they had.
    Subscribe(Subscribe),
    /// The publisher mutes or unmutes one of its tracks.
    Mute(Mute),
    /// Key announcement for end-to-end encryption; opaque to the focus.
    Announce(Announce),
    /// Asks the publisher of a track for a key frame, for example after a new key arrived.
    Keyframe(Keyframe),
    /// The focus shall look after the client's delayed leave event. Answered by `delegated`.
    DelegateLeave(DelegateLeave),
    /// The client looks after it itself again. Answered by `delegated`.
    TakeBackLeave(TakeBackLeave),
    /// Liveness, answered by `pong` with the same `n`.
    Ping(Ping),
    /// The client leaves for good.
    Leave(Leave),
}

/// What the focus sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "b", rename_all = "snake_case")]
pub enum ServerMessage {
    /// Answer to `hello`.
    Welcome(Welcome),
    /// Answer to `offer`.
    Answer(Answer),
    /// A further ICE candidate of the focus.
    Candidate(Candidate),
    /// A participant joined, changed or left.
    Participant(ParticipantEvent),
    /// What a subscription gets now. Sent whenever it changes.
    Subscribed(Subscribed),
    /// A track of another participant was muted or unmuted.
    Mute(Mute),
    /// Who speaks now, loudest first. Sent when it changes, at most every 200 ms.
    Speakers(Speakers),
    /// Connection quality of participants. Sent when it changes, at most every 2 s.
    Quality(Quality),
    /// What became of the client's delayed leave event: an answer, and whenever it changes.
    Delegated(Delegated),
    /// Answer to `ping`.
    Pong(Ping),
    /// The focus drains: connect again, elsewhere if `url` says so.
    Move(Move),
    /// The focus ends the session; a close frame follows.
    Leave(Leave),
    /// Something the client sent could not be done.
    Error(ErrorBody),
}

/// See [`ClientMessage::Hello`]. Exactly one of `token` and `resume` is present.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    pub v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// Free text for the focus's statistics, such as `sfu-web/0.1`. At most 64 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// Takes an interrupted session up again. The secret is single use: `welcome` carries the next one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    pub session: String,
    pub secret: String,
}

/// See [`ServerMessage::Welcome`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    pub v: u32,
    pub session: String,
    /// For [`Resume`].
    pub secret: String,
    /// The client's own participant id.
    pub participant: String,
    /// Whom the client's token named (its `sub`), for those who map participants to what they know from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Identity of the focus.
    pub focus: String,
    /// `true` when a session was resumed: media and subscriptions were kept.
    pub resumed: bool,
    /// The client sends a `ping` this often; three missed ones end the socket.
    pub ping_ms: u64,
    /// How long a session without a socket is kept.
    pub resume_ms: u64,
    pub limits: Limits,
    /// Everybody else in the conference.
    pub participants: Vec<Participant>,
}

/// What the focus accepts from this client.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest message, in bytes.
    pub message_bytes: usize,
    pub messages_per_second: u32,
    /// Tracks that one participant may publish.
    pub published_tracks: usize,
    /// m-lines in one offer.
    pub m_lines: usize,
}

/// See [`ClientMessage::Offer`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    pub sdp: String,
    /// Grows by one with each offer; the answer repeats it.
    pub seq: u64,
    /// Everything that this client publishes, by m-line. A published track that is missing here ends.
    pub tracks: Vec<PublishedTrack>,
}

/// One published m-line of an offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishedTrack {
    pub mid: String,
    pub source: Source,
    #[serde(default)]
    pub muted: bool,
    /// `null` or absent: not encrypted end to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enc: Option<Encryption>,
    /// Size of the largest layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Microphone,
    Camera,
    Screen,
    ScreenAudio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Audio,
    Video,
}

/// How the payload is encrypted end to end. The focus passes it on and can open none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `sframe` (RFC 9605, AES_128_GCM_SHA256_128) or `lk-gcm` (LiveKit's AES-GCM).
    pub format: String,
    /// Index of the key that the track is under now. A new index begins with a key frame.
    pub key_index: u32,
}

/// See [`ServerMessage::Answer`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub sdp: String,
    pub seq: u64,
    /// The ids that the focus gave to the published tracks.
    pub tracks: Vec<MidTrack>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MidTrack {
    pub mid: String,
    pub track: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// An RFC 8839 candidate attribute without the leading `a=`; empty at the end of candidates.
    pub candidate: String,
}

/// See [`ClientMessage::Subscribe`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscribe {
    pub tracks: Vec<Want>,
}

/// One wanted subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Want {
    pub track: String,
    /// The client's receiving m-line that shall carry the track. One m-line carries one track at a time;
    /// naming one that carries another track moves it over. Not needed with `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// Wanted size in pixels; absent for audio. A video without a size gets the smallest layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<u32>,
    /// Ends the subscription and frees its m-line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub off: bool,
}

/// See [`ServerMessage::Subscribed`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscribed {
    pub tracks: Vec<Subscription>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    pub track: String,
    pub mid: String,
    /// The simulcast layer forwarded now; absent for audio, for a single layer, and while paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Why nothing flows, if nothing flows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pause {
    /// The publisher muted the track.
    Muted,
    /// The publisher sends nothing (yet).
    NoSource,
    /// The subscriber's downlink does not bear it.
    Bandwidth,
    /// The subscription ended: switched off by the client, or its track ended.
    Off,
}

/// A track was muted. From the publisher and to everybody else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mute {
    pub track: String,
    pub muted: bool,
}

/// See [`ClientMessage::Announce`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Announce {
    /// All keys of this participant that others may still need, newest last. At most 16.
    pub keys: Vec<KeySalt>,
    /// The key that all its tracks are under from now on.
    pub key_index: u32,
}

/// A key's public half: others derive the key from the shared secret and this salt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySalt {
    pub index: u32,
    /// 16 random bytes, base64url without padding.
    pub salt: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keyframe {
    pub track: String,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Participant {
    pub id: String,
    /// Whom the participant's token named (its `sub`). One participant at a time has it in a conference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Name to show. Need not be unique.
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeySalt>,
    pub tracks: Vec<Track>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    pub track: String,
    pub kind: Kind,
    pub source: Source,
    pub muted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enc: Option<Encryption>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// See [`ServerMessage::Participant`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ParticipantEvent {
    Joined { participant: Participant },
    Updated { participant: Participant },
    Left { id: String, reason: LeaveReason },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It said so.
    Left,
    /// It was lost and did not resume in time.
    Lost,
    /// The same identity joined again.
    Replaced,
    /// The focus ended it.
    Removed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speakers {
    pub speakers: Vec<Speaker>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speaker {
    pub participant: String,
    /// Loudness in -dBov, 0 (loudest) to 127 (RFC 6464).
    pub level: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    pub participants: Vec<ParticipantQuality>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParticipantQuality {
    pub participant: String,
    pub score: Score,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    Good,
    Fair,
    Poor,
    /// Nothing has arrived for some seconds.
    Lost,
}

/// See [`ClientMessage::DelegateLeave`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegateLeave {
    /// Of the scheduled event (MSC4140). Who knows it can send the leave or put it off.
    pub delay_id: String,
    /// The delay that the homeserver agreed to.
    pub delay_ms: u64,
    /// The homeserver that has it.
    pub server_name: String,
    /// Send it at once when the client says `leave`. Otherwise the client sends its own leave event, and this one is forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_leave: bool,
}

/// See [`ClientMessage::TakeBackLeave`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeBackLeave {}

/// See [`ServerMessage::Delegated`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegated {
    pub state: Delegation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delegation {
    /// The focus restarts the event, and sends it when the client is lost.
    Held,
    /// The client has it again.
    Returned,
    /// The focus sent it: the others see the client gone.
    Sent,
    /// The homeserver does not know it any more, or does not let the focus restart it: the client has to see to it.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ping {
    pub n: u64,
}

/// See [`ServerMessage::Move`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Where to; absent: the same address, which may by then be another process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Connect again after this long; different for each client, so that they do not come all at once.
    pub after_ms: u64,
    /// The focus closes the session at the latest after this long.
    pub deadline_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leave {
    /// `left`, or an errcode when the focus ends the session.
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// See [`ServerMessage::Error`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A Matrix errcode, such as `M_BAD_JSON`.
    pub errcode: String,
    /// For a developer to read.
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}
