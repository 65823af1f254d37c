//! The one clock read of this crate's unit tests.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "tests need one instant to start from")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}
