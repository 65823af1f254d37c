//! The task that keeps asking whether those in calls are still in their rooms, and has those removed who are not. Those who
//! knock with a token from a while ago it asks about as well.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use focus_control::{ConnectionId, Origin, Presence};
use focus_matrix::authorize::Membership;
use focus_matrix::watch::{Counts, Member, Output, QuestionId, Watch};
use ruma::{OwnedRoomId, OwnedUserId};
use tokio::sync::{mpsc, oneshot};

use super::gate::{Gate, ids};
use crate::control::{Attendance, Order};
use crate::store::{Denial, Store, Write};

/// Hints that wait. More at once than one homeserver sends in one transaction.
pub(crate) const HINTS_MAX: usize = 256;
/// Lane of those whose own homeserver is not asked.
const ELSEWHERE: &str = "*";

/// A homeserver says that something changed.
pub(crate) struct Hint {
    pub(crate) user: OwnedUserId,
    pub(crate) room: OwnedRoomId,
}

pub(crate) type SharedCounts = Arc<Mutex<Counts>>;

pub(crate) struct WatchTask {
    watch: Watch,
    gate: Arc<Gate>,
    orders: mpsc::Sender<Order>,
    store: Store,
    counts: SharedCounts,
    answered: mpsc::UnboundedSender<(QuestionId, Membership)>,
    /// As many as there are questions on their way, which the machine bounds.
    answers: mpsc::UnboundedReceiver<(QuestionId, Membership)>,
}

impl WatchTask {
    pub(crate) fn new(gate: Arc<Gate>, orders: mpsc::Sender<Order>, store: Store, counts: SharedCounts) -> Self {
        let (answered, answers) = mpsc::unbounded_channel();
        Self { watch: Watch::default(), gate, orders, store, counts, answered, answers }
    }

    /// Until control has ended.
    pub(crate) async fn run(
        mut self,
        mut attendance: mpsc::UnboundedReceiver<Attendance>,
        mut hints: mpsc::Receiver<Hint>,
    ) {
        let homeservers = self.gate.homeservers.clone();
        tokio::spawn(async move { homeservers.probe().await });
        loop {
            let deadline = self.carry_out().await;
            let counts = self.watch.counts(Instant::now());
            *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
            let wake = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                came_or_went = attendance.recv() => match came_or_went {
                    Some(Attendance::Arrived(presence)) => self.arrived(&presence).await,
                    Some(Attendance::Departed(presence)) => self.departed(&presence),
                    Some(Attendance::Knocks { connection, origin }) => self.confirm(connection, origin),
                    None => return,
                },
                Some((question, membership)) = self.answers.recv() => {
                    self.watch.handle_answer(Instant::now(), question, membership);
                }
                Some(hint) = hints.recv() => {
                    // What was said before it may be too old.
                    self.gate.homeservers.forget(&hint.room);
                    self.watch.handle_hint(Instant::now(), &hint.user, &hint.room);
                }
                () = wake => self.watch.handle_timeout(Instant::now()),
            }
        }
    }

    async fn arrived(&mut self, presence: &Presence) {
        let (conference, identity) = (presence.conference.as_str().to_owned(), presence.identity.as_str().to_owned());
        let Some((user, room)) = ids(&presence.origin) else {
            // Nobody could be asked about it. The gate makes no such token.
            let origin = &presence.origin;
            return self.remove(origin.room.as_str().to_owned(), origin.user.as_str().to_owned()).await;
        };
        let server = user.server_name();
        let lane = match self.gate.homeservers.is_configured(server) {
            true => server.to_string(),
            false => ELSEWHERE.to_owned(),
        };
        let pushed = self.gate.homeservers.pushes(server);
        self.watch.handle_arrived(Instant::now(), Member { conference, identity, user, room, lane, pushed });
    }

    fn departed(&mut self, presence: &Presence) {
        if let Some((user, room)) = ids(&presence.origin) {
            let (conference, identity) = (presence.conference.as_str(), presence.identity.as_str());
            self.watch.handle_departed(&user, &room, conference, identity);
        }
    }

    /// One that waits at the door. Control bounds how many do.
    fn confirm(&self, connection: ConnectionId, origin: Origin) {
        let (gate, orders) = (self.gate.clone(), self.orders.clone());
        tokio::spawn(async move {
            let confirmation = gate.confirm(&origin).await;
            // Nobody waits any more when the node ends.
            let _ = orders.send(Order::Confirmed { connection, confirmation }).await;
        });
    }

    async fn carry_out(&mut self) -> Option<Instant> {
        loop {
            match self.watch.poll_output() {
                Output::Ask { question, user, room, .. } => {
                    let (homeservers, answered) = (self.gate.homeservers.clone(), self.answered.clone());
                    tokio::spawn(async move {
                        let membership = homeservers.membership(&user, &room).await;
                        // Nobody waits any more when the node ends.
                        let _ = answered.send((question, membership));
                    });
                }
                Output::Remove { user, room } => self.remove(room.to_string(), user.to_string()).await,
                Output::Timeout(at) => return at,
            }
        }
    }

    /// First it ends, then that is written down: the disk may be slow.
    async fn remove(&self, room: String, user: String) {
        let (done, until) = oneshot::channel();
        let order = Order::Remove { room: room.clone(), user: user.clone(), done };
        if self.orders.send(order).await.is_err() {
            return;
        }
        if let Ok(until) = until.await {
            let until_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
            self.store.write(Write::Deny(Denial { conference: room, identity: user, until_ms }));
        }
        tracing::info!("somebody is no longer in the room, and was removed from its calls");
    }
}
