//! Between links and the control plane: each link is a connection there, as a socket is. A member whom the rules let in gets
//! a token that never leaves the process, so that the same door opens for all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use focus_control::ConnectionId;
use focus_signaling::CloseCode;
use focus_signaling::todevice::server::{self, LinkId, Server};
use focus_signaling::todevice::{Address, Content};
use focus_signaling::wire::{ClientMessage, Hello, VERSION};
use tokio::sync::mpsc;

use super::{Authorise, Refused};
use crate::control::{FromSocket, TO_SOCKET_MAX, ToSocket};

/// What the desk is told by others.
pub(super) enum Told {
    /// By the control plane.
    Connection { link: LinkId, told: ToSocket },
    /// The control plane gave the connection up.
    Ended { link: LinkId },
    /// By whoever lets people in.
    Decided { link: LinkId, id: Option<u64>, decision: Result<String, Refused> },
}

pub(super) enum Output {
    Transmit { to: Address, content: Content },
    Timeout(Option<Instant>),
}

pub(super) struct Desk {
    pub(super) server: Server,
    control: mpsc::Sender<FromSocket>,
    next_connection: Arc<dyn Fn() -> ConnectionId + Send + Sync>,
    authorise: Authorise,
    tell: mpsc::Sender<Told>,
    connections: BTreeMap<LinkId, ConnectionId>,
}

impl Desk {
    pub(super) fn new(
        prefix: String,
        control: mpsc::Sender<FromSocket>,
        next_connection: Arc<dyn Fn() -> ConnectionId + Send + Sync>,
        authorise: Authorise,
        tell: mpsc::Sender<Told>,
    ) -> Self {
        Self { server: Server::new(prefix), control, next_connection, authorise, tell, connections: BTreeMap::new() }
    }

    pub(super) fn handle_told(&mut self, now: Instant, told: Told) {
        match told {
            Told::Connection { link, told: ToSocket::Send { re, message } } => {
                self.server.send(now, link, re, *message);
            }
            Told::Connection { link, told: ToSocket::Close { code } } => {
                self.connections.remove(&link);
                self.server.close(now, link, code);
            }
            Told::Ended { link } => {
                if self.connections.remove(&link).is_some() {
                    self.server.close(now, link, CloseCode::Timeout);
                }
            }
            Told::Decided { link, id, decision: Ok(token) } => {
                let hello = Hello { v: VERSION, token: Some(token), resume: None, client: None };
                self.server.admit(link, id, ClientMessage::Hello(hello));
            }
            Told::Decided { link, id, decision: Err(refused) } => {
                self.server.refuse(now, link, id, (refused.errcode, &refused.text), refused.code);
            }
        }
    }

    /// Does what links want of the control plane; answers what they want of the homeserver.
    pub(super) async fn poll_output(&mut self) -> Output {
        loop {
            match self.server.poll_output() {
                server::Output::Transmit { to, content } => return Output::Transmit { to, content },
                server::Output::Timeout(at) => return Output::Timeout(at),
                server::Output::Join { link, id, from, claims } => {
                    let (decision, tell) = ((self.authorise)(from, claims), self.tell.clone());
                    tokio::spawn(async move {
                        let decision = decision.await;
                        let _ = tell.send(Told::Decided { link, id, decision }).await;
                    });
                }
                server::Output::Request { link, id, message } => {
                    let connection = self.connection(link).await;
                    let _ = self.control.send(FromSocket::Message { connection, id, message }).await;
                }
                server::Output::Closed { link } => {
                    if let Some(connection) = self.connections.remove(&link) {
                        let _ = self.control.send(FromSocket::Closed { connection }).await;
                    }
                }
            }
        }
    }

    /// The connection of a link, opened with its first request.
    async fn connection(&mut self, link: LinkId) -> ConnectionId {
        if let Some(connection) = self.connections.get(&link) {
            return *connection;
        }
        let connection = (self.next_connection)();
        self.connections.insert(link, connection);
        let (outgoing, mut told) = mpsc::channel(TO_SOCKET_MAX);
        let _ = self.control.send(FromSocket::Opened { connection, outgoing }).await;
        let tell = self.tell.clone();
        tokio::spawn(async move {
            while let Some(told) = told.recv().await {
                let closes = matches!(told, ToSocket::Close { .. });
                if tell.send(Told::Connection { link, told }).await.is_err() || closes {
                    return;
                }
            }
            let _ = tell.send(Told::Ended { link }).await;
        });
        connection
    }
}
