//! How many events a second the embedded store takes, durable, with the duplicate check on.
//!
//! `cargo run --release -p toktra-siem-store --example append_bench -- [producers] [events a call] [seconds] [directory]`
//!
//! Beside them another org appends single events, one after the other: what they wait says whether one org's flood holds up the others.
//!
//! States the disk's sync latency beside the figure: without it a figure says little. Ids are random on purpose, which is the worst
//! case for whatever keeps them in order.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::{EventId, OrgId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{AuditEntry, Change, ConfigStore, EventLog, OrgRecord};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};
use uuid::Uuid;

/// Bytes of an event's payload.
const PAYLOAD: usize = 800;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (producers, batch, seconds) = (number(8)?, number(100)?, number(5)?);
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("toktra-append-bench"), PathBuf::from);
    std::fs::create_dir_all(&dir)?;
    let sync = sync_latency(&dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&dir, producers, batch, Duration::from_secs(seconds as u64)))?;
    println!("disk: {} µs for an 800-byte write and fdatasync (median of 200)", sync.as_micros());
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

async fn run(dir: &Path, producers: usize, batch: usize, time: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let store = Sqlite::open(dir, SqliteOptions::default())?;
    let (org, other) = (OrgId(Uuid::from_u128(1)), OrgId(Uuid::from_u128(2)));
    for (id, is_default) in [(org, true), (other, false)] {
        let value = OrgRecord { id, name: format!("bench {is_default}"), is_default, created_at: Timestamp(0) };
        let audit = AuditEntry {
            at: Timestamp(0),
            actor: "bench".into(),
            action: "org.create".into(),
            object: id.to_string(),
            detail: serde_json::Value::Null,
        };
        store.create_org(Change { value, audit }).await?;
    }
    let (_, mut alone) =
        produce(Arc::clone(&store), other, 1 << 20, 1, Instant::now() + Duration::from_secs(1)).await?;
    println!("another org, alone: {}", waited(&mut alone));

    let start = Instant::now();
    let beside = tokio::spawn(produce(Arc::clone(&store), other, 1 << 21, 1, start + time));
    let tasks: Vec<_> = (0..producers)
        .map(|producer| tokio::spawn(produce(Arc::clone(&store), org, producer as u64, batch, start + time)))
        .collect();
    let (mut events, mut waits) = (0, Vec::new());
    for task in tasks {
        let (sent, mut took) = task.await??;
        events += sent;
        waits.append(&mut took);
    }
    let elapsed = start.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = events as f64 / elapsed.as_secs_f64();
    println!(
        "{producers} producers x {batch} events of {PAYLOAD} B: {rate:.0} events/s durable ({events} in {elapsed:.1?}); a call took {}",
        waited(&mut waits),
    );
    let (_, mut beside) = beside.await??;
    println!("another org, beside them: {}", waited(&mut beside));
    println!("{} bytes an event on disk", store.used_bytes().await? / events.max(1));
    let before = Instant::now();
    store.close().await?;
    println!("closed in {:.1?}", before.elapsed());
    let before = Instant::now();
    let store = Sqlite::open(dir, SqliteOptions::default())?;
    println!("opened again in {:.1?}", before.elapsed());
    store.close().await?;
    Ok(())
}

fn waited(waits: &mut [Duration]) -> String {
    waits.sort_unstable();
    let at = |share: usize| waits.get((waits.len() * share / 1000).min(waits.len().saturating_sub(1))).copied();
    let [p50, p99, most] = [500, 990, 1000].map(|share| at(share).unwrap_or_default());
    format!("{p50:.2?} p50, {p99:.2?} p99, {most:.2?} at most")
}

async fn produce(
    store: Arc<Sqlite>,
    org: OrgId,
    producer: u64,
    batch: usize,
    until: Instant,
) -> toktra_siem_store::Result<(u64, Vec<Duration>)> {
    let payload = Bytes::from(vec![b'x'; PAYLOAD]);
    let (mut sent, mut waits) = (0, Vec::new());
    while Instant::now() < until {
        let events = (0..batch as u64)
            .map(|n| NewEvent {
                org,
                event_id: EventId(Uuid::from_u64_pair(
                    scatter(producer << 40 | (sent + n)),
                    producer << 40 | (sent + n),
                )),
                made: false,
                event_type: EventType::Anomaly,
                severity: Severity::High,
                event_time: Timestamp(1_736_937_000_120),
                payload: payload.clone(),
                sent: SentFields::default(),
            })
            .collect();
        let before = Instant::now();
        store.append(events).await?;
        waits.push(before.elapsed());
        sent += batch as u64;
    }
    Ok((sent, waits))
}

/// Spreads neighbouring numbers over the whole range, as random ids are.
fn scatter(n: u64) -> u64 {
    n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn sync_latency(dir: &Path) -> std::io::Result<Duration> {
    let path = dir.join("sync-probe");
    let mut file = std::fs::File::create(&path)?;
    let mut took = Vec::new();
    for _ in 0..200 {
        let before = Instant::now();
        file.write_all(&[0; PAYLOAD])?;
        file.sync_data()?;
        took.push(before.elapsed());
    }
    std::fs::remove_file(path)?;
    took.sort_unstable();
    Ok(took[took.len() / 2])
}
