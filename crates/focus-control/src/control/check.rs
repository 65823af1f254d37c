//! The invariants of the machine's indices, and the proof at its end that nothing is left of those who left.

use super::Control;
use crate::timers::Deadline;

impl Control {
    /// Panics unless the indices tell the same story as what they index. For tests, and once at the end of each machine:
    /// it looks at everything.
    pub(super) fn check(&self) {
        let count = self.participants.len();
        let participants = || self.participants.values();

        assert_eq!(self.sessions.len(), count);
        assert!(participants().all(|p| self.sessions.get(&p.session.id) == Some(&p.id)));
        assert_eq!(self.connections.len(), participants().filter(|p| p.session.connection.is_some()).count());
        assert!(self.connections.iter().all(|(c, p)| self.participants[p].session.connection == Some(*c)));
        assert_eq!(self.tracks.len(), participants().map(|p| p.tracks.len()).sum::<usize>());
        assert!(self.tracks.iter().all(|(track, p)| self.participants[p].tracks.contains_key(track)));
        assert_eq!(self.requests.len(), participants().map(|p| p.session.pending.len()).sum::<usize>());
        assert!(self.requests.iter().all(|(r, p)| self.participants[&p.participant].session.pending.contains(r)));
        assert!(participants().flat_map(|p| p.session.subscriptions.keys()).all(|t| self.tracks.contains_key(t)));
        assert!(self.subscribers_changed.iter().all(|p| self.participants.contains_key(p)));

        let origins = participants().filter(|p| p.origin.is_some()).count();
        assert_eq!(self.tally.totals(), [origins; 3]);
        assert_eq!(self.load.iter().sum::<usize>(), count);
        assert_eq!(self.conference_names.len(), self.conferences.len());
        assert!(self.conferences.iter().all(|(id, c)| self.conference_names.get(&c.name) == Some(id)));
        assert!(self.conferences.values().all(|c| !c.participants.is_empty()), "an empty conference is left");
        assert_eq!(self.conferences.values().map(|c| c.participants.len()).sum::<usize>(), count);
        assert_eq!(self.conferences.values().map(|c| c.identities.len()).sum::<usize>(), count);
        assert_eq!(self.conferences.values().flat_map(|c| c.workers.values()).sum::<usize>(), count);
        assert!(participants().all(|p| self.conferences[&p.conference].identities.get(&p.identity) == Some(&p.id)));

        assert!(self.channels.keys().all(|p| self.participants.contains_key(p)), "a channel of nobody");
        assert!(self.channel_owners.iter().all(|(c, p)| self.channels[p].connection == Some(*c)));
        assert_eq!(self.channel_owners.len(), self.channels.values().filter(|c| c.connection.is_some()).count());

        assert!(
            self.waiting
                .keys()
                .all(|c| !self.connections.contains_key(c) && self.timers.is_armed(Deadline::Confirm(*c)))
        );
        let waiting = |connection| self.waiting.contains_key(&connection);
        let participant = |participant| self.participants.contains_key(&participant);
        assert!(self.timers.all_live(waiting, participant, |c| self.conferences.contains_key(&c)));
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
    }
}
