//! A histogram of durations in microseconds: fixed memory, one addition per sample, 3% wide buckets.

/// Buckets per doubling; 32 of them make a bucket about 3% wide.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.ilog2();
const BUCKETS: usize = 1024;

/// Counts of samples by size.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS] }
    }

    /// Adds one sample.
    pub(crate) fn record(&mut self, micros: u64) {
        self.counts[bucket(micros).min(BUCKETS - 1)] += 1;
    }

    /// Adds all samples of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// The smallest value that `percent` of the samples do not exceed, up to the bucket's width; 0 without samples.
    pub(crate) fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.counts.iter().sum::<u64>() * percent).div_ceil(100);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank && rank > 0
        });
        found.map_or(0, upper_bound)
    }
}

/// Values below [`STEPS`] have a bucket each; above, the leading bits choose it.
fn bucket(value: u64) -> usize {
    let doublings = value.max(1).ilog2().saturating_sub(STEP_BITS);
    let index = u64::from(doublings) * STEPS + (value >> doublings);
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest value in a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let doublings = (bucket / STEPS).saturating_sub(1);
    ((bucket - doublings * STEPS + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_is_narrow_and_ends_at_or_above_it() {
        for value in (0..5_000).chain([65_535, 65_536, 1_000_000, 59_999_999]) {
            let upper = upper_bound(bucket(value));
            assert!(upper >= value && upper <= value + value / 31, "{value} is counted as {upper}");
        }
    }

    #[test]
    fn percentiles_are_those_of_all_samples_merged() {
        let (mut low, mut high) = (Histogram::new(), Histogram::new());
        (0..99).for_each(|_| low.record(10));
        high.record(5_000);
        low.merge(&high);
        assert_eq!(low.percentile(50), 10);
        assert_eq!(low.percentile(99), 10);
        assert!((5_000..5_200).contains(&low.percentile(100)));
        assert_eq!(Histogram::new().percentile(99), 0);
    }
}
