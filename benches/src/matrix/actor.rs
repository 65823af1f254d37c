//! The task of a [`Device`](super::device::Device): what comes in goes to the machines, and what they want is done.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, anyhow};
use focus_signaling::wire::ClientMessage;
use matrix_sdk::ruma::OwnedRoomId;
use matrixrtc::MemberKey;
use matrixrtc::delayed_leave::Answer;
use matrixrtc::event::key_request::{self, KeyRequest};
use matrixrtc::session::{Change, Output, Session};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout_at;

use super::account::Account;
use super::asking::Asking;
use super::device::{IDLE, Input, Joined, Members};
use super::directory::Directory;
use super::keys::{self, Inbox};
use super::own::{Effect, FocusNews, Own};
use super::ring::Ring;
use super::sync::{News, ToDevice};

/// See the module.
pub(super) struct Actor {
    pub(super) account: Account,
    pub(super) room: OwnedRoomId,
    pub(super) directory: Arc<Directory>,
    pub(super) ring: Arc<Ring>,
    pub(super) members: watch::Sender<Members>,
    pub(super) changed: watch::Sender<u64>,
    pub(super) inbox: mpsc::WeakSender<Input>,
    pub(super) session: Session,
    pub(super) is_synced: bool,
    pub(super) keys: Inbox,
    pub(super) asking: Asking,
    pub(super) listener: Option<mpsc::Sender<ToDevice>>,
    pub(super) own: Option<Waiter>,
    /// To the focus.
    pub(super) line: Option<mpsc::Sender<(u64, ClientMessage)>>,
}

/// The own membership, and who waits for it to begin and to end.
pub(super) struct Waiter {
    own: Own,
    joined: Option<oneshot::Sender<Result<Joined>>>,
    left: Option<oneshot::Sender<()>>,
}

