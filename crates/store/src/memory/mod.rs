//! The reference backend: what every backend must do, in the plainest code there is. Maps behind one lock, nothing on disk.
//!
//! Where the embedded backend keeps one row for a batch, this one writes down the fate of every single event for every stream. The
//! counters move by the deltas of the contract, the fates by what happened to each event, and [`crate::DeliveryStore::recount`] compares
//! the two: a caller whose numbers do not match what it did is found out. The dispatcher's tests run on it for the same reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{broadcast, watch};
use toktra_siem_core::delivery::{Attempt, Delivery};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::filter::{FilterRule, FilterTimeline, FilterVersion};
use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, JobId, NodeId, OrgId, RangeId, Seq, StreamId, UserId};
use toktra_siem_core::job::Job;
use toktra_siem_core::notice::Acknowledgement;
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::Traffic;
use uuid::Uuid;

use crate::Clock;
use crate::channels::ChannelRecord;
use crate::cluster::Told;
use crate::config::{ApiKeyRecord, AuditEntry, ConnectorRecord, OrgRecord};
use crate::deliveries::{Lease, StreamRecord, TestEvent};
use crate::error::{Result, StoreError};
use crate::events::EventRecord;
use crate::kept::Kept;
use crate::next::Offers;
use crate::people::{SessionRecord, UserRecord};

mod channels;
mod cluster;
mod config;
mod damage;
mod deliveries;
mod events;
mod expire;
mod insight;
mod jobs;
mod kept;
mod open;
mod org;
mod outages;
mod people;
mod save;
mod settle;
mod stream;
mod test_delivery;

pub use damage::Broken;
use stream::Stream;

/// A store in memory.
pub struct Memory {
    clock: Clock,
    state: Mutex<State>,
    offers: Offers,
    told: broadcast::Sender<Told>,
    /// A test has reads of events hang.
    hangs: watch::Sender<bool>,
}

impl Memory {
    /// An empty store that takes the time from `clock`.
    pub fn new(clock: Clock) -> Self {
        let (offers, hangs) = (Offers::default(), watch::Sender::new(false));
        Self { clock, state: Mutex::default(), offers, told: cluster::channel(), hangs }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Everything that is stored.
#[derive(Default)]
struct State {
    /// A test says that there is no room for settlements.
    full: bool,
    orgs: BTreeMap<OrgId, Org>,
    connectors: BTreeMap<ConnectorId, ConnectorRow>,
    streams: BTreeMap<StreamId, Stream>,
    deliveries: BTreeMap<DeliveryId, DeliveryRow>,
    jobs: BTreeMap<JobId, Job>,
    /// The event of each test delivery among them, and who makes the test.
    tests: BTreeMap<DeliveryId, (TestEvent, NodeId)>,
    /// Streams of deleted connectors: their history lives on.
    removed: Vec<Stream>,
    /// By stream and start of the bucket.
    traffic: BTreeMap<(StreamId, Timestamp), Traffic>,
    /// By creation.
    keys: Vec<ApiKeyRecord>,
    /// By creation.
    users: Vec<UserRecord>,
    sessions: Vec<SessionRecord>,
    /// Since the last session of each person was opened.
    failed_logins: BTreeMap<UserId, u64>,
    milestones: BTreeMap<&'static str, Timestamp>,
    /// By creation.
    channels: Vec<ChannelRecord>,
    /// In the order in which they were noted.
    notices: Vec<channels::Noted>,
    acknowledged: BTreeMap<ConnectorId, Acknowledgement>,
    /// Oldest first.
    kept: Vec<Kept>,
    /// Oldest first.
    audit: Vec<AuditRow>,
    nodes: cluster::Nodes,
    /// The last number given to something made: later ones are higher.
    serial: u64,
}

/// A tenant with its log.
struct Org {
    made: u64,
    record: OrgRecord,
    head: watch::Sender<Seq>,
    last_accepted: Timestamp,
    events: BTreeMap<Seq, EventRow>,
    by_id: BTreeMap<EventId, Seq>,
    /// Events that were found to be damaged, and when.
    damage: BTreeMap<Seq, Timestamp>,
}

/// An event: its compact record, and its payload until retention takes it.
struct EventRow {
    record: EventRecord,
    stored: Option<Arc<StoredEvent>>,
    /// What a test has damaged of it.
    broken: Option<Broken>,
}

struct ConnectorRow {
    made: u64,
    record: ConnectorRecord,
    versions: Vec<FilterVersion>,
}

struct DeliveryRow {
    delivery: Delivery,
    attempts: Vec<Attempt>,
}

struct AuditRow {
    number: u64,
    /// `None` for what concerns no present org.
    org: Option<OrgId>,
    entry: AuditEntry,
}

impl State {
    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn next_range_id(&mut self) -> RangeId {
        RangeId(Uuid::from_u64_pair(0, self.next_serial()))
    }

    fn log(&mut self, org: Option<OrgId>, entry: AuditEntry) {
        let number = self.next_serial();
        self.audit.push(AuditRow { number, org, entry });
    }

    fn org(&self, org: OrgId) -> Result<&Org> {
        self.orgs.get(&org).ok_or(StoreError::NotFound)
    }

    fn head(&self, org: OrgId) -> Seq {
        self.orgs.get(&org).map_or(Seq(0), Org::last)
    }

    /// The connector, where it is the org's.
    fn connector(&self, org: OrgId, id: ConnectorId) -> Result<&ConnectorRow> {
        self.connectors.get(&id).filter(|row| row.record.connector.org == org).ok_or(StoreError::NotFound)
    }

    /// Connectors by creation.
    fn connectors(&self) -> Vec<&ConnectorRow> {
        let mut rows: Vec<&ConnectorRow> = self.connectors.values().collect();
        rows.sort_by_key(|row| row.made);
        rows
    }

    fn timeline(&self, connector: ConnectorId) -> Result<FilterTimeline> {
        let row = self.connectors.get(&connector).ok_or(StoreError::NotFound)?;
        Ok(FilterTimeline::new(row.versions.clone()))
    }

    /// By which rule `stream` passes the event by, according to the version of the filter that was in force when it was accepted.
    fn refuses(&self, stream: StreamId, seq: Seq) -> Option<FilterRule> {
        let connector = self.connectors.get(&stream.connector)?;
        let event = self.orgs.get(&connector.record.connector.org)?.events.get(&seq).filter(|row| row.is_known())?;
        let timeline = FilterTimeline::new(connector.versions.clone());
        timeline.at(seq)?.refuses(stream.kind, event.record.event_type, event.record.severity)
    }

    fn stream(&self, id: StreamId) -> Result<&Stream> {
        self.streams.get(&id).ok_or(StoreError::NotFound)
    }

    /// The stream, where `lease` is its newest.
    fn leased(&mut self, lease: &Lease) -> Result<&mut Stream> {
        self.streams.get_mut(&lease.stream).filter(|stream| stream.epoch == lease.epoch).ok_or(StoreError::Fenced)
    }

    fn record(&self, stream: &Stream) -> StreamRecord {
        StreamRecord {
            id: stream.id,
            org: stream.org,
            starts_after: stream.starts_after,
            cursor: stream.cursor,
            last_window: stream.last_window,
            breaker: stream.breaker.clone(),
            outages: stream.outages.clone(),
            counts: stream.counts,
            head: self.head(stream.org),
            last_success: stream.last_success,
        }
    }
}
