//! What the cases share: a clock that they move, events and connectors made by number, and a dispatcher in small that keeps the books
//! as the real one has to.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::{Map, Value};
use toktra_siem_core::connector::{Compression, Connector, ManagedBy, Settings};
use toktra_siem_core::delivery::{Delivery, Trigger};
use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{
    ApiKeyId, ConnectorId, DeliveryId, EventId, JobId, OrgId, PlatformId, RangeId, Revision, Seq, StreamId, StreamKind,
    UserId,
};
use toktra_siem_core::job::{Job, JobKind, JobState};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

use super::{Damages, Fixture, Owner};
use crate::{
    Actor, ActorKind, Appended, AuditEntry, Broken, Change, Clock, ConnectorRecord, ConnectorSave, HistoryQuery,
    OrgRecord, Resume, Saved, Store, StoreError, StreamRecord,
};

/// Asserts that a call was refused with this kind of error.
macro_rules! refused {
    ($result:expr, $pattern:pat) => {{
        let result = $result;
        assert!(matches!(&result, Err($pattern)), "expected a refusal as {}: {result:?}", stringify!($pattern));
    }};
}
pub(super) use refused;

/// A store with an org in it, and a clock.
pub struct World {
    /// The store under test.
    pub store: Arc<dyn Store>,
    /// The default org, which is there from the start.
    pub org: OrgId,
    /// Takes streams over.
    pub owner: Owner,
    now: Arc<AtomicI64>,
    made: AtomicU64,
    damages: Option<Damages>,
    _keep: Box<dyn Any>,
}

/// When the clock of a world starts: 2026-01-01.
pub const START: Timestamp = Timestamp(1_767_225_600_000);

