//! Delegated leaves: carries signs of life from the control plane into the machine ([`focus_matrix::delegation`]), its
//! questions to the homeservers, and what it holds to the store. Belongs to the control task and never waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use focus_control::{Control, DelegationAsker, DelegationRequest, Sign};
use focus_matrix::delegation::{
    Answer, Ask, AskId, Counters, Delegation, Member, News, Output, Refusal, SessionNumber, Timing, Will,
};
use focus_signaling::Errcode;
use focus_signaling::wire::{Delegation as State, ErrorBody, LeaveReason};
use serde_json::json;
use sfu_core::ParticipantId;
use tokio::sync::mpsc;
use tracing::debug;

use super::fetch::{self, Fetcher, Method, segment};
use crate::random::{self, OsError};
use crate::store::{self, Store, Write};

/// Answers on their way. No more than what is asked at once: a few for each homeserver.
const ANSWERS_MAX: usize = 64;
/// Where delayed events are managed by their ids (MSC4140, unstable; the stable endpoints want the user's token).
const PATH: &str = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events";
/// What a client is told to wait that asks again and again, or asks a full focus.
const RETRY: Duration = Duration::from_secs(2);

pub(crate) struct Wills {
    machine: Delegation,
    fetcher: Arc<Fetcher>,
    store: Store,
    /// Who asked what the machine knows by number. One for each session at most.
    askers: BTreeMap<SessionNumber, (u64, DelegationAsker)>,
    requests: u64,
    answers: mpsc::Sender<(AskId, Answer)>,
    answered: mpsc::Receiver<(AskId, Answer)>,
}

/// After [`Wills::carry_out`].
pub(crate) struct Next {
    /// When it wants to be called again.
    pub(crate) at: Option<Instant>,
    /// The control plane has something to carry out.
    pub(crate) told: bool,
}

impl Wills {
    /// `saved`: what the process before held.
    pub(crate) fn new(
        servers: impl IntoIterator<Item = String>,
        timing: Timing,
        fetcher: Arc<Fetcher>,
        store: Store,
        saved: Vec<store::Delegation>,
    ) -> Result<Self, OsError> {
        let mut machine = Delegation::new(servers, timing, random::seed()?);
        let (now, now_ms) = (Instant::now(), store::now_ms());
        for row in saved {
            let member = Member { conference: row.conference, identity: row.identity };
            let will = Will {
                server_name: row.server_name,
                delay_id: row.delay_id,
                delay: Duration::from_millis(row.delay_ms),
                on_leave: row.on_leave,
            };
            machine.restore(now, member, will, Duration::from_millis(now_ms.saturating_sub(row.restarted_ms)));
        }
        let (answers, answered) = mpsc::channel(ANSWERS_MAX);
        Ok(Self { machine, fetcher, store, askers: BTreeMap::new(), requests: 0, answers, answered })
    }

    pub(crate) fn handle_sign(&mut self, participant: ParticipantId, sign: Sign) {
        let (now, session) = (Instant::now(), SessionNumber(participant.0));
        match sign {
            Sign::Joined { conference, identity } => {
                self.machine.handle_joined(now, session, Member { conference, identity });
            }
            Sign::Heard => self.machine.handle_heard(now, session),
            Sign::Media { quiet } => self.machine.handle_media(now, session, quiet),
            Sign::Ended(reason) => {
                self.askers.remove(&session);
                match reason {
                    Some(LeaveReason::Left) => self.machine.handle_left(now, session),
                    Some(LeaveReason::Lost | LeaveReason::Replaced) => self.machine.handle_ended(now, session),
                    Some(LeaveReason::Removed) => self.machine.handle_removed(now, session),
                    None => self.machine.handle_released(now, session),
                }
            }
        }
    }

    pub(crate) fn handle_request(&mut self, control: &mut Control, asker: DelegationAsker, request: DelegationRequest) {
        let session = SessionNumber(asker.participant.0);
        match request {
            DelegationRequest::Delegate(wanted) => {
                let will = Will {
                    server_name: wanted.server_name,
                    delay_id: wanted.delay_id,
                    delay: Duration::from_millis(wanted.delay_ms),
                    on_leave: wanted.on_leave,
                };
                self.requests += 1;
                // Whoever asks anew has no use for an answer to what he asked before.
                self.askers.insert(session, (self.requests, asker));
                self.machine.delegate(Instant::now(), session, self.requests, will);
            }
            DelegationRequest::TakeBack => {
                let answer = match self.machine.take_back(session) {
                    true => Ok(State::Returned),
                    false => Err(refusal(Refusal::Nothing)),
                };
                control.delegated(asker, answer);
            }
        }
    }

    /// The next answer of a homeserver. Never ends.
    pub(crate) async fn next_answer(&mut self) -> (AskId, Answer) {
        match self.answered.recv().await {
            Some(answer) => answer,
            // We hold a sender ourselves.
            None => std::future::pending().await,
        }
    }

    pub(crate) fn handle_answer(&mut self, (id, answer): (AskId, Answer)) {
        self.machine.handle_answer(Instant::now(), id, answer);
    }

