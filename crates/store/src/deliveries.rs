//! Deliveries: pinning a batch, recording what became of it, and the state of each stream.
//!
//! The calls take decisions that were made elsewhere ([`toktra_siem_core::delivery::step`], [`toktra_siem_core::breaker`]) and apply
//! them in one transaction; what they check is that nothing is lost on the way.

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use toktra_siem_core::accounting::{Accounting, Counts};
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Attempt, Delivery, ParkKind, Parked, Status, Trigger};
use toktra_siem_core::ids::{DeliveryId, EventId, NodeId, OrgId, PlatformId, RangeId, Revision, Seq, StreamId};
use toktra_siem_core::members::Members;
use toktra_siem_core::outage::Outage;
use toktra_siem_core::time::Timestamp;

use crate::config::Change;
use crate::error::Result;
use crate::insight::TrafficRow;
use crate::jobs::JobStep;
use crate::next::Offer;

/// The right to write for a stream. A newer lease fences the older: trivial with one process, essential once several share a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The stream.
    pub stream: StreamId,
    /// Grows with each claim ([`crate::Cluster::claim`]), with each save of the connector, and when the stream is deleted. So an owner that has
    /// not heard of a save yet writes nothing over what it did.
    pub epoch: u64,
}

/// A stream as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// Which.
    pub id: StreamId,
    /// The tenant.
    pub org: OrgId,
    /// The org's head when the stream was made: it accounts for the events after it.
    pub starts_after: Seq,
    /// Up to where events were taken into deliveries, or passed by.
    pub cursor: Seq,
    /// The start of the newest window that was pinned from the live cursor (metrics only): the next one is later.
    pub last_window: Option<Timestamp>,
    /// Its breaker.
    pub breaker: Breaker,
    /// Its outages of which something is still to be told, oldest first; the last may go on.
    pub outages: Vec<Outage>,
    /// Where the events up to the cursor are.
    pub counts: Counts,
    /// The org's head.
    pub head: Seq,
    /// The newest time at which a delivery, of whatever trigger, was settled with something delivered. Never goes back.
    pub last_success: Option<Timestamp>,
}

impl StreamRecord {
    /// The whole account of the stream.
    pub fn accounting(&self) -> Accounting {
        Accounting {
            accepted: self.starts_after.until(self.head),
            waiting: self.cursor.until(self.head),
            counts: self.counts,
        }
    }

    /// Events that wait ([`Accounting::undelivered`]).
    pub fn undelivered(&self) -> u64 {
        self.accounting().undelivered()
    }
}

/// A stream among all others, for whoever watches the whole service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOverview {
    /// The stream as it is stored.
    pub record: StreamRecord,
    /// Whose platform it feeds.
    pub platform: PlatformId,
    /// Whether it sends at present: its connector is on, and metrics are not switched off.
    pub active: bool,
}

impl StreamOverview {
    /// The overview of a stream of `connector`.
    pub fn new(connector: &Connector, record: StreamRecord) -> Self {
        let active = connector.active && connector.settings.sends(record.id.kind);
        Self { record, platform: connector.settings.platform, active }
    }
}

/// Events set apart from the live flow, with a cursor of their own. All of them are counted as pending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BacklogRange {
    /// Which.
    pub id: RangeId,
    /// Up to where they were taken into deliveries, or passed by.
    pub cursor: Seq,
    /// The last of them.
    pub to: Seq,
    /// The trigger of the deliveries made from it.
    pub trigger: Trigger,
    /// When it was made.
    pub since: Timestamp,
}

/// Events that a move of a cursor passes without taking them into a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// By the filter in force at their sequence.
    pub filtered: u64,
    /// Too old for the platform (metrics after an hour), or their payload is gone or damaged: the caller cannot tell, and need not. Those that
    /// the store knows to be damaged are counted as such.
    pub expired: u64,
}

