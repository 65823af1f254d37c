//! One device in one room's call: it syncs, knows the members, publishes its own member event and keeps it alive, gives its
//! media key to the others and changes it when one of them leaves.
//!
//! A task owns all of that; [`Device`] is its handle. What is decided is decided by the machines of `matrixrtc`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use focus_signaling::wire::ClientMessage;
use matrix_sdk::ruma::OwnedRoomId;
use matrixrtc::delayed_leave::{Answer, RequestId};
use matrixrtc::session::{Options, Session};
use matrixrtc::{MemberKey, Timestamp, Transport};
use tokio::sync::{mpsc, oneshot, watch};

use super::account::Account;
use super::actor::Actor;
use super::asking::Asking;
use super::directory::Directory;
use super::keys::Inbox;
use super::loan::Loan;
use super::own::FocusNews;
use super::ring::Ring;
use super::sync::{self, News, ToDevice};

/// Answers and orders that wait for the device.
const INPUTS_MAX: usize = 256;
/// For a device with nothing to do.
pub(super) const IDLE: Duration = Duration::from_secs(3600);

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
    /// Whose frames do not open.
    Closed(BTreeSet<u32>),
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
        let ring = Arc::new(Ring::default());
        let mut closed = ring.closed();
        let forward = orders.downgrade();
        tokio::spawn(async move {
            while closed.changed().await.is_ok() {
                let whose = closed.borrow_and_update().clone();
                let Some(orders) = forward.upgrade() else { return };
                if orders.send(Input::Closed(whose)).await.is_err() {
                    return;
                }
            }
        });
        let own = Some((account.user.clone(), account.device.clone()));
        let session = Session::new(Options { own, ..Options::default() }, Instant::now(), wall());
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
            asking: Asking::default(),
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

/// The wall clock.
pub fn wall() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(now.as_millis() as u64)
}
