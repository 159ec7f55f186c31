//! Backups: what is in a copy that was made while others write, and what `restore` refuses.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use toktra_siem_core::ids::{OrgId, Seq, StreamId};
use toktra_siem_core::people::Role;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::backend::{BackedUp, Copied, Restored};
use toktra_siem_store::conformance::flow::Flow;
use toktra_siem_store::conformance::world::START;
use toktra_siem_store::conformance::{Fixture, World, people};
use toktra_siem_store::{AtRest as _, DeliveryStore, EventLog, ReadLimit, SessionStore, StoreError, UserStore};
use toktra_siem_store_sqlite::{Directory, Sqlite, SqliteOptions};

const ALL: ReadLimit = ReadLimit { events: usize::MAX >> 1, bytes: usize::MAX };
const DATABASE: &str = "toktra.db";

/// A server's world in `dir`, which is open for as long as it lives; its partitions are small, so that there are several.
async fn world(dir: &Path) -> World {
    World::new(|clock| {
        let store = Sqlite::open(dir, SqliteOptions { clock, partition_rows: 60, ..SqliteOptions::default() });
        Fixture { store: store.expect("a new store"), damages: None, keep: Box::new(()) }
    })
    .await
}

fn silent(_: Copied) {}

fn backup(dir: &Path, to: &Path, report: &mut dyn FnMut(Copied)) -> Result<BackedUp, StoreError> {
    Directory(dir.to_owned()).backup(to, report)
}

fn restore(
    from: &Path,
    dir: &Path,
    replace: bool,
    now: Timestamp,
    report: &mut dyn FnMut(Copied),
) -> Result<Restored, StoreError> {
    Directory(dir.to_owned()).restore(from, replace, now, report)
}

/// What is found in a directory: the head of the org, and its readable events; every account adds up.
async fn found(dir: &Path, org: OrgId, streams: &[StreamId]) -> (Seq, usize) {
    let store = Sqlite::open(dir, SqliteOptions::default()).expect("the restored database opens");
    for stream in streams {
        let record = store.stream(*stream).await.expect("the stream");
        assert!(record.accounting().adds_up(), "D1: {record:?}");
        assert_eq!(store.recount(*stream).await.expect("a recount"), record.counts);
    }
    let head = *store.head(org).await.expect("a head").borrow();
    let events = store.read(org, Seq(0), ALL).await.expect("whole events").len();
    store.close().await.expect("an end");
    (head, events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_an_open_database_holds_everything_from_before_and_its_accounts_add_up() {
    let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let world = world(dir.path()).await;
    let stream = world.stream().await;
    world.append(150).await;
    let flow = Flow::take_over(&world, stream).await;
    flow.deliver(&flow.open_to(100).await.expect("events")).await;
    let (from, to) = (dir.path().to_owned(), other.path().join("backup.db"));
    let copy = to.clone();
    let made = tokio::task::spawn_blocking(move || {
        let mut told = Vec::new();
        let made = backup(&from, &copy, &mut |progress| told.push(progress));
        (made, told)
    });
    // Others write on while the copy is made.
    let mut written = 0;
    while !made.is_finished() {
        written += world.append(5).await.len();
    }
    let (made, told) = made.await.expect("no panic");
    let made = made.expect("a backup");
    assert!(made.events >= 150 && made.events <= 150 + written as u64, "{made:?}, {written} beside it");
    assert_eq!(made.bytes, std::fs::metadata(&to).expect("the file").len());
    assert_eq!(std::fs::metadata(&to).expect("the file").permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(other.path()).expect("the directory").count(), 1, "nothing else is left there");
    assert!(told.iter().any(|progress| progress.step == "checking"), "{told:?}");

    let into = tempfile::tempdir().expect("a directory");
    let restored = restore(&to, into.path(), false, START, &mut silent).expect("a restore");
    assert_eq!((restored.events, restored.aside), (made.events, None));
    let (head, events) = found(into.path(), world.org, &[stream]).await;
    assert_eq!((head, events as u64), (Seq(made.events), made.events));
}

#[tokio::test]
async fn no_file_is_overwritten_and_a_stopped_server_can_be_copied_as_well() {
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("backup of 100%?.db");
    assert!(matches!(backup(dir.path(), &to, &mut silent), Err(StoreError::NotFound)));
    drop(world(dir.path()).await);
    std::fs::write(&to, "precious").expect("a file");
    assert!(
        matches!(backup(dir.path(), &to, &mut silent), Err(StoreError::Conflict(why)) if why.contains("exists already"))
    );
    assert_eq!(std::fs::read_to_string(&to).expect("the file"), "precious");
    std::fs::remove_file(&to).expect("gone");
    let part = dir.path().join("backup of 100%?.db.part");
    std::fs::write(&part, "another one's").expect("a file");
    assert!(
        matches!(backup(dir.path(), &to, &mut silent), Err(StoreError::Conflict(why)) if why.contains("under way"))
    );
    std::fs::remove_file(&part).expect("gone");
    backup(dir.path(), &to, &mut silent).expect("a backup");
    assert!(matches!(
        backup(dir.path(), Path::new("/no/such/place/x.db"), &mut silent),
        Err(StoreError::Unusable(why)) if why.contains("/no/such/place")
    ));
}

#[tokio::test]
async fn a_damaged_database_makes_no_backup() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path()).await;
    let ids = world.append(50).await;
    drop(world);
    flip(&dir.path().join(DATABASE), &ids[7].to_string());
    let to = dir.path().join("backup.db");
    assert!(matches!(backup(dir.path(), &to, &mut silent), Err(StoreError::Damaged(why)) if why.contains("repair")));
    assert!(!to.exists() && !dir.path().join("backup.db.part").exists());
}