impl Passed {
    /// Where the passed events are counted. `unread`: those that the store knows to be damaged are among them, so that the caller could not ask
    /// its filter about all of them.
    pub fn counts(self, unread: Option<Unread>) -> Counts {
        let all = self.filtered + self.expired;
        let Unread { damaged, refused } = unread.unwrap_or(Unread { damaged: 0, refused: self.filtered });
        let damaged = damaged.min(all);
        let filtered = refused.min(all - damaged);
        let count = |events| i64::try_from(events).unwrap_or(i64::MAX);
        Counts {
            filtered: count(filtered),
            damaged: count(damaged),
            expired: count(all - damaged - filtered),
            ..Counts::default()
        }
    }
}

/// What the store knows of the events that a move passes, where it knows some of them to be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// Those known to be damaged that the filter of their time does not refuse.
    pub damaged: u64,
    /// All that the filter of their time refuses.
    pub refused: u64,
}

/// Where the events of an [`Open`] come from, and how far the cursor there moves.
///
/// The store refuses as `Unaccounted` a move that does not account for every sequence: `to - from` = filtered + expired + events of the
/// new deliveries, none of them past the head (or the end of the range), each in one delivery at most and among those that the cursor
/// passes, deliveries not interleaved (invariant D3). New deliveries are pending, belong to the stream and are accounted, but for [`Taken::Beside`], where they are
/// not; beside a job's deliveries of parked events there may be others of the job that are not. A window's members are all the events that were read for it, in the account stands what its tally counts; those that the
/// filter passed by are in `filtered`, and those that could not be read are no members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// From the live cursor. A window that does not start after the stream's last one is a `Conflict`.
    Live {
        /// Where the cursor stands (compare and set).
        from: Seq,
        /// Where it goes.
        to: Seq,
        /// What it passes.
        passed: Passed,
        /// The newest filter revision that the caller applied; refused as `Stale` where a newer one holds for a sequence up to `to`.
        revision: Revision,
    },
    /// From a backlog range; it is removed once its cursor reaches its end, and then no more than a `Conflict`.
    Range {
        /// Which.
        id: RangeId,
        /// Where its cursor stands (compare and set).
        from: Seq,
        /// Where it goes.
        to: Seq,
        /// What it passes.
        passed: Passed,
    },
    /// Parked events of either kind (for metrics: a parked window, by its first sequence): they move from failed or rejected to pending,
    /// into deliveries that hold exactly them. `Conflict` where one is not parked any more, or on its way already.
    Parked(Members),
    /// None of the stream's own: replays, redeliveries of what was delivered before. No count moves.
    Beside,
}

/// Pins batches and moves a cursor, in one transaction. A request leaves only after its `open` has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The new deliveries, pending. May be empty where the filter passed everything by (then it is a plain advance).
    pub deliveries: Vec<Delivery>,
    /// Where their events come from.
    pub taken: Taken,
    /// The job that they are made for, whose cursor moves in the same transaction. Deliveries of no job have none.
    pub job: Option<JobStep>,
}

/// The end of an attempt: the attempt and the delivery's state are written together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The delivery as it is now.
    pub delivery: Delivery,
    /// The recorded attempts that it had before (compare and set, together with being pending).
    pub expected_attempts: u32,
    /// The attempt, where one was made.
    pub attempt: Option<Attempt>,
    /// Deliveries that go on with the rest: pending, with this one as their parent, of the same job, and accounted as it is.
    pub children: Vec<Delivery>,
    /// Events that are kept from now on; one that was parked before is replaced. Left out where the delivery is not accounted.
    pub parked: Vec<Parked>,
    /// Events that have arrived; those that were parked are so no more, and their fate links to this delivery. Left out where the
    /// delivery is not accounted.
    pub arrived: Members,
    /// How the stream's counts move, apart from `held`. Zero where the delivery is not accounted or stays pending.
    pub counts: Counts,
    /// The breaker, where it changed. Left out where the lease is not the newest: a former owner does not know what the newest learned.
    pub breaker: Option<Breaker>,
    /// Rejected events that are held instead: parked as failed, their outcome returns from rejected to failed. Applied after `parked`,
    /// so that the last suspect may be this delivery's own. Those that are not parked as rejected, or are on their way, are passed over:
    /// only the store knows which, so it moves their counts itself.
    pub held: Vec<Seq>,
}

