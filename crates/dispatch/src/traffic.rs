//! What flows, gathered in memory and added to the store every few seconds: rates and charts survive a restart.
//!
//! This is for looking at. A crash loses what was not added yet, at most [`EVERY`]; the account, which is written with each settlement, is the
//! book ([`toktra_siem_core::accounting`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use toktra_siem_base::clock::Clock;
use toktra_siem_core::breaker::Signal;
use toktra_siem_core::delivery::{Delivery, ParkKind, Status, Step, Trigger};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{DeliveryId, Seq, StreamId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::{Traffic, bucket};
use toktra_siem_store::{Store, StoreError, TrafficRow};

/// How often what was gathered is added to the store.
pub const EVERY: Duration = Duration::from_secs(10);
/// Deliveries whose events' acceptance is remembered, before all are forgotten: a bound for memory. Those that are pending are far fewer.
const REMEMBERED: usize = 1024;

/// Gathers what every stream does.
#[derive(Debug, Default)]
pub struct Recorder {
    gathered: Mutex<HashMap<(StreamId, Timestamp), Traffic>>,
    sent: Mutex<HashMap<DeliveryId, Vec<Accepted>>>,
}

/// Events of a delivery that follow each other and were accepted at the same moment.
#[derive(Debug, Clone, Copy)]
struct Accepted {
    first: Seq,
    at: Timestamp,
    events: u64,
}

impl Recorder {
    /// The events of a delivery go out: when they were accepted is remembered until it is settled.
    pub fn sent(&self, delivery: &Delivery, events: &[Arc<StoredEvent>]) {
        if !delivery.accounted {
            return;
        }
        let mut accepted: Vec<Accepted> = Vec::new();
        for event in events {
            match accepted.last_mut() {
                Some(last) if last.at == event.accepted_at => last.events += 1,
                _ => accepted.push(Accepted { first: event.seq, at: event.accepted_at, events: 1 }),
            }
        }
        let mut sent = self.sent.lock();
        if sent.len() >= REMEMBERED {
            sent.clear();
        }
        sent.insert(delivery.id, accepted);
    }

    /// A settlement was decided: counts what it says of `before`, and the attempt where one was made. `again`: its events had failed before, and
    /// were counted then.
    pub fn settled(&self, before: &Delivery, step: &Step, attempted: bool, again: bool, now: Timestamp) {
        if before.trigger == Trigger::Test {
            return;
        }
        let arrived = matches!(step.signal, Signal::Success | Signal::SlowDown);
        let mut traffic = Traffic {
            attempts: u64::from(attempted),
            attempts_failed: u64::from(attempted && !arrived),
            ..Traffic::default()
        };
        if step.delivery.status != Status::Pending {
            traffic.delivered = step.delivery.delivered;
            traffic.rejected = step.delivery.rejected;
            traffic.failed = if again { 0 } else { failed(before, step) };
            let accepted = self.sent.lock().remove(&before.id).unwrap_or_default();
            if before.accounted && traffic.delivered > 0 {
                add_latencies(&mut traffic, before, step, &accepted, now);
            }
        }
        if !traffic.is_empty() {
            *self.gathered.lock().entry((before.stream, bucket(now))).or_default() += &traffic;
        }
    }

    /// Adds what was gathered to the store, with the present lag of every stream. What could not be added is kept for the next time.
    pub async fn flush(&self, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        let streams = store.overview().await?.into_iter().map(|stream| stream.record);
        let mut gathered = std::mem::take(&mut *self.gathered.lock());
        for stream in streams {
            let lag = stream.undelivered();
            if lag > 0 {
                *gathered.entry((stream.id, bucket(now))).or_default() += &Traffic { lag, ..Traffic::default() };
            }
        }
        if gathered.is_empty() {
            return Ok(());
        }
        let row = |((stream, at), traffic): (&(StreamId, Timestamp), &Traffic)| TrafficRow {
            stream: *stream,
            at: *at,
            traffic: traffic.clone(),
        };
        let mut rows: Vec<TrafficRow> = gathered.iter().map(row).collect();
        rows.sort_unstable_by_key(|row| (row.stream, row.at));
        let added = store.add_traffic(rows).await;
        if added.is_err() {
            let mut again = self.gathered.lock();
            for (place, traffic) in gathered {
                *again.entry(place).or_default() += &traffic;
            }
        }
        added
    }
}

/// Events that were parked because the delivery failed; of one that is not accounted, which parks nothing, all of them.
fn failed(before: &Delivery, step: &Step) -> u64 {
    if !before.accounted {
        let failed = step.delivery.status == Status::Failed;
        return if failed { before.events().saturating_sub(step.delivery.rejected) } else { 0 };
    }
    let parked = step.parked.iter().filter(|parking| parking.kind == ParkKind::Failed);
    parked.map(|parking| before.window.as_ref().map_or(parking.members.len() as u64, |w| w.tally.total())).sum()
}

/// Counts how long what has arrived was under way. A window counts from its start.
fn add_latencies(traffic: &mut Traffic, before: &Delivery, step: &Step, accepted: &[Accepted], now: Timestamp) {
    if let Some(window) = &before.window {
        traffic.latency.add(now.since(window.start), traffic.delivered);
        return;
    }
    if step.children.is_empty() && step.parked.is_empty() {
        for run in accepted {
            traffic.latency.add(now.since(run.at), run.events);
        }
        return;
    }
    let elsewhere = |seq: Seq| {
        step.children.iter().any(|child| child.members.contains(seq))
            || step.parked.iter().any(|parking| parking.members.contains(seq))
    };
    for seq in before.members.iter().filter(|seq| !elsewhere(*seq)) {
        let after = accepted.partition_point(|run| run.first <= seq);
        if let Some(run) = accepted[..after].last() {
            traffic.latency.add(now.since(run.at), 1);
        }
    }
}

/// Adds what is gathered to the store, until `stop`. What comes after that is added once everything has ended.
pub async fn keep(
    recorder: Arc<Recorder>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(failure) = recorder.flush(&*store, clock.now()).await {
            tracing::error!(error = %failure, "what flowed could not be added to the store; it is tried again");
        }
    }
}
