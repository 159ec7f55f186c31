//! Counting observations by size without a lock, for figures that are shown to operators: a few relaxed additions each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Sums are kept in millionths: microseconds where the observations are seconds.
const PARTS: f64 = 1e6;

/// Counts observations in buckets with fixed upper bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above the last.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a [`Histogram`] has counted at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// For each bound, how many observations were not above it.
    pub buckets: Vec<(f64, u64)>,
    /// All observations, those above the last bound too.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl Histogram {
    /// One without observations. `bounds` ascend.
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0) }
    }

    /// Counts one observation. Nothing is negative here; what is counts as zero.
    pub fn observe(&self, value: f64) {
        self.observe_many(value, 1);
    }

    /// Counts a length of time, in seconds.
    pub fn observe_time(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    /// Counts `times` observations of the same value.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; a float saturates")]
    #[expect(clippy::cast_precision_loss, reason = "a sum of measurements needs no more than 52 bits")]
    pub fn observe_many(&self, value: f64, times: u64) {
        let value = value.max(0.0);
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(times, Ordering::Relaxed);
        }
        self.sum.fetch_add((value * PARTS * times as f64) as u64, Ordering::Relaxed);
    }

    /// What was counted so far. Observations that happen meanwhile may be in it by half (counted, but not in the sum).
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    pub fn read(&self) -> Reading {
        let mut count = 0;
        let mut below = self.buckets.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let buckets = self.bounds.iter().copied().zip(below.by_ref()).collect();
        let count = below.last().unwrap_or(0);
        Reading { buckets, count, sum: self.sum.load(Ordering::Relaxed) as f64 / PARTS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_are_counted_up_to_each_bound_that_includes_them() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        histogram.observe_time(Duration::from_millis(50));
        histogram.observe(0.1);
        histogram.observe_many(0.5, 3);
        histogram.observe(7.0);
        histogram.observe(-1.0);
        let reading = histogram.read();
        assert_eq!(reading.buckets, [(0.1, 3), (1.0, 6)]);
        assert_eq!(reading.count, 7);
        assert!((reading.sum - 8.65).abs() < 1e-6, "{}", reading.sum);
    }
}
