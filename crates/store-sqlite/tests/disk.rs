//! What the embedded backend does when the disk fails under the database file, and only there: the log is written, and what it holds cannot
//! be brought into the database.
//!
//! A few lines of C take the place of the system's calls: they answer with an error for that file while another file is there. That needs a
//! process of its own, so each test runs itself again as a child.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{AuditEntry, Change, ConfigStore, EventLog, OrgRecord, StoreError};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};
use uuid::Uuid;

const ORG: OrgId = OrgId(Uuid::from_u128(1));
/// In the child: where the store is.
const DIR: &str = "TOKTRA_TEST_DISK";
/// While this file is beside it, syncing the database file fails with `EIO`.
const BROKEN: &str = "broken";
/// As the first, but once: a second sync of what the first one lost "succeeds".
const ONCE: &str = "once";
/// While this one is, writing it fails with `ENOSPC`.
const FULL: &str = "full";
/// While this one is, no file there can be written: a quota is used up (`EDQUOT`).
const QUOTA: &str = "quota";
/// While this one is, no file there can grow beyond 4 MB (`EFBIG`).
const LIMIT: &str = "limit";
/// While this one is, the index of the log cannot be written, and no other file either (`ENOSPC`).
const NO_INDEX: &str = "no-index";
/// While this one is, no file there can be written (`EIO`).
const DEAD: &str = "dead";

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the file has a name that begins so, and a file `what` is beside it. */
static int named(int fd, const char *begins, const char *what) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 16);
    if (length < 10) return 0;
    path[length] = 0;
    char *name = strrchr(path, '/');
    if (!name || strncmp(name + 1, begins, strlen(begins))) return 0;
    strcpy(name + 1, what);
    return access(path, F_OK) == 0;
}

static int is(int fd, const char *what) {
    return !named(fd, "toktra.db-", what) && named(fd, "toktra.db", what);
}

static int once(int fd) {
    char link[64], path[4096];
    if (!is(fd, "once")) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 16);
    path[length] = 0;
    strcpy(strrchr(path, '/') + 1, "once");
    return unlink(path) == 0;
}

/* The error that writing so far fails with. */
static int refuses(int fd, off_t end) {
    if (is(fd, "full")) return ENOSPC;
    if (named(fd, "toktra.", "quota")) return EDQUOT;
    if (named(fd, "toktra.", "limit") && end > 4 << 20) return EFBIG;
    if (named(fd, "toktra.db-shm", "no-index") || named(fd, "toktra.probe", "no-index")) return ENOSPC;
    if (named(fd, "toktra.", "dead")) return EIO;
    return 0;
}

int fdatasync(int fd) {
    if (is(fd, "broken") || once(fd)) { errno = EIO; return -1; }
    return syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    if (is(fd, "broken") || once(fd)) { errno = EIO; return -1; }
    return syscall(SYS_fsync, fd);
}

