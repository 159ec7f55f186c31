//! What people look at: how each stream stands, where one event is and why, what flowed, and what a filter would do.
//!
//! Nothing here changes anything, and each method takes the org (invariant D7). Each answer is of one state of the store, so that its
//! parts agree.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, Parked};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ConnectorId, EventId, OrgId, Seq, StreamId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::Traffic;

use crate::deliveries::StreamRecord;
use crate::error::Result;
use crate::events::{Damage, EventRecord};
use crate::org::StreamFate;

/// What a stream did within one bucket of [`toktra_siem_core::traffic::BUCKET`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficRow {
    /// The stream.
    pub stream: StreamId,
    /// The start of the bucket.
    pub at: Timestamp,
    /// What it did.
    pub traffic: Traffic,
}

/// What a stream did, brought together into longer steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTraffic {
    /// The stream.
    pub stream: StreamId,
    /// The start of each step in which it did something, ascending, with what that was.
    pub steps: Vec<(Timestamp, Traffic)>,
}

/// How a stream stands, with what one has to look up to say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its connector.
    pub connector: Connector,
    /// The stream.
    pub stream: StreamRecord,
    /// The oldest event that is on its way or waiting: in an accounted delivery, a backlog range, or behind the cursor, where it counts
    /// even if the filter will pass it by.
    pub oldest_pending: Option<EventRecord>,
    /// The parked failed event with the lowest sequence (for metrics, the first of that window), where one rests.
    pub oldest_failed: Option<(EventRecord, Parked)>,
    /// The newest delivery that is failed, rejected or partial and says why. Tests are left out: they say nothing of the flow.
    pub last_failure: Option<Delivery>,
    /// The event of those counted as damaged that was found to be so last; of several, the last in the log.
    pub last_damage: Option<Damage>,
    /// What flowed lately, by bucket, ascending.
    pub traffic: Vec<TrafficRow>,
}

/// Where an event is for one stream, with what it takes to say why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// The stream.
    pub stream: StreamId,
    /// Its connector and the stream as it stands; `None` once the connector was deleted.
    pub present: Option<(Connector, StreamRecord)>,
    /// Where the event stands with it.
    pub fate: StreamFate,
    /// The delivery that the fate names, as long as the history has it.
    pub delivery: Option<Delivery>,
    /// The filter that was in force when the event was accepted, as long as the connector is there.
    pub filter: Option<Filter>,
}

/// What there was of one type and severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tallied {
    /// The type.
    pub event_type: EventType,
    /// The severity.
    pub severity: Severity,
    /// How many events.
    pub events: u64,
}

/// What there was, and what of it a filter would have forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// All events, by type and severity, in that order; none that is zero.
    pub tallied: Vec<Tallied>,
    /// Events that the filter forwards, newest first, with their payload as long as that lives.
    pub sample: Vec<(EventRecord, Option<Bytes>)>,
}

/// Which events to list. Empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Of this type.
    pub event_type: Option<EventType>,
    /// Of this severity.
    pub severity: Option<Severity>,
    /// Accepted at or after this.
    pub from: Option<Timestamp>,
    /// Accepted before this.
    pub to: Option<Timestamp>,
    /// Only those before this one ([`EventPage::next`] of the page before).
    pub before: Option<Seq>,
    /// At most this many.
    pub limit: usize,
}

impl EventQuery {
    /// Whether an event of this type and severity is wanted.
    pub fn wants(&self, event_type: EventType, severity: Severity) -> bool {
        self.event_type.is_none_or(|wanted| wanted == event_type)
            && self.severity.is_none_or(|wanted| wanted == severity)
    }
}

/// A page of events, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventPage {
    /// The events, each with its payload as long as that lives.
    pub items: Vec<(EventRecord, Option<Bytes>)>,
    /// Where the next page goes on; `None` where there is nothing more.
    pub next: Option<Seq>,
}

/// The org-scoped questions.
#[async_trait]
pub trait Insight: Send + Sync {
    /// How the streams of the org's present connectors stand: connectors by creation, streams in the platform's order. Only those of one
    /// connector where it is named, which must be the org's. The traffic is that of the buckets from `since` on.
    async fn standings(&self, org: OrgId, connector: Option<ConnectorId>, since: Timestamp) -> Result<Vec<Standing>>;

    /// The accounts of the org's present connectors, in the same order.
    async fn accounts(&self, org: OrgId) -> Result<Vec<(Connector, StreamRecord)>>;

    /// The event, and where it is for each stream of the org's present connectors, in the same order; after them the streams of deleted
    /// connectors that took it into a delivery, as long as their history lives. What was undelivered when its connector was deleted is
    /// discarded. `NotFound` once the event's compact record is gone.
    async fn whereabouts(&self, org: OrgId, id: EventId) -> Result<(EventRecord, Option<Bytes>, Vec<Whereabouts>)>;

    /// What was accepted since `since`, and the newest of it that `filter` forwards: at most `sample`, fewer where they would have to be
    /// looked for too far back (but at least one, where there are any).
    async fn preview(&self, org: OrgId, since: Timestamp, filter: Filter, sample: usize) -> Result<Preview>;

    /// The org's events by acceptance, as far as their compact records live. A call looks at a bounded number of events, so that a page may
    /// have fewer items than there could be, or none, and still be followed by another: where what is wanted is rare.
    async fn recent_events(&self, org: OrgId, query: EventQuery) -> Result<EventPage>;

    /// What flowed through the streams of one connector in the buckets that start from `from` on and before `to`, by stream and bucket,
    /// ascending. Empty buckets are left out.
    async fn traffic(
        &self,
        org: OrgId,
        connector: ConnectorId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<TrafficRow>>;

    /// What flowed through the streams of the org's present connectors in those buckets, in the order of [`Self::standings`]. Steps start at
    /// whole multiples of `step` (a whole number of buckets) since the epoch. Cheap enough for a page that is looked at all the time.
    async fn traffic_of_all(
        &self,
        org: OrgId,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Vec<StreamTraffic>>;
}
