//! A restore and a repair that are killed at each of their steps: whoever opens the directory then finds the old database or the new one, whole.
//!
//! A few lines of C take the place of the system's calls: they count those that change something below a directory, and end the process before
//! the one that was named. That needs a process of its own, so each test runs itself again as a child.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{AtRest as _, AuditEntry, Change, ConfigStore, EventLog, OrgRecord, ReadLimit};
use toktra_siem_store_sqlite::{Directory, Sqlite, SqliteOptions};
use uuid::Uuid;

const ORG: OrgId = OrgId(Uuid::from_u128(1));
const ALL: ReadLimit = ReadLimit { events: usize::MAX >> 1, bytes: usize::MAX };
/// In the child: the directory whose changes count.
const DIR: &str = "TOKTRA_TEST_DIR";
/// And the step before which it ends.
const STEP: &str = "TOKTRA_TEST_STEP";
/// Its exit code then.
const KILLED: i32 = 99;
/// Names what is kept aside.
const NOW: Timestamp = Timestamp(1_767_225_600_000);

/// Events in the backup, in the database file, and with its log.
const BACKED_UP: u64 = 30;
const IN_FILE: u64 = 60;
const IN_LOG: u64 = 100;

const SHIM: &str = concat!(
    r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What was done last: many writes of a file in a row are one step. */
static char last[4200];
static int done;

static void step(const char *what, const char *path) {
    const char *dir = getenv("TOKTRA_TEST_DIR"), *end = getenv("TOKTRA_TEST_STEP");
    char now[4200];
    if (!dir || !end || strncmp(path, dir, strlen(dir))) return;
    snprintf(now, sizeof now, "%s %s", what, path);
    if (!strcmp(now, last)) return;
    strcpy(last, now);
    if (++done == atoi(end)) _exit(99);
}

"#,
    include_str!("../../../fixtures/shims/calls.c")
);

/// A child has the locks of this process until it has begun: no other test may open a directory then.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// In the child: the directory that it works on.
#[expect(clippy::disallowed_methods, reason = "the environment says to the child that it is one")]
fn in_the_child() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

/// What is there before: a backup, and the files of a database as they lie there after a kill, with a log.
struct Before {
    place: tempfile::TempDir,
    shim: PathBuf,
    backup: PathBuf,
}

fn event(n: u64) -> NewEvent {
    NewEvent {
        org: ORG,
        event_id: EventId(Uuid::from_u64_pair(7, n)),
        event_type: EventType::Anomaly,
        severity: Severity::High,
        event_time: Timestamp(0),
        payload: Bytes::from(format!("this is event {n}.")),
        sent: SentFields::default(),
        made: false,
    }
}

async fn append(store: &Sqlite, from: u64, to: u64) {
    store.append((from..to).map(event).collect()).await.expect("room");
}

fn opened(dir: &Path) -> Arc<Sqlite> {
    Sqlite::open(dir, SqliteOptions::default()).expect("a start is never refused")
}

async fn before(damaged: Option<u64>) -> Before {
    let place = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| place.path().join(name);
    let (source, shim, live, backup) = (path("shim.c"), path("shim.so"), path("live"), path("backup.db"));
    std::fs::write(&source, SHIM).expect("the shim's source");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).status();
    assert!(built.expect("a C compiler, which builds SQLite too").success());
    std::fs::create_dir(&live).expect("a directory");

    let store = opened(&live);
    let (actor, action, object) = ("test".into(), "org.create".into(), "org".into());
    let audit = AuditEntry { at: Timestamp(0), actor, action, object, detail: serde_json::Value::Null };
    let value = OrgRecord { id: ORG, name: "org".into(), is_default: true, created_at: Timestamp(0) };
    store.create_org(Change { value, audit }).await.expect("an org");
    append(&store, 0, BACKED_UP).await;
    Directory(live.clone()).backup(&backup, &mut |_| ()).expect("a backup");
    append(&store, BACKED_UP, IN_FILE).await;
    store.close().await.expect("a clean end");
    drop(store);
    if let Some(n) = damaged {
        let (file, text) = (live.join("toktra.db"), format!("this is event {n}."));
        let mut bytes = std::fs::read(&file).expect("the database");
        let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).expect("the payload");
        bytes[at] ^= 1;
        std::fs::write(file, bytes).expect("the database");
    }
    let store = opened(&live);
    append(&store, IN_FILE, IN_LOG).await;
    std::fs::create_dir(path("remains")).expect("a directory");
    for name in ["toktra.db", "toktra.db-wal"] {
        std::fs::copy(live.join(name), path("remains").join(name)).expect("a copy");
    }
    store.close().await.expect("a clean end");
    Before { place, shim, backup }
}

