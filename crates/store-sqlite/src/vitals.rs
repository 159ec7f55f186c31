//! How the embedded store is doing, for whoever watches the service: what waits for the writer, how it commits, what it takes on disk.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;
use toktra_siem_core::histogram::Histogram;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::error::Result;
use toktra_siem_store::{Disk, Shortage, Vitals, Watched};

use super::fault::Outcome;
use super::{Sqlite, backup};

/// Pieces of work in a group; an event is one.
const GROUP_SIZES: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];
/// Seconds from the begin of a group's transaction to its end on disk.
const COMMIT_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 5.0, 10.0];

/// What the writer's thread lets others see.
#[derive(Debug)]
pub(super) struct Pulse {
    poisoned: AtomicBool,
    /// A checkpoint has met a full disk.
    starved: AtomicBool,
    /// The file system has little room left.
    short: AtomicBool,
    refusing: Mutex<Option<Shortage>>,
    /// Frames of the log that the start found lost.
    log_lost: AtomicU64,
    groups: Histogram,
    commits: Histogram,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            poisoned: AtomicBool::default(),
            starved: AtomicBool::default(),
            short: AtomicBool::default(),
            refusing: Mutex::default(),
            log_lost: AtomicU64::default(),
            groups: Histogram::new(GROUP_SIZES),
            commits: Histogram::new(COMMIT_SECONDS),
        }
    }
}

impl Pulse {
    /// A group was committed, or failed.
    #[expect(clippy::cast_precision_loss, reason = "a group has a few thousand pieces")]
    pub(super) fn group(&self, size: usize, took: Duration) {
        self.groups.observe(size as f64);
        self.commits.observe_time(took);
    }

    /// Nothing is written any more until a restart. False where that was so before.
    pub(super) fn poison(&self) -> bool {
        !self.poisoned.swap(true, Ordering::SeqCst)
    }

    /// A checkpoint has met a full disk: the writer's thread acts upon it.
    pub(super) fn starve(&self) {
        self.starved.store(true, Ordering::SeqCst);
    }

    /// Whether that was so since it was asked last.
    pub(super) fn take_starved(&self) -> bool {
        self.starved.swap(false, Ordering::SeqCst)
    }

    /// Whether the file system has little room left.
    pub(super) fn set_short(&self, short: bool) {
        self.short.store(short, Ordering::SeqCst);
    }

    /// What was set last.
    pub(super) fn is_short(&self) -> bool {
        self.short.load(Ordering::SeqCst)
    }

    /// Why events are refused, if they are.
    pub(super) fn set_refusing(&self, why: Option<Shortage>) {
        *self.refusing.lock() = why;
    }

    /// So many frames of the log were lost.
    pub(super) fn set_log_lost(&self, frames: u64) {
        self.log_lost.store(frames, Ordering::Relaxed);
    }

    /// Whether nothing is written any more.
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::SeqCst)
    }
}

impl Sqlite {
    /// How the writer is doing.
    pub fn vitals(&self) -> Vitals {
        let (pulse, queued) = (self.writer.pulse(), self.writer.queued());
        Vitals {
            queued_events: queued.events,
            queued_bytes: queued.bytes,
            queued_others: self.writer.queued_others(),
            poisoned: pulse.is_poisoned(),
            clock_ahead: self.aging.ahead(),
            refusing: *pulse.refusing.lock(),
            log_lost: pulse.log_lost.load(Ordering::Relaxed),
            group_size: pulse.groups.read(),
            commit_seconds: pulse.commits.read(),
        }
    }

    /// What the database takes on disk. Asks a reading connection, so that it does not wait for the writer.
    pub async fn disk(&self) -> Result<Disk> {
        let (path, budget, reserve) = (self.path.clone(), self.max_bytes, self.reserve);
        self.readers
            .run("measuring the database", move |conn| {
                let (database, log) = (length(&path), length(&path.with_extension("db-wal")));
                Ok(Disk { database, log, used: pages_in_use(conn)? + log, budget, reserve })
            })
            .await
    }
}

#[async_trait]
impl Watched for Sqlite {
    fn vitals(&self) -> Vitals {
        Self::vitals(self)
    }

    async fn disk(&self) -> Result<Disk> {
        Self::disk(self).await
    }

    async fn last_backup(&self) -> Option<Timestamp> {
        let dir = self.path.parent()?.to_owned();
        tokio::task::spawn_blocking(move || backup::last(&dir)).await.ok()?
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// Pages of the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages {
    pub(super) all: u64,
    /// Those of them that hold nothing.
    pub(super) free: u64,
    /// Bytes of one.
    pub(super) size: u64,
}

/// How many pages there are.
pub(super) fn pages(conn: &Connection) -> Outcome<Pages> {
    let get = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).map(u64::from);
    Ok(Pages { all: get("page_count")?, free: get("freelist_count")?, size: get("page_size")? })
}

/// Bytes of the database's pages, free ones left out.
pub(super) fn pages_in_use(conn: &Connection) -> Outcome<u64> {
    let pages = pages(conn)?;
    Ok(pages.all.saturating_sub(pages.free) * pages.size)
}
