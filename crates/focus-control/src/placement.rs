//! Which worker a new peer goes to. A pure function of numbers.

use crate::id::WorkerId;

/// The worker with the fewest participants; of equals the first.
pub(crate) fn least_loaded(load: &[usize]) -> WorkerId {
    WorkerId(load.iter().enumerate().min_by_key(|(_, load)| **load).map_or(0, |(worker, _)| worker))
}

/// A small conference stays together on its home worker, because every further worker costs a relayed copy of each
/// packet; a large one spreads, because one core does not bear it.
pub(crate) fn place(home: WorkerId, participants: usize, spread_at: usize, load: &[usize]) -> WorkerId {
    if participants < spread_at { home } else { least_loaded(load) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_conference_stays_and_a_large_one_spreads() {
        assert_eq!(least_loaded(&[3, 1, 1]), WorkerId(1));
        assert_eq!(least_loaded(&[]), WorkerId(0));
        assert_eq!(place(WorkerId(2), 3, 4, &[0, 0, 9]), WorkerId(2));
        assert_eq!(place(WorkerId(2), 4, 4, &[1, 0, 9]), WorkerId(1));
        assert_eq!(place(WorkerId(0), 0, 0, &[1, 0]), WorkerId(1), "0 spreads from the first");
    }
}
