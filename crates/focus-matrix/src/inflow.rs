//! How many encrypted to-device messages the focus's device opens, and of whom. Each costs it work before anybody can know what is
//! in it, and whoever has an account on any homeserver may send as many as that one lets through. What is too much is
//! dropped unopened: who means well sends again what was not answered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ruma::UserId;

use crate::quota::{Rate, take};

/// Messages of all devices of a user. A negotiation takes some ten.
const USER: Rate = Rate { burst: 60, interval: Duration::from_millis(100) };
/// Of all users of a server that the operator named.
const OURS: Rate = Rate { burst: 400, interval: Duration::from_millis(10) };
/// Of all users of any other.
const FOREIGN: Rate = Rate { burst: 100, interval: Duration::from_millis(50) };
/// Of all of those servers: names of servers cost little.
const FOREIGN_TOGETHER: Rate = Rate { burst: 200, interval: Duration::from_millis(20) };
/// The word by which these are counted, which is no server's name.
const TOGETHER: &str = "*";

/// Counts. The sender is the one that the homeserver names: a server can use up what its own users have, and little else.
#[derive(Debug, Default)]
pub struct Inflow {
    ours: Counted,
    /// Apart, so that names that were made up crowd out nobody of ours.
    foreign: Counted,
}

/// When each will have its whole burst again.
#[derive(Debug, Default)]
struct Counted {
    users: BTreeMap<String, Instant>,
    servers: BTreeMap<String, Instant>,
}

impl Inflow {
    /// One message. `is_ours`: of a user of a configured homeserver. `false`: it is to be dropped.
    pub fn takes(&mut self, now: Instant, sender: &UserId, is_ours: bool) -> bool {
        let (user, server) = (sender.as_str(), sender.server_name().as_str());
        if is_ours {
            let Counted { users, servers } = &mut self.ours;
            return take(users, user, USER, now).is_ok() && take(servers, server, OURS, now).is_ok();
        }
        // Users that a server makes up are not even remembered when it has had its share.
        let Counted { users, servers } = &mut self.foreign;
        take(servers, server, FOREIGN, now).is_ok()
            && take(servers, TOGETHER, FOREIGN_TOGETHER, now).is_ok()
            && take(users, user, USER, now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::epoch;

    /// How many of `count` messages are taken, of users by turns.
    fn taken(inflow: &mut Inflow, now: Instant, count: u32, sender: impl Fn(u32) -> String, is_ours: bool) -> u32 {
        let sender = |n| UserId::parse(sender(n)).expect("a user id");
        (0..count).map(|n| u32::from(inflow.takes(now, &sender(n), is_ours))).sum()
    }

    #[test]
    fn a_user_has_a_burst_and_then_a_pace() {
        let (mut inflow, start) = (Inflow::default(), epoch());
        let mallory = |_| "@mallory:one".to_owned();
        assert_eq!(taken(&mut inflow, start, 500, mallory, true), USER.burst);
        assert_eq!(taken(&mut inflow, start, 1, |_| "@alice:one".into(), true), 1);
        assert_eq!(taken(&mut inflow, start + Duration::from_secs(1), 500, mallory, true), 10);
    }

    #[test]
    fn a_server_uses_up_its_own() {
        let (mut inflow, start) = (Inflow::default(), epoch());
        assert_eq!(taken(&mut inflow, start, 1000, |n| format!("@u{n}:evil"), false), FOREIGN.burst);
        assert_eq!(taken(&mut inflow, start, 1, |_| "@bob:far".into(), false), 1);
        assert_eq!(taken(&mut inflow, start, 1000, |n| format!("@u{n}:two"), true), OURS.burst);
        assert_eq!(taken(&mut inflow, start, 1, |_| "@alice:one".into(), true), 1);
    }

    #[test]
    fn many_servers_use_up_what_is_not_ours() {
        let (mut inflow, start) = (Inflow::default(), epoch());
        assert_eq!(taken(&mut inflow, start, 1000, |n| format!("@u:evil{n}"), false), FOREIGN_TOGETHER.burst);
        assert_eq!(taken(&mut inflow, start, 100, |n| format!("@u{n}:one"), true), 100);
        let later = start + Duration::from_secs(1);
        assert_eq!(taken(&mut inflow, later, 1000, |n| format!("@u:bad{n}"), false), 50);
    }
}
