//! How often tokens may be asked for, by user, server and room. How many may be in calls is counted where they are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ruma::{RoomId, ServerName, UserId};

/// A burst, and then a pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub burst: u32,
    pub interval: Duration,
}

/// The defaults are for the largest calls that a focus bears, joined within a minute.
#[derive(Debug, Clone)]
pub struct Rates {
    /// A person who opens a call, and whose device tries again after it was cut off.
    pub user: Rate,
    /// A server whose users may begin calls.
    pub server: Rate,
    /// Any other server.
    pub foreign: Rate,
    pub room: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        let every_ms = |burst, ms| Rate { burst, interval: Duration::from_millis(ms) };
        Self {
            user: every_ms(10, 2000),
            server: every_ms(1000, 10),
            foreign: every_ms(100, 100),
            room: every_ms(500, 20),
        }
    }
}

/// Users, servers and rooms that asked lately. One that has its whole burst again is forgotten.
const WORDS_MAX: usize = 65_536;

/// Counts requests. Ask after the user is proved: whoever claims to be somebody must not use up that one's quota.
#[derive(Debug, Default)]
pub struct Quotas {
    rates: Rates,
    /// When each will have its whole burst again.
    users: BTreeMap<String, Instant>,
    servers: BTreeMap<String, Instant>,
    rooms: BTreeMap<String, Instant>,
}

impl Quotas {
    pub fn new(rates: Rates) -> Self {
        Self { rates, ..Self::default() }
    }

    /// One request of a proved user. `Err`: too many, for so long.
    pub fn take_user(&mut self, now: Instant, user: &UserId, server: &ServerName, full: bool) -> Result<(), Duration> {
        take(&mut self.users, user.as_str(), self.rates.user, now)?;
        let rate = if full { self.rates.server } else { self.rates.foreign };
        take(&mut self.servers, server.as_str(), rate, now)
    }

    /// One request of somebody who is in the room.
    pub fn take_room(&mut self, now: Instant, room: &RoomId) -> Result<(), Duration> {
        take(&mut self.rooms, room.as_str(), self.rates.room, now)
    }

    /// What is remembered.
    pub fn len(&self) -> usize {
        self.users.len() + self.servers.len() + self.rooms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The generic cell rate algorithm (ITU-T I.371): one time for each word.
pub(crate) fn take(
    words: &mut BTreeMap<String, Instant>,
    word: &str,
    rate: Rate,
    now: Instant,
) -> Result<(), Duration> {
    if words.len() >= WORDS_MAX && !words.contains_key(word) {
        words.retain(|_, full_at| *full_at > now);
        if words.len() >= WORDS_MAX {
            return Err(rate.interval);
        }
    }
    let full_at = words.get(word).copied().unwrap_or(now).max(now) + rate.interval;
    let burst = rate.interval * rate.burst;
    let wait = full_at.saturating_duration_since(now).saturating_sub(burst);
    if !wait.is_zero() {
        return Err(wait);
    }
    words.insert(word.to_owned(), full_at);
    Ok(())
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, server_name, user_id};

    use super::*;
    use crate::test_time::epoch;

    #[test]
    fn a_burst_then_a_pace_for_each() {
        let (start, mut quotas) = (epoch(), Quotas::default());
        let (ada, home) = (user_id!("@ada:example.org"), server_name!("example.org"));
        for _ in 0..10 {
            assert_eq!(quotas.take_user(start, ada, home, true), Ok(()));
        }
        assert_eq!(quotas.take_user(start, ada, home, true), Err(Duration::from_secs(2)));
        assert_eq!(quotas.take_user(start, user_id!("@bob:example.org"), home, true), Ok(()));
        let later = start + Duration::from_secs(2);
        assert_eq!(quotas.take_user(later, ada, home, true), Ok(()));
        assert!(quotas.take_user(later, ada, home, true).is_err());
    }

    #[test]
    fn strangers_share_less_and_a_room_has_its_own() {
        let (start, mut quotas) = (epoch(), Quotas::default());
        let far = server_name!("far.example");
        let users: Vec<_> = (0..101).filter_map(|n| UserId::parse(format!("@u{n}:far.example")).ok()).collect();
        let served = users.iter().filter(|user| quotas.take_user(start, user, far, false).is_ok()).count();
        assert_eq!(served, 100);
        let room = room_id!("!r:example.org");
        let served = (0..501).filter(|_| quotas.take_room(start, room).is_ok()).count();
        assert_eq!(served, 500);
        assert_eq!(quotas.take_room(start, room_id!("!s:example.org")), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (start, mut quotas) = (epoch(), Quotas::default());
        let mut rooms = BTreeMap::new();
        for n in 0..WORDS_MAX {
            assert_eq!(take(&mut rooms, &n.to_string(), quotas.rates.room, start), Ok(()));
        }
        assert!(take(&mut rooms, "one more", quotas.rates.room, start).is_err());
        assert_eq!(take(&mut rooms, "7", quotas.rates.room, start), Ok(()), "who is known goes on");
        quotas.rooms = rooms;
        assert_eq!(quotas.take_room(start + Duration::from_secs(1), room_id!("!s:example.org")), Ok(()));
        assert!(!quotas.is_empty() && quotas.len() < 9);
    }
}