/// Changes one bit of the payload that holds this text, wherever it stands: pages that are not in use any more may hold it as well.
fn flip(path: &Path, text: &str) {
    let mut bytes = std::fs::read(path).expect("the database");
    let found: Vec<usize> = bytes
        .windows(text.len())
        .enumerate()
        .filter(|(_, window)| *window == text.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!found.is_empty(), "the payload is not there");
    for at in found {
        bytes[at] ^= 1;
    }
    std::fs::write(path, bytes).expect("the database");
}

#[tokio::test]
async fn what_is_there_is_kept_aside_and_only_on_request() {
    let (dir, into) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let first = world(dir.path()).await;
    let org = first.org;
    first.append(20).await;
    let to = dir.path().join("backup.db");
    backup(dir.path(), &to, &mut silent).expect("a backup");

    let second = world(into.path()).await;
    second.append(70).await;
    let running = restore(&to, into.path(), true, START, &mut silent);
    assert!(matches!(running, Err(StoreError::Conflict(why)) if why.contains("in use by a running server")));
    drop(second);
    let before = std::fs::read(into.path().join(DATABASE)).expect("the database");
    let refused = restore(&to, into.path(), false, START, &mut silent);
    assert!(matches!(refused, Err(StoreError::Conflict(why)) if why.contains("--replace")));
    assert!(before == std::fs::read(into.path().join(DATABASE)).expect("the database"), "it was touched");

    let restored = restore(&to, into.path(), true, START, &mut silent).expect("a restore");
    let aside = restored.aside.expect("a name");
    assert!(aside.ends_with("toktra.db.replaced-2026-01-01T000000.000Z"), "{}", aside.display());
    assert!(before == std::fs::read(aside).expect("the old database"), "it was touched");
    assert_eq!(found(into.path(), org, &[]).await, (Seq(20), 20));
    // What came into the database afterwards is not undone by what lay beside the old one.
    assert_eq!(found(into.path(), org, &[]).await, (Seq(20), 20));
}

