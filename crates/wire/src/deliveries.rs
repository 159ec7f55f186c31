//! The history: deliveries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Status, Trigger};
use toktra_siem_core::exchange::SentRequest;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, JobId, StreamKind};
use toktra_siem_core::time::Timestamp;

use crate::events::EventSummary;
use crate::word::{Exact, Words};

/// A delivery: one batch of events for one stream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub struct Delivery<W: Words = Exact> {
    /// Its id; sent along as `webhook-id`.
    pub id: DeliveryId,
    /// The connector.
    pub connector_id: ConnectorId,
    /// What the connector was called when it was deleted. Only if it was, and the audit log still says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_name: Option<String>,
    /// Which of the connector's streams.
    pub stream: W::Word<StreamKind>,
    /// Why it was made.
    pub trigger: W::Word<Trigger>,
    /// The state.
    pub status: W::Word<Status>,
    /// Events in it.
    pub event_count: u64,
    /// Events of it that the SIEM has taken.
    pub delivered: u64,
    /// Events of it that the SIEM has refused for good.
    pub rejected: u64,
    /// Requests that were made for it.
    pub attempt_count: u32,
    /// The status that the last of them was answered with; `null` where no answer came, or no request was made.
    pub last_http_status: Option<u16>,
    /// How long the last of them took; `null` where none was made.
    pub duration_ms: Option<u64>,
    /// Whether it tries if the SIEM is back.
    pub probe: bool,
    /// Of the delivery that stands for an outage: how long the SIEM took nothing. The probes that failed are its attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<DeliveryOutage>,
    /// For metrics: the start of the 10 seconds that it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Timestamp>,
    /// The delivery whose rest it goes on with.
    pub parent_id: Option<DeliveryId>,
    /// The job that it was made for.
    pub job_id: Option<JobId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is tried next; `null` once it is settled.
    pub next_attempt_at: Option<Timestamp>,
    /// When it came to its end.
    pub settled_at: Option<Timestamp>,
    /// Why it did not simply succeed.
    pub cause: Option<Cause>,
    /// The later delivery that brought the first of those of its events that had failed or been refused and have arrived since; others may
    /// have brought the rest. `null` if none of them has.
    pub recovered_by: Option<DeliveryId>,
}

/// An outage: from the delivery that failed until something arrived, or a person saved the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryOutage {
    /// When it began.
    pub since: Timestamp,
    /// When it was over; `null` while it goes on.
    pub until: Option<Timestamp>,
    /// Probes that failed. Of many, `attempts` has the first and the last ones.
    pub probes: u32,
}

/// A delivery with everything that is known of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeliveryDetail")]
pub struct DeliveryDetail<W: Words = Exact> {
    /// What lists show of it.
    #[serde(flatten)]
    pub delivery: Delivery<W>,
    /// Its requests, in order.
    pub attempts: Vec<W::Word<Attempt>>,
    /// The deliveries that go on with the rest of it.
    pub children: Vec<DeliveryId>,
    /// Its events, at most the first 1,000.
    pub events: Vec<EventSummary<W>>,
    /// The address that shows its events to a person in the SIEM, at most the first 20. Only where some were delivered, and the connector's
    /// `web_url` or site tells the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_url: Option<String>,
    /// If its last attempt failed: a command for curl that sends a test event by the connector's present settings, without secrets and
    /// signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproduce: Option<String>,
}

/// The request of an attempt. Line and headers were kept with the attempt, but for live and recovered events that simply arrived; the body is
/// made again of what is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptRequest {
    /// Its line and headers, credentials redacted. `null` where none is known.
    pub request: Option<SentRequest>,
    /// The first 64 KiB of the body, before compression. `null` where it cannot be made again; `notes` says why.
    pub body: Option<String>,
    /// The bytes of the whole body, before compression.
    pub body_bytes: Option<u64>,
    /// Whether the body is longer than what is shown.
    pub truncated: bool,
    /// The body (the whole of it, and compressed if it was) is byte for byte what was signed then: a signature that was sent with the
    /// attempt proves it. `false` says only that nothing proves it.
    pub exact: bool,
    /// What is missing, and why the body may differ from the one that was sent.
    pub notes: Vec<RequestNote>,
}

/// A note on a request that is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestNote {
    /// For programs: `not_sent`, `not_kept`, `not_signed`, `not_proved`, `connector_changed`, `connector_deleted`, `not_encodable`,
    /// `events_gone`, `some_events_gone` or `other_event`; others may follow.
    pub code: String,
    /// For people.
    pub message: String,
}
