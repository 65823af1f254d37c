//! What follows from the homeservers' answers.

use std::time::Instant;

use rand::Rng as _;

use super::job::{Cause, Phase};
use super::servers::{Answer, Kind};
use super::timing::{JITTER_PERCENT, SEND_TRIES_MAX, backoff};
use super::{AskId, Delegation, Member, News, Output, Refusal};

impl Delegation {
    /// The answer to [`Output::Ask`]. One that comes too late, or twice, is ignored.
    pub fn handle_answer(&mut self, now: Instant, id: AskId, answer: Answer) {
        let Some(asked) = self.servers.answered(id) else { return };
        let member = asked.member;
        // The job may have ended, and another begun, while the answer was on its way.
        let Some(job) = self.jobs.get_mut(&member).filter(|job| job.asked == Some(id)) else { return };
        job.asked = None;
        let server = job.will.server_name.clone();
        if let Answer::LimitExceeded { retry_after } = answer {
            self.counters.retries += 1;
            self.servers.pause(&server, now, retry_after);
            return self.go_on(now, &member);
        }
        match job.phase.clone() {
            Phase::Proving { session, request } => {
                let refusal = match answer {
                    // So the next question is the event itself.
                    Answer::NotFound if asked.kind == Kind::Probe => {
                        self.servers.found_open(&server, now);
                        return self.go_on(now, &member);
                    }
                    Answer::Done if asked.kind == Kind::Restart => return self.accept(now, &member, request),
                    Answer::NotFound | Answer::Conflict => Refusal::UnknownEvent,
                    Answer::Forbidden => Refusal::NeedsToken,
                    Answer::Unrecognized | Answer::Done => Refusal::Unsupported,
                    Answer::Failed | Answer::LimitExceeded { .. } => Refusal::Unreachable,
                };
                self.drop_job(&member);
                self.refuse(session, request, refusal);
            }
            Phase::Held { tries, .. } => self.restarted(now, &member, &answer, tries),
            // A restart that was on its way when the member was lost. Its failure is no matter, and what it found
            // gone the next question will.
            Phase::Sending { .. } if asked.kind != Kind::Send => self.go_on(now, &member),
            Phase::Sending { cause, tries, .. } => self.sent(now, &member, &answer, cause, tries),
        }
    }

    fn accept(&mut self, now: Instant, member: &Member, request: u64) {
        self.counters.accepted += 1;
        let Some(job) = self.jobs.get(member) else { return };
        if let Some(session) = job.presence.session() {
            self.outputs.push_back(Output::Tell { session, request: Some(request), news: News::Held });
        }
        self.hold(now, member);
    }

    /// The homeserver counts anew, from about now.
    fn hold(&mut self, now: Instant, member: &Member) {
        let jitter = self.rng.random_range(0..=JITTER_PERCENT);
        let Some(job) = self.jobs.get_mut(member) else { return };
        job.phase = Phase::Held { restart_at: now + self.timing.restart_after(job.will.delay, jitter), tries: 0 };
        self.outputs.push_back(Output::Save { member: member.clone(), will: job.will.clone() });
        self.go_on(now, member);
    }

    fn restarted(&mut self, now: Instant, member: &Member, answer: &Answer, tries: u32) {
        match answer {
            Answer::Done => {
                self.counters.restarts += 1;
                self.hold(now, member);
            }
            Answer::Failed | Answer::LimitExceeded { .. } => {
                self.counters.retries += 1;
                let tries = tries.saturating_add(1);
                if let Some(job) = self.jobs.get_mut(member) {
                    job.phase = Phase::Held { restart_at: now + backoff(tries), tries };
                }
                self.go_on(now, member);
            }
            // It was sent or cancelled, or may not be restarted any more: whoever is there has to see to it.
            Answer::NotFound | Answer::Conflict | Answer::Forbidden | Answer::Unrecognized => {
                self.counters.lost += 1;
                self.finish(member, News::Lost);
            }
        }
    }

    fn sent(&mut self, now: Instant, member: &Member, answer: &Answer, cause: Cause, tries: u32) {
        match answer {
            // What it does not know any more was sent, or cancelled by its owner, who has then seen to it.
            Answer::Done | Answer::NotFound | Answer::Conflict => {
                match cause {
                    Cause::Lost => self.counters.sent_lost += 1,
                    Cause::Left => self.counters.sent_left += 1,
                }
                self.finish(member, News::Sent);
            }
            Answer::Failed | Answer::LimitExceeded { .. } if tries < SEND_TRIES_MAX => {
                self.counters.retries += 1;
                let tries = tries + 1;
                if let Some(job) = self.jobs.get_mut(member) {
                    job.phase = Phase::Sending { cause, next_at: now + backoff(tries), tries };
                }
                self.go_on(now, member);
            }
            // Nobody restarts it any more, so the homeserver sends it when its delay is over.
            _ => {
                self.counters.lost += 1;
                self.finish(member, News::Lost);
            }
        }
    }

    fn finish(&mut self, member: &Member, news: News) {
        let session = self.jobs.get(member).and_then(|job| job.presence.session());
        self.drop_job(member);
        if let Some(session) = session {
            self.outputs.push_back(Output::Tell { session, request: None, news });
        }
    }
}
