//! The org-scoped face: everything that a request handler may touch. Each method takes the org, and what belongs to another is
//! `NotFound` (invariant D7).

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Delivery, Status, Trigger};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::filter::FilterRule;
use toktra_siem_core::ids::{ApiKeyId, ConnectorId, DeliveryId, EventId, JobId, OrgId, Revision, StreamId, StreamKind};
use toktra_siem_core::job::{Job, Scope};
use toktra_siem_core::time::Timestamp;

use crate::config::{ApiKeyRecord, AuditEntry, AuditQuery, Change, ConnectorRecord, ConnectorSave, Saved};
use crate::deliveries::{StreamRecord, TestEvent};
use crate::error::Result;
use crate::events::EventRecord;
use crate::jobs::JobQuery;

/// A page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there are more after the last of them.
    pub has_more: bool,
}

/// Which deliveries to list. Empty means all; pages go by id, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Of this connector.
    pub connector: Option<ConnectorId>,
    /// Of streams of this kind.
    pub stream: Option<StreamKind>,
    /// In this status.
    pub status: Option<Status>,
    /// With this trigger.
    pub trigger: Option<Trigger>,
    /// Holding this event; a window holds every event that it took off the log, a test delivery its own.
    pub event_id: Option<EventId>,
    /// Made for this job.
    pub job: Option<JobId>,
    /// Opened at or after this.
    pub from: Option<Timestamp>,
    /// Opened before this.
    pub to: Option<Timestamp>,
    /// Only those older than this one (the last of the page before).
    pub before: Option<DeliveryId>,
    /// At most this many.
    pub limit: usize,
}

/// A delivery as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDelivery {
    /// The record.
    pub delivery: Delivery,
    /// What its last attempt came to; `None` where no request was made yet.
    pub last: Option<LastAttempt>,
    /// As [`DeliveryDetail::recovered_by`].
    pub recovered_by: Option<DeliveryId>,
}

/// What the last attempt of a delivery came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAttempt {
    /// The status of the answer, where one came.
    pub http_status: Option<u16>,
    /// How long it took.
    pub duration_ms: u64,
}

impl LastAttempt {
    /// Of these attempts, which are in order.
    pub fn of(attempts: &[Attempt]) -> Option<Self> {
        attempts.last().map(|last| Self { http_status: last.http_status, duration_ms: last.duration_ms })
    }
}

/// A delivery with its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryDetail {
    /// The record.
    pub delivery: Delivery,
    /// Its attempts, in order.
    pub attempts: Vec<Attempt>,
    /// The deliveries that go on with the rest of it, by id.
    pub children: Vec<DeliveryId>,
    /// The later delivery that brought the first of those events that this one, or one that went on with its rest, had parked and that have
    /// arrived since. Others may have brought the rest of them.
    pub recovered_by: Option<DeliveryId>,
    /// Its events as far as their compact records live, at most the first 1,000.
    pub events: Vec<EventRecord>,
    /// Of a test delivery: the event that it carries.
    pub test_event: Option<TestEvent>,
}

/// Where an event stands with one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum StreamFate {
    /// The stream did not exist when the event was accepted.
    Before,
    /// On its way, or waiting for its turn. What waits behind the cursor is pending even where the filter will pass it by: fates and
    /// counts agree.
    Pending {
        /// The delivery that holds it, where it is in one already.
        delivery: Option<DeliveryId>,
    },
    /// The platform has it.
    Delivered {
        /// The delivery that brought it.
        delivery: DeliveryId,
    },
    /// Refused for good.
    Rejected {
        /// The delivery that was refused.
        delivery: DeliveryId,
        /// Why.
        cause: Cause,
    },
    /// Parked: it will be sent again when the endpoint is back.
    Failed {
        /// The delivery that failed.
        delivery: DeliveryId,
        /// Why.
        cause: Cause,
    },
    /// Outlived its retention undelivered.
    Expired,
    /// Undelivered when it was found that its stored bytes do not match their checksum any more.
    Damaged,
    /// Given up by a person.
    Discarded,
    /// Passed over when the connector was switched on "from now".
    Skipped,
    /// Passed by.
    Filtered {
        /// By which rule.
        rule: FilterRule,
    },
}

impl StreamFate {
    /// The delivery that it names.
    pub fn delivery(&self) -> Option<DeliveryId> {
        match self {
            Self::Pending { delivery } => *delivery,
            Self::Delivered { delivery } | Self::Rejected { delivery, .. } | Self::Failed { delivery, .. } => {
                Some(*delivery)
            }
            Self::Before | Self::Expired | Self::Damaged | Self::Discarded | Self::Skipped | Self::Filtered { .. } => {
                None
            }
        }
    }
}

/// What a stream did with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFate {
    /// The stream.
    pub stream: StreamId,
    /// Where the event stands with it.
    pub fate: StreamFate,
}

/// What is an org's: each method takes the org, and returns nothing of another.
#[async_trait]
pub trait OrgStore: Send + Sync {
    /// Makes a connector with its streams, which start after the org's head. Org, revision (1) and times are given by the store,
    /// whatever the connector says. `Conflict` where the id exists or the name is taken in the org.
    async fn create_connector(&self, org: OrgId, change: Change<ConnectorRecord>) -> Result<Saved>;

