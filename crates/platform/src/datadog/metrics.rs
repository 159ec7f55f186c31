//! Datadog Metrics v2: how many events of each type and severity there were in a closed window, as one point of one series each.
//!
//! The intake keeps the last value of a (metric, tags, second). The same window sent twice is therefore harmless, but two sources of
//! the same series would overwrite each other: org and connector are tags. Both have few values; each combination of tags is billed.
//!
//! Facts: Datadog's API reference, "Logs" (v2) and "Metrics" (v2).

use std::time::Duration;

use serde::Serialize;

use toktra_siem_core::cause::Cause;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{ConnectorId, OrgId};
use toktra_siem_core::time::Timestamp;

use super::intake::{Config, HOSTNAME, Intake, SOURCE, tag_value};
use crate::body;
use crate::destination::{Batch, BatchLimits, Destination, EncodeError, Encoded, Pacing, Reply, Verdict};

/// The length of a window, and the `interval` of its points.
const WINDOW: Duration = Duration::from_secs(10);
/// Datadog takes points up to this old.
const MAX_AGE: Duration = Duration::from_hours(1);
/// One request, uncompressed. A window makes at most one short series for each type and severity, far below this.
const MAX_BYTES: usize = 5_242_880;
/// `type` of a series that counts.
const COUNT: u8 = 1;

/// The metrics stream of a Datadog connector.
pub(super) struct Metrics {
    intake: Intake,
    metric: String,
    /// The tags that every series of this stream has.
    constant_tags: [String; 4],
}

#[derive(Serialize)]
struct Payload<'a> {
    series: Vec<Series<'a>>,
}

#[derive(Serialize)]
struct Series<'a> {
    metric: &'a str,
    #[serde(rename = "type")]
    kind: u8,
    interval: u64,
    points: [Point; 1],
    resources: [Resource; 1],
    tags: Vec<&'a str>,
    unit: &'static str,
}

#[derive(Serialize)]
struct Point {
    timestamp: i64,
    value: u64,
}

#[derive(Serialize)]
struct Resource {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
}

impl Metrics {
    /// A connector's metrics stream.
    pub(super) fn new(config: &Config, intake: Intake, org: OrgId, connector: ConnectorId) -> Self {
        Self {
            intake,
            metric: format!("{}.events", config.metric_prefix),
            constant_tags: [
                format!("org_id:{org}"),
                format!("connector_id:{connector}"),
                format!("source:{SOURCE}"),
                format!("service:{}", tag_value(&config.service)),
            ],
        }
    }
}

impl Destination for Metrics {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: usize::MAX, bytes: MAX_BYTES, overhead: 0 }
    }

    fn cost(&self, _event: &StoredEvent) -> usize {
        0
    }

    fn pacing(&self) -> Pacing {
        Pacing::Windowed { window: WINDOW, max_age: MAX_AGE }
    }

    fn encode(&self, batch: Batch<'_>, _now: Timestamp) -> Result<Encoded, EncodeError> {
        let Batch::Window { start, tally } = batch else {
            return Err(EncodeError::WrongBatch { expected: "closed windows" });
        };
        let own_tags: Vec<[String; 2]> = tally
            .iter()
            .map(|(event_type, severity, _)| [format!("event_type:{event_type}"), format!("severity:{severity}")])
            .collect();
        let series = tally
            .iter()
            .zip(&own_tags)
            .map(|((_, _, value), own)| Series {
                metric: &self.metric,
                kind: COUNT,
                interval: WINDOW.as_secs(),
                points: [Point { timestamp: start.as_secs(), value }],
                resources: [Resource { kind: "host", name: HOSTNAME }],
                tags: own.iter().chain(&self.constant_tags).map(String::as_str).collect(),
                unit: "event",
            })
            .collect();
        let request = self.intake.request(body::json(&Payload { series }))?;
        Ok(Encoded { request: Some(request), omitted: Vec::new() })
    }

    fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        self.intake.classify(reply, sent, now)
    }

    fn too_late(&self) -> Cause {
        Cause::new(
            "datadog_metrics_too_late",
            "Datadog takes metric points up to one hour old; this window is older, so its counts are dropped. The log entries of its events \
             are delivered on their own.",
        )
    }
}
