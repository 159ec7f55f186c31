//! The figures are what the rows come to, whatever happened.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::{EventId, OrgId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{Actor, ActorKind, AuditEntry, Change, ConfigStore as _, EventLog as _, OrgRecord, Retention};
use uuid::Uuid;

use super::super::{DATABASE, Sqlite, SqliteOptions};
use super::*;

const HOUR: i64 = 3_600_000;

fn org(n: u8) -> OrgId {
    OrgId(Uuid::from_u128(u128::from(n) + 1))
}

fn audit() -> AuditEntry {
    AuditEntry {
        at: Timestamp(0),
        actor: Actor { kind: ActorKind::System, id: None, name: "test".into() },
        action: "org.create".into(),
        object: "org".into(),
        detail: serde_json::Value::Null,
    }
}

/// What the rows of each org come to that was not removed.
fn counted(dir: &Path) -> BTreeMap<i64, i64> {
    let conn = Connection::open(dir.join(DATABASE)).unwrap();
    let mut numbers = conn.prepare("SELECT number FROM partition").unwrap();
    let numbers: Vec<i64> = numbers.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut all = BTreeMap::new();
    for number in numbers {
        for (org, bytes) in sizes_of(&conn, number).unwrap() {
            *all.entry(org).or_default() += bytes;
        }
    }
    let mut orgs = conn.prepare("SELECT num FROM org").unwrap();
    let orgs: Vec<i64> = orgs.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    all.retain(|org, bytes| *bytes != 0 && orgs.contains(org));
    all
}

/// What the writer says, once the thread that packs has come to its end.
async fn told(store: &Sqlite) -> BTreeMap<i64, i64> {
    store
        .writer
        .call("asking", |engine| {
            let mut all: BTreeMap<i64, i64> =
                engine.orgs.values().map(|org| (org.num, int(engine.stored.of(org.num)))).collect();
            all.retain(|_, bytes| *bytes != 0);
            assert_eq!(engine.stored.all, engine.stored.by_org.values().sum::<u64>());
            Ok(all)
        })
        .await
        .unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8, usize, usize),
    Expire(i64, i64),
    Remove(u8),
    Pass,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..4u8, 1..40usize, 1..3_000usize).prop_map(|(org, count, bytes)| Step::Append(org, count, bytes)),
        2 => (0..40i64, 20..80i64).prop_map(|(payloads, history)| Step::Expire(payloads, history)),
        1 => (1..4u8).prop_map(Step::Remove),
        3 => Just(Step::Pass),
        2 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 10..40)
}

async fn drive(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(1_767_225_600_000));
    let clock = Arc::clone(&now);
    let options = SqliteOptions {
        clock: Arc::new(move || Timestamp(clock.load(Ordering::SeqCst))),
        partition_rows: 60,
        // Small enough that eviction has its part.
        max_bytes: Some(6 << 20),
        reserve: 4 << 20,
        ..SqliteOptions::default()
    };
    let mut store = Sqlite::open(dir.path(), options.clone()).unwrap();
    for n in 0..4 {
        let value = OrgRecord { id: org(n), name: n.to_string(), is_default: n == 0, created_at: Timestamp(0) };
        store.create_org(Change { value, audit: audit() }).await.unwrap();
    }
    let mut id = 0u128;
    for step in steps {
        match step {
            Step::Append(n, count, bytes) => {
                let event = |_| {
                    id += 1;
                    let mut state = u64::try_from(id).unwrap().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                    let noise = (0..bytes).map(|_| {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        state.to_be_bytes()[2] & 0x3f
                    });
                    NewEvent {
                        org: org(n),
                        event_id: EventId(Uuid::from_u128(id)),
                        event_type: EventType::Anomaly,
                        severity: Severity::Low,
                        event_time: Timestamp(0),
                        payload: Bytes::from(noise.collect::<Vec<u8>>()),
                        made: false,
                        sent: SentFields(u32::MAX),
                    }
                };
                // A removed org and a full store refuse; both are part of it.
                let _ = store.append((0..count).map(event).collect()).await;
            }
            Step::Expire(payloads, history) => {
                let at = Timestamp(now.load(Ordering::SeqCst));
                let before = |hours: i64| Timestamp(at.0 - hours * HOUR);
                let retention =
                    Retention { payloads_before: before(payloads), history_before: before(history.max(payloads)) };
                while store.expire(retention).await.unwrap().more {}
            }
            Step::Remove(n) => drop(store.delete_org(org(n), audit()).await),
            Step::Pass => drop(now.fetch_add(7 * HOUR, Ordering::SeqCst)),
            Step::Restart => {
                store.close().await.unwrap();
                drop(store);
                store = Sqlite::open(dir.path(), options.clone()).unwrap();
            }
        }
    }
    agree(&store, dir.path()).await;
    store.close().await.unwrap();
}

