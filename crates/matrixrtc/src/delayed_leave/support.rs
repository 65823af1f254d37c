//! What a homeserver can do of MSC4140, as it says itself and as it turns out.

use std::time::Duration;

use serde_json::Value;

/// How a leave is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Schedule {
    /// `PUT /_matrix/client/v3/rooms/{room}/delayed_event/…`: the merged text.
    Stable,
    /// The same below `/unstable/org.matrix.msc4140`.
    Unstable,
    /// `?org.matrix.msc4140.delay=` on the endpoint that sends at once. A server that does not know the parameter sends at
    /// once indeed, which is why this is tried last.
    Query,
}

/// How a scheduled leave is restarted or cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manage {
    /// `POST /_matrix/client/v1/delayed_events/{id}/{action}`.
    Stable,
    /// The same below `/unstable/org.matrix.msc4140`; asks for no access token on some servers.
    Unstable,
    /// `{"action": …}` in the body, as older servers want it.
    Body,
}

/// The dialects that are still worth a try, best first, and the longest delay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Support {
    /// To schedule with.
    pub schedule: Vec<Schedule>,
    /// To restart and cancel with.
    pub manage: Vec<Manage>,
    /// The longest delay that the server takes, if it told.
    pub max_delay: Option<Duration>,
}

impl Support {
    /// No last will at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the answers of `GET /_matrix/client/versions` and of `GET /_matrix/client/v3/capabilities` (`Null` if there is
    /// none).
    pub fn read(versions: &Value, capabilities: &Value) -> Self {
        let flag = |name: &str| versions["unstable_features"][name].as_bool() == Some(true);
        let capabilities = &capabilities["capabilities"];
        let [stable, unstable] = ["m.delayed_events", "org.matrix.msc4140.delayed_events"].map(|it| &capabilities[it]);
        let capability = if stable.is_object() { stable } else { unstable };
        let max_delay = capability["max_delay_ms"].as_u64();
        if max_delay == Some(0) || capability["max_scheduled"].as_u64() == Some(0) {
            return Self::none();
        }
        let max_delay = max_delay.map(Duration::from_millis);
        if flag("org.matrix.msc4140.stable") || stable.is_object() {
            let schedule = vec![Schedule::Stable, Schedule::Unstable, Schedule::Query];
            Self { schedule, manage: vec![Manage::Stable, Manage::Unstable, Manage::Body], max_delay }
        } else if flag("org.matrix.msc4140") || unstable.is_object() {
            let schedule = vec![Schedule::Unstable, Schedule::Query];
            Self { schedule, manage: vec![Manage::Unstable, Manage::Body], max_delay }
        } else {
            Self::none()
        }
    }

    /// Whether a leave can be scheduled *and* kept from being sent.
    pub fn is_enough(&self) -> bool {
        !self.schedule.is_empty() && !self.manage.is_empty()
    }

    pub(super) fn drop_schedule(&mut self, bad: Schedule) {
        self.schedule.retain(|dialect| *dialect != bad);
    }

    pub(super) fn drop_manage(&mut self, bad: Manage) {
        self.manage.retain(|dialect| *dialect != bad);
    }
}
