//! What the writer does when the database fails under it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::ffi;
use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{
    Appended, AuditEntry, Change, ConfigStore, EventLog, OrgRecord, OrgStore, ReadLimit, Retention, StoreError,
};
use uuid::Uuid;

use super::fault::Fault;
use super::{Sqlite, SqliteOptions};

pub(super) const ORG: OrgId = OrgId(Uuid::from_u128(1));

/// An event whose id is made of its number.
pub(super) fn event(n: u64, bytes: usize) -> NewEvent {
    NewEvent {
        org: ORG,
        event_id: EventId(Uuid::from_u64_pair(7, n)),
        made: false,
        event_type: EventType::Anomaly,
        severity: Severity::High,
        event_time: Timestamp(0),
        payload: Bytes::from(vec![b'x'; bytes]),
        sent: SentFields::default(),
    }
}

fn audit() -> AuditEntry {
    let (actor, action, object) = ("test".into(), "org.create".into(), "org".into());
    AuditEntry { at: Timestamp(0), actor, action, object, detail: serde_json::Value::Null }
}

/// A new store with one org.
pub(super) async fn store(dir: &Path, options: SqliteOptions) -> Arc<Sqlite> {
    let store = Sqlite::open(dir, options).unwrap();
    let value = OrgRecord { id: ORG, name: "org".into(), is_default: true, created_at: Timestamp(0) };
    store.create_org(Change { value, audit: audit() }).await.unwrap();
    store
}

fn options() -> SqliteOptions {
    SqliteOptions { clock: Arc::new(|| Timestamp(1_767_225_600_000)), ..SqliteOptions::default() }
}

#[tokio::test]
async fn a_full_disk_takes_the_group_back_and_the_store_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), options()).await;
    let pages = |limit: u32| {
        let store = Arc::clone(&store);
        async move {
            let set = move |engine: &mut super::engine::Engine| {
                Ok(engine.conn.pragma_update_and_check(None, "max_page_count", limit, |row| row.get::<_, u32>(0))?)
            };
            store.writer.call("limiting the file", set).await.unwrap()
        }
    };
    store.append((0..10).map(|n| event(n, 800)).collect()).await.unwrap();
    pages(100).await;
    let mut refused = 0;
    for n in 10..200 {
        match store.append(vec![event(n, 20_000)]).await {
            Ok(appended) => assert_eq!((appended, refused), (vec![Appended::Accepted(Seq(n + 1))], 0)),
            Err(StoreError::Full) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 100, "only {refused} of 190 were refused");
    let head = *store.head(ORG).await.unwrap().borrow();
    assert_eq!(head, Seq(200 - refused));
    pages(1 << 20).await;
    // What was refused left nothing behind: the same id is new, and the next sequence is the next.
    assert_eq!(store.append(vec![event(199, 10)]).await.unwrap(), [Appended::Accepted(head.next())]);
    let first = Appended::Duplicate { seq: Seq(1), differs: false };
    assert_eq!(store.append(vec![event(0, 800)]).await.unwrap(), [first]);
}

#[tokio::test]
async fn after_an_error_of_the_disk_nothing_is_accepted_until_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), options()).await;
    store.append(vec![event(1, 10)]).await.unwrap();
    assert!(!store.vitals().poisoned);
    let broken = store
        .writer
        .call::<(), _>("failing", |_| {
            Err(Fault::Failed(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), None)))
        })
        .await;
    assert!(matches!(broken, Err(StoreError::Unavailable { .. })), "{broken:?}");
    for _ in 0..2 {
        let refused = store.append(vec![event(2, 10)]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
    }
    assert!(store.vitals().poisoned, "whoever watches it can see that");
    assert_eq!(store.read(ORG, Seq(0), ReadLimit { events: 9, bytes: 99 }).await.unwrap().len(), 1);
    store.close().await.unwrap();
    let store = Sqlite::open(dir.path(), options()).unwrap();
    assert_eq!(store.append(vec![event(2, 10)]).await.unwrap(), [Appended::Accepted(Seq(2))]);
}

#[tokio::test]
async fn one_refusal_leaves_the_others_of_its_group_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), options()).await;
    let stray = NewEvent { org: OrgId(Uuid::from_u128(2)), ..event(3, 10) };
    let (one, two, three) = tokio::join!(
        store.append(vec![event(1, 10)]),
        store.append(vec![event(2, 10), stray]),
        store.append(vec![event(2, 10)]),
    );
    assert_eq!(one.unwrap(), [Appended::Accepted(Seq(1))]);
    assert!(matches!(two, Err(StoreError::NotFound)));
    assert_eq!(three.unwrap(), [Appended::Accepted(Seq(2))]);
}