#[tokio::test]
async fn whoever_was_logged_in_is_logged_out_by_a_restore() {
    let (dir, into) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let world = world(dir.path()).await;
    let jo = people::added(&world, "jo@company.com", Role::Admin).await;
    people::opened(&world, &jo, 1).await;
    assert!(world.store.session_by_hash([1; 32]).await.expect("a look").is_some());
    let copy = into.path().join("backup.db");
    backup(dir.path(), &copy, &mut silent).expect("a backup");
    restore(&copy, into.path(), false, START, &mut silent).expect("a restore");
    let store = Sqlite::open(into.path(), SqliteOptions::default()).expect("the restored database opens");
    assert_eq!(store.session_by_hash([1; 32]).await.expect("a look"), None);
    assert_eq!(store.user(world.org, jo.id).await.expect("the person").email, jo.email);
    store.close().await.expect("an end");
}

#[tokio::test]
async fn a_backup_of_an_earlier_layout_is_brought_to_the_newest() {
    let (dir, into) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let mut file = Vec::new();
    let zipped: &[u8] = include_bytes!("../../../fixtures/database/layout-1.db.gz");
    flate2::read::GzDecoder::new(zipped).read_to_end(&mut file).expect("the fixture");
    let old = dir.path().join("old.db");
    std::fs::write(&old, &file).expect("a file");
    let restored = restore(&old, into.path(), false, START, &mut silent).expect("a restore");
    assert_eq!(restored.events, 3);
    assert!(file == std::fs::read(&old).expect("the backup"), "the backup was touched");
    Sqlite::open(into.path(), SqliteOptions::default()).expect("the restored database opens");
    // A copy is not made by a version that does not know all that is in it.
    std::fs::write(dir.path().join(DATABASE), &file).expect("a file");
    let refused = backup(dir.path(), &dir.path().join("backup.db"), &mut silent);
    assert!(matches!(refused, Err(StoreError::Conflict(why)) if why.contains("layout 1")));
}

#[tokio::test]
async fn what_is_no_backup_is_refused_in_words_and_changes_nothing() {
    let (dir, into) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let world = world(dir.path()).await;
    let ids = world.append(120).await;
    let good = dir.path().join("good.db");
    backup(dir.path(), &good, &mut silent).expect("a backup");
    let file = |name: &str| dir.path().join(name);
    let copy = |name: &str| {
        std::fs::copy(&good, file(name)).expect("a copy");
        file(name)
    };
    std::fs::write(file("text"), "this is no database, however long it goes on and on and on").expect("a file");
    std::fs::write(file("empty"), "").expect("a file");
    let foreign = rusqlite::Connection::open(file("foreign")).expect("a database");
    foreign.execute_batch("PRAGMA application_id = 7; CREATE TABLE t (x);").expect("a table");
    drop(foreign);
    let newer = rusqlite::Connection::open(copy("newer")).expect("a database");
    newer.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA user_version = 99;").expect("a version");
    drop(newer);
    flip(&copy("flipped"), &ids[60].to_string());
    let half = std::fs::read(&good).expect("the backup");
    std::fs::write(file("half"), &half[..half.len() / 2]).expect("a file");
    for (name, words) in [
        ("text", "no database"),
        ("empty", "no backup of ours"),
        ("foreign", "belongs to another program"),
        ("newer", "newer version"),
        ("flipped", "not every page and event"),
        ("half", "damaged"),
        // The database of a server, with its log.
        (DATABASE, "log beside it"),
    ] {
        let error = restore(&file(name), into.path(), false, START, &mut silent).expect_err(name).to_string();
        assert!(error.contains(words), "{name}: {error}");
        assert!(!into.path().join(DATABASE).exists(), "{name}");
        assert!(!into.path().join("toktra.db.restoring").exists(), "{name}");
    }
    assert!(matches!(restore(&file("none"), into.path(), false, START, &mut silent), Err(StoreError::NotFound)));
    restore(&good, into.path(), false, START, &mut silent).expect("the good one");
}
