//! Signalling over the data channels of the participants' own peer connections: a connection like any socket, but one that
//! can only take up the session of the very participant whose channel it is.

use std::collections::btree_map::Entry;
use std::time::Instant;

use focus_signaling::CloseCode;
use focus_signaling::channel::Output;
use sfu_core::{Command, ParticipantId, PeerId};

use super::Control;
use crate::channel::DataChannel;
use crate::id::{ConnectionId, WorkerId};
use crate::participant::{Participant, of_peer};
use crate::pending::{Asker, What};
use crate::timers::Deadline;

impl Control {
    pub(super) fn data_arrived(&mut self, now: Instant, worker: WorkerId, peer: PeerId, data: &[u8]) {
        let me = of_peer(peer);
        if self.participants.get(&me).is_none_or(|p| p.worker != worker || !p.is_joined()) {
            self.counters.data_ignored += 1;
            return;
        }
        let channel = match self.channels.entry(me) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(DataChannel::new(now, self.bounds.limits)),
        };
        if channel.broken {
            self.counters.data_ignored += 1;
            return;
        }
        channel.now = now;
        channel.machine.handle_data(now, data);
        self.channels_changed.insert(me);
    }

    /// The client closed its channel. It may open another one.
    pub(super) fn data_closed(&mut self, now: Instant, worker: WorkerId, peer: PeerId) {
        let me = of_peer(peer);
        if self.participants.get(&me).is_some_and(|participant| participant.worker == worker) {
            self.drop_channel(now, me);
        }
    }

    /// The engine did not take a part of a message: its client does not read.
    pub(super) fn data_refused(&mut self, now: Instant, me: ParticipantId) {
        let Some(channel) = self.channels.get_mut(&me).filter(|channel| !channel.broken) else { return };
        channel.broken = true;
        channel.now = now;
        self.counters.slow_channels += 1;
        channel.machine.close(now, CloseCode::Timeout);
        self.channels_changed.insert(me);
    }

    pub(super) fn channel_timed_out(&mut self, now: Instant, me: ParticipantId) {
        if let Some(channel) = self.channels.get_mut(&me) {
            channel.now = now;
            channel.machine.handle_timeout(now);
            self.channels_changed.insert(me);
        }
    }

    /// Whose channel the connection is on.
    pub(super) fn owner_of(&self, connection: ConnectionId) -> Option<ParticipantId> {
        self.channel_owners.get(&connection).copied()
    }

    /// The channel that the connection is on; it is served before the next output.
    pub(super) fn channel_of(&mut self, connection: ConnectionId) -> Option<&mut DataChannel> {
        if !connection.is_channel() {
            return None;
        }
        let now = self.now;
        let owner = self.owner_of(connection)?;
        self.channels_changed.insert(owner);
        let channel = self.channels.get_mut(&owner)?;
        channel.now = now;
        Some(channel)
    }

    /// Does what a channel's machine wants.
    pub(super) fn serve_channel(&mut self, me: ParticipantId) {
        loop {
            let Some(channel) = self.channels.get_mut(&me) else { return };
            let (now, connection) = (channel.now, channel.connection);
            match channel.machine.poll_output() {
                Output::Began => {
                    let id = ConnectionId::of_channel(self.next_channel);
                    self.next_channel += 1;
                    channel.connection = Some(id);
                    self.channel_owners.insert(id, me);
                    self.channel_connection_lost(now, connection);
                }
                Output::Data(_) if channel.broken => {}
                Output::Data(data) => {
                    let peer = PeerId(me.0);
                    // Nobody asked; the connection stands for whom it is sent to.
                    let asker = Asker { connection: connection.unwrap_or(ConnectionId::of_channel(0)), id: None };
                    if !self.ask_quietly(me, asker, What::Data, Command::SendData { peer, data }) {
                        self.data_refused(now, me);
                    }
                }
                Output::Request { id, message } => {
                    if let Some(connection) = connection {
                        self.handle_message(now, connection, id, message);
                    }
                }
                Output::Closed => {
                    channel.connection = None;
                    self.channel_connection_lost(now, connection);
                }
                Output::Timeout(None) => return self.timers.disarm(Deadline::Channel(me)),
                Output::Timeout(Some(at)) => return self.timers.arm(Deadline::Channel(me), at),
            }
        }
    }

    fn drop_channel(&mut self, now: Instant, me: ParticipantId) {
        let Some(channel) = self.channels.remove(&me) else { return };
        self.channels_changed.remove(&me);
        self.timers.disarm(Deadline::Channel(me));
        self.channel_connection_lost(now, channel.connection);
    }

    fn channel_connection_lost(&mut self, now: Instant, connection: Option<ConnectionId>) {
        if let Some(connection) = connection {
            self.channel_owners.remove(&connection);
            self.socket_lost(now, connection);
        }
    }

    /// The participant leaves: last words, as far as its peer still carries them.
    pub(super) fn end_channel(&mut self, participant: &Participant, peer_gone: bool) {
        let me = participant.id;
        let Some(mut channel) = self.channels.remove(&me) else { return };
        self.channels_changed.remove(&me);
        self.timers.disarm(Deadline::Channel(me));
        if let Some(connection) = channel.connection {
            self.channel_owners.remove(&connection);
        }
        if peer_gone || channel.broken {
            return;
        }
        loop {
            match channel.machine.poll_output() {
                Output::Data(data) => {
                    self.command(participant.worker, Command::SendData { peer: participant.peer(), data });
                }
                Output::Timeout(_) => return,
                Output::Began | Output::Request { .. } | Output::Closed => {}
            }
        }
    }
}