#[tokio::test]
async fn the_disk_budget_refuses_events_but_not_the_work_that_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let limited = SqliteOptions { max_bytes: Some(12 << 20), reserve: 4 << 20, ..options() };
    let store = store(dir.path(), limited).await;
    let disk = store.disk().await.unwrap();
    assert_eq!((disk.used, disk.budget, disk.reserve), (store.used_bytes().await.unwrap(), Some(12 << 20), 4 << 20));
    let mut n = 0;
    let full = loop {
        match store.append((0..20).map(|i| event(n + i, 10_000)).collect()).await {
            Ok(_) => n += 20,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::Full), "{full}");
    assert!(n > 100 && store.used_bytes().await.unwrap() <= 12 << 20, "{n} events");
    let all = Retention { payloads_before: Timestamp(i64::MAX), history_before: Timestamp(0) };
    let mut removed = 0;
    loop {
        let expired = store.expire(all).await.unwrap();
        removed += expired.payloads;
        if !expired.more {
            break;
        }
    }
    assert_eq!(removed, n);
    let vitals = store.vitals();
    assert_eq!((vitals.queued_events, vitals.queued_bytes, vitals.queued_others), (0, 0, 0));
    assert!(vitals.group_size.count > 2 && vitals.group_size.count == vitals.commit_seconds.count, "{vitals:?}");
    store.append(vec![event(n, 10_000)]).await.unwrap();
    assert!(store.event(ORG, event(0, 0).event_id).await.unwrap().1.is_none());
}

#[tokio::test]
async fn duplicates_are_found_in_every_partition_of_the_last_two_days() {
    let dir = tempfile::tempdir().unwrap();
    let small = || SqliteOptions { partition_rows: 50, ..options() };
    let store = store(dir.path(), small()).await;
    for n in 0..500 {
        assert_eq!(store.append(vec![event(n, 10)]).await.unwrap(), [Appended::Accepted(Seq(n + 1))]);
    }
    let check = |store: Arc<Sqlite>| async move {
        for n in 0..500 {
            let original = Appended::Duplicate { seq: Seq(n + 1), differs: false };
            assert_eq!(store.append(vec![event(n, 10)]).await.unwrap(), [original]);
            assert_eq!(store.event(ORG, event(n, 10).event_id).await.unwrap().0.seq, Seq(n + 1));
        }
    };
    check(Arc::clone(&store)).await;
    store.close().await.unwrap();
    drop(store);
    let store = Sqlite::open(dir.path(), small()).unwrap();
    check(Arc::clone(&store)).await;
    while unindexed(&store).await > 0 {
        tokio::task::yield_now().await;
    }
    check(store).await;
}

/// A year of events that have rightly gone costs a read nothing, whatever stretch it is asked for.
#[tokio::test]
async fn what_has_long_gone_is_not_looked_for_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let without_ring = || SqliteOptions { ring_bytes: 0, ..options() };
    store(dir.path(), without_ring()).await.close().await.unwrap();
    let conn = rusqlite::Connection::open(dir.path().join("toktra.db")).unwrap();
    conn.execute("UPDATE org SET head = ?1", [1i64 << 38]).unwrap();
    drop(conn);
    let store = Sqlite::open(dir.path(), without_ring()).unwrap();
    let next = Seq((1 << 38) + 1);
    assert_eq!(store.append(vec![event(1, 10)]).await.unwrap(), [Appended::Accepted(next)]);
    let read = store.read(ORG, Seq(0), ReadLimit { events: 9, bytes: 99 }).await.unwrap();
    assert_eq!(read.iter().map(|event| event.seq).collect::<Vec<_>>(), [next]);
    let members = Members::from_runs([(1, u32::MAX), (next.0, 1)]);
    assert_eq!(store.read_members(ORG, &members).await.unwrap().len(), 1);
    assert_eq!(store.damaged(ORG, &members).await.unwrap(), []);
}

/// Sealed partitions whose lookup table is still being made.
async fn unindexed(store: &Sqlite) -> i64 {
    let sql = "SELECT count(*) FROM partition WHERE sealed = 1 AND indexed = 0";
    store.readers.run("counting", move |conn| Ok(conn.query_row(sql, [], |row| row.get(0))?)).await.unwrap()
}
