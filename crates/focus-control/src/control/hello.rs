//! The first message of a socket: a token that lets somebody in, or a secret that takes a session up again.

use std::time::Instant;

use focus_signaling::limits::{PING_INTERVAL, RESUME_TIMEOUT};
use focus_signaling::wire::{Hello, ParticipantEvent, Resume, ServerMessage, VERSION, Welcome};
use focus_signaling::{CloseCode, Errcode};
use rand::RngCore;
use sfu_core::{Command, ConferenceId, LinkId, ParticipantId};
use tracing::info;

use super::Control;
use crate::bounds::{FULL_RETRY, RESUME_BURST, RESUME_INTERVAL};
use crate::conference::Conference;
use crate::id::{Private, SessionId, WorkerId};
use crate::io::{Output, Sign};
use crate::origin::Origin;
use crate::participant::{Participant, Stage};
use crate::pending::{Asker, What};
use crate::placement::{least_loaded, place};
use crate::session::{Session, subscribed};
use crate::timers::Deadline;
use crate::token::{Grant, TokenError};

impl Control {
    pub(super) fn hello(&mut self, now: Instant, asker: Asker, hello: Hello) {
        match (hello.token, hello.resume) {
            _ if hello.v != VERSION => {
                let error = Errcode::Unrecognized.body(format!("only version {VERSION} is spoken here"));
                self.turn_away(asker, error, CloseCode::ProtocolError);
            }
            // A data channel has a participant already, and is his alone.
            (Some(_), None) if asker.connection.is_channel() => self.no_resume(asker),
            (Some(token), None) => self.join(now, asker, &token),
            (None, Some(resume)) => self.resume(now, asker, &resume),
            _ => {
                let error = Errcode::BadJson.body("exactly one of token and resume is needed");
                self.turn_away(asker, error, CloseCode::ProtocolError);
            }
        }
    }

    fn join(&mut self, now: Instant, asker: Asker, token: &str) {
        let unix_now = self.clock.at(now);
        self.used_tokens.forget_expired(unix_now);
        if self.draining.is_some() {
            return self.turn_away_draining(asker);
        }
        let Some(verifier) = &self.verifier else {
            self.counters.refused_closed += 1;
            let error = Errcode::Forbidden.body("this focus lets nobody in: no authoriser is configured");
            return self.turn_away(asker, error, CloseCode::Forbidden);
        };
        let unused = |grant: Grant| {
            if self.used_tokens.contains(grant.jti, grant.expires) { Err(TokenError::Used) } else { Ok(grant) }
        };
        let grant = match verifier.verify(token, unix_now).and_then(unused) {
            Ok(grant) => grant,
            Err(error) => {
                self.counters.refused_token += 1;
                return self.turn_away(asker, Errcode::Unauthorized.body(error.to_string()), CloseCode::BadToken);
            }
        };
        if !self.is_kept_out(asker, &grant) {
            match self.must_be_confirmed(unix_now, &grant) {
                Some(origin) => self.await_confirmation(now, asker, grant, origin),
                None => self.come_in(now, asker, grant),
            }
        }
    }

    fn turn_away_draining(&mut self, asker: Asker) {
        self.counters.refused_draining += 1;
        let error = Errcode::ResourceLimitExceeded.body("the focus shuts down").retry_after(FULL_RETRY);
        self.turn_away(asker, error, CloseCode::Draining);
    }

    /// One who had to wait for a word about it; much may have happened since.
    pub(super) fn come_in_late(&mut self, now: Instant, asker: Asker, grant: Grant) {
        if self.draining.is_some() {
            self.turn_away_draining(asker);
        } else if self.used_tokens.contains(grant.jti, grant.expires) {
            self.counters.refused_token += 1;
            let error = Errcode::Unauthorized.body(TokenError::Used.to_string());
            self.turn_away(asker, error, CloseCode::BadToken);
        } else if !self.is_kept_out(asker, &grant) {
            self.come_in(now, asker, grant);
        }
    }

    fn come_in(&mut self, now: Instant, asker: Asker, grant: Grant) {
        self.used_tokens.insert(grant.jti, grant.expires);
        self.await_forgetting(now);
        self.admit(now, asker, grant);
    }

    /// The token is good, and its holder is turned away all the same.
    fn is_kept_out(&mut self, asker: Asker, grant: &Grant) -> bool {
        if !self.may_come_in(grant) {
            self.turn_away_forbidden(asker);
            return true;
        }
        let Some(what) = self.full(grant) else { return false };
        self.counters.refused_full += 1;
        let error = Errcode::ResourceLimitExceeded.body(format!("no more {what}")).retry_after(FULL_RETRY);
        self.turn_away(asker, error, CloseCode::Forbidden);
        true
    }

