//! Room on the file system, whoever fills it.
//!
//! What was accepted is delivered also where nothing more fits, and recording that takes room as well. So events are refused before the file
//! system is full, and a file beside the database ([`RESERVE`]) holds room that nobody else can take. It is given up where the rest is gone, and
//! made again once there is room.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use tokio::time::Instant;
use toktra_siem_store::Shortage;

use super::SqliteOptions;
use super::checkpoint;
use super::vitals::{self, Pulse};

/// Written beside the database to learn what the disk answers.
const PROBE: &str = "toktra.probe";
/// Its size: more than SQLite writes at a time.
const PROBE_BYTES: usize = 64 << 10;
/// Holds room for recording deliveries.
const RESERVE: &str = "toktra.reserve";
/// The part of the disk budget that it takes, and its bounds.
const OF_BUDGET: u64 = 16;
const LEAST: u64 = 2 << 20;
const MOST: u64 = 64 << 20;
/// How long a look at the file system holds.
const EVERY: Duration = Duration::from_secs(1);
/// How long nothing is refused before that is over, and how much has to fit then.
const CALM: Duration = Duration::from_secs(10);
const ENOUGH: u64 = 1 << 20;

/// Whether the error says that nothing more fits, and nothing of the disk itself.
pub(super) fn is_short(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Writes a scratch file beside the database at `path`, first at its beginning and then where the longest file of the database ends, which
/// is where those grow; syncs and removes it.
pub(super) fn probe(path: &Path) -> io::Result<()> {
    let end = length(path).max(length(&path.with_extension("db-wal")));
    let probe = path.with_file_name(PROBE);
    let made = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&probe);
    let written = made.and_then(|file| {
        let bytes = vec![b'.'; PROBE_BYTES];
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        file.write_all_at(&bytes, end)?;
        file.sync_all()
    });
    // What stays of it is written over by the next one.
    let _ = fs::remove_file(&probe);
    written
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// Bytes that this process may still write, or `None` where the file system does not say.
fn free(path: &Path) -> Option<u64> {
    statvfs(path.parent()?).ok().map(|found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// The file that holds room.
#[derive(Debug)]
struct Reserve {
    path: PathBuf,
    bytes: u64,
    /// It is there, in its full size.
    held: bool,
    /// It could not be made, for another reason than want of room.
    failing: bool,
}

impl Reserve {
    /// What is there of it.
    fn found(path: PathBuf, bytes: u64) -> Self {
        // A file with holes, of a start that was interrupted, holds nothing.
        let held = fs::metadata(&path).is_ok_and(|found| found.len() == bytes && found.blocks() * 512 >= bytes);
        Self { path, bytes, held, failing: false }
    }

    /// Takes the room, if it is there in fact: a quota is not seen before.
    fn make(&mut self, database: &Path) {
        let made = self.allocate().and_then(|()| probe(database));
        self.held = made.is_ok();
        if let Err(error) = made {
            self.give_up();
            if !is_short(&error) && !std::mem::replace(&mut self.failing, true) {
                tracing::warn!(%error, "the reserve for recording deliveries on a full disk could not be made");
            }
        }
    }

    fn allocate(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, self.bytes) {
            // Not every file system gives room away without its being written.
            Err(Errno::OPNOTSUPP) => write_out(&mut file, self.bytes)?,
            allocated => allocated?,
        }
        file.sync_all()
    }

    /// Gives the room back. Whether there was any.
    fn give_up(&mut self) -> bool {
        self.held = false;
        fs::remove_file(&self.path).is_ok()
    }
}

fn write_out(file: &mut File, bytes: u64) -> io::Result<()> {
    let piece = vec![b'.'; PROBE_BYTES];
    for _ in 0..bytes / PROBE_BYTES as u64 {
        file.write_all(&piece)?;
    }
    file.set_len(bytes)
}

/// What there is of everything, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    /// On the file system.
    free: u64,
    /// Pages of the database file that hold nothing.
    vacant: u64,
    /// What the log has beyond the end of the database file: a checkpoint writes it there.
    owed: u64,
    /// How much longer the log may become.
    log: u64,
}

/// What the writer's thread knows of the room that there is.
#[derive(Debug)]
pub(super) struct Space {
    /// The database.
    path: PathBuf,
    /// `None` without a disk budget: then nothing is kept back.
    reserve: Option<Reserve>,
    /// The size that the log may come to.
    log: u64,
    pulse: Arc<Pulse>,
    looked: Option<Instant>,
    figures: Figures,
    /// Bytes that may be appended until the next look.
    room: u64,
    /// A write has met a full disk, and nothing has shown since that more fits.
    starved: bool,
    /// Since when events are refused, and when the last one was.
    refusing: Option<(Instant, Instant)>,
}

impl Space {
    /// Of the database at `path`, which is about to be opened: a full disk has room for that afterwards, if there is a reserve.
    pub(super) fn new(path: &Path, options: &SqliteOptions, pulse: Arc<Pulse>) -> Self {
        let bytes = |budget: u64| (budget / OF_BUDGET).clamp(LEAST, MOST).min(options.reserve);
        let reserve = |budget| Reserve::found(path.with_file_name(RESERVE), bytes(budget));
        let mut space = Self {
            path: path.to_owned(),
            reserve: options.max_bytes.map(reserve),
            log: checkpoint::most(options.max_bytes),
            pulse,
            looked: None,
            figures: Figures::default(),
            room: u64::MAX,
            starved: false,
            refusing: None,
        };
        if let Some(free) = free(path) {
            space.figures.free = free;
            space.keep_going();
        }
        space
    }

    /// Gives up the reserve where it is about to be needed.
    fn keep_going(&mut self) {
        if self.reserve.as_ref().is_some_and(|reserve| reserve.held && self.figures.free < reserve.bytes / 2) {
            self.give_up();
        }
    }

    /// Gives up the reserve. Whether that made room.
    pub(super) fn give_up(&mut self) -> bool {
        let Some(reserve) = &mut self.reserve else { return false };
        let given = reserve.give_up();
        if given {
            tracing::warn!(
                bytes = reserve.bytes,
                free = self.figures.free,
                "the file system is full: the reserve is given up, so that deliveries can be recorded"
            );
        }
        given
    }

    /// Looks at the file system, unless that was done a moment ago.
    pub(super) fn look(&mut self, conn: &Connection) {
        if self.reserve.is_none() || self.looked.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        // If it cannot be told, the disk says so when it is written.
        let Some(figures) = self.measure(conn) else { return self.room = u64::MAX };
        self.figures = figures;
        self.keep_going();
        let Some(reserve) = &mut self.reserve else { return };
        let kept = reserve.bytes + figures.owed + figures.log;
        if !reserve.held && figures.free >= kept + reserve.bytes {
            reserve.make(&self.path);
        }
        let missing = if reserve.held { 0 } else { reserve.bytes };
        self.room = (figures.free + figures.vacant).saturating_sub(kept + missing);
        if self.starved {
            let vacant = figures.free < kept + missing && self.room > 0;
            self.starved = !(reserve.held || vacant && probe(&self.path).is_ok());
        }
        self.pulse.set_short(self.starved || self.room < reserve.bytes);
    }

    fn measure(&self, conn: &Connection) -> Option<Figures> {
        let pages = vitals::pages(conn).ok()?;
        let log = length(&self.path.with_extension("db-wal"));
        Some(Figures {
            free: free(&self.path)?,
            vacant: pages.free * pages.size,
            owed: (pages.all * pages.size).saturating_sub(length(&self.path)),
            log: self.log.saturating_sub(log),
        })
    }

    /// Whether there is room for any event.
    pub(super) fn admits(&self) -> bool {
        !self.starved && self.room > 0
    }

    /// Takes room for events until the next look. They are written twice: to the log, and then to the database.
    pub(super) fn claim(&mut self, bytes: u64) -> bool {
        let fits = !self.starved && bytes.saturating_mul(2) <= self.room;
        if fits {
            self.room -= bytes.saturating_mul(2);
        }
        fits
    }

    /// Whether delivered payloads have to make room: from the size of the reserve on, and until twice of that is there if it is `under_way`.
    pub(super) fn is_crowded(&self, under_way: bool) -> bool {
        self.reserve.as_ref().is_some_and(|reserve| self.room < reserve.bytes * if under_way { 2 } else { 1 })
    }

    /// A write has met a full disk: nothing is tried again before there is room in fact. Without a reserve only the next write can tell.
    pub(super) fn ran_out(&mut self) {
        self.give_up();
        self.starved = self.reserve.is_some();
        self.pulse.set_short(true);
    }

    /// Events were refused; `budget` is what the budget has for events, and what is used of it. Says so once, until it is over.
    pub(super) fn refused(&mut self, why: Shortage, budget: Option<(u64, u64)>) {
        let now = Instant::now();
        let begun = self.refusing.is_none();
        self.refusing.get_or_insert((now, now)).1 = now;
        self.pulse.set_refusing(Some(why));
        if begun {
            let Figures { free, owed, log, .. } = self.figures;
            let reserve = self.reserve.as_ref().map_or(0, |reserve| reserve.bytes);
            let (limit, used) = budget.unzip();
            tracing::warn!(
                cause = why.word(),
                used,
                limit,
                free,
                kept = reserve + owed + log,
                "no room on the disk: new events are refused (507), and deliveries go on"
            );
        }
    }

    /// Whether events are refused at present.
    pub(super) fn is_refusing(&self) -> bool {
        self.refusing.is_some()
    }

    /// Ends the state of [`Self::refused`], where that much room is left of the budget, and says so.
    pub(super) fn calm_down(&mut self, budget: u64) {
        let Some((since, last)) = self.refusing else { return };
        if last.elapsed() < CALM || self.starved || budget.min(self.room) < ENOUGH {
            return;
        }
        self.refusing = None;
        self.pulse.set_refusing(None);
        tracing::info!(
            seconds = since.elapsed().as_secs(),
            free = self.figures.free,
            "there is room on the disk again: events are taken in"
        );
    }
}
