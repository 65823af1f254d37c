//! How sessions end: the client says so, is lost, is replaced, or the focus ends it. All ways lead through `end`.

use std::time::Instant;

use focus_signaling::limits::RESUME_TIMEOUT;
use focus_signaling::wire::{Leave, LeaveReason, ParticipantEvent, ServerMessage};
use focus_signaling::{CloseCode, Errcode};
use sfu_core::{Command, DisconnectReason, ParticipantId, PeerId, TrackId};
use tracing::info;

use super::Control;
use crate::id::{ConnectionId, WorkerId};
use crate::io::{Output, Sign};
use crate::participant::{Participant, of_peer};
use crate::timers::Deadline;
use crate::token::Grant;

/// Why and how a session ends.
pub(super) struct End {
    /// For the others. `None`: nobody is told, because all are leaving.
    pub(super) reason: Option<LeaveReason>,
    /// For the client: errcode and text. It says that there is nothing to resume, which not every close code does.
    pub(super) farewell: Option<(Errcode, &'static str)>,
    pub(super) code: CloseCode,
    /// Its engine has told us that the peer is gone.
    pub(super) peer_gone: bool,
}

impl Control {
    /// The client leaves for good.
    pub(super) fn leave(&mut self, now: Instant, me: ParticipantId) {
        let reason = Some(LeaveReason::Left);
        self.end(now, me, End { reason, farewell: None, code: CloseCode::Normal, peer_gone: false });
    }

    pub(super) fn socket_lost(&mut self, now: Instant, connection: ConnectionId) {
        let Some(me) = self.connections.remove(&connection) else { return };
        let Some(participant) = self.participants.get_mut(&me) else { return };
        participant.session.connection = None;
        if participant.is_joined() {
            self.timers.arm(Deadline::Resume(me), now + RESUME_TIMEOUT);
        } else {
            // It was never welcomed, so it has nothing to resume with.
            self.window_closed(now, me);
        }
    }

    /// Nobody resumed the session in time.
    pub(super) fn window_closed(&mut self, now: Instant, me: ParticipantId) {
        let reason = Some(LeaveReason::Lost);
        self.end(now, me, End { reason, farewell: None, code: CloseCode::Timeout, peer_gone: false });
    }

    /// Ends the session that the grant's identity has in the conference.
    pub(super) fn replace(&mut self, now: Instant, grant: &Grant) {
        let conference = self.conference_names.get(&grant.conference).and_then(|id| self.conferences.get(id));
        if let Some(old) = conference.and_then(|conference| conference.identities.get(&grant.identity)).copied() {
            let reason = Some(LeaveReason::Replaced);
            self.end(now, old, End { reason, farewell: None, code: CloseCode::Replaced, peer_gone: false });
        }
    }

    /// The engine has given the peer up, or the client has closed it.
    pub(super) fn peer_gone(&mut self, now: Instant, worker: WorkerId, peer: PeerId, reason: DisconnectReason) {
        let me = of_peer(peer);
        if self.participants.get(&me).is_none_or(|participant| participant.worker != worker) {
            return;
        }
        let (farewell, code) = match reason {
            DisconnectReason::Closed => {
                ((Errcode::ConnectionTimeout, "the media connection was closed"), CloseCode::Timeout)
            }
            DisconnectReason::Silent => {
                ((Errcode::ConnectionTimeout, "no media connection any more"), CloseCode::Timeout)
            }
            DisconnectReason::NeverConnected => {
                ((Errcode::ConnectionTimeout, "the media connection did not come up"), CloseCode::Timeout)
            }
            DisconnectReason::Failed => ((Errcode::Unknown, "the media connection failed"), CloseCode::Internal),
            DisconnectReason::Panicked | DisconnectReason::Commanded => {
                ((Errcode::Unknown, "the focus failed"), CloseCode::Internal)
            }
        };
        let reason = Some(LeaveReason::Lost);
        self.end(now, me, End { reason, farewell: Some(farewell), code, peer_gone: true });
    }

    /// Frees everything that the participant has, and tells whom it concerns.
    pub(super) fn end(&mut self, now: Instant, me: ParticipantId, end: End) {
        self.tell_watchers(Output::Departed, me);
        let Some(participant) = self.participants.remove(&me) else { return };
        self.sessions.remove(&participant.session.id);
        self.timers.disarm(Deadline::Resume(me));
        self.subscribers_changed.remove(&me);
        self.load[participant.worker.0] -= 1;
        for request in &participant.session.pending {
            self.requests.remove(request);
        }
        if let Some(connection) = participant.session.connection {
            self.connections.remove(&connection);
            if let Some((code, text)) = end.farewell {
                let leave = Leave { code: code.to_string(), reason: Some(text.to_owned()) };
                self.send(connection, None, ServerMessage::Leave(leave));
            }
            self.close(connection, end.code);
        }
        self.end_channel(&participant, end.peer_gone);
        for track in participant.tracks.keys() {
            self.unpublish(&participant, *track);
        }
        if !end.peer_gone {
            self.command(participant.worker, Command::Disconnect { peer: participant.peer() });
        }
        self.leave_conference(now, &participant);
        if participant.is_joined() {
            self.sign(me, Sign::Ended(end.reason));
        }
        if let Some(reason) = end.reason.filter(|_| participant.is_joined()) {
            self.count_leave(reason);
            info!(conference = %participant.conference, participant = %me, ?reason, "participant left");
            self.tell_subscriptions();
            let event = ParticipantEvent::Left { id: me.to_string(), reason };
            self.tell_others(me, participant.conference, &ServerMessage::Participant(event));
        }
        self.drain_may_be_over();
    }

    fn leave_conference(&mut self, now: Instant, participant: &Participant) {
        let (id, worker) = (participant.conference, participant.worker);
        let Some(conference) = self.conferences.get_mut(&id) else { return };
        if conference.remove(participant.id, &participant.identity, worker) {
            let members = conference.participants.iter().filter_map(|member| self.participants.get(member));
            let tracks: Vec<TrackId> = members.flat_map(|member| member.tracks.keys().copied()).collect();
            for track in tracks {
                self.command(worker, Command::RemoveRemoteTrack { track });
            }
        }
        let Some(conference) = self.conferences.get(&id) else { return };
        let is_empty = conference.participants.is_empty();
        if let Some(origin) = &participant.origin {
            self.tally.remove(origin, &conference.name, is_empty);
        }
        if is_empty {
            if let Some(conference) = self.conferences.remove(&id) {
                self.conference_names.remove(&conference.name);
            }
            self.timers.disarm(Deadline::Speakers(id));
            self.timers.disarm(Deadline::Quality(id));
            info!(conference = %id, "conference ended");
        } else {
            self.tell_speakers(now, id);
            self.tell_quality(now, id);
        }
    }

    fn count_leave(&mut self, reason: LeaveReason) {
        *match reason {
            LeaveReason::Left => &mut self.counters.left,
            LeaveReason::Lost => &mut self.counters.lost,
            LeaveReason::Replaced => &mut self.counters.replaced,
            LeaveReason::Removed => &mut self.counters.removed,
        } += 1;
    }
}
