//! How events lie in the database: a run for each org and group, longer and smaller ones once a partition is sealed, and what damage costs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use toktra_siem_core::event::{NewEvent, StoredEvent};
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::conformance::{Fixture, World};
use toktra_siem_store::{Appended, DeliveryStore as _, EventLog as _, ReadLimit, Retention};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};

/// Only a thread that does not pack takes longer.
const PATIENCE: Duration = Duration::from_mins(2);
const DAY: i64 = 24 * 3_600_000;
const ALL: ReadLimit = ReadLimit { events: usize::MAX >> 1, bytes: usize::MAX };

async fn world(dir: &Path, partition_rows: u64) -> World {
    World::new(|clock| {
        // Nothing of it is in memory, so that what is read is what is on disk.
        let options = SqliteOptions { clock, partition_rows, ring_bytes: 0, ..SqliteOptions::default() };
        Fixture { store: Sqlite::open(dir, options).expect("a new store"), damages: None, keep: Box::new(()) }
    })
    .await
}

fn look(dir: &Path) -> Connection {
    Connection::open(dir.join("toktra.db")).expect("the database")
}

/// Rows, events and bytes of a table of runs.
fn rows(dir: &Path, table: &str, bytes: &str) -> (i64, i64, i64) {
    let sql = format!("SELECT count(*), sum(events), sum(length({bytes})) FROM {table}");
    look(dir).query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("rows")
}

async fn all(world: &World, org: OrgId) -> Vec<Arc<StoredEvent>> {
    world.store.read(org, Seq(0), ALL).await.expect("events")
}

/// Waits until the thread that packs is done with the partition.
async fn packed(dir: &Path, number: i64) {
    let sql = "SELECT packed FROM partition WHERE number = ?1";
    let done = async {
        while !look(dir).query_row(sql, [number], |row| row.get(0)).unwrap_or(false) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("the partition is packed");
}

#[tokio::test]
async fn a_group_is_one_run_for_each_org() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path(), 1000).await;
    let other = world.other_org().await;
    let mut events: Vec<_> = (0..30).map(|_| world.event()).collect();
    events.push(NewEvent { org: other, ..world.event() });
    events.push(world.event());
    world.append_all(events).await;
    assert_eq!((rows(dir.path(), "head_1", "head").0, rows(dir.path(), "body_1", "body").0), (2, 2));
    assert_eq!((all(&world, world.org).await.len(), all(&world, other).await.len()), (31, 1));
    world.append(600).await;
    let (runs, events, _) = rows(dir.path(), "body_1", "body");
    assert_eq!((runs, events), (5, 632), "a run has at most 256 events");
}

/// Duplicates are known before they have rows, within the group and within the call.
#[tokio::test]
async fn a_duplicate_within_the_group_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path(), 1000).await;
    let event = world.event();
    let other = NewEvent { payload: "{}".into(), ..event.clone() };
    let told = world.store.append(vec![event.clone(), event.clone(), world.event(), other]).await.expect("an answer");
    let known = |differs| Appended::Duplicate { seq: Seq(1), differs };
    assert_eq!(told, [Appended::Accepted(Seq(1)), known(false), Appended::Accepted(Seq(2)), known(false)]);
    assert_eq!(world.store.append(vec![event]).await.expect("an answer"), [known(false)]);
    assert_eq!(all(&world, world.org).await.len(), 2);
}

/// One new event among many that are known does not keep the memory of them all.
#[tokio::test]
async fn an_event_among_duplicates_is_kept_by_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = SqliteOptions { ring_bytes: 1 << 20, ..SqliteOptions::default() };
    let path = dir.path().to_path_buf();
    let world = World::new(|clock| {
        let options = SqliteOptions { clock, ..options };
        Fixture { store: Sqlite::open(&path, options).expect("a new store"), damages: None, keep: Box::new(()) }
    })
    .await;
    let known = world.event();
    world.append_all(vec![known.clone()]).await;
    let (mut before, mut after) = (world.event(), world.event());
    let request = bytes::Bytes::from([&before.payload[..], &known.payload[..], &after.payload[..]].concat());
    let (first, second) = (before.payload.len(), before.payload.len() + known.payload.len());
    (before.payload, after.payload) = (request.slice(..first), request.slice(second..));
    let expected = [before.payload.to_vec(), after.payload.to_vec()];
    world.store.append(vec![before, known, after]).await.expect("an answer");
    let kept = all(&world, world.org).await;
    assert_eq!([kept[1].payload.to_vec(), kept[2].payload.to_vec()], expected);
    assert!(request.is_unique(), "the store keeps a part of the request's memory");
}

