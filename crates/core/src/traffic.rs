//! How much flowed, and how fast: what rates and charts are drawn from.
//!
//! Traffic is for looking at, [`crate::accounting`] is the book. An event that is delivered again is counted again here, and what a crash took
//! is missing; in the account each event stands exactly once.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use crate::time::Timestamp;

/// What is kept together: five minutes, so that a day is 288 of them.
pub const BUCKET: Duration = Duration::from_mins(5);

/// The start of the bucket that holds `at`. Buckets start at whole multiples of [`BUCKET`] since the epoch.
pub fn bucket(at: Timestamp) -> Timestamp {
    step_of(at, BUCKET)
}

/// The start of the step of this length that holds `at`. Steps start at whole multiples of their length since the epoch, too.
pub fn step_of(at: Timestamp, length: Duration) -> Timestamp {
    let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX).max(1);
    Timestamp(at.0 - at.0.rem_euclid(length))
}

/// What a stream did within one bucket, or several of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Events that the platform took, whatever made their delivery (tests left out).
    pub delivered: u64,
    /// Events that a failed delivery parked. One that fails again, in a probe or when it is sent again, was counted before.
    pub failed: u64,
    /// Events that the platform refused for good.
    pub rejected: u64,
    /// Requests that were made.
    pub attempts: u64,
    /// Those of them by which nothing arrived.
    pub attempts_failed: u64,
    /// The most events that waited at one moment ([`crate::accounting::Accounting::undelivered`]).
    pub lag: u64,
    /// How long delivered events took, from their acceptance. Replays and redeliveries of what had arrived before are left out.
    pub latency: Histogram,
}

impl Traffic {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign<&Self> for Traffic {
    fn add_assign(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.rejected += other.rejected;
        self.attempts += other.attempts;
        self.attempts_failed += other.attempts_failed;
        self.lag = self.lag.max(other.lag);
        self.latency += &other.latency;
    }
}

/// Steps of a doubling: a value is known to within an eighth.
const STEPS: u32 = 8;
/// The logarithm of [`STEPS`].
const STEP_BITS: u32 = 3;
/// The highest doubling that is told apart; what takes longer (49 days) counts as that.
const LAST_DOUBLING: u32 = 31;

/// How often each duration occurred, on a fixed logarithmic scale from 1 ms to 49 days. At most 240 steps, however much it counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram(BTreeMap<u8, u64>);

impl Histogram {
    /// Counts `times` events that took `duration`.
    pub fn add(&mut self, duration: Duration, times: u64) {
        if times > 0 {
            *self.0.entry(step(duration)).or_default() += times;
        }
    }

    /// How many events it counts.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The duration that `percent` of the events took at most; no more than an eighth too high. `None` where there are none.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.total() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(step, count)| {
            seen += count;
            (seen >= rank).then(|| longest(*step))
        })
    }

    /// The steps with what they count, ascending: for storing.
    pub fn steps(&self) -> impl Iterator<Item = (u8, u64)> + '_ {
        self.0.iter().map(|(step, count)| (*step, *count))
    }

    /// The way back. Of a step that is there twice both counts hold.
    pub fn from_steps(steps: impl IntoIterator<Item = (u8, u64)>) -> Self {
        let mut histogram = Self::default();
        for (step, count) in steps.into_iter().filter(|(_, count)| *count > 0) {
            let counted = histogram.0.entry(step).or_default();
            *counted = counted.saturating_add(count);
        }
        histogram
    }
}

impl AddAssign<&Self> for Histogram {
    fn add_assign(&mut self, other: &Self) {
        for (step, count) in &other.0 {
            *self.0.entry(*step).or_default() += count;
        }
    }
}

/// The step of a duration: up to 8 ms each millisecond has its own, from there on each doubling has eight.
fn step(duration: Duration) -> u8 {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min((1 << (LAST_DOUBLING + 1)) - 1);
    let doubling = ms.checked_ilog2().unwrap_or(0);
    let step = if doubling < STEP_BITS {
        ms
    } else {
        let within = (ms >> (doubling - STEP_BITS)) & u64::from(STEPS - 1);
        u64::from(STEPS * (doubling - STEP_BITS + 1)) + within
    };
    u8::try_from(step).unwrap_or(u8::MAX)
}

/// The longest duration of a step.
fn longest(step: u8) -> Duration {
    let step = u32::from(step);
    if step < STEPS {
        return Duration::from_millis(u64::from(step));
    }
    let (doublings, within) = (step / STEPS - 1, step % STEPS);
    let next = u64::from(STEPS + within + 1) << doublings;
    Duration::from_millis(next - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_starts_at_a_multiple_of_five_minutes() {
        assert_eq!(bucket(Timestamp(1_736_937_299_999)), Timestamp(1_736_937_000_000));
        assert_eq!(bucket(Timestamp(1_736_937_300_000)), Timestamp(1_736_937_300_000));
        assert_eq!(bucket(Timestamp(-1)), Timestamp(-300_000));
        let hour = Duration::from_hours(1);
        assert_eq!(step_of(Timestamp(1_736_937_299_999), hour), Timestamp(1_736_935_200_000));
        assert_eq!(step_of(Timestamp(-1), hour), Timestamp(-3_600_000));
    }

    #[test]
    fn percentiles_are_those_of_the_events() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), None);
        histogram.add(Duration::from_millis(3), 98);
        histogram.add(Duration::from_mins(1), 2);
        histogram.add(Duration::from_secs(1), 0);
        assert_eq!(histogram.total(), 100);
        assert_eq!(histogram.percentile(50), Some(Duration::from_millis(3)));
        assert_eq!(histogram.percentile(98), Some(Duration::from_millis(3)));
        let high = histogram.percentile(99).unwrap();
        assert!(high >= Duration::from_mins(1) && high <= Duration::from_millis(67_500), "{high:?}");
        assert_eq!(Histogram::from_steps(histogram.steps()), histogram);
    }

    #[test]
    fn the_highest_lag_counts_and_the_rest_is_added() {
        let mut traffic = Traffic { delivered: 1, lag: 7, ..Traffic::default() };
        traffic += &Traffic { delivered: 2, failed: 1, lag: 3, ..Traffic::default() };
        assert_eq!(traffic, Traffic { delivered: 3, failed: 1, lag: 7, ..Traffic::default() });
        assert!(!traffic.is_empty() && Traffic::default().is_empty());
    }

    proptest! {
        #[test]
        fn a_step_is_never_too_low_and_at_most_an_eighth_too_high(ms in 0u64..1 << 32) {
            let told = longest(step(Duration::from_millis(ms)));
            prop_assert!(told.as_millis() >= u128::from(ms));
            prop_assert!(told.as_millis() <= u128::from(ms + ms / 8));
        }

        #[test]
        fn longer_is_never_a_lower_step(a in any::<u64>(), b in any::<u64>()) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(step(Duration::from_millis(low)) <= step(Duration::from_millis(high)));
            prop_assert!(step(Duration::from_millis(high)) < 240);
        }
    }
}