ssize_t write(int fd, const void *data, size_t length) {
    int refused = refuses(fd, lseek(fd, 0, SEEK_CUR) + length);
    if (refused) { errno = refused; return -1; }
    return syscall(SYS_write, fd, data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t at) {
    int refused = refuses(fd, at + length);
    if (refused) { errno = refused; return -1; }
    return syscall(SYS_pwrite64, fd, data, length, at);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) {
    return pwrite64(fd, data, length, at);
}
"#;

/// Runs the test of this name again, where the disk can be broken.
#[expect(clippy::disallowed_methods, reason = "the environment says to the child that it is one")]
fn in_a_child(name: &str) -> Option<std::path::PathBuf> {
    if let Some(dir) = std::env::var_os(DIR) {
        return Some(dir.into());
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (source, shim) = (dir.path().join("shim.c"), dir.path().join("shim.so"));
    std::fs::write(&source, SHIM).expect("the shim's source");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).status();
    assert!(built.expect("a C compiler, which builds SQLite too").success());
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", name, "--nocapture"])
        .env("LD_PRELOAD", &shim)
        .env(DIR, dir.path())
        .status();
    assert!(child.expect("a child").success(), "the child failed");
    None
}

fn event(n: u64) -> NewEvent {
    NewEvent {
        org: ORG,
        event_id: EventId(Uuid::from_u64_pair(7, n)),
        event_type: EventType::Anomaly,
        severity: Severity::High,
        event_time: Timestamp(0),
        payload: Bytes::from(vec![b'x'; 100_000]),
        sent: SentFields::default(),
        made: false,
    }
}

async fn opened(dir: &Path) -> Arc<Sqlite> {
    let store = Sqlite::open(dir, SqliteOptions::default()).expect("a store");
    let (actor, action, object) = ("test".into(), "org.create".into(), "org".into());
    let audit = AuditEntry { at: Timestamp(0), actor, action, object, detail: serde_json::Value::Null };
    let value = OrgRecord { id: ORG, name: "org".into(), is_default: true, created_at: Timestamp(0) };
    store.create_org(Change { value, audit }).await.expect("an org");
    store
}

/// Appends until something is refused, or `most` are in; how many are.
async fn append_until_refused(store: &Sqlite, from: u64, most: u64) -> (u64, Option<StoreError>) {
    for n in from..from + most {
        if let Err(refused) = store.append(vec![event(n)]).await {
            return (n - from, Some(refused));
        }
    }
    (most, None)
}

/// What the disk answers to a checkpoint counts, and nothing that was accepted is lost.
#[tokio::test]
async fn nothing_is_accepted_once_the_database_file_cannot_be_synced() {
    let Some(dir) = in_a_child("nothing_is_accepted_once_the_database_file_cannot_be_synced") else { return };
    let store = opened(&dir).await;
    std::fs::write(dir.join(BROKEN), "").expect("a broken disk");
    // 120 MB: more than the log may hold before the writer itself begins it anew.
    let (accepted, refused) = append_until_refused(&store, 0, 1_200).await;
    assert!(matches!(refused, Some(StoreError::Unavailable { .. })), "{accepted} accepted, then {refused:?}");
    assert!(accepted > 0, "only a checkpoint fails");
    assert!(store.vitals().poisoned);
    std::fs::remove_file(dir.join(BROKEN)).expect("a disk that is well again");
    let refused = store.append(vec![event(1 << 40)]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "until a restart: {refused:?}");
    store.close().await.expect("closed");
    drop(store);
    let store = Sqlite::open(&dir, SqliteOptions::default()).expect("what the log has");
    assert_eq!(*store.head(ORG).await.expect("a head").borrow(), Seq(accepted));
    assert_eq!(append_until_refused(&store, 1 << 41, 60).await.0, 60);
    store.close().await.expect("closed");
}

/// A full disk is no broken one: what fits into the log is accepted, and brought into the database once there is room.
#[tokio::test]
async fn a_database_file_that_cannot_grow_is_tried_again() {
    let Some(dir) = in_a_child("a_database_file_that_cannot_grow_is_tried_again") else { return };
    let store = opened(&dir).await;
    std::fs::write(dir.join(FULL), "").expect("a full disk");
    // More than the log may hold: the writer tries it as well.
    let (accepted, refused) = append_until_refused(&store, 0, 800).await;
    assert!(accepted == 800 && !store.vitals().poisoned, "{accepted}, then {refused:?}");
    let full = store.disk().await.expect("a measure");
    assert!(full.log > 64 << 20 && full.database < 8 << 20, "{full:?}");
    std::fs::remove_file(dir.join(FULL)).expect("room");
    let mut from = 1 << 41;
    loop {
        let (accepted, refused) = append_until_refused(&store, from, 40).await;
        assert!(accepted == 40 && from < (1 << 41) + 2_000, "{refused:?}");
        from += accepted;
        let now = store.disk().await.expect("a measure");
        if now.database > 64 << 20 && now.log < full.log {
            break;
        }
    }
    store.close().await.expect("closed");
}

/// At the end as well: what could not be synced is not tried again, and the log stays for the next start.
#[tokio::test]
async fn a_sync_that_fails_at_the_end_is_not_tried_again() {
    let Some(dir) = in_a_child("a_sync_that_fails_at_the_end_is_not_tried_again") else { return };
    let store = opened(&dir).await;
    assert_eq!(append_until_refused(&store, 0, 5).await.0, 5);
    std::fs::write(dir.join(ONCE), "").expect("a disk that fails once");
    store.close().await.expect("closed");
    drop(store);
    assert!(!dir.join(ONCE).exists(), "it failed");
    let log = std::fs::metadata(dir.join("toktra.db-wal")).expect("the log is left");
    assert!(log.len() > 500_000, "{}", log.len());
    let store = Sqlite::open(&dir, SqliteOptions::default()).expect("what the log has");
    assert_eq!(*store.head(ORG).await.expect("a head").borrow(), Seq(5));
    store.close().await.expect("closed");
    assert!(!dir.join("toktra.db-wal").exists(), "after a clean end there is none");
}

/// And while an older database is brought to the newest layout: the start is refused, and the next one goes on.
#[tokio::test]
async fn a_sync_that_fails_while_a_layout_is_brought_along_refuses_the_start() {
    let Some(dir) = in_a_child("a_sync_that_fails_while_a_layout_is_brought_along_refuses_the_start") else { return };
    let mut file = Vec::new();
    let old = include_bytes!("../../../fixtures/database/layout-2.db.gz");
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&old[..]), &mut file).expect("the old database");
    std::fs::write(dir.join("toktra.db"), file).expect("the old database");
    std::fs::write(dir.join(ONCE), "").expect("a disk that fails once");
    let refused = Sqlite::open(&dir, SqliteOptions::default());
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert!(std::fs::metadata(dir.join("toktra.db-wal")).expect("the log is left").len() > 0);
    let store = Sqlite::open(&dir, SqliteOptions::default()).expect("the next start");
    let org = store.all_connectors().await.expect("its connector")[0].connector.org;
    assert_eq!(*store.head(org).await.expect("a head").borrow(), Seq(3));
    store.close().await.expect("closed");
}

