//! What the tests of this crate share.

use std::time::Instant;

/// The one reading of a clock: time in tests is this plus what the test says.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing; its value never matters")]
pub fn epoch() -> Instant {
    Instant::now()
}