impl Settlement {
    /// Whether it may be written a moment later: all went as it should, nothing follows from it, and nobody waits for the record.
    pub fn may_be_late(&self) -> bool {
        let settled = self.delivery.status == Status::Delivered && self.children.is_empty();
        settled && self.parked.is_empty() && self.breaker.is_none() && self.held.is_empty()
    }
}

/// The synthetic event of a test delivery: of type `test_connection`, or a sample of another type. It is not in the log and has no sequence;
/// it lives and goes with its delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestEvent {
    /// Its id.
    pub event_id: EventId,
    /// Its own time.
    pub event_time: Timestamp,
    /// Its stored form.
    pub payload: Bytes,
}

/// Test deliveries that are about to be sent: one event, a delivery for each stream that is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOpen {
    /// What is sent.
    pub event: TestEvent,
    /// Pending, with the trigger `test`, without members and not accounted; all of one connector. Empty where the test is not to stand in
    /// the history (settings that are not saved): then only the line of the audit log is written.
    pub deliveries: Vec<Delivery>,
    /// The node that makes the test: once it is dead, nobody ends it.
    pub node: NodeId,
}

/// The end of a test delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestSettlement {
    /// The delivery as it is now; settled.
    pub delivery: Delivery,
    /// The one attempt, where one was made.
    pub attempt: Option<Attempt>,
    /// The id of the backlog range, where one is made.
    pub range: RangeId,
}

/// Cursors, deliveries, attempts, parked events, breakers and counts.
#[async_trait]
pub trait DeliveryStore: Send + Sync {
    /// The newest lease of a stream that `node` has claimed, and the stream as it stands. `NotFound` where there is no such stream, `Fenced`
    /// where it is not the node's, or the node is dead. A stream that was switched off is its owner's until that releases it.
    async fn lease(&self, node: NodeId, stream: StreamId) -> Result<(Lease, StreamRecord)>;

    /// Pins batches and moves the cursor they come from. Refused, in this order, as `Fenced`; `Conflict` (the job, cursor, range, window or
    /// parked event is not as expected, or the job has ended); `Stale`; `Unaccounted`; `Conflict` (a delivery with this id exists).
    async fn open(&self, lease: &Lease, open: Open) -> Result<()>;

    /// Has the next events of the org pinned in the transaction that accepts them. The offer is used up by that transaction, whatever comes of it,
    /// and is dropped at once where the org has events after its cursor already. One for each stream: a newer replaces the earlier. A backend that
    /// drops every offer is right, and slower.
    fn offer(&self, offer: Offer);

    /// Takes an offer of a stream back. False where there is none any more: then its end was told, or is about to be.
    fn withdraw(&self, org: OrgId, stream: StreamId) -> bool;

    /// Records an attempt. `NotFound` where the stream has no such delivery; `Conflict` where it is settled already or has another
    /// number of attempts; then nothing changes. Not fenced: what a former owner learns of its last request is still true, and compare
    /// and set decides.
    ///
    /// Of the delivery only the state is written (attempts, status, due, awaiting, settled, delivered, rejected, cause): what was pinned
    /// stays. `Unaccounted` where an event is lost or invented (invariant D1): once an accounted delivery is settled, its events are
    /// the delivered, the parked (rejected or failed), the expired and those of its children, whose members are distinct and its own;
    /// the counts say the same and sum to zero; and the attempts are those before plus the recorded one.
    ///
    /// What it parks as rejected because it is damaged ([`toktra_siem_core::cause::Cause::is_damage`]) is not parked but counted as damaged,
    /// and so is what expires with it and is known to be damaged, unless it is a window.
    async fn settle(&self, lease: &Lease, settlement: Settlement) -> Result<()>;

    /// Stores the breaker outside of a settlement (a saved change of settings, a successful test).
    async fn set_breaker(&self, lease: &Lease, breaker: Breaker) -> Result<()>;

