//! Commands that a worker has not answered yet. They are bounded per session, and end with it. They have no deadline: a
//! worker answers each command in the turn in which it takes it, and a worker that dies takes the process with it.

use focus_signaling::Errcode;
use focus_signaling::wire::ErrorBody;
use sfu_core::{CommandError, ParticipantId, TrackId};

use crate::id::ConnectionId;

pub(crate) struct Pending {
    pub(crate) participant: ParticipantId,
    /// Whom to answer, and which request of his.
    pub(crate) asker: Asker,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) connection: ConnectionId,
    pub(crate) id: Option<u64>,
}

pub(crate) enum What {
    Connect,
    Offer,
    Candidate,
    Subscribe(TrackId),
    Unsubscribe,
    Mute {
        track: TrackId,
        muted: bool,
    },
    Keyframe(TrackId),
    /// A part of a message on the data channel.
    Data,
}

/// What a client is told of a command that failed.
pub(crate) fn refusal(what: &What, error: &CommandError) -> ErrorBody {
    let code = match error {
        CommandError::UnknownTrack => Errcode::NotFound,
        CommandError::WrongConference => Errcode::NotFound,
        CommandError::WrongMid(_) | CommandError::Sdp(_) | CommandError::Candidate => Errcode::InvalidParam,
        CommandError::TooMany { .. } => Errcode::TooLarge,
        _ => Errcode::Unknown,
    };
    match what {
        // Another conference's tracks do not exist for this one.
        What::Subscribe(track) | What::Mute { track, .. } | What::Keyframe(track) if code == Errcode::NotFound => {
            no_such_track(&track.to_string())
        }
        What::Subscribe(track) => code.body(format!("{track}: {error}")),
        _ => code.body(error.to_string()),
    }
}

/// The error in a log. Its own text is for the client who caused it: that of an SDP may quote the SDP.
pub(crate) fn word(error: &CommandError) -> &'static str {
    match error {
        CommandError::UnknownPeer => "unknown peer",
        CommandError::UnknownTrack => "unknown track",
        CommandError::PeerExists => "peer exists",
        CommandError::TrackExists => "track exists",
        CommandError::WrongConference => "wrong conference",
        CommandError::WrongMid(_) => "wrong mid",
        CommandError::TooMany { .. } => "too many",
        CommandError::Sdp(_) => "sdp",
        CommandError::Candidate => "candidate",
        CommandError::DataChannel => "data channel",
        CommandError::PeerFailed => "peer failed",
    }
}

pub(crate) fn no_such_track(track: &str) -> ErrorBody {
    Errcode::NotFound.body(format!("{track}: no such track"))
}
