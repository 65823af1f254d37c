//! The bounds of everything that clients together can grow, and the paces of the control plane. What a single message may
//! hold is bounded before, in [`focus_signaling::limits`].

use std::time::Duration;

use focus_signaling::limits::{PING_INTERVAL, RESUME_TIMEOUT, WANTS_MAX};
use focus_signaling::wire::Limits;

/// Named bounds. The defaults are what the documents promise.
#[derive(Debug, Clone)]
pub struct ControlBounds {
    /// Sessions of the focus, held ones included: two engines' worth of peers (`sfu_core::Bounds::peers`).
    pub sessions: usize,
    /// Each has at least one session, so this one only bites when it is set lower.
    pub conferences: usize,
    /// Participants of one conference. Every change of one is told to all others, so messages grow with the square.
    pub participants: usize,
    /// Used token ids that are remembered, some 200 bytes each. They are forgotten when their token has expired, at most
    /// [`token::LIFETIME_MAX`](crate::token::LIFETIME_MAX) later: this bears 100 joins per second for all that time.
    pub used_tokens: usize,
    /// Removals that are remembered, each for as long as a token of then could be good: some 100 each second.
    pub denied: usize,
    /// Joins that wait for a word about them, each with a socket. A homeserver that answers in 20 ms bears 10,000 a second so.
    pub waiting: usize,
    /// Participants of one user, on all devices and in all conferences.
    pub user_participants: usize,
    /// Participants of one server whose users may begin conferences.
    pub server_participants: usize,
    /// Participants of any other server: strangers cannot fill the focus.
    pub foreign_participants: usize,
    /// Participants of all conferences of one room.
    pub room_participants: usize,
    /// Conferences of one room.
    pub room_conferences: usize,
    /// Commands of one session that its worker has not answered yet. The largest `subscribe` fits twice.
    pub pending: usize,
    /// What `welcome` tells of the limits that the session's connection enforces.
    pub limits: Limits,
}

impl Default for ControlBounds {
    fn default() -> Self {
        Self {
            sessions: 8192,
            conferences: 8192,
            participants: 1000,
            used_tokens: 65_536,
            denied: 65_536,
            waiting: 256,
            user_participants: 8,
            server_participants: 8192,
            foreign_participants: 500,
            room_participants: 1000,
            room_conferences: 8,
            pending: 2 * WANTS_MAX,
            limits: Limits::default(),
        }
    }
}

/// Speaker changes faster than this cannot be followed by eye.
pub(crate) const SPEAKERS_INTERVAL: Duration = Duration::from_millis(200);
/// Speakers in one message: more voices at once are noise.
pub(crate) const SPEAKERS: usize = 16;
/// Quality is a trend; the engine itself looks at seconds.
pub(crate) const QUALITY_INTERVAL: Duration = Duration::from_secs(2);
/// Key-frame requests of one session: a burst, as when several participants change keys at once, then this pace. What all
/// subscribers of a track ask for is merged by the engine.
pub(crate) const KEYFRAME_BURST: u32 = 10;
pub(crate) const KEYFRAME_INTERVAL: Duration = Duration::from_millis(200);
/// Offers of one session: each is up to 200 KiB of SDP that its worker parses between packets, and all others hear of what
/// it changes. A join makes two or three, a person's clicks come singly, and what comes in a burst can share one offer.
pub(crate) const OFFER_BURST: u32 = 5;
pub(crate) const OFFER_INTERVAL: Duration = Duration::from_millis(500);
/// Announcements of one session: each is passed on to all others at once. A rotation of keys makes two, some seconds apart.
pub(crate) const ANNOUNCE_BURST: u32 = 5;
pub(crate) const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(500);
/// Resumptions of one session: each is answered by a `welcome` with the whole conference, up to 1 MiB. A client on a bad
/// network may come back a few times at once, and then backs off.
pub(crate) const RESUME_BURST: u32 = 5;
pub(crate) const RESUME_INTERVAL: Duration = Duration::from_secs(1);
/// Clients that are told to move come back over this span, so that they do not come all at once.
pub(crate) const MOVE_SPREAD: Duration = Duration::from_secs(2);
/// A look at the room this old is good enough for a join: who was removed is silent within that time.
pub(crate) const FRESH: Duration = Duration::from_secs(2);
/// For a word about a join. A client waits 10 s for its `welcome`.
pub(crate) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// What a client is told to wait about which there was none.
pub(crate) const CONFIRM_RETRY: Duration = Duration::from_secs(2);
/// What a client is told to wait before it sends another offer, or asks a full focus again.
pub(crate) const OFFER_RETRY: Duration = Duration::from_millis(100);
pub(crate) const FULL_RETRY: Duration = Duration::from_secs(10);

// A client notices a dead socket after three missed pings at the latest, and must then still find its session.
const _: () = assert!(PING_INTERVAL.as_secs() * 3 <= RESUME_TIMEOUT.as_secs());
