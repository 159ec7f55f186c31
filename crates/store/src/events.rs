//! The event log: append, and read by cursor.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use toktra_siem_core::event::{EventType, NewEvent, Severity, StoredEvent};
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;

use crate::error::Result;

/// What became of one event of an [`EventLog::append`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is on disk under this sequence.
    Accepted(Seq),
    /// The org already has an event with this id, and that one is on disk.
    Duplicate {
        /// The original's sequence.
        seq: Seq,
        /// A field that the producer sent is another than in the original.
        differs: bool,
    },
}

/// How much to read at once.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    /// Events at most.
    pub events: usize,
    /// Payload bytes at most; at least one event is read however large it is.
    pub bytes: usize,
}

/// The compact record of an event, which outlives its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRecord {
    /// Its dense number within the org.
    pub seq: Seq,
    /// Its id.
    pub event_id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// How serious.
    pub severity: Severity,
    /// The event's own time.
    pub event_time: Timestamp,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

impl EventRecord {
    /// The event of this record, with its payload.
    pub fn with_payload(self, org: OrgId, payload: Bytes) -> StoredEvent {
        let Self { seq, event_id, event_type, severity, event_time, accepted_at } = self;
        StoredEvent { org, seq, event_id, event_type, severity, event_time, accepted_at, payload }
    }
}

/// A stored event whose bytes do not match their checksum any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Its sequence: all that is certain of it.
    pub seq: Seq,
    /// Its id, where its compact record can be read.
    pub event_id: Option<EventId>,
    /// When that was found out.
    pub found_at: Timestamp,
}

/// What a run of [`EventLog::expire`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Payloads that were removed because of their age.
    pub payloads: u64,
    /// Payloads that were removed before their time, to make room under the disk budget. No stream had anything left to do with them.
    pub evicted: u64,
    /// Outcomes that were moved to `expired`, over all streams, before their payload went.
    pub undelivered: u64,
    /// Compact records that were removed.
    pub records: u64,
    /// Settled deliveries that were removed.
    pub deliveries: u64,
    /// Buckets of traffic that were removed.
    pub traffic: u64,
    /// Whether there is more to do at once: each call does a bounded piece of work, so that the writer is never held for long.
    pub more: bool,
}

/// What is removed by age.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Payloads accepted before this are removed; what is undelivered then becomes `expired`.
    pub payloads_before: Timestamp,
    /// Compact records, settled deliveries and ended jobs from before this are removed.
    pub history_before: Timestamp,
}

/// The events of each org, in dense sequence.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends `events`, which may belong to several orgs, in order. `Ok` means that they are on disk. What is refused is refused as a whole,
    /// before anything is stored; after `Unavailable` nobody knows, and of a large call there may be a part. A duplicate within the call is
    /// found too. The writer gives the acceptance time ([`crate::rules::time::accepted_at`]), and the sequence,
    /// which is never given again. A duplicate is found at least as long as the original's payload lives; where that is gone, `differs`
    /// is false. `NotFound` where one of the orgs does not exist.
    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>>;

    /// The events of `org` after `after`, ascending, without gaps. Events whose payload is gone are skipped (their outcome was settled
    /// before it went), and so are damaged ones, however many lie one after the other: nothing is read only if nothing readable follows.
    ///
    /// An event is damaged if its stored bytes do not match their checksum. Whatever read meets one (this method, the next, or one that
    /// shows payloads to people) leaves its payload out, and has noted it when it returns: once for each event, with a line in the log.
    /// With the note every stream in which the event is parked, as failed or as rejected, counts it as damaged, unless it is a window of
    /// metrics, which is sent by its tally. Any other stream does when it accounts for it: see [`crate::Passed`] and
    /// [`crate::DeliveryStore::settle`]. What was delivered before stays delivered.
    async fn read(&self, org: OrgId, after: Seq, limit: ReadLimit) -> Result<Vec<Arc<StoredEvent>>>;

    /// The events with these sequences, in order; those whose payload is gone or damaged are missing.
    async fn read_members(&self, org: OrgId, members: &Members) -> Result<Vec<Arc<StoredEvent>>>;

    /// Those of these events that are known to be damaged, ascending. The notes go with the compact records.
    async fn damaged(&self, org: OrgId, members: &Members) -> Result<Vec<Damage>>;

    /// The org's head: the highest sequence that is on disk. The receiver is told after each commit: a hint, work is derived from what
    /// is stored.
    async fn head(&self, org: OrgId) -> Result<watch::Receiver<Seq>>;

    /// Does a bounded piece of retention, oldest first. Before a payload goes, its event is accounted for in every stream: behind the
    /// cursor or in a backlog range it becomes filtered, where the filter of its time says so, else damaged if it is known to be so, else expired (and the cursor moves
    /// past it); parked, as failed or as rejected, it becomes expired (a window as a whole); any other outcome stays.
    ///
    /// Where an open delivery, accounted or not, is in flight, its payloads and all that came later are left until it is settled. In
    /// flight is what was opened, was due, or was accepted by the platform (and waits to be confirmed) less than 10 minutes ago. An open
    /// delivery that has lain still for longer, as those of a connector that is switched off or cannot be used do, is settled here as
    /// failed, with the cause `retention`: where it is accounted, its old events become expired, the younger ones are parked as failed (a
    /// window expires as a whole). Whoever tries to settle it later is answered with `Conflict`.
    ///
    /// Compact records, settled deliveries, ended jobs and entries of the audit log go by the other limit, records only once their
    /// payload is gone; the counts keep what became of them.
    /// Traffic goes as payloads do, by the start of its bucket, and after 30 days in any case.
    ///
    /// Where [`Self::crowded`] says so, payloads go before their time as well: those that no stream may send any more of its own accord (behind
    /// every cursor, in no backlog range, no open delivery, and not parked). Undelivered ones never do. The org whose events take most
    /// ([`Self::stored_bytes`]) gives way first, its oldest payloads first. An org whose events take less than an equal part of what all
    /// events take loses none because of the others.
    async fn expire(&self, retention: Retention) -> Result<Expired>;

    /// Whether the disk budget is so nearly used up, or the file system so nearly full, that [`Self::expire`] should be called now. False where there is no budget.
    async fn crowded(&self) -> Result<bool>;

    /// Bytes that the events of each org take, payloads and records, as this backend keeps them. An org that has none may be missing. Taken
    /// from memory: neither waits for the disk nor for the writer.
    async fn stored_bytes(&self) -> Result<HashMap<OrgId, u64>>;
}