impl Actor {
    /// Until its handle is dropped.
    pub(super) async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        loop {
            let deadline = self.drain();
            let input = timeout_at(deadline.into(), inputs.recv()).await;
            let now = Instant::now();
            match input {
                Ok(None) => return,
                Ok(Some(input)) => self.handle(now, input),
                Err(_) => {
                    self.session.handle_timeout(now);
                    if let Some(waiter) = &mut self.own {
                        waiter.own.handle_timeout(now);
                    }
                }
            }
        }
    }

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Join { transport, is_lent, done } => {
                let mut own = Own::join(now, &self.account, &self.room, *transport, is_lent);
                own.handle_members(now, &keys::participants(&self.session));
                self.own = Some(Waiter { own, joined: Some(done), left: None });
            }
            Input::Leave { done } => match &mut self.own {
                Some(waiter) => {
                    self.directory.left(&self.account.user, &waiter.own.key.member_id);
                    waiter.own.leave(now);
                    waiter.left = Some(done);
                }
                None => drop(done.send(())),
            },
            Input::Listen(listener) => self.listener = Some(listener),
            Input::Focus { news, line } => {
                self.line = line.or(self.line.take()).filter(|_| !matches!(news, FocusNews::Disconnected));
                if let Some(waiter) = &mut self.own {
                    waiter.own.handle_focus(now, news);
                }
            }
            Input::News(news) => self.handle_news(news),
            Input::Closed(whose) => self.asking.handle_closed(now, whose, &self.session, &self.directory),
            Input::Answer(request, answer) => {
                if let Some(waiter) = &mut self.own {
                    waiter.own.handle_answer(now, request, answer);
                }
            }
            Input::Sent { id, to, missed } => {
                self.directory.count(|counts| {
                    counts.sent += (to - missed.len()) as u64;
                    counts.failed += missed.len() as u64;
                });
                if let Some(waiter) = &mut self.own {
                    waiter.own.handle_sent(now, id, &missed);
                }
            }
        }
    }

    fn handle_news(&mut self, news: News) {
        news.events.iter().for_each(|event| self.session.handle_event(news.at, event));
        self.is_synced = true;
        self.settle(news.at);
        let taken = news.to_device.iter().filter(|message| self.handle_message(news.at, message)).count() as u64;
        self.directory.count(|counts| {
            counts.received += taken;
            counts.refused += news.to_device.len() as u64 - taken + news.refused;
        });
        self.keys.empty(&self.ring, &self.directory);
        if let Some(listener) = &self.listener {
            // What it has no room for is sent again.
            news.signals.into_iter().for_each(|signal| drop(listener.try_send(signal)));
        }
    }

    /// A key, or the question for ours. Whether it was of use.
    fn handle_message(&mut self, now: Instant, message: &ToDevice) -> bool {
        match (KeyRequest::read(&message.kind, &message.content), &mut self.own) {
            (Ok(request), Some(waiter)) if request.room_id == self.room => {
                waiter.own.handle_key_request(now, &message.sender, &message.device, request);
                true
            }
            _ => self.keys.handle(now, message),
        }
    }

    /// Takes what the session has to say; when it wants to be asked again.
    fn settle(&mut self, now: Instant) -> Option<Instant> {
        let mut changed = self.is_synced && *self.changed.borrow() == 0;
        let deadline = loop {
            match self.session.poll_output() {
                Output::Changed(change) => {
                    changed = true;
                    self.handle_change(now, change);
                }
                Output::Overwritten => {
                    if let Some(waiter) = &mut self.own {
                        waiter.own.handle_overwritten(now);
                    }
                }
                // The room's state is whole from the first sync on.
                Output::Lookup(_) => {}
                Output::Timeout(at) => break at,
            }
        };
        if changed {
            let all = keys::participants(&self.session);
            self.keys.handle_members(now, &all);
            self.asking.handle_members(now, &all, &self.session, &self.directory);
            self.keys.empty(&self.ring, &self.directory);
            if let Some(waiter) = &mut self.own {
                waiter.own.handle_members(now, &all);
            }
            let members = self.session.members().into_iter().map(|member| (member.key.identity(), member.key.clone()));
            self.members.send_replace(Arc::new(members.collect()));
            self.changed.send_modify(|changes| *changes += 1);
        }
        deadline
    }

    fn handle_change(&mut self, now: Instant, change: Change) {
        let is_own = |key: &MemberKey| key.user == self.account.user && key.device == self.account.device;
        let (key, is_here) = match change {
            Change::Joined(member) => (member.key, true),
            Change::Left { membership, .. } => (membership.key, false),
            Change::Updated { .. } => return,
        };
        match &mut self.own {
            Some(waiter) if key == waiter.own.key => waiter.own.handle_own_membership(now, is_here),
            _ if is_here && !is_own(&key) => self.directory.saw(&key, &self.account.api.base, now),
            _ => {}
        }
    }

    /// Asks for keys that are lacking, as a member; when to look again.
    fn ask(&mut self, now: Instant) -> Option<Instant> {
        let member_id = &self.own.as_ref()?.own.key.member_id;
        let (asked, at) = self.asking.poll(now);
        for member in asked {
            self.directory.count(|counts| counts.asked += 1);
            let question = KeyRequest {
                room_id: self.room.clone(),
                slot: self.session.slot().clone(),
                member_id: member_id.clone(),
                to_member_id: member.member_id.clone(),
            };
            let account = self.account.clone();
            tokio::spawn(async move {
                // It is asked again.
                let _ = keys::deliver(&account, &[member], key_request::TYPE, &question.content()).await;
            });
        }
        at
    }

    /// Does what is to be done now; when to look again.
    fn drain(&mut self) -> Instant {
        let now = Instant::now();
        let settled = self.settle(now);
        let deadline = [settled, self.ask(now)].into_iter().flatten().fold(now + IDLE, Instant::min);
        while let Some(waiter) = &mut self.own {
            match waiter.own.poll(now) {
                Effect::Ask { id, call } => {
                    if let Some(inbox) = self.inbox.upgrade() {
                        let account = self.account.clone();
                        tokio::spawn(async move {
                            let answer = call.make(&account).await;
                            let _ = inbox.send(Input::Answer(id, answer)).await;
                        });
                    }
                }
                Effect::Lend { id, message } => {
                    let is_sent = self.line.as_ref().is_some_and(|line| line.try_send((id.0, message)).is_ok());
                    if !is_sent {
                        waiter.own.handle_answer(now, id, Answer::Failed);
                    }
                }
                Effect::Lent => self.directory.count(|counts| counts.lent += 1),
                Effect::Announced(at) => {
                    let member_id = &waiter.own.key.member_id;
                    self.directory.announced(&self.account.user, member_id, &self.account.api.base, at);
                }
                Effect::Send(message) => {
                    if let Some(inbox) = self.inbox.upgrade() {
                        let (account, room, me) = (self.account.clone(), self.room.clone(), waiter.own.key.clone());
                        tokio::spawn(async move {
                            let missed = keys::send(&account, &room, &me, &message).await;
                            let (id, to) = (message.request_id, message.to.len());
                            let _ = inbox.send(Input::Sent { id, to, missed }).await;
                        });
                    }
                }
                Effect::Use(key) => {
                    // A media key has the right length.
                    let _ = self.ring.send_under(key.index, key.key.as_bytes());
                }
                Effect::Joined(joined) => {
                    if let Some(done) = waiter.joined.take() {
                        let _ = done.send(Ok(joined));
                    }
                }
                Effect::Ended { refused } => {
                    if let Some(waiter) = self.own.take() {
                        let why = if refused { "the homeserver refuses the member event" } else { "it left" };
                        waiter.joined.map(|done| done.send(Err(anyhow!(why))).is_ok());
                        waiter.left.map(|done| done.send(()).is_ok());
                    }
                }
                Effect::Wait(at) => {
                    return at.map_or(deadline, |at| deadline.min(at));
                }
            }
        }
        deadline
    }
}
