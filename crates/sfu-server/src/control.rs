//! The control task: owns [`Control`], and carries messages between it, the sockets and the workers. It translates
//! nothing: who is let in and who hears what is decided inside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use focus_control::{Confirmation, ConnectionId, Control, Counters, Gauges, Origin, Output, Presence, WallClock};
use focus_matrix::delegation::{Answer, AskId};
use focus_signaling::CloseCode;
use focus_signaling::wire::{ClientMessage, ServerMessage};
use sfu_core::{Command, Event, PeerId};
use tokio::sync::{mpsc, oneshot};

use crate::matrix::wills::Wills;
use crate::metrics::Metrics;
use crate::worker::{FromWorker, WorkerHandle};

/// Messages of all clients that wait. Sockets wait when it is full, which is what makes a client wait.
pub(crate) const FROM_SOCKETS_MAX: usize = 1024;
/// Events and replies of all workers that wait; a worker keeps what does not fit.
pub(crate) const FROM_WORKERS_MAX: usize = 4096;
/// Messages that wait for one socket, beside what its own machine holds. A join into a full conference makes some hundred.
pub(crate) const TO_SOCKET_MAX: usize = 1024;
/// Orders of those who authorise that wait: as many as are removed when a whole room is closed.
pub(crate) const ORDERS_MAX: usize = 1024;
/// Inputs taken in before their effects are carried out.
const BATCH: usize = 64;
/// The wall clock is looked at this often: it is set, it drifts, and a machine sleeps.
const CLOCK_INTERVAL: Duration = Duration::from_secs(10);
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// What a socket tells. For one connection: `Opened`, any number of `Message`, `Closed`.
#[derive(Debug)]
pub(crate) enum FromSocket {
    Opened {
        connection: ConnectionId,
        outgoing: mpsc::Sender<ToSocket>,
    },
    Message {
        connection: ConnectionId,
        id: Option<u64>,
        message: ClientMessage,
    },
    /// The client has said something, whatever. For one that says much it comes now and then.
    Heard {
        connection: ConnectionId,
    },
    Closed {
        connection: ConnectionId,
    },
}

/// What a socket is told. When the sender is dropped without `Close`, the client read too slowly. Small, for the channel of
/// each socket has room for 32 of them from the start.
#[derive(Debug)]
pub(crate) enum ToSocket {
    Send { re: Option<u64>, message: Box<ServerMessage> },
    Close { code: CloseCode },
}

/// Says `Output::Drained` through `done`.
pub(crate) struct DrainOrder {
    pub(crate) deadline: Duration,
    pub(crate) done: oneshot::Sender<()>,
}

/// What those who authorise want.
pub(crate) enum Order {
    /// Whether anybody is in the conference.
    Exists { conference: String, answer: oneshot::Sender<bool> },
    /// Ends what the user has in conferences of the room, and keeps it out. Says until when (since 1970) that must be
    /// remembered.
    Remove { room: String, user: String, done: oneshot::Sender<Duration> },
    /// The answer to [`Attendance::Knocks`].
    Confirmed { connection: ConnectionId, confirmation: Confirmation },
}

/// Who came and went, and who wants to come, of those whose tokens told where they are from.
pub(crate) enum Attendance {
    Arrived(Presence),
    Departed(Presence),
    /// Waits for an [`Order::Confirmed`].
    Knocks {
        connection: ConnectionId,
        origin: Origin,
    },
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ControlStats {
    pub(crate) gauges: Gauges,
    pub(crate) counters: Counters,
    /// Sockets closed because they read too slowly.
    pub(crate) slow_sockets: u64,
    pub(crate) wills: focus_matrix::delegation::Counters,
}

pub(crate) type SharedStats = Arc<Mutex<ControlStats>>;

/// The ways into the task.
pub(crate) struct Inlets {
    pub(crate) sockets: mpsc::Receiver<FromSocket>,
    pub(crate) workers: mpsc::Receiver<FromWorker>,
    pub(crate) drain: mpsc::Receiver<DrainOrder>,
    pub(crate) orders: mpsc::Receiver<Order>,
}

pub(crate) struct ControlTask {
    control: Control,
    workers: Vec<WorkerHandle>,
    sockets: BTreeMap<ConnectionId, mpsc::Sender<ToSocket>>,
    /// When each peer was asked for, until its media is up.
    joining: BTreeMap<PeerId, Instant>,
    drained: Vec<oneshot::Sender<()>>,
    /// Told at most three times for each session, and taken without waiting.
    watcher: Option<mpsc::UnboundedSender<Attendance>>,
    metrics: Arc<Metrics>,
    stats: SharedStats,
    slow_sockets: u64,
    /// Delegated leaves, where there are homeservers for them.
    wills: Option<Wills>,
    next_stats: Instant,
    next_clock: Instant,
}

async fn next_answer(wills: &mut Option<Wills>) -> (AskId, Answer) {
    match wills {
        Some(wills) => wills.next_answer().await,
        None => std::future::pending().await,
    }
}

/// The time of day, for tokens.
pub(crate) fn wall_clock() -> WallClock {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallClock { instant: Instant::now(), unix }
}

impl ControlTask {
    pub(crate) fn new(control: Control, workers: Vec<WorkerHandle>, metrics: Arc<Metrics>, stats: SharedStats) -> Self {
        let now = Instant::now();
        Self {
            control,
            workers,
            sockets: BTreeMap::new(),
            joining: BTreeMap::new(),
            drained: Vec::new(),
            watcher: None,
            metrics,
            stats,
            slow_sockets: 0,
            wills: None,
            next_stats: now,
            next_clock: now + CLOCK_INTERVAL,
        }
    }

