//! Percentiles and medians.

/// The value below which `share` (0.0 to 1.0) of all lie, by nearest rank; `None` of nothing. Sorts in place.
pub fn percentile(values: &mut [u64], share: f64) -> Option<u64> {
    values.sort_unstable();
    let rank = (share.clamp(0.0, 1.0) * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

/// Index of the median by `key`; of an even number the lower one, so that it is always a real run.
pub fn median_by<T>(values: &[T], key: impl Fn(&T) -> f64) -> Option<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| key(&values[*a]).total_cmp(&key(&values[*b])));
    order.get(order.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let mut values: Vec<u64> = (1..=100).rev().collect();
        let at = |values: &mut [u64], share| percentile(values, share);
        assert_eq!(at(&mut values, 0.5), Some(50));
        assert_eq!(at(&mut values, 0.99), Some(99));
        assert_eq!(at(&mut values, 1.0), Some(100));
        assert_eq!(at(&mut values, 0.0), Some(1));
        assert_eq!(at(&mut [7], 0.5), Some(7));
        assert_eq!(at(&mut [], 0.5), None);
    }

    #[test]
    fn the_median_is_a_real_run() {
        assert_eq!(median_by(&[3.0, 1.0, 2.0], |v| *v), Some(2));
        assert_eq!(median_by(&[4.0, 1.0, 3.0, 2.0], |v| *v), Some(3));
        assert_eq!(median_by::<f64>(&[], |v| *v), None);
    }
}
