//! How long it takes to tell what a filter would do, over many stored events.
//!
//! `cargo run --release -p toktra-siem-store --example preview_bench -- [events] [days] [directory]`
//!
//! The events are spread evenly over the days. Small payloads, since only compact records are read; the second figure of each pair is
//! the same question again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use tokio::time::Instant;
use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{EventId, OrgId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{AuditEntry, Change, ConfigStore, EventLog, Insight, OrgRecord};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};
use uuid::Uuid;

/// Events of one call.
const BATCH: u64 = 2000;
const DAY_MS: i64 = 24 * 3600 * 1000;
const START: i64 = 1_767_225_600_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u32| arguments.next().map_or(Ok(default), |text| text.parse());
    let (events, days) = (number(5_000_000)?, number(10)?);
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("toktra-preview-bench"), PathBuf::from);
    std::fs::create_dir_all(&dir)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&dir, events.into(), days))?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

async fn run(dir: &Path, events: u64, days: u32) -> Result<(), Box<dyn std::error::Error>> {
    let now = Arc::new(AtomicI64::new(START));
    let told = Arc::clone(&now);
    let clock: toktra_siem_store::Clock = Arc::new(move || Timestamp(told.load(Ordering::Relaxed)));
    let store = Sqlite::open(dir, SqliteOptions { clock, ..SqliteOptions::default() })?;
    let org = OrgId(Uuid::from_u128(1));
    let value = OrgRecord { id: org, name: "bench".into(), is_default: true, created_at: Timestamp(0) };
    let (actor, action, object) = ("bench".into(), "org.create".into(), org.to_string());
    let audit = AuditEntry { at: Timestamp(0), actor, action, object, detail: serde_json::Value::Null };
    store.create_org(Change { value, audit }).await?;
    let calls = i64::try_from(events / BATCH)?;
    for call in 0..calls {
        now.store(START + i64::from(days) * DAY_MS * call / calls, Ordering::Relaxed);
        let first = u64::try_from(call)? * BATCH;
        store.append((first..first + BATCH).map(|n| event(org, n)).collect()).await?;
    }
    let end = Timestamp(now.load(Ordering::Relaxed));
    for days in [1i64, 7, 30] {
        let since = Timestamp(end.0 - days * DAY_MS);
        for (name, filter) in filters() {
            let mut took = Vec::new();
            let (mut total, mut sample) = (0, 0);
            for _ in 0..2 {
                let start = Instant::now();
                let preview = store.preview(org, since, filter.clone(), 20).await?;
                took.push(start.elapsed().as_millis());
                total = preview.tallied.iter().map(|t| t.events).sum();
                sample = preview.sample.len();
            }
            println!("{days:>2} days, {total} events, {name}: {took:?} ms, a sample of {sample}");
        }
    }
    store.close().await?;
    Ok(())
}

fn filters() -> [(&'static str, Filter); 3] {
    [
        ("everything", Filter::default()),
        ("high and critical", Filter { severity: vec![Severity::High, Severity::Critical], event_types: vec![] }),
        ("one in a million", Filter { severity: vec![], event_types: vec![EventType::Lockout] }),
    ]
}

fn event(org: OrgId, n: u64) -> NewEvent {
    let event_type = if n.is_multiple_of(1_000_000) { EventType::Lockout } else { EventType::PolicyViolation };
    let severity = Severity::ALL[usize::try_from(n % 4).unwrap_or(0)];
    NewEvent {
        org,
        event_id: EventId(Uuid::from_u64_pair(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n)),
        made: false,
        event_type,
        severity,
        event_time: Timestamp(START),
        payload: Bytes::from_static(b"{\"summary\":\"x\"}"),
        sent: SentFields::default(),
    }
}
