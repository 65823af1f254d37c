//! Seeds that found something. They run in every test run, after the first few that every story has.

/// (story, seed)
pub(crate) const FOUND: &[(&str, u64)] = &[];
