//! How many requests of a stream may be in flight: it starts at one and finds out.
//!
//! Batching is the first answer to load, since a batch costs the endpoint one request. More requests help only where batches are full
//! already, or where the way there is long; so only then does the limit grow (doubling until the endpoint first objects, by one for each
//! round after that). Any sign of pressure takes a tenth off, as Vector's adaptive request concurrency does.

use std::time::Duration;

/// A round trip from which on waiting for a slot is worth avoiding even though batches are not full.
const LONG_WAY: Duration = Duration::from_millis(10);

/// What a finished request tells about the limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Every slot was taken, and there was more to send.
    pub(super) saturated: bool,
    /// The batch was as large as the platform allows.
    pub(super) full: bool,
    /// How long the answer took.
    pub(super) round_trip: Duration,
}

/// The limit of one stream.
#[derive(Debug, Clone)]
pub(super) struct Concurrency {
    limit: f64,
    max: f64,
    objected: bool,
}

impl Concurrency {
    /// Starts at one; never goes beyond `max`.
    pub(super) fn new(max: u16) -> Self {
        Self { limit: 1.0, max: f64::from(max.max(1)), objected: false }
    }

    /// A new upper bound (the connector was saved).
    pub(super) fn set_max(&mut self, max: u16) {
        self.max = f64::from(max.max(1));
        self.limit = self.limit.min(self.max);
    }

    /// Requests that may be in flight at once.
    pub(super) fn limit(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 65,535")]
        let whole = self.limit as usize;
        whole.max(1)
    }

    /// A request succeeded.
    pub(super) fn succeeded(&mut self, sample: Sample) {
        if sample.saturated && (sample.full || sample.round_trip >= LONG_WAY) {
            let step = if self.objected { 1.0 / self.limit } else { 1.0 };
            self.limit = (self.limit + step).min(self.max);
        }
    }

    /// The endpoint asked for less, or a request failed.
    pub(super) fn pressed(&mut self) {
        self.objected = true;
        self.limit = (self.limit * 0.9).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(saturated: bool, full: bool, ms: u64) -> Sample {
        Sample { saturated, full, round_trip: Duration::from_millis(ms) }
    }

    #[test]
    fn grows_only_where_more_requests_would_help() {
        let mut c = Concurrency::new(4);
        assert_eq!(c.limit(), 1);
        c.succeeded(sample(true, false, 1));
        c.succeeded(sample(false, true, 500));
        assert_eq!(c.limit(), 1, "batches grow by themselves, and an idle slot shows no need");
        c.succeeded(sample(true, true, 1));
        c.succeeded(sample(true, false, 10));
        assert_eq!(c.limit(), 3);
        for _ in 0..9 {
            c.succeeded(sample(true, true, 1));
        }
        assert_eq!(c.limit(), 4);
    }

    #[test]
    fn gives_way_under_pressure_and_then_grows_slowly() {
        let mut c = Concurrency::new(200);
        for _ in 0..99 {
            c.succeeded(sample(true, true, 1));
        }
        assert_eq!(c.limit(), 100);
        c.pressed();
        assert_eq!(c.limit(), 90);
        c.succeeded(sample(true, true, 1));
        assert_eq!(c.limit(), 90);
        for _ in 0..500 {
            c.pressed();
        }
        assert_eq!(c.limit(), 1);
    }
}
