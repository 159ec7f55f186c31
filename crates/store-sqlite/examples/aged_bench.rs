//! What an append and a search by id cost in a store that is old: with 10, 100 and 300 sealed partitions within 48 hours.
//!
//! `cargo run --release -p toktra-siem-store-sqlite --example aged_bench -- [events a partition] [directory]`
//!
//! The store is made by the real code, with a clock that runs fast: half of its events have random ids (version 4), half have ids of their
//! time (version 7). Then events are appended that are new, by the kind of their id, and old ones are searched for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags};
use tokio::time::Instant;
use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::{EventId, OrgId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{Appended, AuditEntry, Change, ConfigStore, EventLog, OrgRecord, OrgStore};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};
use uuid::Uuid;

const START: i64 = 1_767_225_600_000;
const ORG: OrgId = OrgId(Uuid::from_u128(1));
/// Events in one call, while the store grows and while it is measured.
const CALL: u64 = 500;
/// Calls that are measured for each kind of id.
const CALLS: usize = 10;
/// Ids that are searched for.
const SEARCHED: u64 = 500;
/// All partitions lie within this time.
const SPAN_MS: u64 = 46 * 3600 * 1000;

type Failure = Box<dyn std::error::Error>;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Random,
    Timed,
    Own,
}

struct Aged {
    store: Arc<Sqlite>,
    file: PathBuf,
    clock: Arc<AtomicI64>,
    made: u64,
    rows: u64,
    /// Where calls with random ids began.
    random: Vec<u64>,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let rows: u64 = arguments.next().map_or(Ok(60_000), |text| text.parse())?;
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("toktra-aged-bench"), PathBuf::from);
    std::fs::create_dir_all(&dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&dir, rows))?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

async fn run(dir: &Path, rows: u64) -> Result<(), Failure> {
    let clock = Arc::new(AtomicI64::new(START));
    let time = Arc::clone(&clock);
    let options = SqliteOptions {
        clock: Arc::new(move || Timestamp(time.load(Ordering::Relaxed))),
        partition_rows: rows,
        ..SqliteOptions::default()
    };
    let store = Sqlite::open(dir, options.clone())?;
    let value = OrgRecord { id: ORG, name: "bench".into(), is_default: true, created_at: Timestamp(0) };
    let (actor, action) = ("bench".into(), "org.create".into());
    let audit =
        AuditEntry { at: Timestamp(0), actor, action, object: ORG.to_string(), detail: serde_json::Value::Null };
    store.create_org(Change { value, audit }).await?;
    let mut aged = Aged { store, file: dir.join("toktra.db"), clock, made: 0, rows, random: Vec::new() };
    println!(
        "| sealed partitions of {rows} | v4, µs an event | v7 | own | by id, µs p50 / p99 | bytes an event on disk |"
    );
    println!("|---|---|---|---|---|---|");
    for partitions in [10, 100, 300] {
        aged.grow(partitions).await?;
        let [random, timed, own] =
            [aged.appending(Kind::Random).await?, aged.appending(Kind::Timed).await?, aged.appending(Kind::Own).await?];
        let (half, nearly_all) = aged.searching().await?;
        let bytes = aged.store.used_bytes().await? / aged.made;
        println!("| {partitions} | {random:.1} | {timed:.1} | {own:.1} | {half} / {nearly_all} | {bytes} |");
    }
    aged.store.close().await?;
    drop(aged);
    let before = Instant::now();
    let store = Sqlite::open(dir, options)?;
    println!("\nopened again in {:.1?}", before.elapsed());
    store.close().await?;
    Ok(())
}

impl Aged {
    /// Appends until there are so many sealed partitions, and waits for what the store does with them in the background.
    async fn grow(&mut self, partitions: u64) -> Result<(), Failure> {
        while self.count("SELECT count(*) FROM partition WHERE sealed = 1")? < partitions {
            let step = i64::try_from(SPAN_MS * CALL / self.rows / 300)?;
            self.clock.fetch_add(step, Ordering::Relaxed);
            let kind = if (self.made / CALL).is_multiple_of(2) { Kind::Random } else { Kind::Timed };
            self.append(kind).await?;
        }
        for sql in [
            "SELECT count(*) FROM partition WHERE sealed = 1 AND indexed = 0",
            "SELECT count(*) FROM ids_level WHERE next IS NOT NULL",
            "SELECT count(*) / 8 FROM ids_of WHERE level = 0",
        ] {
            while self.count(sql).unwrap_or(0) > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    fn count(&self, sql: &str) -> Result<u64, Failure> {
        let file = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let count: i64 = file.query_row(sql, [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    async fn append(&mut self, kind: Kind) -> Result<(), Failure> {
        let now = self.clock.load(Ordering::Relaxed);
        let events = (self.made..self.made + CALL).map(|n| event(n, kind, now)).collect();
        let appended = self.store.append(events).await?;
        assert!(appended.iter().all(|a| matches!(a, Appended::Accepted(_))), "a new id was taken for an old one");
        if let Kind::Random = kind {
            self.random.push(self.made);
        }
        self.made += CALL;
        Ok(())
    }

    /// Microseconds for each event of a call, the commit included: the median.
    #[expect(clippy::cast_precision_loss, reason = "a few hundred events")]
    async fn appending(&mut self, kind: Kind) -> Result<f64, Failure> {
        let mut took = Vec::new();
        for _ in 0..CALLS {
            self.clock.fetch_add(1, Ordering::Relaxed);
            let before = Instant::now();
            self.append(kind).await?;
            took.push(before.elapsed().as_secs_f64() * 1e6 / CALL as f64);
        }
        took.sort_unstable_by(f64::total_cmp);
        Ok(took[CALLS / 2])
    }

    async fn searching(&self) -> Result<(u128, u128), Failure> {
        let mut took = Vec::new();
        for n in 0..SEARCHED {
            let call = usize::try_from(scatter(n))? % self.random.len();
            let id = EventId(random(self.random[call] + n % CALL));
            let before = Instant::now();
            self.store.event(ORG, id).await?;
            took.push(before.elapsed().as_micros());
        }
        took.sort_unstable();
        Ok((took[took.len() / 2], took[took.len() * 99 / 100]))
    }
}

fn event(n: u64, kind: Kind, now: i64) -> NewEvent {
    let id = match kind {
        Kind::Random => random(n),
        Kind::Timed | Kind::Own => timed(n, now),
    };
    NewEvent {
        org: ORG,
        event_id: EventId(id),
        made: matches!(kind, Kind::Own),
        event_type: EventType::Anomaly,
        severity: Severity::High,
        event_time: Timestamp(now),
        payload: Bytes::from_static(b"{\"summary\":\"x\"}"),
        sent: SentFields::default(),
    }
}

fn random(n: u64) -> Uuid {
    let (high, low) = (scatter(n), scatter(n ^ 0x5555_5555));
    uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes()).into_uuid()
}

fn timed(n: u64, now: i64) -> Uuid {
    let mut rest = [0; 10];
    rest[..8].copy_from_slice(&scatter(n).to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(now.unsigned_abs(), &rest).into_uuid()
}

/// Spreads neighbouring numbers over the whole range, as random ids are.
fn scatter(n: u64) -> u64 {
    n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