    /// Looks after its members' leave events as well.
    pub(crate) fn looks_after(&mut self, wills: Wills) {
        self.control.report_presence();
        self.wills = Some(wills);
    }

    /// Tells `watcher` who comes and goes, and asks it about those whose token is not quite new.
    pub(crate) fn watched_by(&mut self, watcher: mpsc::UnboundedSender<Attendance>) {
        self.control.confirm_joins();
        self.watcher = Some(watcher);
    }

    /// Runs until nobody is left to give orders.
    pub(crate) async fn run(mut self, mut inlets: Inlets) {
        loop {
            let deadline = self.carry_out().await;
            self.keep_house();
            let wake = deadline.unwrap_or(self.next_stats).min(self.next_stats);
            tokio::select! {
                order = inlets.drain.recv() => match order {
                    Some(DrainOrder { deadline, done }) => {
                        self.drained.push(done);
                        self.control.drain(Instant::now(), deadline);
                    }
                    None => return,
                },
                Some(order) = inlets.orders.recv() => self.handle_order(order),
                Some(message) = inlets.workers.recv() => {
                    self.handle_worker(message);
                    for _ in 1..BATCH {
                        let Ok(message) = inlets.workers.try_recv() else { break };
                        self.handle_worker(message);
                    }
                }
                Some(message) = inlets.sockets.recv() => self.handle_socket(message),
                answer = next_answer(&mut self.wills) => {
                    if let Some(wills) = &mut self.wills {
                        wills.handle_answer(answer);
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => self.control.handle_timeout(Instant::now()),
            }
        }
    }

    fn handle_order(&mut self, order: Order) {
        // Whoever asked may have lost patience.
        match order {
            Order::Exists { conference, answer } => {
                let _ = answer.send(self.control.has_conference(&conference));
            }
            Order::Remove { room, user, done } => {
                let _ = done.send(self.control.remove(Instant::now(), &room, &user));
            }
            Order::Confirmed { connection, confirmation } => {
                self.control.handle_confirmed(Instant::now(), connection, confirmation);
            }
        }
    }

    fn handle_socket(&mut self, message: FromSocket) {
        let now = Instant::now();
        match message {
            FromSocket::Opened { connection, outgoing } => {
                self.sockets.insert(connection, outgoing);
            }
            FromSocket::Message { connection, id, message } => {
                // What came before we closed the socket no longer counts.
                if self.sockets.contains_key(&connection) {
                    self.control.handle_message(now, connection, id, message);
                }
            }
            FromSocket::Heard { connection } => {
                if self.sockets.contains_key(&connection) {
                    self.control.handle_heard(now, connection);
                }
            }
            FromSocket::Closed { connection } => {
                if self.sockets.remove(&connection).is_some() {
                    self.control.handle_closed(now, connection);
                }
            }
        }
    }

    fn handle_worker(&mut self, message: FromWorker) {
        let now = Instant::now();
        match message {
            FromWorker::Reply { worker, request, reply } => self.control.handle_reply(now, worker, request, reply),
            FromWorker::Event { worker, event } => {
                match &event {
                    Event::Connected { peer } => {
                        if let Some(asked) = self.joining.remove(peer) {
                            self.metrics.joined(now.saturating_duration_since(asked));
                        }
                    }
                    Event::Disconnected { peer, .. } => drop(self.joining.remove(peer)),
                    _ => {}
                }
                self.control.handle_event(now, worker, event);
            }
        }
    }

    /// Does what the machine wants; returns when it wants to be called again.
    async fn carry_out(&mut self) -> Option<Instant> {
        loop {
            match self.control.poll_output() {
                Output::Send { connection, re, message } => {
                    self.tell(connection, ToSocket::Send { re, message: Box::new(message) });
                }
                Output::Close { connection, code } => {
                    self.tell(connection, ToSocket::Close { code });
                    self.sockets.remove(&connection);
                }
                Output::Command { worker, request, command } => {
                    if let Command::Connect { peer, .. } = &command {
                        self.joining.insert(*peer, Instant::now());
                    }
                    // A worker that is gone ends the process (`Node::join`); nothing is to be saved here.
                    if let Some(handle) = self.workers.get(worker.0) {
                        handle.command(request, command).await;
                    }
                }
                Output::Delegate { asker, request } => {
                    if let Some(wills) = &mut self.wills {
                        wills.handle_request(&mut self.control, asker, request);
                    }
                }
                Output::Presence { participant, sign } => {
                    if let Some(wills) = &mut self.wills {
                        wills.handle_sign(participant, sign);
                    }
                }
                Output::Arrived(presence) => self.tell_watcher(Attendance::Arrived(presence)),
                Output::Departed(presence) => self.tell_watcher(Attendance::Departed(presence)),
                Output::Confirm { connection, origin } => {
                    self.tell_watcher(Attendance::Knocks { connection, origin });
                }
                Output::Drained => {
                    for done in self.drained.drain(..) {
                        // Whoever asked may have lost patience.
                        let _ = done.send(());
                    }
                }
                Output::Timeout(at, _) => {
                    let Some(wills) = &mut self.wills else { return at };
                    let next = wills.carry_out(&mut self.control);
                    if !next.told {
                        return at.into_iter().chain(next.at).min();
                    }
                }
            }
        }
    }

    fn tell_watcher(&self, attendance: Attendance) {
        if let Some(watcher) = &self.watcher {
            // It ends after us.
            let _ = watcher.send(attendance);
        }
    }

    /// A socket without room is one whose client does not read: it is given up, and its session can be resumed.
    fn tell(&mut self, connection: ConnectionId, message: ToSocket) {
        let Some(socket) = self.sockets.get(&connection) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = socket.try_send(message) {
            self.slow_sockets += 1;
            self.sockets.remove(&connection);
            self.control.handle_closed(Instant::now(), connection);
        }
    }

    fn keep_house(&mut self) {
        let now = Instant::now();
        if self.next_clock <= now {
            self.next_clock = now + CLOCK_INTERVAL;
            self.control.set_clock(wall_clock());
        }
        if self.next_stats <= now {
            self.next_stats = now + STATS_INTERVAL;
            let stats = ControlStats {
                gauges: self.control.gauges(),
                counters: self.control.counters(),
                slow_sockets: self.slow_sockets,
                wills: self.wills.as_ref().map(Wills::counters).unwrap_or_default(),
            };
            *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
        }
    }
}

#[cfg(test)]
mod tests {
    use focus_control::{ControlBounds, ControlConfig};
    use focus_signaling::wire::{Hello, Ping};

    use super::*;

    fn task() -> ControlTask {
        let config = ControlConfig {
            focus: "localhost".into(),
            workers: 1,
            spread_at: 1,
            seed: [0; 32],
            verifier: None,
            clock: wall_clock(),
            bounds: ControlBounds::default(),
        };
        let control = Control::new(Instant::now(), config);
        ControlTask::new(control, Vec::new(), Arc::new(Metrics::new()), SharedStats::default())
    }

    #[tokio::test]
    async fn a_socket_that_does_not_read_is_given_up_and_nobody_waits_for_it() {
        let mut task = task();
        let (slow, mut slow_reader) = mpsc::channel(2);
        let (good, mut good_reader) = mpsc::channel(TO_SOCKET_MAX);
        for (id, outgoing) in [(1, slow), (2, good)] {
            task.handle_socket(FromSocket::Opened { connection: ConnectionId(id), outgoing });
        }
        for n in 0..4 {
            for id in [1, 2] {
                let message = Box::new(ServerMessage::Pong(Ping { n }));
                task.tell(ConnectionId(id), ToSocket::Send { re: None, message });
            }
        }
        assert_eq!((task.slow_sockets, task.sockets.len()), (1, 1));
        let count = |reader: &mut mpsc::Receiver<ToSocket>| std::iter::from_fn(|| reader.try_recv().ok()).count();
        assert_eq!((count(&mut slow_reader), count(&mut good_reader)), (2, 4));
        assert!(slow_reader.recv().await.is_none(), "its task learns that it is over");
    }

    #[tokio::test]
    async fn what_a_closed_socket_still_says_does_not_count() {
        let mut task = task();
        let (outgoing, mut reader) = mpsc::channel(TO_SOCKET_MAX);
        let connection = ConnectionId(1);
        task.handle_socket(FromSocket::Opened { connection, outgoing });
        let hello = Hello { v: 1, token: Some("no token".into()), resume: None, client: None };
        let say_hello = |task: &mut ControlTask| {
            let message = ClientMessage::Hello(hello.clone());
            task.handle_socket(FromSocket::Message { connection, id: None, message });
        };
        // There is no authoriser: the control plane closes the socket.
        say_hello(&mut task);
        task.carry_out().await;
        let is_error = |told: &ToSocket| matches!(told, ToSocket::Send { message, .. } if matches!(**message, ServerMessage::Error(_)));
        assert!(reader.try_recv().is_ok_and(|told| is_error(&told)));
        assert!(matches!(reader.try_recv(), Ok(ToSocket::Close { .. })));
        say_hello(&mut task);
        task.carry_out().await;
        assert!(reader.try_recv().is_err());
        task.handle_socket(FromSocket::Closed { connection });
        assert_eq!(task.control.counters().refused_closed, 1, "it was heard once");
    }
    #[test]
    fn what_a_socket_is_told_is_small() {
        assert!(size_of::<ToSocket>() <= 24, "{}: times 32 for each socket", size_of::<ToSocket>());
    }
}
