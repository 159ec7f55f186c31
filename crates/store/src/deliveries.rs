//! Deliveries: pinning a batch, recording what became of it, and the state of each stream.
//!
//! The calls take decisions that were made elsewhere ([`toktra_siem_core::delivery::step`], [`toktra_siem_core::breaker`]) and apply
//! them in one transaction; what they check is that nothing is lost on the way.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use toktra_siem_core::accounting::{Accounting, Counts};
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::delivery::{Attempt, Delivery, ParkKind, Parked, Trigger};
use toktra_siem_core::ids::{DeliveryId, OrgId, RangeId, Revision, Seq, StreamId};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;

use crate::error::Result;

/// The right to write for a stream. A newer lease fences the older: trivial with one process, essential once several share a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The stream.
    pub stream: StreamId,
    /// Grows with each [`DeliveryStore::lease`], and when the stream is deleted.
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
    /// The start of the newest window that was pinned (metrics only): the next one is later.
    pub last_window: Option<Timestamp>,
    /// Its breaker.
    pub breaker: Breaker,
    /// Where the events up to the cursor are.
    pub counts: Counts,
    /// The org's head.
    pub head: Seq,
    /// When a delivery last delivered something.
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
    /// Too old for the platform (metrics after an hour), or their payload is gone.
    pub expired: u64,
}

/// Where the events of an [`Open`] come from, and how far the cursor there moves.
///
/// The store refuses a move that does not account for every sequence (`to - from` = filtered + expired + events of the new deliveries):
/// invariant D3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// From the live cursor.
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
    /// From a backlog range; it is removed once its cursor reaches its end.
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
    /// Parked events (for metrics: a parked window, by its first sequence): they move from failed or rejected to pending.
    Parked(Members),
    /// None of the stream's own: tests, replays, redeliveries of what was delivered before. No count moves.
    Beside,
}

/// Pins batches and moves a cursor, in one transaction. A request leaves only after its `open` has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The new deliveries, pending. May be empty where the filter passed everything by (then it is a plain advance).
    pub deliveries: Vec<Delivery>,
    /// Where their events come from.
    pub taken: Taken,
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
    /// Deliveries that go on with the rest.
    pub children: Vec<Delivery>,
    /// Events that are kept from now on.
    pub parked: Vec<Parked>,
    /// Formerly parked events that have arrived; their parked rows then link to this delivery.
    pub arrived: Members,
    /// How the stream's counts move.
    pub counts: Counts,
    /// The breaker, where it changed.
    pub breaker: Option<Breaker>,
    /// Rejected events that are held instead: parked as failed, their outcome returns from rejected to failed. Those that are not
    /// parked as rejected any more are passed over.
    pub held: Vec<Seq>,
}

/// Cursors, deliveries, attempts, parked events, breakers and counts.
#[async_trait]
pub trait DeliveryStore: Send + Sync {
    /// Takes the stream over: the newest lease, and the stream as it stands.
    async fn lease(&self, stream: StreamId) -> Result<(Lease, StreamRecord)>;

    /// Pins batches and moves the cursor they come from.
    async fn open(&self, lease: &Lease, open: Open) -> Result<()>;

    /// Records an attempt. `Conflict` where the delivery is settled already or has another number of attempts; then nothing changes.
    /// Not fenced: what a former owner learns of its last request is still true, and compare and set decides.
    async fn settle(&self, lease: &Lease, settlement: Settlement) -> Result<()>;

    /// Stores the breaker outside of a settlement (a saved change of settings, a successful test).
    async fn set_breaker(&self, lease: &Lease, breaker: Breaker) -> Result<()>;

    /// Turns what lies between cursor and head into a backlog range, moves the cursor to the head and stores the closed breaker; the
    /// new range, where there was anything.
    async fn recover(
        &self,
        lease: &Lease,
        range: RangeId,
        trigger: Trigger,
        breaker: Breaker,
        now: Timestamp,
    ) -> Result<Option<BacklogRange>>;

    /// The stream as it stands.
    async fn stream(&self, stream: StreamId) -> Result<StreamRecord>;

    /// Its pending deliveries, oldest first.
    async fn pending(&self, stream: StreamId) -> Result<Vec<Delivery>>;

    /// Its backlog ranges, oldest first.
    async fn ranges(&self, stream: StreamId) -> Result<Vec<BacklogRange>>;

    /// Its parked events of one kind that are not on their way in a delivery, after `after`, ascending, at most `limit`.
    async fn parked(&self, stream: StreamId, kind: ParkKind, after: Seq, limit: usize) -> Result<Vec<Parked>>;

    /// Counts a parked window or event as expired: it will not be sent any more. Passed over where it is on its way or gone.
    async fn expire_parked(&self, lease: &Lease, seqs: Vec<Seq>, now: Timestamp) -> Result<()>;

    /// A delivery without its org, for the dispatcher (to send a parked window again).
    async fn delivery_record(&self, id: DeliveryId) -> Result<Option<Delivery>>;

    /// Counts the outcomes anew from the rows, for checking the counters (invariant D1).
    async fn recount(&self, stream: StreamId) -> Result<Counts>;
}