#[tokio::test]
async fn sealing_makes_runs_long_and_payloads_small() {
    let dir = tempfile::tempdir().expect("a directory");
    // As many as are written before `before`: a partition is packed as soon as one more comes.
    let world = world(dir.path(), 303).await;
    let other = world.other_org().await;
    let mut ids = Vec::new();
    for n in 0..150 {
        ids.extend(world.append(2).await);
        if n % 50 == 0 {
            let theirs = NewEvent { org: other, ..world.event() };
            world.append_all(vec![theirs]).await;
        }
    }
    let before = all(&world, world.org).await;
    let (runs, _, plain) = rows(dir.path(), "body_1", "body");
    assert!(runs > 100, "{runs}");
    world.append(10).await;
    packed(dir.path(), 1).await;
    let (runs, events, small) = rows(dir.path(), "body_1", "body");
    assert!(runs <= 4 && events >= 300 && small < plain, "{runs} runs of {events} events, {small} of {plain} bytes");
    assert!(rows(dir.path(), "head_1", "head").0 <= 4);
    let after = all(&world, world.org).await;
    assert!(before.len() == 300 && after[..300] == before[..], "byte for byte what it was");
    assert_eq!(all(&world, other).await.len(), 3);
    for id in [ids[0], ids[255], ids[256], ids[299]] {
        let (record, payload) = world.store.event(world.org, id).await.expect("found");
        assert_eq!((record.event_id, payload.is_some()), (id, true));
    }
}

/// A start goes on with what the last one left unpacked.
#[tokio::test]
async fn packing_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let org = {
        let world = world(dir.path(), 50).await;
        for _ in 0..60 {
            world.append(1).await;
        }
        world.org
    };
    look(dir.path()).execute("UPDATE partition SET packed = 0", []).expect("as if it had been killed");
    let store = Sqlite::open(dir.path(), SqliteOptions::default()).expect("a start");
    packed(dir.path(), 1).await;
    assert_eq!(store.read(org, Seq(0), ALL).await.expect("events").len(), 60);
    store.close().await.expect("a clean end");
}

/// Of a damaged head, the events cannot be read; all others can, and no sequence is given twice.
#[tokio::test]
async fn a_damaged_head_costs_its_events_and_no_sequence_is_given_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (org, ids) = {
        let world = world(dir.path(), 1000).await;
        let mut ids: Vec<EventId> = world.append(5).await;
        ids.extend(world.append(5).await);
        (world.org, ids)
    };
    let conn = look(dir.path());
    let (key, mut head): (i64, Vec<u8>) = conn
        .query_row("SELECT key, head FROM head_1 ORDER BY key DESC LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("a head");
    head[20] ^= 4;
    conn.execute("UPDATE head_1 SET head = ?2 WHERE key = ?1", (key, head)).expect("damage");
    drop(conn);
    let store = Sqlite::open(dir.path(), SqliteOptions::default()).expect("a start");
    assert_eq!(*store.head(org).await.expect("a head").borrow(), Seq(10));
    let whole = store.read(org, Seq(0), ALL).await.expect("the others");
    assert_eq!(whole.iter().map(|event| event.event_id).collect::<Vec<_>>(), ids[..5]);
    store.close().await.expect("a clean end");
}

/// Makes a page unreadable that holds a part of the table, in a file that nobody has open.
fn tear(dir: &Path, table: &str, column: &str) {
    const PAGE: usize = 8192;
    let middle = format!("SELECT {column} FROM {table} ORDER BY key LIMIT 1 OFFSET (SELECT count(*) / 2 FROM {table})");
    // Nothing of what was there before is left in the file.
    look(dir).execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").expect("a tidy file");
    let bytes: Vec<u8> = look(dir).query_row(&middle, [], |row| row.get(0)).expect("a row");
    let path = dir.join("toktra.db");
    let mut file = std::fs::read(&path).expect("the file");
    let at = file.windows(bytes.len().min(64)).position(|window| window == &bytes[..window.len()]).expect("its page");
    let page = at / PAGE * PAGE;
    file[page..page + 16].fill(0xff);
    std::fs::write(&path, file).expect("a torn page");
}

/// A damaged partition is passed by when its time has come, and the others expire.
#[tokio::test]
async fn a_damaged_partition_keeps_no_other_from_expiring() {
    for (table, column) in [("body_1", "body"), ("head_1", "head")] {
        let dir = tempfile::tempdir().expect("a directory");
        let (org, stream, now, event) = {
            let world = world(dir.path(), 100).await;
            let stream = world.stream().await;
            for _ in 0..300 {
                world.append(1).await;
            }
            packed(dir.path(), 1).await;
            packed(dir.path(), 2).await;
            (world.org, stream, world.now(), world.event())
        };
        tear(dir.path(), table, column);
        let later = Timestamp(now.0 + 60 * DAY);
        let clock = Arc::new(move || later);
        let options = SqliteOptions { clock, partition_rows: 100, ring_bytes: 0, ..SqliteOptions::default() };
        let store = Sqlite::open(dir.path(), options).expect("a start");
        let before = Timestamp(later.0 - DAY);
        let old = Retention { payloads_before: before, history_before: before };
        for _ in 0..20 {
            store.expire(old).await.expect("retention goes on");
        }
        let left: i64 =
            look(dir.path()).query_row("SELECT count(*) FROM partition", [], |row| row.get(0)).expect("a count");
        assert_eq!(left, 0, "{table}");
        let record = store.stream(stream).await.expect("the stream");
        assert_eq!((record.cursor, record.counts.total()), (Seq(300), 300), "{table}: {record:?}");
        assert_eq!(store.recount(stream).await.expect("a recount"), record.counts, "{table}");
        // What comes now is in a partition of its own.
        assert_eq!(store.append(vec![NewEvent { org, ..event }]).await.expect("room"), [Appended::Accepted(Seq(301))]);
        store.close().await.expect("a clean end");
    }
}