    /// Turns what lies between cursor and head into a backlog range, moves the cursor to the head and stores the breaker; the new
    /// range, where there was anything. Windows go in their order: for metrics the breaker is stored and the cursor stays.
    async fn recover(
        &self,
        lease: &Lease,
        range: RangeId,
        trigger: Trigger,
        breaker: Breaker,
        now: Timestamp,
    ) -> Result<Option<BacklogRange>>;

    /// Keeps that the first `told` alerts of the outage that began at `since` were told, and forgets it once it is over and all was told. Every
    /// write of a breaker brings the outages up to date in its transaction ([`toktra_siem_core::outage::follow`]).
    async fn tell_outage(&self, stream: StreamId, since: Timestamp, told: usize) -> Result<()>;

    /// The stream as it stands.
    async fn stream(&self, stream: StreamId) -> Result<StreamRecord>;

    /// Every stream of every connector, by id. Cheap: it reads counters, never events.
    async fn overview(&self) -> Result<Vec<StreamOverview>>;

    /// Of each of these streams, when the oldest event that waits there ([`Accounting::undelivered`]) was accepted: behind the cursor, in a
    /// backlog range, in an open delivery that is accounted, or parked as failed. In the order asked for; streams without one, or that do
    /// not exist, are left out.
    async fn oldest_undelivered(&self, streams: Vec<StreamId>) -> Result<Vec<(StreamId, Timestamp)>>;

    /// Its pending deliveries, oldest (by id) first, but for test deliveries: those are nobody's work but of whoever opened them. Empty
    /// where there is no such stream.
    async fn pending(&self, stream: StreamId) -> Result<Vec<Delivery>>;

    /// Its backlog ranges, oldest first.
    async fn ranges(&self, stream: StreamId) -> Result<Vec<BacklogRange>>;

    /// Its parked events (or windows) of one kind that are not on their way in a delivery, after `after`, ascending, at most `limit`.
    async fn parked(&self, stream: StreamId, kind: ParkKind, after: Seq, limit: usize) -> Result<Vec<Parked>>;

    /// Counts parked windows or events, of either kind, as expired: they will not be sent any more. Those that are on their way or gone
    /// are passed over. Fenced.
    async fn expire_parked(&self, lease: &Lease, seqs: Vec<Seq>, now: Timestamp) -> Result<()>;

    /// A delivery without its org, for the dispatcher (to send a parked window again).
    async fn delivery_record(&self, id: DeliveryId) -> Result<Option<Delivery>>;

    /// Pins test deliveries, beside the streams and their owners: no lease, no cursor and no count is touched. Refused, in this order, as
    /// `NotFound` (the org has no such stream), `Unaccounted` (a delivery is no pending test), `Conflict` (a delivery with this id
    /// exists); then nothing is written, the audit log neither.
    async fn open_tests(&self, org: OrgId, change: Change<TestOpen>) -> Result<()>;

    /// Records the end of a test delivery, and whether that closed the stream's breaker. A success does, in the same transaction and
    /// with what a save does: where the connector is active, what waits becomes a backlog range (trigger `recovery`). `NotFound` where
    /// the stream has no such test; `Conflict` where it is settled already; `Unaccounted` where the delivery is not settled, or its
    /// attempts are not those that are recorded.
    async fn settle_test(&self, settlement: TestSettlement) -> Result<bool>;

    /// Settles as failed (cause `interrupted`) every test delivery that a node left pending which is dead, or of which nothing is known; how
    /// many.
    async fn interrupt_tests(&self) -> Result<u64>;

    /// Counts the outcomes anew from the rows, for checking the counters (invariant D1). What retention removed from the history counts
    /// as it last stood.
    async fn recount(&self, stream: StreamId) -> Result<Counts>;

    /// Adds to what flowed; the highest lag counts. Rows of streams that are gone are passed over. Kept as long as payloads, and at most
    /// 30 days: [`crate::EventLog::expire`].
    async fn add_traffic(&self, rows: Vec<TrafficRow>) -> Result<()>;
}
