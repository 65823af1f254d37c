//! What concerns last wills: requests go out, answers come in, and who is there is told. What becomes of a will is decided
//! elsewhere.

use focus_signaling::Errcode;
use focus_signaling::wire::{Delegated, Delegation, ErrorBody, ServerMessage};
use sfu_core::ParticipantId;

use super::Control;
use crate::io::{DelegationAsker, DelegationRequest, Output, Sign};
use crate::pending::Asker;

impl Control {
    /// From now on, [`Output::Presence`] comes for all who join. A verb for the beginning.
    pub fn report_presence(&mut self) {
        self.reports_presence = true;
    }

    pub(super) fn delegate(&mut self, me: ParticipantId, asker: Asker, request: DelegationRequest) {
        let may = self.participants.get(&me).is_some_and(|participant| participant.may_publish);
        if !self.reports_presence {
            return self.refuse(asker, Errcode::Forbidden.body("this focus looks after nobody's leave event"));
        }
        if !may {
            return self.refuse(asker, Errcode::Forbidden.body("only who may publish here can delegate"));
        }
        self.outputs.push_back(Output::Delegate { asker: DelegationAsker { participant: me, asker }, request });
    }

    /// Answers a request, if its client is still on the socket that it asked on; news for one that came back is told all the
    /// same.
    pub fn delegated(&mut self, to: DelegationAsker, answer: Result<Delegation, ErrorBody>) {
        let connection = self.participants.get(&to.participant).and_then(|p| p.session.connection);
        let message = match answer {
            Ok(state) => ServerMessage::Delegated(Delegated { state }),
            Err(error) => {
                self.counters.errors += 1;
                ServerMessage::Error(error)
            }
        };
        if connection == Some(to.asker.connection) {
            self.send(to.asker.connection, to.asker.id, message);
        } else if matches!(message, ServerMessage::Delegated(_)) {
            self.tell(to.participant, message);
        }
    }

    /// News about the participant's leave that it did not ask for.
    pub fn delegation_changed(&mut self, participant: ParticipantId, state: Delegation) {
        self.tell(participant, ServerMessage::Delegated(Delegated { state }));
    }

    pub(super) fn sign(&mut self, participant: ParticipantId, sign: Sign) {
        if self.reports_presence {
            self.outputs.push_back(Output::Presence { participant, sign });
        }
    }
}