/// Whatever the system calls it: where nothing more fits, events are refused, and taken once there is room; no restart is needed.
async fn is_as_a_full_disk(name: &str, marker: &str) {
    let Some(dir) = in_a_child(name) else { return };
    let store = opened(&dir).await;
    assert_eq!(append_until_refused(&store, 0, 30).await.0, 30);
    std::fs::write(dir.join(marker), "").expect("no more room");
    // More than the first piece of the log's index, and what a checkpoint takes along.
    let (mut accepted, refused) = append_until_refused(&store, 100, 1_000).await;
    assert!(matches!(refused, Some(StoreError::Full)), "{accepted} accepted, then {refused:?}");
    for n in 0..5 {
        match store.append(vec![event((1 << 40) + n)]).await {
            // A checkpoint has come to its end, so that the log begins anew within the room that it has.
            Ok(_) => accepted += 1,
            Err(refused) => assert!(matches!(refused, StoreError::Full), "{refused:?}"),
        }
    }
    assert!(!store.vitals().poisoned);
    std::fs::remove_file(dir.join(marker)).expect("room");
    assert_eq!(append_until_refused(&store, 1 << 41, 300).await.0, 300);
    store.close().await.expect("closed");
    drop(store);
    let store = Sqlite::open(&dir, SqliteOptions::default()).expect("the same store");
    assert_eq!(*store.head(ORG).await.expect("a head").borrow(), Seq(30 + accepted + 300));
    store.close().await.expect("closed");
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_as_a_full_disk() {
    is_as_a_full_disk("a_quota_that_is_used_up_is_as_a_full_disk", QUOTA).await;
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_as_a_full_disk() {
    is_as_a_full_disk("a_file_that_may_not_grow_is_as_a_full_disk", LIMIT).await;
}

#[tokio::test]
async fn an_index_of_the_log_that_cannot_grow_is_as_a_full_disk() {
    is_as_a_full_disk("an_index_of_the_log_that_cannot_grow_is_as_a_full_disk", NO_INDEX).await;
}

/// A disk that answers with errors wherever it is written is no full one.
#[tokio::test]
async fn nothing_is_accepted_once_no_file_can_be_written() {
    let Some(dir) = in_a_child("nothing_is_accepted_once_no_file_can_be_written") else { return };
    let store = opened(&dir).await;
    assert_eq!(append_until_refused(&store, 0, 30).await.0, 30);
    std::fs::write(dir.join(DEAD), "").expect("a broken disk");
    let refused = store.append(vec![event(30)]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert!(store.vitals().poisoned);
    std::fs::remove_file(dir.join(DEAD)).expect("a disk that is well again");
    let refused = store.append(vec![event(30)]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "until a restart: {refused:?}");
    store.close().await.expect("closed");
}
