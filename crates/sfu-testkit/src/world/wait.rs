//! How stories pass time, and what they wait for.

use std::time::Duration;

use focus_control::Gauges;
use focus_signaling::wire::{Kind, Source};

use super::World;
use crate::client::view::kind_of;

impl World {
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.check();
    }

    pub fn run_secs(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds));
    }

    /// Until something holds; answers how long that took. Fails if it takes longer than `limit`.
    #[track_caller]
    pub fn run_until(&mut self, what: &str, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> Duration {
        let (since, until) = (self.now, self.now + limit);
        while !holds(self) {
            if !self.step(until) {
                assert!(holds(self), "not within {limit:?}: {what}\n{}", self.describe());
            }
        }
        self.check();
        self.now - since
    }

    /// A line per client, for failures.
    pub fn describe(&self) -> String {
        let lines = self.clients.iter().map(|client| {
            format!(
                "client {}: connected {}, participants {:?}, errors {:?}, received {:?}, closed {:?}",
                client.index,
                client.is_connected(),
                client.view.participants.values().map(|p| (&p.name, p.tracks.len())).collect::<Vec<_>>(),
                client.view.errors,
                client.received.tallies.iter().map(|(from, tally)| (from, tally.packets)).collect::<Vec<_>>(),
                client.view.closed,
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Whether `to` gets fresh media of a source of `from`: within the last 200 ms.
    pub fn gets(&self, to: usize, from: usize, source: Source) -> bool {
        self.gets_lately(to, from, source, Duration::from_millis(200))
    }

    pub fn gets_lately(&self, to: usize, from: usize, source: Source, within: Duration) -> bool {
        let tally = self.clients[to].received.from(from, self.ordinal(from, source));
        tally.last_at.is_some_and(|last| self.instant() - last < within)
    }

    /// Whether all of `clients` get all that the others publish.
    pub fn all_get_all(&self, clients: &[usize]) -> bool {
        clients.iter().all(|to| {
            clients.iter().filter(|from| *from != to).all(|from| {
                self.clients[*from].setup.publish.iter().all(|publish| self.gets(*to, *from, publish.source))
            })
        })
    }

    #[track_caller]
    pub fn until_all_get_all(&mut self, clients: &[usize]) -> Duration {
        self.run_until("everybody gets everybody's media", Duration::from_secs(8), |w| w.all_get_all(clients))
    }

    /// Begins to count received media anew.
    pub fn reset_counts(&mut self) {
        self.clients.iter_mut().for_each(|client| client.received.reset());
    }

    /// Asserts that since the last reset no source of others paused for `longest` at any of `clients`.
    #[track_caller]
    pub fn assert_undisturbed(&self, clients: &[usize], publishers: &[usize], longest: Duration) {
        for to in clients {
            for from in publishers.iter().filter(|from| *from != to) {
                for (ordinal, publish) in self.clients[*from].setup.publish.iter().enumerate() {
                    let tally = self.clients[*to].received.from(*from, ordinal as u8);
                    let pause =
                        tally.last_at.map_or(Duration::MAX, |last| self.instant() - last).max(tally.longest_gap);
                    let what = publish.source;
                    assert!(
                        pause < longest,
                        "client {to} got no {what:?} of {from} for {pause:?}\n{}",
                        self.describe()
                    );
                }
            }
        }
    }

    /// How many packets of one kind `to` has got from `from` since the last reset.
    pub fn count(&self, to: usize, from: usize, kind: Kind) -> u64 {
        let sources = self.clients[from].setup.publish.iter().enumerate();
        let of_kind = sources.filter(|(_, publish)| kind_of(publish.source) == kind);
        of_kind.map(|(ordinal, _)| self.clients[to].received.from(from, ordinal as u8).packets).sum()
    }

    /// Nobody is left and nothing is kept but the ids of used tokens, which expire.
    #[track_caller]
    pub fn assert_empty(&self, focus: usize) {
        let gauges = self.foci[focus].gauges();
        let expected = Gauges { used_tokens: gauges.used_tokens, ..Gauges::default() };
        assert_eq!(gauges, expected);
        assert_eq!(self.foci[focus].leftovers(), (0, 0, 0), "(directory, sockets, rings)");
    }
}
