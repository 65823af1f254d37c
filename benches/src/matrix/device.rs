//! One device in one room's call: it syncs, knows the members, publishes its own member event and keeps it alive, gives its
//! media key to the others and changes it when one of them leaves.
//!
//! A task owns all of that; [`Device`] is its handle. What is decided is decided by the machines of `matrixrtc`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use focus_signaling::wire::ClientMessage;
use matrix_sdk::ruma::OwnedRoomId;
use matrixrtc::delayed_leave::{Answer, RequestId};
use matrixrtc::event::key_request::KeyRequest;
use matrixrtc::session::{Change, Options, Output, Session};
use matrixrtc::{MemberKey, Timestamp, Transport};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout_at;

use super::account::Account;
use super::directory::Directory;
use super::keys::{self, Inbox};
use super::loan::Loan;
use super::own::{Effect, FocusNews, Own};
use super::ring::Ring;
use super::sync::{self, News, ToDevice};

/// Answers and orders that wait for the device.
const INPUTS_MAX: usize = 256;
/// For a device with nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// The members that a device sees, by what a focus calls them.
pub type Members = Arc<BTreeMap<String, MemberKey>>;

/// Handle of the device. It ends when this is dropped.
#[derive(Debug)]
pub struct Device {
    pub account: Account,
    pub ring: Arc<Ring>,
    pub members: watch::Receiver<Members>,
    /// Times that the members changed, the first sync included.
    pub changes: watch::Receiver<u64>,
    orders: mpsc::Sender<Input>,
    /// The focus shall look after its leave.
    is_lent: bool,
}

pub(super) enum Input {
    Join {
        transport: Box<Transport>,
        is_lent: bool,
        done: oneshot::Sender<Result<Joined>>,
    },
    Leave {
        done: oneshot::Sender<()>,
    },
    /// `line`: the way to the focus from now on.
    Focus {
        news: FocusNews,
        line: Option<mpsc::Sender<(u64, ClientMessage)>>,
    },
    /// Whoever wants signalling from now on.
    Listen(mpsc::Sender<ToDevice>),
    News(News),
    Answer(RequestId, Answer),
    Sent {
        id: RequestId,
        to: usize,
        missed: Vec<MemberKey>,
    },
}

/// What the join led to.
#[derive(Debug, Clone)]
pub struct Joined {
    pub member_id: String,
    /// When the member event was about to be sent.
    pub announced_at: Instant,
}

impl Device {
    /// It sees the room from its first sync on.
    pub fn start(account: Account, room: OwnedRoomId, directory: Arc<Directory>, is_lent: bool) -> Self {
        let (orders, inputs) = mpsc::channel(INPUTS_MAX);
        let (members, seen) = watch::channel(Members::default());
        let (changed, changes) = watch::channel(0);
        let (news, mut answers) = mpsc::channel(1);
        tokio::spawn(sync::run(account.clone(), room.clone(), news));
        let forward = orders.downgrade();
        tokio::spawn(async move {
            while let Some(news) = answers.recv().await {
                let Some(orders) = forward.upgrade() else { return };
                if orders.send(Input::News(news)).await.is_err() {
                    return;
                }
            }
        });
        let own = Some((account.user.clone(), account.device.clone()));
        let session = Session::new(Options { own, ..Options::default() }, Instant::now(), wall());
        let ring = Arc::new(Ring::default());
        let inbox = orders.downgrade();
        let keys = Inbox::new(&account, &room);
        let actor = Actor {
            account: account.clone(),
            room,
            directory,
            ring: ring.clone(),
            members,
            changed,
            inbox,
            session,
            is_synced: false,
            keys,
            listener: None,
            own: None,
            line: None,
        };
        tokio::spawn(actor.run(inputs));
        Self { account, ring, members: seen, changes, orders, is_lent }
    }

    /// Publishes the member event.
    pub async fn join(&self, transport: Transport) -> Result<Joined> {
        let (done, answer) = oneshot::channel();
        let (transport, is_lent) = (Box::new(transport), self.is_lent);
        let _ = self.orders.send(Input::Join { transport, is_lent, done }).await;
        answer.await.context("the device has ended")?
    }

    /// What its signalling tells of the focus, if that shall look after its leave.
    pub fn loan(&self) -> Option<Loan> {
        self.is_lent.then(|| Loan::new(self.orders.downgrade()))
    }

    /// Signalling that comes to the device from now on. It goes to one listener at a time.
    pub async fn listen(&self) -> mpsc::Receiver<ToDevice> {
        let (listener, signals) = mpsc::channel(INPUTS_MAX);
        let _ = self.orders.send(Input::Listen(listener)).await;
        signals
    }

    pub async fn leave(&self) {
        let (done, answer) = oneshot::channel();
        let _ = self.orders.send(Input::Leave { done }).await;
        let _ = answer.await;
    }
}

struct Actor {
    account: Account,
    room: OwnedRoomId,
    directory: Arc<Directory>,
    ring: Arc<Ring>,
    members: watch::Sender<Members>,
    changed: watch::Sender<u64>,
    inbox: mpsc::WeakSender<Input>,
    session: Session,
    is_synced: bool,
    keys: Inbox,
    listener: Option<mpsc::Sender<ToDevice>>,
    own: Option<Waiter>,
    /// To the focus.
    line: Option<mpsc::Sender<(u64, ClientMessage)>>,
}

/// The own membership, and who waits for it to begin and to end.
struct Waiter {
    own: Own,
    joined: Option<oneshot::Sender<Result<Joined>>>,
    left: Option<oneshot::Sender<()>>,
}

impl Actor {
    async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
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

    /// Does what is to be done now; when to look again.
    fn drain(&mut self) -> Instant {
        let now = Instant::now();
        let idle = now + IDLE;
        let deadline = self.settle(now).map_or(idle, |at| at.min(idle));
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

/// The wall clock.
pub fn wall() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(now.as_millis() as u64)
}
