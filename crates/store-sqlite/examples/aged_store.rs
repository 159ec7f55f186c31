//! Fills the store of a server that is stopped with events of the last 48 hours, as though it had run that long. `cargo xtask bench` does so.
//!
//! `aged_store <data directory> <events> <partitions> <milliseconds since 1970>`
//!
//! The directory is one that a server has made, with one active connector; the time is that of the youngest event. Events are
//! brought into their stored form, appended, taken into deliveries and settled by the code that does so in the product, with a clock that
//! runs fast. Half of the events have random ids, half have ids of their time. At the end it waits until everything is indexed and
//! packed, and tells as JSON how large the events are, how much of the disk they take, and the ids of some.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Delivery, Input, Parked, Policy, Trigger, step};
use toktra_siem_core::destination::{EndpointState, Judgement, Outcome, Run, Verdict};
use toktra_siem_core::event::NewEvent;
use toktra_siem_core::event::intake::{Intake, OrgRule, normalise};
use toktra_siem_core::ids::{DeliveryId, EventId, NodeId, Revision, Seq, StreamId};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{
    Appended, Claim, Cluster, ConfigStore, DeliveryStore, EventLog, Lease, NodeRecord, Open, Passed, Settlement,
    StreamRecord, Taken,
};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};
use uuid::Uuid;

use event::{event, scatter};

#[path = "../../../xtask/src/bench/event.rs"]
mod event;

/// Over which the events are spread.
const SPAN_MS: i64 = 48 * 3600 * 1000;
/// Events of one call.
const CALL: u64 = 2_000;
/// Events of a delivery.
const DELIVERY: usize = 50;
/// In one of so many deliveries an event is refused.
const REFUSING: u64 = 100;
/// Size of an event as it was sent.
const BYTES: usize = 800;
/// Ids that are told.
const TOLD: u64 = 500;

type Failure = Box<dyn std::error::Error>;

struct Aged {
    store: Arc<Sqlite>,
    file: PathBuf,
    clock: Arc<AtomicI64>,
    lease: Lease,
    record: StreamRecord,
    revision: Revision,
    deliveries: u64,
    payload: u64,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, numbers @ ..] = arguments.as_slice() else { return Err("which directory?".into()) };
    let numbers: Vec<u64> = numbers.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let [events, partitions, now] = numbers[..] else { return Err("events, partitions, and the time?".into()) };
    let (calls, end) = (events / CALL, i64::try_from(now)?);
    let mut aged = Aged::open(Path::new(dir), events / partitions, end - SPAN_MS).await?;
    let mut ids = Vec::new();
    for call in 0..calls {
        aged.clock.store(end - SPAN_MS + SPAN_MS * i64::try_from(call)? / i64::try_from(calls)?, Ordering::Relaxed);
        let made = aged.call(call * CALL).await?;
        if call % (calls / TOLD).max(1) == 0 {
            ids.push(made);
        }
    }
    aged.settle_down().await?;
    let used = aged.store.used_bytes().await?;
    println!("{}", serde_json::json!({"payload_bytes": aged.payload, "used_bytes": used, "ids": ids}));
    aged.store.close().await?;
    Ok(())
}

