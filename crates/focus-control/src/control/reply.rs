//! The workers' answers to commands.

use std::time::Instant;

use focus_signaling::wire::ServerMessage;
use focus_signaling::{CloseCode, Errcode};
use sfu_core::{CommandError, ParticipantId, Reply};
use tracing::{debug, warn};

use super::Control;
use super::leave::End;
use crate::id::{RequestId, WorkerId};
use crate::pending::{Asker, Pending, What, refusal, word};

impl Control {
    pub(super) fn reply(
        &mut self,
        now: Instant,
        worker: WorkerId,
        request: RequestId,
        reply: Result<Reply, CommandError>,
    ) {
        let Some(Pending { participant: me, asker, what }) = self.requests.remove(&request) else {
            // Housekeeping of ours, or of a session that has ended meanwhile.
            if let Err(error) = reply {
                self.counters.command_failures += 1;
                debug!(worker = worker.0, error = word(&error), "command failed");
            }
            return;
        };
        if let Some(participant) = self.participants.get_mut(&me) {
            participant.session.pending.remove(&request);
        }
        match (what, reply) {
            (What::Data, Ok(_)) => {}
            (What::Data, Err(_)) => self.data_refused(now, me),
            (What::Connect, Ok(_)) => self.connected(now, me, asker),
            (What::Connect, Err(error)) => self.not_connected(now, me, &error),
            (What::Offer, Ok(Reply::Answer { sdp })) => self.offer_accepted(me, asker, sdp),
            (What::Mute { track, muted }, Ok(_)) => self.muted(me, track, muted),
            // It is off, as was wanted.
            (What::Unsubscribe, Err(CommandError::UnknownTrack)) => {}
            (what, reply) => {
                if let What::Offer = what {
                    self.offer_refused(me);
                }
                match reply {
                    Err(error) => self.fail(me, asker, refusal(&what, &error)),
                    Ok(_) if matches!(what, What::Offer) => {
                        self.counters.command_failures += 1;
                        self.fail(me, asker, Errcode::Unknown.body("the offer was not answered"));
                    }
                    Ok(_) => {}
                }
            }
        }
    }

    fn not_connected(&mut self, now: Instant, me: ParticipantId, error: &CommandError) {
        warn!(error = word(error), "peer was not made");
        self.counters.refused_engine += 1;
        let (farewell, code) = match error {
            CommandError::TooMany { .. } => {
                ((Errcode::ResourceLimitExceeded, "the focus is full"), CloseCode::Forbidden)
            }
            _ => ((Errcode::Unknown, "the focus failed"), CloseCode::Internal),
        };
        self.end(now, me, End { reason: None, farewell: Some(farewell), code, peer_gone: true });
    }

    /// Answers a request of a client, if it is still on the socket that it asked on. A client that resumed knows that
    /// what it asked before may be lost.
    pub(super) fn answer(&mut self, me: ParticipantId, asker: Asker, message: ServerMessage) {
        let connection = self.participants.get(&me).and_then(|participant| participant.session.connection);
        if connection == Some(asker.connection) {
            self.send(asker.connection, asker.id, message);
        }
    }

    fn fail(&mut self, me: ParticipantId, asker: Asker, error: focus_signaling::wire::ErrorBody) {
        self.counters.errors += 1;
        self.answer(me, asker, ServerMessage::Error(error));
    }
}