    /// Saves a connector: a new revision, whose filter holds from the org's next sequence on. `Conflict` where the expected revision is
    /// not the present one, the name is taken, or the platform is another.
    ///
    /// In the same transaction any save closes the breakers of its streams. Switching on does what [`crate::config::Resume`] says; the
    /// first activation is always from now. Where the connector was active and stays so, a stream whose breaker was open gets its
    /// backlog range, as [`crate::DeliveryStore::recover`] makes it (trigger `recovery`). Switching off fences the streams' leases and
    /// leaves cursors and ranges as they are.
    async fn save_connector(&self, org: OrgId, change: Change<ConnectorSave>) -> Result<Saved>;

    /// Removes a connector with its streams. Its history stays for its time, its pending deliveries settled as failed
    /// (`connector_deleted`), its open jobs cancelled. How many undelivered events it gave up: waiting, pending and failed, at most over its streams.
    async fn delete_connector(
        &self,
        org: OrgId,
        id: ConnectorId,
        expected: Option<Revision>,
        audit: AuditEntry,
    ) -> Result<u64>;

    /// One connector.
    async fn connector(&self, org: OrgId, id: ConnectorId) -> Result<ConnectorRecord>;

    /// The org's connectors, by creation.
    async fn connectors(&self, org: OrgId) -> Result<Vec<ConnectorRecord>>;

    /// The streams of a connector, with their accounts, in the order of [`toktra_siem_core::connector::Settings::streams`].
    async fn connector_streams(&self, org: OrgId, id: ConnectorId) -> Result<Vec<StreamRecord>>;

    /// How far the org's slowest stream is behind: waiting, pending and failed events, at most over the streams of its active connectors.
    /// Zero where there are none, and for an org that does not exist. Cheap: it reads counters, never events.
    async fn backlog(&self, org: OrgId) -> Result<u64>;

    /// The org's API keys, by creation. Lists of an org that does not exist are `NotFound`.
    async fn keys(&self, org: OrgId) -> Result<Vec<ApiKeyRecord>>;

    /// Revokes a key of the org.
    async fn revoke_key(&self, org: OrgId, id: ApiKeyId, audit: AuditEntry) -> Result<()>;

    /// The compact record of an event, and its payload as long as that lives.
    async fn event(&self, org: OrgId, id: EventId) -> Result<(EventRecord, Option<bytes::Bytes>)>;

    /// What each stream of the org's present connectors did with an event: connectors by creation, streams in the platform's order.
    /// `NotFound` once its compact record is gone.
    async fn fates(&self, org: OrgId, id: EventId) -> Result<Vec<EventFate>>;

    /// The event of test deliveries of the org, and those deliveries by id: one for each stream that was tried. `NotFound` where there is
    /// none (any more).
    async fn test_event(&self, org: OrgId, id: EventId) -> Result<(TestEvent, Vec<Delivery>)>;

    /// Deliveries, newest first.
    async fn history(&self, org: OrgId, query: HistoryQuery) -> Result<Page<ListedDelivery>>;

    /// One delivery with its attempts.
    async fn delivery(&self, org: OrgId, id: DeliveryId) -> Result<DeliveryDetail>;

    /// The events of a delivery whose payloads live, in order; none of a test delivery, whose event is not in the log.
    async fn delivery_events(&self, org: OrgId, id: DeliveryId) -> Result<Vec<Arc<StoredEvent>>>;

    /// What `job`, if it were made now, would be about. Acceptance times become sequences without looking at what lies between, since
    /// acceptance never goes back within an org. A redelivery means the events of its delivery whose payload lives; a replay those in its
    /// range whose payload lives and that its filter matches; a redelivery of what failed, and a discard, those parked in its range, of
    /// either kind. `NotFound` where the connector or the delivery is not the org's.
    async fn job_scope(&self, org: OrgId, job: &Job) -> Result<Scope>;

    /// Stores a new job that has begun. `NotFound` where its connector is not the org's; `Conflict` where the id exists, or the connector has
    /// [`crate::jobs::OPEN_JOBS`] open ones.
    async fn create_job(&self, org: OrgId, change: Change<Job>) -> Result<Job>;

    /// One job.
    async fn job(&self, org: OrgId, id: JobId) -> Result<Job>;

    /// Jobs, newest first. Those that have ended are listed as long as the history lives.
    async fn jobs(&self, org: OrgId, query: JobQuery) -> Result<Page<Job>>;

    /// Cancels a job: it opens nothing more. One that has ended stays as it is, and no line is written to the audit log.
    async fn cancel_job(&self, org: OrgId, id: JobId, audit: AuditEntry) -> Result<Job>;

    /// The audit log, newest first. Changes of the org itself are in it; those of platform keys, and the removal of an org, are in no
    /// org's ([`crate::ConfigStore::platform_audit`]).
    async fn audit(&self, org: OrgId, query: AuditQuery) -> Result<Page<(u64, AuditEntry)>>;
}
