//! What a repair saves of a damaged database, and what it says of the rest.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use toktra_siem_core::ids::{EventId, OrgId, Seq, StreamId};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::backend::Repaired;
use toktra_siem_store::batch::{self, read_body};
use toktra_siem_store::conformance::flow::Flow;
use toktra_siem_store::conformance::world::START;
use toktra_siem_store::conformance::{Fixture, World};
use toktra_siem_store::{AtRest as _, ConfigStore, DeliveryStore, EventLog, OrgStore, ReadLimit, Store, StoreError};
use toktra_siem_store_sqlite::{Directory, Sqlite, SqliteOptions};

const ALL: ReadLimit = ReadLimit { events: usize::MAX >> 1, bytes: usize::MAX };
const DATABASE: &str = "toktra.db";
const PAGE: u64 = 8192;

/// What is in the database before it is damaged: 200 events, of which two streams took the first half, and one delivered it.
struct Before {
    org: OrgId,
    ids: Vec<EventId>,
    streams: [StreamId; 2],
}

/// Leaves a closed database in `dir`.
async fn fill(dir: &Path) -> Before {
    fill_with(dir, 60, 200).await
}

async fn fill_with(dir: &Path, partition_rows: u64, events: usize) -> Before {
    let world = World::new(|clock| {
        let store = Sqlite::open(dir, SqliteOptions { clock, partition_rows, ..SqliteOptions::default() });
        Fixture { store: store.expect("a new store"), damages: None, keep: Box::new(()) }
    })
    .await;
    let (delivers, fails) = (world.stream().await, world.stream().await);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.extend(world.append(events / 20).await);
    }
    let flow = Flow::take_over(&world, delivers).await;
    flow.deliver(&flow.open_to(100).await.expect("events")).await;
    let flow = Flow::take_over(&world, fails).await;
    flow.fail(&flow.open_to(10).await.expect("events")).await;
    Before { org: world.org, ids, streams: [delivers, fails] }
}

fn reopen(dir: &Path) -> Arc<Sqlite> {
    Sqlite::open(dir, SqliteOptions::default()).expect("the repaired database opens")
}

/// Damages the payload of this event as a flipped bit would: its bytes are others, its checksum is what it was.
fn flip(dir: &Path, id: EventId) {
    let conn = rusqlite::Connection::open(dir.join(DATABASE)).expect("the database");
    let text = id.to_string();
    let mut found = false;
    for table in bodies(&conn) {
        let mut rows = conn.prepare(&format!("SELECT key, body FROM {table}")).expect("a statement");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        for (key, body) in rows.map(|row: rusqlite::Result<(i64, Vec<u8>)>| row.expect("a row")) {
            let mut payloads = read_body(&body).expect("a whole body");
            for payload in payloads.iter_mut().flatten() {
                let Some(at) = payload.bytes.windows(text.len()).position(|window| window == text.as_bytes()) else {
                    continue;
                };
                let mut bytes = payload.bytes.to_vec();
                bytes[at] ^= 1;
                payload.bytes = bytes.into();
                found = true;
            }
            let body = batch::body(payloads.iter().map(|p| p.as_ref().map(|p| (p.crc, &p.bytes[..]))));
            conn.execute(&format!("UPDATE {table} SET body = ?2 WHERE key = ?1"), (key, body)).expect("an update");
        }
    }
    assert!(found, "the payload");
    conn.close().expect("a clean end");
}

fn bodies(conn: &rusqlite::Connection) -> Vec<String> {
    let mut names = conn.prepare("SELECT name FROM sqlite_master WHERE name GLOB 'body_*'").expect("a statement");
    names.query_map([], |row| row.get(0)).expect("names").map(|name| name.expect("a name")).collect()
}

/// The page that holds the payload of this event.
fn page_of(dir: &Path, id: EventId) -> u64 {
    let bytes = std::fs::read(dir.join(DATABASE)).expect("the database");
    let text = id.to_string();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).expect("the payload");
    at as u64 / PAGE
}

/// The account of every stream adds up, and every event that is not reported lost can still be read.
async fn check(store: &dyn Store, before: &Before, repaired: &Repaired) {
    let head = *store.head(before.org).await.expect("a head").borrow();
    assert_eq!(head, Seq(200), "sequences are not given again");
    for stream in before.streams {
        let record = store.stream(stream).await.expect("the stream");
        assert!(record.accounting().adds_up(), "D1: {record:?}");
    }
    let events = store.read(before.org, Seq(0), ALL).await.expect("whole events");
    let found: Vec<EventId> = events.iter().map(|event| event.event_id).collect();
    let lost: Vec<Seq> = repaired.lost.iter().map(|lost| lost.seq).collect();
    for (at, id) in before.ids.iter().enumerate() {
        assert_eq!(found.contains(id), !lost.contains(&Seq(at as u64 + 1)), "event {}", at + 1);
    }
    assert_eq!(repaired.events, found.len() as u64);
}

