//! What flowed through connectors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::ids::{ConnectorId, StreamKind};
use toktra_siem_core::time::Timestamp;

/// The shortest step, in seconds: nothing finer is kept.
pub const SHORTEST_STEP: i64 = 300;
/// The longest step, in seconds.
pub const LONGEST_STEP: i64 = 366 * 24 * 3600;

/// The `step` of a request.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct Step(
    #[schemars(range(min = SHORTEST_STEP, max = LONGEST_STEP), extend("multipleOf" = SHORTEST_STEP))] pub i64,
);

/// The traffic of a connector.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// The connector.
    pub connector_id: ConnectorId,
    /// The start of the first bucket.
    pub from: Timestamp,
    /// The end of the last bucket.
    pub to: Timestamp,
    /// How long a bucket is.
    pub step_seconds: i64,
    /// Its streams.
    pub streams: Vec<StreamTraffic>,
}

/// The traffic of one stream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StreamTraffic {
    /// Which of the connector's streams.
    pub stream: StreamKind,
    /// Without gaps, oldest first: what did nothing is there as zero.
    pub buckets: Vec<TrafficBucket>,
}

/// What a stream did in one bucket. Numbers for looking at: an event that is delivered again is counted again, and what the last seconds
/// before a crash did is missing. The accounting is the exact book.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TrafficBucket {
    /// Its start.
    pub at: Timestamp,
    /// Events that the platform took.
    pub delivered: u64,
    /// Events that a failed delivery parked. What fails again was counted before.
    pub failed: u64,
    /// Events that the platform refused for good.
    pub rejected: u64,
    /// Requests that were made.
    pub attempts: u64,
    /// Those of them by which nothing arrived.
    pub attempts_failed: u64,
    /// The most events that still had to arrive at one moment: waiting, on their way, or parked as failed.
    pub lag: u64,
    /// From acceptance to delivery: half of the events took no longer. `null` where nothing was delivered.
    pub p50_ms: Option<u64>,
    /// From acceptance to delivery: 99 of 100 events took no longer.
    pub p99_ms: Option<u64>,
}