impl Aged {
    /// Takes over the only stream in the directory.
    async fn open(dir: &Path, partition_rows: u64, start: i64) -> Result<Self, Failure> {
        let clock = Arc::new(AtomicI64::new(start));
        let time = Arc::clone(&clock);
        let clock_of_store: toktra_siem_store::Clock = Arc::new(move || Timestamp(time.load(Ordering::Relaxed)));
        let store =
            Sqlite::open(dir, SqliteOptions { clock: clock_of_store, partition_rows, ..SqliteOptions::default() })?;
        let streams = store.overview().await?;
        let stream: StreamId = streams.first().ok_or("there is no connector")?.record.id;
        let node = NodeId(Uuid::from_u128(1));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        store.join(NodeRecord { id: node, name: "aged_store".to_owned(), version }).await?;
        store.claim(node, Claim::Stream(stream), 1).await?;
        let (lease, record) = store.lease(node, stream).await?;
        let revision = store.timeline(stream.connector).await?.revision().ok_or("the connector has no filter")?;
        let file = dir.join("toktra.db");
        Ok(Self { store, file, clock, lease, record, revision, deliveries: 0, payload: 0 })
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.clock.load(Ordering::Relaxed))
    }

    /// Appends one call's events and delivers them; the id of one of them.
    async fn call(&mut self, first: u64) -> Result<String, Failure> {
        let now = self.now();
        let events: Vec<NewEvent> =
            (first..first + CALL).map(|number| self.event(number, now)).collect::<Result<_, _>>()?;
        let id = events[usize::try_from(scatter(first) % CALL)?].event_id;
        self.payload += events.iter().map(|event| event.payload.len() as u64).sum::<u64>();
        let mut seqs = Vec::with_capacity(events.len());
        for appended in self.store.append(events).await? {
            let Appended::Accepted(seq) = appended else { return Err("a new id was taken for an old one".into()) };
            seqs.push(seq);
        }
        let pinned: Vec<Delivery> = seqs.chunks(DELIVERY).map(|some| self.delivery(some, now)).collect();
        let (from, to) = (self.record.cursor, *seqs.last().unwrap_or(&self.record.cursor));
        let taken = Taken::Live { from, to, passed: Passed::default(), revision: self.revision };
        self.store.open(&self.lease, Open { deliveries: pinned.clone(), taken, job: None }).await?;
        self.record.cursor = to;
        // At the same time, so that one commit has many of them, as on a busy stream.
        let mut settling = tokio::task::JoinSet::new();
        for delivery in pinned {
            self.deliveries += 1;
            let settlement = settlement(&delivery, self.deliveries.is_multiple_of(REFUSING), now);
            let (store, lease) = (Arc::clone(&self.store), self.lease);
            settling.spawn(async move { store.settle(&lease, settlement).await });
        }
        while let Some(settled) = settling.join_next().await {
            settled??;
        }
        Ok(id.to_string())
    }

    /// Event `number` as intake makes it of what a producer sent.
    fn event(&self, number: u64, now: Timestamp) -> Result<NewEvent, Failure> {
        let rest = u128::from(scatter(number)) << 64 | u128::from(scatter(!number));
        let of_its_time = !(number / CALL).is_multiple_of(2);
        let random = || uuid::Builder::from_random_bytes(rest.to_be_bytes()).into_uuid();
        let id = if of_its_time { timed(now, rest) } else { random() };
        let raw = event(number, BYTES, &id.to_string(), None).ok_or("an event does not fit")?;
        let fresh_id = || EventId(id);
        let intake = Intake { org: OrgRule::Only(self.record.org), now, fresh_id: &fresh_id };
        normalise(raw.as_bytes(), &intake).map_err(|faults| format!("{faults:?}").into())
    }

    fn delivery(&self, seqs: &[Seq], now: Timestamp) -> Delivery {
        let id = DeliveryId(timed(now, u128::from(scatter(seqs.first().map_or(0, |seq| seq.0)))));
        let members = Members::from_ascending(seqs.iter().copied());
        Delivery::new(id, self.record.org, self.record.id, Trigger::Live, members, now)
    }

    /// Waits for what the store does in the background.
    async fn settle_down(&self) -> Result<(), Failure> {
        for sql in [
            "SELECT count(*) FROM partition WHERE sealed = 1 AND (indexed = 0 OR packed = 0)",
            "SELECT count(*) FROM ids_level WHERE next IS NOT NULL",
            "SELECT count(*) / 8 FROM ids_of WHERE level = 0",
        ] {
            loop {
                let file = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                if file.query_row(sql, [], |row| row.get::<_, i64>(0))? == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

/// What the platform's answer means: it has all of them, or refuses the first one.
fn settlement(delivery: &Delivery, a_bad_one: bool, now: Timestamp) -> Settlement {
    let refused = usize::from(a_bad_one);
    let cause = || Cause::new("poison", "It is refused.");
    let mut runs = vec![Run { len: delivery.items() - refused, outcome: Outcome::Delivered { warning: None } }];
    if a_bad_one {
        runs.insert(0, Run { len: refused, outcome: Outcome::Rejected(cause()) });
    }
    let verdict = Verdict { judgement: Judgement::Items(runs), endpoint: EndpointState::Healthy, confirm: None };
    let step = step(delivery, Input::Judged { verdict, omitted: vec![] }, now, &Policy::default());
    let parked = step.parked.iter().flat_map(|parking| {
        let parked =
            |seq| Parked { seq, events: 1, kind: parking.kind, cause: cause(), delivery: delivery.id, since: now };
        parking.members.iter().map(parked)
    });
    let attempt = Attempt {
        number: 1,
        at: now,
        duration_ms: 3,
        http_status: Some(200),
        excerpt: Some(r#"{"text":"Success","code":0}"#.into()),
        cause: None,
        request: None,
        response_headers: None,
    };
    Settlement {
        expected_attempts: 0,
        attempt: Some(attempt),
        children: vec![],
        parked: parked.collect(),
        arrived: step.arrived,
        counts: step.counts,
        breaker: None,
        held: vec![],
        delivery: step.delivery,
    }
}

/// A version 7 UUID.
fn timed(now: Timestamp, rest: u128) -> Uuid {
    let [_, _, _, _, _, _, tail @ ..] = rest.to_be_bytes();
    uuid::Builder::from_unix_timestamp_millis(now.0.unsigned_abs(), &tail).into_uuid()
}
