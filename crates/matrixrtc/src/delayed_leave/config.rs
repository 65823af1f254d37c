//! The paces and bounds of the last will.

use std::time::Duration;

/// What a client author may want to change. The defaults are those of the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// After how long without us the homeserver sends our leave.
    pub delay: Duration,
    /// How often we restart that. At most half of the delay that is really used.
    pub restart_every: Duration,
    /// How long the join event counts before it is renewed: its `expires`, or the sticky duration.
    pub expiry: Duration,
    /// The delay of a leave that is delegated to the focus; `None`: nothing is delegated.
    pub loan_delay: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(10),
            restart_every: Duration::from_secs(5),
            expiry: Duration::from_secs(4 * 3600),
            loan_delay: None,
        }
    }
}

impl Config {
    /// How long a sticky join event counts: a server that gets the renewal late has forgotten the event before it by then.
    pub const STICKY_EXPIRY: Duration = Duration::from_secs(59 * 60);
}

const _: () = assert!(Config::STICKY_EXPIRY.as_secs() < crate::event::STICKY_MAX.as_secs());

/// The join event is renewed so long before it expires.
pub const EXPIRY_HEADROOM: Duration = Duration::from_secs(5);
/// A shorter last will than this cannot be kept from firing over a slow network; none is better.
pub const DELAY_MIN: Duration = Duration::from_secs(2);
/// A delegated leave with less than this would cost the focus more requests than it saves us.
pub const LOAN_DELAY_MIN: Duration = Duration::from_secs(30);
/// We join without a last will rather than wait longer for one.
pub const JOIN_WAIT_MAX: Duration = Duration::from_secs(3);
/// A restart that takes longer is tried again.
pub const RESTART_TIMEOUT: Duration = Duration::from_secs(2);
/// An answer about a scheduled leave is waited for so long.
pub const MANAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer to a join or leave is waited for so long.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// The focus has so long to say that it took the leave.
pub const DELEGATE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries after a network error, doubled up to [`RETRY_MAX`] for all but restarts.
pub const RETRY: Duration = Duration::from_secs(1);
/// The longest wait between two tries.
pub const RETRY_MAX: Duration = Duration::from_secs(8);
/// After a 429 that names no wait.
pub const RATE_LIMIT_WAIT: Duration = Duration::from_secs(5);
/// What a server may ask us to wait. More than this and we ask again.
pub const RATE_LIMIT_WAIT_MAX: Duration = Duration::from_secs(60);
/// An absent membership counts only once it was seen, or so long after it was sent: sync lags behind.
pub const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// Rejoins within this time of each other wait longer and longer, up to this.
pub const REJOIN_WAIT_MAX: Duration = Duration::from_secs(60);
/// An offer that the focus did not take is made again after this.
pub const LOAN_RETRY: Duration = Duration::from_secs(60);
/// Offers per connection to the focus.
pub const LOAN_TRIES_MAX: u32 = 3;
/// Tries to send a leave before the last will is left to do it.
pub const LEAVE_TRIES_MAX: u32 = 10;
/// Tries to cancel what must not fire, some 80 s of them. What is left fires in the end, and costs a rejoin.
pub const CANCEL_TRIES_MAX: u32 = 12;
/// Scheduled leaves that wait to be cancelled; the oldest is forgotten.
pub const STALE_MAX: usize = 8;
/// Requests that were given up and may still be answered.
pub const LATE_MAX: usize = 16;
/// Requests that are outstanding at once: one about the will, one about the member event, one to the focus.
pub const OUTSTANDING_MAX: usize = 3;