    pub(super) fn turn_away_forbidden(&mut self, asker: Asker) {
        self.counters.refused_forbidden += 1;
        let error = Errcode::Forbidden.body("not allowed, or there is no such call");
        self.turn_away(asker, error, CloseCode::Forbidden);
    }

    /// The token is good; this is about what has happened since it was made. One answer for all: it teaches nobody which
    /// calls there are.
    fn may_come_in(&self, grant: &Grant) -> bool {
        let may_begin = grant.origin.as_ref().is_none_or(|origin| origin.create);
        (may_begin || self.conference_names.contains_key(&grant.conference))
            && !self.denied.contains(&grant.conference, &grant.identity, grant.issued)
            && grant.origin.as_ref().is_none_or(|o| !self.denied.contains(&o.room, &o.user, grant.issued))
    }

    /// The bound that keeps the grant out, if one does. Somebody who comes again takes his own place.
    fn full(&self, grant: &Grant) -> Option<&'static str> {
        let conference = self.conference_names.get(&grant.conference).and_then(|id| self.conferences.get(id));
        let again = conference.is_some_and(|conference| conference.identities.contains_key(&grant.identity));
        let members = conference.map_or(0, |conference| conference.participants.len());
        if self.used_tokens.len() >= self.bounds.used_tokens {
            Some("joins for now")
        } else if again {
            None
        } else if self.participants.len() >= self.bounds.sessions {
            Some("sessions")
        } else if conference.is_none() && self.conferences.len() >= self.bounds.conferences {
            Some("conferences")
        } else if members >= self.bounds.participants {
            Some("participants in this conference")
        } else {
            grant.origin.as_ref().and_then(|origin| self.full_of(origin, &grant.conference))
        }
    }

    fn full_of(&self, origin: &Origin, conference: &Private) -> Option<&'static str> {
        let beside = self.tally.beside(origin, conference);
        let of_server = if origin.create { self.bounds.server_participants } else { self.bounds.foreign_participants };
        if beside.user >= self.bounds.user_participants {
            Some("devices of this user")
        } else if beside.server >= of_server {
            Some("participants of this server")
        } else if beside.room >= self.bounds.room_participants {
            Some("participants of this room")
        } else if beside.conferences >= self.bounds.room_conferences {
            Some("conferences of this room")
        } else {
            None
        }
    }

    fn admit(&mut self, now: Instant, asker: Asker, grant: Grant) {
        self.replace(now, &grant);
        let conference_id = self.conference_named(&grant);
        let Some(conference) = self.conferences.get_mut(&conference_id) else { return };
        let worker = place(conference.home, conference.participants.len(), self.spread_at, &self.load);
        let id = self.new_participant_id();
        let mut session_id = [0; 16];
        self.rng.fill_bytes(&mut session_id);
        let participant = Participant {
            id,
            identity: grant.identity,
            conference: conference_id,
            worker,
            name: grant.name,
            may_publish: grant.publish,
            origin: grant.origin,
            stage: Stage::Joining,
            keys: Vec::new(),
            tracks: Default::default(),
            session: Session::new(SessionId(session_id), asker.connection),
        };
        let Some(conference) = self.conferences.get_mut(&conference_id) else { return };
        let first_here = conference.add(id, participant.identity.clone(), worker);
        self.load[worker.0] += 1;
        self.connections.insert(asker.connection, id);
        self.sessions.insert(participant.session.id, id);
        let connect = Command::Connect { peer: participant.peer(), conference: conference_id, participant: id };
        if let Some(origin) = &participant.origin {
            self.tally.add(origin, &grant.conference);
        }
        self.participants.insert(id, participant);
        self.tell_watchers(Output::Arrived, id);
        self.ask(id, asker, What::Connect, connect);
        if first_here {
            self.bring_tracks(conference_id, worker);
        }
    }

    /// The conference with the grant's name, made if it is the first to come.
    fn conference_named(&mut self, grant: &Grant) -> ConferenceId {
        if let Some(id) = self.conference_names.get(&grant.conference) {
            return *id;
        }
        let id = ConferenceId(self.next_conference);
        self.next_conference += 1;
        self.conferences.insert(id, Conference::new(grant.conference.clone(), least_loaded(&self.load)));
        self.conference_names.insert(grant.conference.clone(), id);
        info!(conference = %id, "conference began");
        id
    }

    fn new_participant_id(&mut self) -> ParticipantId {
        loop {
            let id = ParticipantId(self.rng.next_u64());
            if !self.participants.contains_key(&id) {
                return id;
            }
        }
    }

    /// Tells a worker, new to the conference, which tracks the others have.
    fn bring_tracks(&mut self, conference: ConferenceId, worker: WorkerId) {
        let Some(members) = self.conferences.get(&conference).map(|c| c.participants.clone()) else { return };
        let elsewhere = members.iter().filter_map(|m| self.participants.get(m)).filter(|p| p.worker != worker);
        let commands: Vec<Command> = elsewhere
            .flat_map(|p| p.tracks.iter().map(move |(id, track)| (p, *id, track)))
            .flat_map(|(p, track, published)| {
                let add = Command::AddRemoteTrack {
                    conference,
                    link: LinkId(p.worker.0 as u64),
                    track,
                    participant: p.id,
                    kind: published.kind(),
                };
                let index = published.key_index();
                [Some(add), (index != 0).then_some(Command::SetKeyIndex { track, index })].into_iter().flatten()
            })
            .collect();
        for command in commands {
            self.command(worker, command);
        }
    }

    /// The worker has made the peer.
    pub(super) fn connected(&mut self, now: Instant, me: ParticipantId, asker: Asker) {
        let Some(participant) = self.participants.get_mut(&me) else { return };
        participant.stage = Stage::Joined;
        let (conference, event) =
            (participant.conference, ParticipantEvent::Joined { participant: participant.to_wire() });
        let joined = Sign::Joined {
            conference: self.conferences.get(&conference).map(|c| c.name.0.clone()).unwrap_or_default(),
            identity: participant.identity.0.clone(),
        };
        self.sign(me, joined);
        self.counters.joins += 1;
        info!(%conference, participant = %me, "participant joined");
        self.welcome(now, me, asker, false);
        self.tell_others(me, conference, &ServerMessage::Participant(event));
    }

    fn resume(&mut self, now: Instant, asker: Asker, resume: &Resume) {
        let me = SessionId::parse(&resume.session).and_then(|session| self.sessions.get(&session)).copied();
        let me = me.filter(|me| !asker.connection.is_channel() || self.owner_of(asker.connection) == Some(*me));
        let participant =
            me.and_then(|me| self.participants.get_mut(&me)).filter(|participant| participant.is_joined());
        let Some(participant) = participant else { return self.no_resume(asker) };
        if !participant.session.secrets.redeem(&resume.secret) {
            return self.no_resume(asker);
        }
        // After the secret, so that nobody else can use up the session's pace; and before anything changes: the secret
        // stays good until the next one is issued, and the window goes on as it did.
        if let Err(wait) = participant.session.resumes.take(now, RESUME_BURST, RESUME_INTERVAL) {
            self.counters.refused_resume += 1;
            let error = Errcode::LimitExceeded.body("resumed too often").retry_after(wait);
            return self.turn_away(asker, error, CloseCode::RateLimited);
        }
        let me = participant.id;
        let old = participant.session.connection.replace(asker.connection);
        if let Some(old) = old {
            self.connections.remove(&old);
            self.close(old, CloseCode::Replaced);
        }
        self.connections.insert(asker.connection, me);
        self.timers.disarm(Deadline::Resume(me));
        self.counters.resumes += 1;
        info!(participant = %me, "session resumed");
        self.sign(me, Sign::Heard);
        self.welcome(now, me, asker, true);
    }

    /// The same answer whether there is no such session or the secret is wrong: a guess teaches nothing.
    fn no_resume(&mut self, asker: Asker) {
        self.counters.refused_resume += 1;
        let error = Errcode::Unauthorized.body("no such session, or not its secret; join again");
        self.turn_away(asker, error, CloseCode::BadToken);
    }

    /// Everything that a client needs to know when it begins, or begins again.
    fn welcome(&mut self, now: Instant, me: ParticipantId, asker: Asker, resumed: bool) {
        let Some(participant) = self.participants.get_mut(&me) else { return };
        let secret = participant.session.secrets.issue(&mut self.rng);
        // All subscriptions are told below.
        participant.session.changed.clear();
        self.subscribers_changed.remove(&me);
        let (session, conference) = (participant.session.id.to_string(), participant.conference);
        let identity = participant.identity.0.clone();
        let subscriptions = participant.session.subscriptions.clone();
        let Some(members) = self.conferences.get(&conference).map(|c| &c.participants) else { return };
        let others = members.iter().filter(|member| **member != me).filter_map(|member| self.participants.get(member));
        let message = ServerMessage::Welcome(Welcome {
            v: VERSION,
            session,
            secret,
            participant: me.to_string(),
            identity: Some(identity),
            focus: self.focus.clone(),
            resumed,
            ping_ms: PING_INTERVAL.as_millis() as u64,
            resume_ms: RESUME_TIMEOUT.as_millis() as u64,
            limits: self.bounds.limits,
            participants: others.filter(|other| other.is_joined()).map(Participant::to_wire).collect(),
        });
        self.send(asker.connection, asker.id, message);
        if !subscriptions.is_empty() {
            self.tell(me, subscribed(&subscriptions));
        }
        self.tell_status(me, conference);
        self.tell_move(now, me);
    }
}