fn repair(dir: &Path, now: Timestamp) -> Result<Repaired, StoreError> {
    Directory(dir.to_owned()).repair(now)
}

#[tokio::test]
async fn what_is_whole_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    assert!(matches!(repair(dir.path(), START), Err(StoreError::NotFound)));
    fill(dir.path()).await;
    let bytes = std::fs::read(dir.path().join(DATABASE)).expect("the database");
    let repaired = repair(dir.path(), START).expect("a look");
    assert_eq!((repaired.damaged.as_ref(), repaired.has_losses()), (None, false), "{repaired:?}");
    assert!(bytes == std::fs::read(dir.path().join(DATABASE)).expect("the database"), "nothing was changed");
}

#[tokio::test]
async fn one_flipped_bit_costs_one_event_and_the_damaged_file_is_kept() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let before = fill(dir.path()).await;
    flip(dir.path(), before.ids[150]);
    let damaged = std::fs::read(dir.path().join(DATABASE)).expect("the database");
    let repaired = repair(dir.path(), START).expect("a repair");
    let [lost] = repaired.lost.as_slice() else { panic!("{repaired:?}") };
    assert_eq!((lost.org, lost.seq, lost.event_id), (Some(before.org), Seq(151), Some(before.ids[150])));
    assert!(lost.recorded && repaired.tables.is_empty() && repaired.expired == 0, "{repaired:?}");
    let aside = repaired.damaged.as_ref().expect("a name");
    assert!(aside.ends_with("toktra.db.damaged-2026-01-01T000000.000Z"), "{}", aside.display());
    assert!(damaged == std::fs::read(aside).expect("the damaged file"), "it was touched");
    let store = reopen(dir.path());
    check(&*store, &before, &repaired).await;
    let (record, payload) = store.event(before.org, before.ids[150]).await.expect("its record");
    assert_eq!((record.seq, payload), (Seq(151), None));
    assert_eq!(store.event(before.org, before.ids[3]).await.expect("found by its id").0.seq, Seq(4));
    for stream in before.streams {
        let record = store.stream(stream).await.expect("the stream");
        assert_eq!(store.recount(stream).await.expect("a recount"), record.counts);
    }
    assert_eq!(store.all_connectors().await.expect("connectors").len(), 2);
    store.close().await.expect("a clean end");
    let again = repair(dir.path(), START).expect("a look");
    assert_eq!(again.damaged, None, "the repaired database is whole");
}

/// What the server had set aside before is nobody's loss any more: it stays counted and noted.
#[tokio::test]
async fn what_is_known_to_be_damaged_stays_so() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let before = fill(dir.path()).await;
    flip(dir.path(), before.ids[2]);
    let (members, [delivers, fails]) = (Members::from_ascending([Seq(3)]), before.streams);
    let store = reopen(dir.path());
    assert!(store.read_members(before.org, &members).await.expect("a read").is_empty());
    let noted = store.damaged(before.org, &members).await.expect("the notes");
    assert_eq!(noted.len(), 1);
    store.close().await.expect("a clean end");

    let repaired = repair(dir.path(), START).expect("a repair");
    assert_eq!((repaired.lost.len(), repaired.settled_payloads, repaired.expired), (0, 1, 0), "{repaired:?}");
    let store = reopen(dir.path());
    assert_eq!(store.damaged(before.org, &members).await.expect("the notes"), noted);
    for (stream, damaged) in [(delivers, 0), (fails, 1)] {
        let record = store.stream(stream).await.expect("the stream");
        assert_eq!(record.counts.damaged, damaged);
        assert_eq!(store.recount(stream).await.expect("a recount"), record.counts);
    }
    store.close().await.expect("a clean end");
}

#[tokio::test]
async fn a_page_of_garbage_costs_what_was_on_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let before = fill(dir.path()).await;
    // Of the partition that is still open: no copy of it was left behind by packing.
    let page = page_of(dir.path(), before.ids[190]);
    let file = OpenOptions::new().write(true).open(dir.path().join(DATABASE)).expect("the database");
    file.write_all_at(&[0xa5; 8192], page * PAGE).expect("garbage");
    drop(file);
    let repaired = repair(dir.path(), START).expect("a repair");
    assert!((1..=60).contains(&repaired.lost.len()), "{repaired:?}");
    assert!(repaired.lost.iter().any(|lost| lost.event_id == Some(before.ids[190])), "{repaired:?}");
    assert!(repaired.tables.iter().all(|table| table.name.starts_with("body_")), "{:?}", repaired.tables);
    check(&*reopen(dir.path()), &before, &repaired).await;
}

