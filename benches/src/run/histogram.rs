//! Latencies in a few hundred counters: exact to 1 µs below 32 µs, to 6 % above, up to a minute.

/// Counters of each power of two.
const STEPS: usize = 16;
/// 2^26 µs: 67 s.
const MICROS_MAX: u64 = (1 << 26) - 1;
const BUCKETS: usize = bucket(MICROS_MAX) + 1;

/// See the module.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }
}

const fn bucket(micros: u64) -> usize {
    if micros < 2 * STEPS as u64 {
        return micros as usize;
    }
    let shift = (micros.ilog2() - STEPS.ilog2()) as usize;
    shift * STEPS + (micros >> shift) as usize
}

/// The middle of a bucket.
fn value(bucket: usize) -> f64 {
    if bucket < 2 * STEPS {
        return bucket as f64;
    }
    let shift = bucket / STEPS - 1;
    let low = (bucket % STEPS + STEPS) << shift;
    low as f64 + (1_u64 << shift) as f64 / 2.0
}

impl Histogram {
    pub fn add(&mut self, micros: u64) {
        let micros = micros.min(MICROS_MAX);
        self.counts[bucket(micros)] += 1;
        self.total += 1;
        self.max = self.max.max(micros);
    }

    pub fn merge(&mut self, other: &Self) {
        for (own, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *own += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// What has come since `earlier`, which this was once. The maximum is that of the buckets.
    pub fn since(&self, earlier: &Self) -> Self {
        let counts: Vec<u64> =
            self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.saturating_sub(*then)).collect();
        let max = counts.iter().rposition(|count| *count > 0).map_or(0, |bucket| value(bucket) as u64);
        Self { total: counts.iter().sum(), max, counts }
    }

    pub fn max(&self) -> Option<f64> {
        (self.total > 0).then_some(self.max as f64)
    }

    /// In microseconds, by nearest rank; `None` of nothing.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let rank = ((share.clamp(0.0, 1.0) * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map(|bucket| value(bucket).min(self.max as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        let mut last = 0;
        for micros in 0..200_000 {
            let bucket = bucket(micros);
            assert!(bucket == last || bucket == last + 1, "{micros}");
            last = bucket;
            assert!((value(bucket) - micros as f64).abs() <= 0.5 + micros as f64 / 32.0, "{micros}");
        }
    }

    #[test]
    fn percentiles() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.percentile(0.5), histogram.max()), (None, None));
        (1..=1000).for_each(|micros| histogram.add(micros));
        let near = |share: f64, wanted: f64| {
            let got = histogram.percentile(share).expect("there are values");
            assert!((got - wanted).abs() / wanted < 0.07, "{share}: {got}");
        };
        near(0.5, 500.0);
        near(0.99, 990.0);
        near(0.999, 999.0);
        assert_eq!(histogram.percentile(1.0), Some(1000.0));
        histogram.add(u64::MAX);
        assert_eq!(histogram.max(), Some(MICROS_MAX as f64));
    }

    #[test]
    fn differences_and_sums() {
        let mut before = Histogram::default();
        before.add(10);
        let mut after = before.clone();
        after.add(20);
        let between = after.since(&before);
        assert_eq!((between.total, between.percentile(0.5), between.max()), (1, Some(20.0), Some(20.0)));
        before.merge(&between);
        assert_eq!((before.total, before.percentile(1.0)), (2, Some(20.0)));
    }
}
