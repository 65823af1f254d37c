//! Who may call here: a pure function from a request and what is known about it to a grant or a refusal.
//!
//! The ladder: a homeserver that passes the request on (MSC4512) vouches for its user and says who is in a room
//! (MSC4502); an OpenID token proves a user to whom his homeserver is asked, and somebody who sees the room is asked
//! about it; `open` does without the latter. A message from a user's device to the focus's own, encrypted by Olm, proves the
//! user as well. Users of servers that the operator named may begin calls and publish. All
//! others may listen where a call is going on, for under MSC4195 they publish at a focus of their own.

use std::collections::BTreeSet;
use std::time::Duration;

use matrixrtc::identity;
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId};

use crate::request::Request;

/// The operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub mode: Mode,
    /// Servers whose users may begin calls and publish. Compared byte by byte.
    pub full_access: BTreeSet<OwnedServerName>,
    /// Lets in whom nobody can tell to be in the room. Only in mode `openid`.
    pub open: bool,
}

/// The step of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nobody is let in by Matrix.
    Off,
    /// Homeservers pass requests on, and tell who is in which room; OpenID serves users of other servers.
    Appservice,
    /// OpenID only.
    Openid,
}

/// Who says that the request is that user's.
#[derive(Clone, PartialEq, Eq)]
pub enum Voucher {
    /// The homeserver whose `hs_token` came with the request, and the user that it named.
    Homeserver { server: OwnedServerName, user: OwnedUserId },
    /// The homeserver that was asked about an OpenID token, and whose token it said that it is.
    OpenId { server: OwnedServerName, sub: OwnedUserId, usage: TokenUse },
    /// The request came encrypted from a device of the user (Olm), to a device of the focus.
    Device { user: OwnedUserId },
}

/// What an OpenID token has been used for before. It names no device, so that it is bound to the first that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    FirstOrSame,
    OtherDevice,
}

/// What those who see the room say of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    Joined,
    NotJoined,
    /// Nobody that we could ask sees the room.
    Unseen,
    /// Somebody would, and does not answer.
    Unavailable,
}

/// What is known about a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Evidence {
    pub voucher: Voucher,
    pub membership: Membership,
    /// Whether the conference is going on.
    pub conference_exists: bool,
    /// A quota of the user, its server or the room is used up for so long.
    pub limited: Option<Duration>,
}

/// What the token will say.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    pub identity: String,
    pub conference: String,
    pub user: OwnedUserId,
    pub server: OwnedServerName,
    pub room: OwnedRoomId,
    pub publish: bool,
    /// May begin the conference.
    pub create: bool,
}

/// Why not. What is forbidden is never explained: not whether there is such a room or a call in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("not allowed, or there is no such call")]
    Forbidden,
    #[error("the homeserver cannot be asked now")]
    Unavailable,
    #[error("too many requests")]
    Limited(Duration),
}

/// The rules.
pub fn authorize(policy: &Policy, request: &Request, evidence: &Evidence) -> Result<Grant, Refusal> {
    let (server, user) = match &evidence.voucher {
        Voucher::Device { user } => {
            if policy.mode == Mode::Off {
                return Err(Refusal::Forbidden);
            }
            (&user.server_name().to_owned(), user)
        }
        Voucher::Homeserver { server, user } => {
            if policy.mode != Mode::Appservice || !policy.full_access.contains(server) {
                return Err(Refusal::Forbidden);
            }
            (server, user)
        }
        Voucher::OpenId { server, sub, usage } => {
            if policy.mode == Mode::Off || *usage == TokenUse::OtherDevice {
                return Err(Refusal::Forbidden);
            }
            (server, sub)
        }
    };
    // A server speaks for its own users only, and the request is about the one who made it.
    if user.server_name().as_str() != server.as_str() || *user != request.user {
        return Err(Refusal::Forbidden);
    }
    if let Some(wait) = evidence.limited {
        return Err(Refusal::Limited(wait));
    }
    is_in_room(policy, evidence.membership)?;
    let full = policy.full_access.contains(server);
    if !full && !evidence.conference_exists {
        return Err(Refusal::Forbidden);
    }
    Ok(Grant {
        identity: identity::participant(&request.user, &request.member_id),
        conference: identity::conference(&request.room, &request.slot_id, None),
        user: request.user.clone(),
        server: server.clone(),
        room: request.room.clone(),
        publish: full,
        create: full,
    })
}

/// Whether what is said of the user lets it in: for a token, and again when a token is used that is not quite new.
pub fn is_in_room(policy: &Policy, membership: Membership) -> Result<(), Refusal> {
    match membership {
        Membership::Joined => Ok(()),
        Membership::Unseen if policy.open && policy.mode == Mode::Openid => Ok(()),
        Membership::NotJoined | Membership::Unseen => Err(Refusal::Forbidden),
        Membership::Unavailable => Err(Refusal::Unavailable),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