/// What the store says and what is in its rows is the same. The thread that packs may be between two pieces: both are asked until nothing changes in
/// between.
async fn agree(store: &Sqlite, dir: &Path) {
    for _ in 0..200 {
        let before = told(store).await;
        let rows = counted(dir);
        if before == told(store).await {
            assert_eq!(before, rows);
            return;
        }
    }
    panic!("the figures never come to rest");
}

/// Appends, retention, removed orgs, packing, eviction and restarts: the figures are what the rows come to, to the byte.
#[test]
fn the_figures_are_what_the_rows_come_to() {
    let config =
        ProptestConfig { cases: 24, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in steps())| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(drive(steps));
    });
}

/// A start goes on from what was noted, and adds the rows after that; a database of an older layout is counted whole.
#[tokio::test]
async fn a_start_knows_what_the_open_partition_holds() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default();
    let store = Sqlite::open(dir.path(), options.clone()).unwrap();
    let value = OrgRecord { id: org(0), name: "a".into(), is_default: true, created_at: Timestamp(0) };
    store.create_org(Change { value, audit: audit() }).await.unwrap();
    for n in 0..40u128 {
        let event = NewEvent {
            org: org(0),
            event_id: EventId(Uuid::from_u128(n + 1)),
            event_type: EventType::Anomaly,
            severity: Severity::Low,
            event_time: Timestamp(0),
            payload: Bytes::from(vec![b'x'; 500_000]),
            made: false,
            sent: SentFields(u32::MAX),
        };
        store.append(vec![event]).await.unwrap();
    }
    let before = told(&store).await;
    assert_eq!(before, counted(dir.path()));
    store.close().await.unwrap();
    drop(store);
    let conn = Connection::open(dir.path().join(DATABASE)).unwrap();
    let (to, bytes): (i64, i64) =
        conn.query_row("SELECT to_seq, bytes FROM growing", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert!((30..40).contains(&to) && bytes > 16_000_000, "{to} {bytes}");
    // If it were not read, the start would count the rows themselves.
    conn.execute("UPDATE growing SET bytes = bytes + 7", []).unwrap();
    drop(conn);
    let store = Sqlite::open(dir.path(), options.clone()).unwrap();
    let after = told(&store).await;
    assert_eq!(after.values().sum::<i64>(), before.values().sum::<i64>() + 7);
    store.writer.call("sealing", Engine::seal_partition).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let conn = Connection::open(dir.path().join(DATABASE)).unwrap();
    conn.execute("UPDATE extent SET bytes = NULL", []).unwrap();
    drop(conn);
    let store = Sqlite::open(dir.path(), options).unwrap();
    let counted_anew = told(&store).await;
    assert_eq!(counted_anew, counted(dir.path()));
    store.close().await.unwrap();
}

fn event(n: u128, bytes: usize) -> NewEvent {
    NewEvent {
        org: org(0),
        event_id: EventId(Uuid::from_u128(n + 1)),
        event_type: EventType::Anomaly,
        severity: Severity::Low,
        event_time: Timestamp(0),
        payload: Bytes::from(vec![b'x'; bytes]),
        made: false,
        sent: SentFields(u32::MAX),
    }
}

async fn with_one_org(dir: &Path) -> Arc<Sqlite> {
    let store = Sqlite::open(dir, SqliteOptions::default()).unwrap();
    let value = OrgRecord { id: org(0), name: "a".into(), is_default: true, created_at: Timestamp(0) };
    store.create_org(Change { value, audit: audit() }).await.unwrap();
    store
}

