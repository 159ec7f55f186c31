//! Work that was asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, JobId};
use toktra_siem_core::job::JobKind;
use toktra_siem_core::time::Timestamp;

use crate::word::{Exact, Words};

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It goes on once what stands in its way is gone; `reason` says what that is.
    Waiting,
    /// It is being processed.
    Running,
    /// Every event that it was about has come to its end.
    Done,
    /// Somebody ended it, or its connector was deleted.
    Cancelled,
}

/// Work that was asked for: to send events again, or to give them up.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Job")]
pub struct Job<W: Words = Exact> {
    /// Its id.
    pub id: JobId,
    /// What was asked for.
    pub kind: W::Word<JobKind>,
    /// Of which connector.
    pub connector_id: ConnectorId,
    /// The delivery whose events are sent again (`redeliver`).
    pub delivery_id: Option<DeliveryId>,
    /// Events accepted at or after this, where the request said so.
    pub from: Option<Timestamp>,
    /// Events accepted before this, where the request said so.
    pub to: Option<Timestamp>,
    /// The state.
    pub state: W::Word<JobState>,
    /// While it waits: what for.
    pub reason: Option<String>,
    /// How many events it is about.
    pub total: u64,
    /// How many of them have come to their end: those delivered, rejected, failed and discarded, and those skipped because another
    /// delivery brings them, or their payload is gone.
    pub processed: u64,
    /// Accepted by the platform in deliveries of this job.
    pub delivered: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Not accepted after three attempts.
    pub failed: u64,
    /// Given up.
    pub discarded: u64,
    /// Who asked for it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was done or cancelled.
    pub finished_at: Option<Timestamp>,
}

/// What a dry run answers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct JobDryRun {
    /// Always true.
    pub dry_run: bool,
    /// How many events the job would be about.
    pub total: u64,
}

/// Which events a job is about, by the time of their acceptance; without limits, all of them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobRange {
    /// Accepted at or after this; not in the future.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Accepted before this; not in the future.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Only says how many events the job would be about.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub dry_run: bool,
}