#[tokio::test]
async fn a_file_that_was_cut_off_keeps_its_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let before = fill_with(dir.path(), 10_000, 3000).await;
    let path = dir.path().join(DATABASE);
    let pages = std::fs::metadata(&path).expect("the database").len() / PAGE;
    let mut saved = Vec::new();
    for cut in 1..=4 {
        let copy = tempfile::tempdir().expect("a temporary directory");
        std::fs::copy(&path, copy.path().join(DATABASE)).expect("a copy");
        let file = OpenOptions::new().write(true).open(copy.path().join(DATABASE)).expect("the database");
        file.set_len((pages - cut) * PAGE).expect("a shorter file");
        assert!(Sqlite::open(copy.path(), SqliteOptions::default()).is_err(), "a start is refused");
        let repaired = repair(copy.path(), START).expect("a repair");
        assert!(repaired.has_losses(), "{repaired:?}");
        let store = reopen(copy.path());
        for connector in store.all_connectors().await.expect("connectors") {
            for stream in connector.connector.streams() {
                let record = store.stream(stream).await.expect("the stream");
                assert!(record.accounting().adds_up(), "D1 after {cut}: {record:?}");
            }
        }
        saved.push(repaired.events);
        let told = repaired.events + repaired.lost.len() as u64 + repaired.unknown;
        assert_eq!(told, before.ids.len() as u64, "every event is saved or told of: {:?}", repaired.tables);
        assert_eq!(*store.head(before.org).await.expect("a head").borrow(), Seq(3000), "sequences are not given again");
    }
    assert!(saved.is_sorted_by(|a, b| a >= b) && saved.iter().all(|n| *n > 2000), "{saved:?}");
}

#[tokio::test]
async fn without_its_start_nothing_is_touched() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fill(dir.path()).await;
    let path = dir.path().join(DATABASE);
    let file = OpenOptions::new().write(true).open(&path).expect("the database");
    file.write_all_at(&[0xa5; 200], 0).expect("garbage");
    let damaged = std::fs::read(&path).expect("the database");
    assert!(matches!(repair(dir.path(), START), Err(StoreError::Damaged(why)) if why.contains("backup")));
    assert!(damaged == std::fs::read(&path).expect("the database"), "it was touched");
}

/// One bit of any of the first hundred bytes costs nothing, and what it was is said.
#[tokio::test]
async fn no_bit_of_the_header_costs_an_event() {
    let dir = tempfile::tempdir().expect("a directory");
    let before = fill(dir.path()).await;
    let whole = std::fs::read(dir.path().join(DATABASE)).expect("the database");
    let repaired = Directory(dir.path().to_path_buf()).repair(START).expect("a repair");
    assert!(repaired.header.is_empty() && repaired.damaged.is_none(), "{repaired:?}");
    let mut said = Vec::new();
    for byte in 0..100 {
        for bit in [byte % 8, 7 - byte % 8] {
            let copy = tempfile::tempdir().expect("a directory");
            let path = copy.path().join(DATABASE);
            let mut bytes = whole.clone();
            bytes[byte] ^= 1 << bit;
            std::fs::write(&path, &bytes).expect("a copy");
            let what = format!("bit {bit} of byte {byte}");
            let repaired = Directory(copy.path().to_path_buf()).repair(START);
            let repaired = repaired.unwrap_or_else(|error| panic!("{what}: {error}"));
            let known = [0..24, 44..48, 56..92];
            assert_eq!(
                repaired.header.len(),
                usize::from(
                    known.iter().any(|at| at.contains(&byte)) || repaired.header.len() == 1 && (28..32).contains(&byte)
                ),
                "{what}: {repaired:?}"
            );
            assert!(!repaired.has_losses(), "{what}: {repaired:?}");
            said.extend(repaired.header);
            let store =
                Sqlite::open(copy.path(), SqliteOptions::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
            let read = store.read(before.org, Seq(0), ALL).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(read.len(), 200, "{what}");
            store.close().await.expect("a clean end");
        }
    }
    said.sort_unstable();
    said.dedup();
    assert_eq!(said.len(), 12, "{said:?}");
}

/// A file that is another program's, or of which too much is something else, is left as it is.
#[test]
fn a_header_that_is_not_ours_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(DATABASE);
    let file = rusqlite::Connection::open(&path).expect("a database");
    file.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; CREATE TABLE org (x);",
    )
    .expect("a table");
    file.close().expect("a clean end");
    let bytes = std::fs::read(&path).expect("the file");
    let refused = Directory(dir.path().to_path_buf()).repair(START).expect_err("another program's").to_string();
    assert!(refused.contains("another program"), "{refused}");
    assert_eq!(std::fs::read(&path).expect("the file"), bytes);
    let zeros = vec![0; bytes.len()];
    std::fs::write(&path, &zeros).expect("a file");
    let refused = Directory(dir.path().to_path_buf()).repair(START).expect_err("nothing is left").to_string();
    assert!(refused.contains("the size of its pages") && refused.contains("Bring back a backup"), "{refused}");
    assert_eq!(std::fs::read(&path).expect("the file"), zeros);
}
