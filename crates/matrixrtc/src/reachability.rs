//! Over which way each member's media can come to us, and ours to them. It never hides anybody: who cannot be reached is shown as
//! such, with the reason.
//!
//! Pure functions of the memberships and of what this client can do.

use crate::focus_selection::published;
use crate::membership::{MemberKey, Membership};
use crate::mesh::{self, Topology};
use crate::transport::{FullMesh, Livekit, RustSfu, Transport};

/// What this client can do, and is connected to.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    pub me: &'a MemberKey,
    /// Kinds of transports that it can receive over, as in [`Membership::can_subscribe`].
    pub can_subscribe: &'a [String],
    /// Whether it can signal by to-device messages, which a focus without a `url` needs.
    pub has_to_device: bool,
    /// The focus that it publishes to.
    pub own_focus: Option<&'a RustSfu>,
    /// Foci whose media its own focus relays to it now.
    pub relayed: &'a [RustSfu],
    pub topology: Topology,
}

/// How a member's media come to us.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Path<'a> {
    Myself,
    /// From the member itself.
    Mesh,
    /// The member publishes to the focus that we publish to.
    SameFocus(&'a Transport),
    /// The member publishes to this one, and our own focus relays it to us.
    Relayed(&'a Transport),
    /// We connect to this one to subscribe.
    Direct(&'a Transport),
    Unreachable(Why<'a>),
}

/// What stands between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why<'a> {
    /// It advertises no transport.
    NoTransport,
    /// It is in a LiveKit call, and this client has no LiveKit.
    LivekitOnly,
    /// It advertises what is not known here, or a known kind that lacks its address.
    UnknownTransport(&'a str),
    /// Its focus takes signalling by to-device messages only, which this client cannot send.
    NeedsToDevice,
    /// It says that it can be called directly and nothing else, and there are more than two.
    MeshOnly,
    /// Nobody knows where it publishes to: it chooses by a rule that is not known here.
    UnknownSelection,
}

impl Why<'_> {
    /// A word for logs, metrics and user interfaces.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoTransport => "no_transport",
            Self::LivekitOnly => "livekit_only",
            Self::UnknownTransport(_) => "unknown_transport",
            Self::NeedsToDevice => "needs_to_device",
            Self::MeshOnly => "mesh_only",
            Self::UnknownSelection => "unknown_selection",
        }
    }
}

/// The way from `member` to us. `members` are those of the session, oldest first.
///
/// Of several ways the shortest: our own focus before one that it relays, that before another connection.
pub fn path<'a>(means: &Means<'_>, member: &'a Membership, members: &[&'a Membership]) -> Path<'a> {
    if member.key == *means.me {
        return Path::Myself;
    }
    if means.topology == Topology::Mesh && mesh::is_able(member) && can(means, FullMesh::TYPE) {
        return Path::Mesh;
    }
    let ways = published(member, members);
    if ways.is_empty() {
        return Path::Unreachable(why_nothing(member));
    }
    let found = ways.iter().map(|transport| one_way(means, transport));
    // The first of the best rank: those that follow must be better to replace it.
    let best = found.reduce(|best, next| if rank(&next) < rank(&best) { next } else { best });
    best.unwrap_or(Path::Unreachable(Why::NoTransport))
}

/// Everybody, in the order of `members`.
pub fn paths<'a>(means: &Means<'_>, members: &[&'a Membership]) -> Vec<(&'a MemberKey, Path<'a>)> {
    members.iter().map(|member| (&member.key, path(means, member, members))).collect()
}

/// Every focus to connect to: our own first, then those of direct paths, once each.
pub fn connections<'a>(own: Option<&'a Transport>, paths: &[(&'a MemberKey, Path<'a>)]) -> Vec<&'a Transport> {
    let mut foci: Vec<&Transport> = own.into_iter().collect();
    for (_, path) in paths {
        if let Path::Direct(transport) = path
            && !foci.iter().any(|known| known.is_same_focus(transport))
        {
            foci.push(transport);
        }
    }
    foci
}

/// Whether `listener` can receive what `speaker` sends, as far as their events tell: the other half of [`path`], for showing
/// somebody that they are not heard.
pub fn is_heard_by(speaker: &Membership, listener: &Membership, members: &[&Membership], topology: Topology) -> bool {
    if topology == Topology::Mesh && mesh::is_able(speaker) && mesh::is_able(listener) {
        return true;
    }
    let over_focus = |transport: &&Transport| match transport {
        Transport::RustSfu(_) | Transport::Livekit(_) => listener.can_subscribe_to(transport.kind()),
        Transport::FullMesh(_) | Transport::Unknown(_) => false,
    };
    published(speaker, members).iter().any(over_focus)
}

fn one_way<'a>(means: &Means<'_>, transport: &'a Transport) -> Path<'a> {
    match transport {
        Transport::RustSfu(focus) => {
            if means.own_focus.is_some_and(|own| own.is_same_focus(focus)) {
                Path::SameFocus(transport)
            } else if means.relayed.iter().any(|relayed| relayed.is_same_focus(focus)) {
                Path::Relayed(transport)
            } else if !can(means, RustSfu::TYPE) {
                Path::Unreachable(Why::UnknownTransport(RustSfu::TYPE))
            } else if focus.url.is_none() && !means.has_to_device {
                Path::Unreachable(Why::NeedsToDevice)
            } else {
                Path::Direct(transport)
            }
        }
        Transport::Livekit(_) if can(means, Livekit::TYPE) => Path::Direct(transport),
        Transport::Livekit(_) => Path::Unreachable(Why::LivekitOnly),
        Transport::FullMesh(_) => Path::Unreachable(Why::MeshOnly),
        Transport::Unknown(_) => Path::Unreachable(Why::UnknownTransport(transport.kind())),
    }
}

fn why_nothing(member: &Membership) -> Why<'_> {
    if member.transports.is_empty() { Why::NoTransport } else { Why::UnknownSelection }
}

fn rank(path: &Path<'_>) -> u8 {
    match path {
        Path::Myself | Path::Mesh | Path::SameFocus(_) => 0,
        Path::Relayed(_) => 1,
        Path::Direct(Transport::RustSfu(_)) => 2,
        Path::Direct(_) => 3,
        // What tells most about somebody who cannot be reached.
        Path::Unreachable(Why::NeedsToDevice) => 4,
        Path::Unreachable(Why::LivekitOnly) => 5,
        Path::Unreachable(Why::MeshOnly) => 7,
        Path::Unreachable(_) => 6,
    }
}

fn can(means: &Means<'_>, kind: &str) -> bool {
    means.can_subscribe.iter().any(|known| known == kind)
}

#[cfg(test)]
mod tests;