impl Before {
    /// Lets the test of this name work on a copy of what remains, and kills it before this step. Whether it came to its end.
    fn killed(&self, name: &str, step: u32) -> (PathBuf, bool) {
        let dir = self.place.path().join(format!("{step}"));
        std::fs::create_dir(&dir).expect("a directory");
        for name in ["toktra.db", "toktra.db-wal"] {
            std::fs::copy(self.place.path().join("remains").join(name), dir.join(name)).expect("a copy");
        }
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", name, "--nocapture"])
            .env("LD_PRELOAD", &self.shim)
            .env(DIR, &dir)
            .env(STEP, step.to_string())
            .output()
            .expect("a child");
        let ended = child.status.success();
        assert!(ended || child.status.code() == Some(KILLED), "{}", String::from_utf8_lossy(&child.stderr));
        (dir, ended)
    }
}

/// What a start finds: the head, and how many events can be read.
async fn found(dir: &Path) -> (u64, usize) {
    let store = opened(dir);
    let head = *store.head(ORG).await.expect("a head").borrow();
    let events = store.read(ORG, Seq(0), ALL).await.expect("events").len();
    store.close().await.expect("a clean end");
    (head.0, events)
}

/// What is kept aside, less the log.
fn aside(dir: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(dir).expect("the directory").map(|entry| entry.expect("an entry").path());
    let mut aside = names.filter(|path| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name.contains("2026-01-01") && !name.ends_with("-wal")
    });
    let first = aside.next();
    assert_eq!(aside.next(), None);
    first
}

/// What is kept aside, with its log, is all that there was.
async fn is_whole(aside: &Path, expected: (u64, usize)) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::copy(aside, dir.path().join("toktra.db")).expect("the database");
    let log = PathBuf::from(format!("{}-wal", aside.display()));
    std::fs::copy(log, dir.path().join("toktra.db-wal")).expect("its log");
    assert_eq!(found(dir.path()).await, expected, "{} is not whole", aside.display());
}

/// Kills the work of the test of this name at each of its steps, and looks at what is left: `old`, or `new` with `old` kept aside; then the
/// work is done once more.
async fn is_old_or_new(
    name: &str,
    before: &Before,
    (old, new): ((u64, usize), (u64, usize)),
    again: impl Fn(&Path, &Path),
) {
    let (mut seen_old, mut seen_new) = (0, 0);
    for step in 1.. {
        let (dir, ended) = before.killed(name, step);
        // What is kept aside tells which one it has to be.
        let left = found(&dir).await;
        if let Some(aside) = aside(&dir) {
            assert_eq!(left, new, "step {step}");
            is_whole(&aside, old).await;
            seen_new += 1;
        } else {
            assert!(left == old && !ended, "step {step}: {left:?}");
            assert_eq!(std::fs::metadata(dir.join("toktra.db")).expect("the database").nlink(), 1, "step {step}");
            again(&dir, &before.backup);
            assert_eq!(found(&dir).await, new, "step {step}, again");
            seen_old += 1;
        }
        if ended {
            break;
        }
    }
    assert!(seen_old > 20 && seen_new > 4, "{seen_old} steps before it counted, and {seen_new} afterwards");
}

#[tokio::test]
async fn a_restore_that_is_killed_leaves_the_old_database_or_the_new_one() {
    let restore = |dir: &Path, backup: &Path| {
        Directory(dir.to_owned()).restore(backup, true, NOW, &mut |_| ()).expect("a restore");
    };
    if let Some(dir) = in_the_child() {
        return restore(&dir, &dir.with_file_name("backup.db"));
    }
    let _alone = ALONE.lock().await;
    let name = "a_restore_that_is_killed_leaves_the_old_database_or_the_new_one";
    let (old, new) = ((IN_LOG, 100), (BACKED_UP, 30));
    is_old_or_new(name, &before(None).await, (old, new), restore).await;
}

#[tokio::test]
async fn a_repair_that_is_killed_leaves_the_old_database_or_the_new_one() {
    let repair = |dir: &Path, _: &Path| {
        let repaired = Directory(dir.to_owned()).repair(NOW).expect("a repair");
        assert!(repaired.damaged.is_some(), "{repaired:?}");
    };
    if let Some(dir) = in_the_child() {
        return repair(&dir, &dir);
    }
    let _alone = ALONE.lock().await;
    let name = "a_repair_that_is_killed_leaves_the_old_database_or_the_new_one";
    let (old, new) = ((IN_LOG, 99), (IN_LOG, 99));
    is_old_or_new(name, &before(Some(17)).await, (old, new), repair).await;
}
