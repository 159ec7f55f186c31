//! What the API tells of deliveries.

use serde::Deserialize;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Status, Trigger};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, JobId, StreamKind};
use toktra_siem_core::time::Timestamp;

/// A delivery in a list.
#[derive(Debug, Clone, Deserialize)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The connector, which may be deleted.
    pub connector_id: ConnectorId,
    /// Which of its streams.
    pub stream: StreamKind,
    /// Why it was made.
    pub trigger: Trigger,
    /// How it stands.
    pub status: Status,
    /// Events in it.
    pub event_count: u64,
    /// Events of it that the SIEM has taken.
    pub delivered: u64,
    /// Events of it that the SIEM has refused for good.
    pub rejected: u64,
    /// Requests that were made for it.
    pub attempt_count: u32,
    /// Whether it tried if the SIEM was back.
    pub probe: bool,
    /// For metrics: the start of the ten seconds that it stands for.
    pub window: Option<Timestamp>,
    /// The delivery whose rest it goes on with.
    pub parent_id: Option<DeliveryId>,
    /// The job that it was made for.
    pub job_id: Option<JobId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is tried next.
    pub next_attempt_at: Option<Timestamp>,
    /// When it came to its end.
    pub settled_at: Option<Timestamp>,
    /// Why it did not simply succeed.
    pub cause: Option<Cause>,
    /// The status that the last of its requests was answered with, where an answer came.
    pub last_http_status: Option<u16>,
    /// How long the last of them took.
    pub duration_ms: Option<u64>,
}

/// A delivery with everything that is known of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Detail {
    /// What lists show of it as well.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// Its requests, in order.
    pub attempts: Vec<Attempt>,
    /// The deliveries that go on with the rest of it.
    pub children: Vec<DeliveryId>,
    /// The delivery that brought later what this one could not.
    pub recovered_by: Option<DeliveryId>,
    /// Its events, at most the first 1,000.
    pub events: Vec<EventSummary>,
}

/// One request of a delivery.
#[derive(Debug, Clone, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When it was sent.
    pub at: Timestamp,
    /// From its start to the end of the answer.
    pub duration_ms: u64,
    /// The status of the answer, where one came.
    pub http_status: Option<u16>,
    /// The start of the answer's body.
    pub excerpt: Option<String>,
    /// Why it did not simply succeed.
    pub cause: Option<Cause>,
    /// What was sent, redacted.
    #[serde(default)]
    pub request: Option<Sent>,
    /// The headers of the answer, redacted.
    #[serde(default)]
    pub response_headers: Option<Headers>,
}

/// A request without its body.
#[derive(Debug, Clone, Deserialize)]
pub struct Sent {
    /// `POST`.
    pub method: String,
    /// Where it went.
    pub url: String,
    /// Its headers, redacted.
    pub headers: Headers,
}

/// Headers in the order in which they were sent.
pub type Headers = Vec<(String, String)>;

/// What is kept of an event.
#[derive(Debug, Clone, Deserialize)]
pub struct EventSummary {
    /// Its id.
    pub event_id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// How serious it is.
    pub severity: Severity,
    /// The event's own time.
    pub timestamp: Timestamp,
}