/// What is noted is only there for a quick start: damage to it neither keeps events out, nor a partition open, nor the next start back.
#[tokio::test]
async fn a_damaged_page_of_what_is_noted_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_one_org(dir.path()).await;
    store.append(vec![event(0, 10)]).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let path = dir.path().join(DATABASE);
    let page: u32 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_master WHERE name = 'growing'", [], |row| row.get(0))
        .unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0x5a; 64], u64::from(page - 1) * 8192).unwrap();

    let store = Sqlite::open(dir.path(), SqliteOptions::default()).unwrap();
    for n in 1..40 {
        store.append(vec![event(n, 900_000)]).await.unwrap();
    }
    agree(&store, dir.path()).await;
    store.writer.call("sealing", Engine::seal_partition).await.unwrap();
    store.append(vec![event(40, 10)]).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let store = Sqlite::open(dir.path(), SqliteOptions::default()).unwrap();
    agree(&store, dir.path()).await;
    store.close().await.unwrap();
}

/// What was noted of a partition that had the same number says nothing of this one.
#[tokio::test]
async fn what_was_noted_before_an_events_sequence_is_of_another_partition() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_one_org(dir.path()).await;
    store.append(vec![event(0, 10), event(1, 10)]).await.unwrap();
    store.writer.call("sealing", Engine::seal_partition).await.unwrap();
    store.append(vec![event(2, 10)]).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let conn = Connection::open(dir.path().join(DATABASE)).unwrap();
    let stale = "INSERT OR REPLACE INTO growing (org, partition, to_seq, bytes) VALUES (1, 2, 2, 1000)";
    assert_eq!(conn.execute(stale, []).unwrap(), 1);
    drop(conn);
    let store = Sqlite::open(dir.path(), SqliteOptions::default()).unwrap();
    agree(&store, dir.path()).await;
    store.close().await.unwrap();
}

/// Of a partition that could not be counted, nothing is taken off that was never added.
#[tokio::test]
async fn what_was_not_counted_is_not_taken_off() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_one_org(dir.path()).await;
    store.append(vec![event(0, 1000)]).await.unwrap();
    store.writer.call("sealing", Engine::seal_partition).await.unwrap();
    store.append(vec![event(1, 1000)]).await.unwrap();
    let (before, uncounted, counted) = store
        .writer
        .call("removing", |engine| {
            let before = engine.stored.of(1);
            engine.conn.execute("UPDATE extent SET bytes = NULL", [])?;
            engine.resized(1, &Growth::from([(1, -10)]))?;
            let uncounted = engine.stored.of(1);
            engine.conn.execute("UPDATE extent SET bytes = 500", [])?;
            engine.resized(1, &Growth::from([(1, -10)]))?;
            Ok((before, uncounted, engine.stored.of(1)))
        })
        .await
        .unwrap();
    assert_eq!((uncounted, counted), (before, before - 10));
    store.close().await.unwrap();
}

/// An idle store seals what is old, unless nothing else could be written then.
#[tokio::test]
async fn retention_leaves_the_only_partition_open_that_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_one_org(dir.path()).await;
    store.append(vec![event(0, 10)]).await.unwrap();
    let old = Retention { payloads_before: Timestamp(i64::MAX), history_before: Timestamp(0) };
    for stays in [true, false] {
        store
            .writer
            .call("setting", move |engine| {
                engine.stays = stays;
                Ok(())
            })
            .await
            .unwrap();
        store.expire(old).await.unwrap();
        let open = store.writer.call("asking", |engine| Ok(engine.partitions.open.is_some())).await.unwrap();
        assert_eq!(open, stays);
    }
    store.close().await.unwrap();
}

/// What an org wanted while there was no room is known after a group that came to nothing, and what that group gave for it was not given.
#[test]
fn what_was_wanted_outlives_a_group_that_is_begun_again() {
    for (is_on_disk, left) in [(false, 100), (true, 60)] {
        let mut stored = Stored::default();
        stored.wanted.insert(1, 100);
        stored.gave(1, 40);
        if is_on_disk {
            stored.committed();
        }
        assert_eq!(Stored::default().after(&mut stored).wanted, HashMap::from([(1, left)]));
    }
}
