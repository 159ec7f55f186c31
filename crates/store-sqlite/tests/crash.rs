//! What the embedded backend finds after a kill, a torn write, or a flipped bit.

use std::path::Path;
use std::sync::Arc;

use toktra_siem_core::ids::{EventId, Seq};
use toktra_siem_store::conformance::{Fixture, World};
use toktra_siem_store::{EventLog, OrgStore, ReadLimit, StoreError};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};

const ALL: ReadLimit = ReadLimit { events: usize::MAX >> 1, bytes: usize::MAX };
const DATABASE: &str = "toktra.db";
const LOG: &str = "toktra.db-wal";

/// A world over a store in `dir`, which stays open as long as the world.
async fn world(dir: &Path) -> World {
    World::new(|clock| {
        let store = Sqlite::open(dir, SqliteOptions { clock, partition_rows: 40, ..SqliteOptions::default() })
            .expect("a new store");
        Fixture { store, keep: Box::new(()) }
    })
    .await
}

/// As after a kill: the files as they are while the server runs. `log` bytes of the log survive.
fn remains(dir: &Path, log: Option<u64>) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    for name in [DATABASE, LOG] {
        std::fs::copy(dir.join(name), copy.path().join(name)).expect("a copy");
    }
    if let Some(bytes) = log {
        let file = std::fs::OpenOptions::new().write(true).open(copy.path().join(LOG)).expect("the log");
        file.set_len(bytes).expect("a shorter log");
    }
    copy
}

fn reopen(dir: &Path) -> Arc<Sqlite> {
    Sqlite::open(dir, SqliteOptions::default()).expect("what remains opens unattended")
}

#[tokio::test]
async fn everything_accepted_is_there_after_a_kill() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let world = world(dir.path()).await;
    let ids = world.append(100).await;
    let copy = remains(dir.path(), None);
    let store = reopen(copy.path());
    let read = store.read(world.org, Seq(0), ALL).await.expect("events");
    assert_eq!(read.iter().map(|event| event.event_id).collect::<Vec<_>>(), ids);
    assert_eq!(*store.head(world.org).await.expect("a head").borrow(), Seq(100));
}

/// Wherever the log is cut, what is left is a prefix of what was accepted, and the store goes on from there.
#[tokio::test]
async fn a_torn_log_keeps_its_prefix() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let world = world(dir.path()).await;
    let mut ids: Vec<EventId> = Vec::new();
    for _ in 0..30 {
        ids.extend(world.append(5).await);
    }
    let whole = std::fs::metadata(dir.path().join(LOG)).expect("the log").len();
    let (mut seen, pieces) = (Vec::new(), 24);
    for piece in 0..=pieces {
        // An odd number, so that most cuts go through the middle of a page.
        let copy = remains(dir.path(), Some(whole * piece / pieces / 7 * 7));
        let Ok(store) = Sqlite::open(copy.path(), SqliteOptions::default()) else {
            panic!("a log of {piece}/{pieces} does not open");
        };
        let read = match store.read(world.org, Seq(0), ALL).await {
            Ok(read) => read,
            Err(StoreError::NotFound) => Vec::new(),
            Err(error) => panic!("a log of {piece}/{pieces}: {error}"),
        };
        let found: Vec<EventId> = read.iter().map(|event| event.event_id).collect();
        assert_eq!(found, ids[..found.len()], "a log of {piece}/{pieces} has no prefix");
        assert_eq!(found.len() % 5, 0, "a group is there in part");
        seen.push(found.len());
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(seen.iter().any(|n| *n > 0 && *n < ids.len()), "no cut went through the events: {seen:?}");
}

/// A flipped bit in a payload is found, and the event is not delivered.
#[tokio::test]
async fn a_flipped_bit_is_found() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (org, ids) = {
        let world = world(dir.path()).await;
        (world.org, world.append(20).await)
    };
    let path = dir.path().join(DATABASE);
    let mut bytes = std::fs::read(&path).expect("the database");
    let id = ids[11].to_string();
    let at = bytes.windows(id.len()).position(|window| window == id.as_bytes()).expect("the payload");
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("the database");

    let store = reopen(dir.path());
    let whole: Vec<EventId> =
        store.read(org, Seq(0), ALL).await.expect("the others").iter().map(|e| e.event_id).collect();
    assert_eq!(whole, [&ids[..11], &ids[12..]].concat());
    assert_eq!(store.event(org, ids[11]).await.expect("its record").1, None);
    assert!(store.event(org, ids[12]).await.expect("the next one").1.is_some());
}

/// Two servers never write one directory; a closed one gives it free.
#[tokio::test]
async fn the_directory_is_locked() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Sqlite::open(dir.path(), SqliteOptions::default()).expect("a new store");
    let refused = Sqlite::open(dir.path(), SqliteOptions::default()).expect_err("a lock").to_string();
    assert!(refused.contains("in use by a running server"), "{refused}");
    store.close().await.expect("a clean end");
    assert_eq!(std::fs::metadata(dir.path().join(LOG)).map_or(0, |log| log.len()), 0, "the log is in the database");
    let again = Sqlite::open(dir.path(), SqliteOptions::default()).expect("the directory is free");
    assert!(matches!(store.used_bytes().await, Err(StoreError::Unavailable { .. })));
    again.close().await.expect("a clean end");
}

/// Events hold personal data: every file is for the server's user alone.
#[tokio::test]
async fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let world = world(dir.path()).await;
    world.append(3).await;
    for name in [DATABASE, LOG, "toktra.db-shm", "toktra.lock"] {
        let mode = std::fs::metadata(dir.path().join(name)).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