    /// Does what the machine wants.
    pub(crate) fn carry_out(&mut self, control: &mut Control) -> Next {
        let now = Instant::now();
        let mut told = false;
        self.machine.handle_timeout(now);
        loop {
            match self.machine.poll_output(now) {
                Output::Ask { id, server_name, ask } => self.ask(id, server_name, ask),
                Output::Tell { session, request, news } => {
                    self.tell(control, session, request, news);
                    told = true;
                }
                Output::Save { member, will } => self.store.write(Write::Delegate(store::Delegation {
                    conference: member.conference,
                    identity: member.identity,
                    server_name: will.server_name,
                    delay_id: will.delay_id,
                    delay_ms: u64::try_from(will.delay.as_millis()).unwrap_or(u64::MAX),
                    on_leave: will.on_leave,
                    restarted_ms: store::now_ms(),
                })),
                Output::Forget { member: Member { conference, identity } } => {
                    self.store.write(Write::EndDelegation { conference, identity });
                }
                Output::Timeout(at) => return Next { at, told },
            }
        }
    }

    fn ask(&self, id: AskId, server_name: String, ask: Ask) {
        debug!(?ask, "delayed event");
        let (fetcher, answers) = (self.fetcher.clone(), self.answers.clone());
        tokio::spawn(async move {
            let path = match &ask {
                Ask::Probe { delay_id } | Ask::Restart { delay_id } => format!("{PATH}/{}/restart", segment(delay_id)),
                Ask::Send { delay_id } => format!("{PATH}/{}/send", segment(delay_id)),
            };
            let answer = fetcher.configured().call(&server_name, Method::Post, &path, None, Some(&json!({}))).await;
            // The control task has ended: nobody wants to know.
            let _ = answers.send((id, understand(answer))).await;
        });
    }

    fn tell(&mut self, control: &mut Control, session: SessionNumber, request: Option<u64>, news: News) {
        let asker = request.and_then(|request| self.askers.remove(&session).filter(|(number, _)| *number == request));
        match (asker, news) {
            (Some((_, asker)), News::Held) => control.delegated(asker, Ok(State::Held)),
            (Some((_, asker)), News::Refused(why)) => control.delegated(asker, Err(refusal(why))),
            (_, News::Sent) => control.delegation_changed(ParticipantId(session.0), State::Sent),
            (_, News::Lost) => control.delegation_changed(ParticipantId(session.0), State::Lost),
            (None, News::Held | News::Refused(_)) => {}
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.machine.counters()
    }
}

fn understand(answer: Result<fetch::Answer, fetch::Refused>) -> Answer {
    let Ok(answer) = answer else { return Answer::Failed };
    match answer.status {
        200..=299 => Answer::Done,
        401 | 403 => Answer::Forbidden,
        404 | 405 if answer.errcode().as_deref() == Some("M_UNRECOGNIZED") => Answer::Unrecognized,
        // Only a homeserver says so with an errcode; a proxy before it that knows no such path does not.
        404 if answer.errcode().is_some() => Answer::NotFound,
        409 => Answer::Conflict,
        429 => Answer::LimitExceeded { retry_after: answer.pause().unwrap_or(RETRY) },
        _ => Answer::Failed,
    }
}

fn refusal(why: Refusal) -> ErrorBody {
    let code = match why {
        Refusal::ForeignServer | Refusal::NeedsToken => Errcode::Forbidden,
        Refusal::Delay => Errcode::InvalidParam,
        Refusal::Unsupported => Errcode::Unrecognized,
        Refusal::UnknownEvent | Refusal::Nothing => Errcode::NotFound,
        Refusal::Unreachable => Errcode::ConnectionTimeout,
        Refusal::Full => Errcode::ResourceLimitExceeded,
        Refusal::TooOften => Errcode::LimitExceeded,
    };
    let body = code.body(why.to_string());
    match why {
        Refusal::TooOften | Refusal::Full => body.retry_after(RETRY),
        _ => body,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn answers_are_understood() {
        let answer = |status, body: &'static str| {
            understand(Ok(fetch::Answer { status, body: Bytes::from_static(body.as_bytes()), retry_after: None }))
        };
        assert_eq!(answer(200, "{}"), Answer::Done);
        assert_eq!(answer(401, r#"{"errcode":"M_MISSING_TOKEN"}"#), Answer::Forbidden);
        assert_eq!(answer(404, r#"{"errcode":"M_NOT_FOUND"}"#), Answer::NotFound);
        assert_eq!(answer(404, r#"{"errcode":"M_UNRECOGNIZED"}"#), Answer::Unrecognized);
        assert_eq!(answer(404, "<html>"), Answer::Failed);
        assert_eq!(answer(409, "{}"), Answer::Conflict);
        assert_eq!(answer(502, ""), Answer::Failed);
        let limited = Answer::LimitExceeded { retry_after: Duration::from_millis(300) };
        assert_eq!(answer(429, r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":300}"#), limited);
        assert_eq!(understand(Err(fetch::Refused::Timeout)), Answer::Failed);
    }

    #[test]
    fn every_refusal_has_a_text_of_its_own() {
        let body = refusal(Refusal::NeedsToken);
        assert_eq!((body.errcode.as_str(), body.retry_after_ms), ("M_FORBIDDEN", None));
        assert!(body.error.contains("restart it yourself"));
        assert_eq!(refusal(Refusal::TooOften).retry_after_ms, Some(2000));
    }
}
