//! Charts, as SVG that the server draws: no script, no inline style, readable in print, in the dark and by ear.
//!
//! Every chart is a pure function of numbers. Its `<title>` and `<desc>` state the facts in words, so that whoever cannot see it misses
//! nothing, and [`table`] has all of its numbers. A plot is stretched to the width that it is given, so nothing in it is text: the labels stand
//! around it as HTML, at even distances, which a style sheet can place without being told where.

mod lag;
mod latency;
mod outcomes;
mod parts;
mod scale;
mod sparkline;
mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::TrafficBucket;

pub use lag::lag;
pub use latency::latency;
pub use outcomes::outcomes;
pub use sparkline::{Bar, sparkline};
pub use table::table;

/// What a stream did in one step of time, as charts show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Its start.
    pub at: Timestamp,
    /// Events that the platform took.
    pub delivered: u64,
    /// Events that a failed delivery parked.
    pub failed: u64,
    /// Events that the platform refused for good.
    pub rejected: u64,
    /// The most events that were on their way or waiting at one moment.
    pub lag: u64,
    /// Half of the events took no longer; nothing where nothing was delivered.
    pub p50_ms: Option<u64>,
    /// 99 of 100 events took no longer.
    pub p99_ms: Option<u64>,
}

impl From<TrafficBucket> for Bucket {
    fn from(bucket: TrafficBucket) -> Self {
        let TrafficBucket { at, delivered, failed, rejected, lag, p50_ms, p99_ms, .. } = bucket;
        Self { at, delivered, failed, rejected, lag, p50_ms, p99_ms }
    }
}

impl Bucket {
    /// Whether there is nothing to draw of it.
    pub fn is_empty(&self) -> bool {
        self.total() == 0 && self.lag == 0
    }

    /// All events that something became of.
    fn total(&self) -> u64 {
        self.delivered.saturating_add(self.failed).saturating_add(self.rejected)
    }
}

/// Steps of time without gaps, oldest first, up to the present.
#[derive(Debug, Clone)]
pub struct Steps {
    /// What happened in each.
    pub buckets: Vec<Bucket>,
    /// How long each is.
    pub step: Duration,
}

impl Steps {
    /// How much time they cover.
    fn span(&self) -> Duration {
        self.step.saturating_mul(u32::try_from(self.buckets.len()).unwrap_or(u32::MAX))
    }
}
