//! Seeds that found something. They run in every test run, after the first few that every story has.

/// (story, seed)
pub(crate) const FOUND: &[(&str, u64)] = &[
    // A datagram was appended to a GSO send that had been taken already, and was lost (sfu-core `batch`).
    ("isolation::a_guessed_track_on_another_worker_is_not_found", 37),
];