impl World {
    /// A world whose store is made by `make`.
    pub async fn new(make: impl FnOnce(Clock) -> Fixture) -> Self {
        let now = Arc::new(AtomicI64::new(START.0));
        let clock = Arc::clone(&now);
        let Fixture { store, damages, keep } = make(Arc::new(move || Timestamp(clock.load(Ordering::SeqCst))));
        let org = OrgId(Uuid::from_u64_pair(1, 0));
        let world = Self { store, org, owner: Owner::default(), now, made: AtomicU64::new(0), damages, _keep: keep };
        world.make_org(org, true).await;
        world
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    /// Moves the clock, also backwards.
    pub fn pass(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    fn uuid(&self, kind: u64) -> Uuid {
        Uuid::from_u64_pair(kind, self.made.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Damages a stored event of the default org.
    pub fn damage(&self, seq: u64, broken: Broken) {
        self.damages.as_ref().expect("a fixture that can damage events")(self.org, Seq(seq), broken);
    }

    /// A new org.
    pub async fn other_org(&self) -> OrgId {
        let org = OrgId(self.uuid(1));
        self.make_org(org, false).await;
        org
    }

    async fn make_org(&self, id: OrgId, is_default: bool) {
        let value = OrgRecord { id, name: id.to_string(), is_default, created_at: self.now() };
        self.store.create_org(Change { value, audit: self.audit("org.create", &id) }).await.unwrap();
    }

    /// An unused delivery id; each is higher than the one before.
    pub fn delivery_id(&self) -> DeliveryId {
        DeliveryId(self.uuid(2))
    }

    /// An unused range id.
    pub fn range_id(&self) -> RangeId {
        RangeId(self.uuid(3))
    }

    /// An unused key id.
    pub fn key_id(&self) -> ApiKeyId {
        ApiKeyId(self.uuid(4))
    }

    /// An unused user id.
    pub fn user_id(&self) -> UserId {
        UserId(self.uuid(8))
    }

    /// A job that has not begun yet: for a stream, or for a whole connector where it gives up what is parked.
    pub fn job(&self, kind: JobKind, stream: StreamId) -> Job {
        let stream_kind = (kind != JobKind::Discard).then_some(stream.kind);
        let id = JobId(self.uuid(7));
        let job = Job::new(id, self.org, stream.connector, kind, "somebody".into(), self.now());
        Job { stream: stream_kind, ..job }
    }

    /// Finds out what the job is about, and stores it.
    pub async fn begin(&self, mut job: Job) -> Job {
        let scope = self.store.job_scope(self.org, &job).await.unwrap();
        job.begin(scope, self.now());
        self.store.create_job(self.org, self.change(job)).await.unwrap()
    }

    /// The job as it stands, after checking that its numbers fit each other and its open deliveries.
    pub async fn job_now(&self, id: JobId) -> Job {
        let job = self.store.job(self.org, id).await.unwrap();
        assert!(job.processed() + job.pending <= job.total, "{job:?}");
        let query = HistoryQuery { job: Some(id), limit: 1000, ..HistoryQuery::default() };
        let made: Vec<Delivery> =
            self.store.history(self.org, query).await.unwrap().items.into_iter().map(|item| item.delivery).collect();
        let open: u64 = made.iter().filter(|d| d.settled_at.is_none()).map(Delivery::events).sum();
        assert_eq!(job.pending, open, "{job:?}: {made:?}");
        let over = job.cursor >= job.last && job.pending == 0;
        assert!(job.state == JobState::Cancelled || (job.state == JobState::Done) == over, "{job:?}");
        assert_eq!(job.finished_at.is_some(), job.state != JobState::Open, "{job:?}");
        assert!(job.state != JobState::Done || job.processed() == job.total, "{job:?}");
        job
    }

    /// A line of the audit log.
    pub fn audit(&self, action: &str, object: &impl ToString) -> AuditEntry {
        let (actor, detail) = (self.actor("somebody"), serde_json::json!({ "name": "a" }));
        AuditEntry { at: self.now(), actor, action: action.to_owned(), object: object.to_string(), detail }
    }

    /// The holder of an API key.
    pub fn actor(&self, name: &str) -> Actor {
        Actor { kind: ActorKind::ApiKey, name: name.to_owned(), id: Some(Uuid::from_u128(77)) }
    }

    /// A change with its line of the audit log.
    pub fn change<T>(&self, value: T) -> Change<T> {
        Change { value, audit: self.audit("test.change", &"it") }
    }

    /// A new event of the default org.
    pub fn event(&self) -> NewEvent {
        self.event_of(self.org, EventType::Anomaly, Severity::High)
    }

    /// A new event.
    pub fn event_of(&self, org: OrgId, event_type: EventType, severity: Severity) -> NewEvent {
        let event_id = EventId(self.uuid(5));
        let payload = format!(r#"{{"event_id":"{event_id}","event_type":"{event_type}","severity":"{severity}"}}"#);
        NewEvent {
            org,
            event_id,
            made: false,
            event_type,
            severity,
            event_time: self.now(),
            payload: Bytes::from(payload),
            sent: SentFields(u32::MAX),
        }
    }

    /// Appends `n` new events of the default org and gives their ids.
    pub async fn append(&self, n: usize) -> Vec<EventId> {
        self.append_all((0..n).map(|_| self.event()).collect()).await
    }

    /// Appends new events of the default org, by severity.
    pub async fn append_severities(&self, severities: &[Severity]) -> Vec<EventId> {
        self.append_all(severities.iter().map(|s| self.event_of(self.org, EventType::Anomaly, *s)).collect()).await
    }

    /// Appends new events, all of which must be accepted.
    pub async fn append_all(&self, events: Vec<NewEvent>) -> Vec<EventId> {
        let ids = events.iter().map(|event| event.event_id).collect();
        let appended = self.store.append(events).await.unwrap();
        assert!(appended.iter().all(|a| matches!(a, Appended::Accepted(_))), "{appended:?}");
        ids
    }

    /// A connector that is not stored yet.
    pub fn draft(&self, settings: Settings, active: bool) -> Connector {
        let id = ConnectorId(self.uuid(6));
        Connector {
            id,
            org: self.org,
            name: format!("connector {id}"),
            settings,
            filter: Filter::default(),
            active,
            activated: false,
            managed_by: ManagedBy::Api,
            revision: Revision(77),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        }
    }

    /// Stores a new connector of the default org.
    pub async fn create(&self, connector: Connector) -> Connector {
        let value = ConnectorRecord { connector, secrets: vec![], rotation: None };
        let org = value.connector.org;
        self.store.create_connector(org, self.change(value)).await.unwrap().connector
    }

    /// An active Splunk connector with this filter.
    pub async fn splunk(&self, filter: Filter) -> Connector {
        self.create(Connector { filter, ..self.draft(splunk(), true) }).await
    }

    /// An active Splunk connector that forwards everything; its stream.
    pub async fn stream(&self) -> StreamId {
        stream_of(&self.splunk(Filter::default()).await, StreamKind::Events)
    }

    /// Saves a connector as it is given.
    pub async fn save(&self, connector: Connector, resume: Resume) -> Saved {
        let org = connector.org;
        self.store.save_connector(org, self.change(keep(connector, resume))).await.unwrap()
    }

    /// Saves a connector with another filter.
    pub async fn save_filter(&self, connector: &Connector, filter: Filter) -> Connector {
        self.save(Connector { filter, ..connector.clone() }, Resume::Backlog).await.connector
    }

    /// The stream as it stands, after checking that its account adds up, that a recount finds the same, and that what waits has an oldest.
    pub async fn checked(&self, stream: StreamId) -> StreamRecord {
        let record = self.store.stream(stream).await.unwrap();
        assert!(record.accounting().adds_up(), "D1: {record:?}");
        assert_eq!(self.store.recount(stream).await.unwrap(), record.counts, "the recount finds something else");
        let oldest = self.store.oldest_undelivered(vec![stream]).await.unwrap();
        assert_eq!(oldest.is_empty(), record.undelivered() == 0, "{record:?}");
        record
    }

    /// A new delivery of `members`.
    pub fn delivery(&self, stream: StreamId, trigger: Trigger, members: Members) -> Delivery {
        Delivery::new(self.delivery_id(), self.org, stream, trigger, members, self.now())
    }

    /// The sequence of an event of the default org.
    pub async fn seq(&self, id: EventId) -> Seq {
        self.store.event(self.org, id).await.unwrap().0.seq
    }
}

/// A save that keeps the secrets, whatever the revision is.
pub fn keep(connector: Connector, resume: Resume) -> ConnectorSave {
    ConnectorSave { connector, expected: None, secrets: None, rotation: None, resume }
}

/// A platform with one stream. The store knows of no platform what it is.
pub const SPLUNK: PlatformId = PlatformId::fixed("splunk");
/// A platform with two streams.
pub const DATADOG: PlatformId = PlatformId::fixed("datadog");

/// Settings of a connector with one stream.
pub fn splunk() -> Settings {
    settings(SPLUNK, &[StreamKind::Events], Map::new())
}

/// Settings of a connector with logs and metrics.
pub fn datadog(send_metrics: bool) -> Settings {
    let config = [("send_metrics".to_owned(), send_metrics.into())];
    settings(DATADOG, &[StreamKind::Logs, StreamKind::Metrics], config.into_iter().collect())
}

fn settings(platform: PlatformId, streams: &[StreamKind], config: Map<String, Value>) -> Settings {
    let streams = streams.to_vec();
    Settings { platform, streams, compression: Compression::None, max_in_flight: 4, config }
}

/// A stream of a connector.
pub fn stream_of(connector: &Connector, kind: StreamKind) -> StreamId {
    StreamId { connector: connector.id, kind }
}

/// A filter by severity.
pub fn only(severities: &[Severity]) -> Filter {
    Filter { severity: severities.to_vec(), event_types: vec![] }
}

/// Consecutive members.
pub fn run(first: u64, last: u64) -> Members {
    Members::from_ascending((first..=last).map(Seq))
}

/// The name of an error, for comparing refusals of different backends.
pub fn kind(error: &StoreError) -> &'static str {
    match error {
        StoreError::Busy => "busy",
        StoreError::Full => "full",
        StoreError::Fenced => "fenced",
        StoreError::Stale => "stale",
        StoreError::Conflict(_) => "conflict",
        StoreError::NotFound => "not found",
        StoreError::Unaccounted(_) => "unaccounted",
        StoreError::Damaged(_) => "damaged",
        StoreError::Unusable(_) => "unusable",
        StoreError::Unavailable { .. } => "unavailable",
        StoreError::TooMany(_) => "too many",
    }
}
