//! Bringing the log into the database, beside the writer: a thread with a connection of its own, which the writer tells when enough has
//! gathered.
//!
//! A checkpoint writes pages all over the file and waits for the disk, so it would make a group of appends wait where the writer did it. It
//! never waits for the writer either; so a log that is written without pause never comes to its end, and grows. When it has grown far enough,
//! the writer brings in what little is left itself and begins the log anew.
//!
//! What the disk answers counts: where it failed, nobody knows what the database file holds. The log still has all of it,
//! since it is begun anew only after a checkpoint that succeeded; so nothing is accepted any more, and the next start reads the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::fault::{Judge, Verdict};
use super::vitals::Pulse;

/// Bytes of the log that are not in the database yet before they are brought there.
const STEP: u64 = 2 << 20;
/// Bytes of the log before it is begun anew, fewer under a small disk budget.
const MOST: u64 = 64 << 20;
/// The part of a disk budget that the log may take.
const OF_BUDGET: u64 = 16;
/// Pages in the log before a connection that writes alone brings them into the database: 2 MiB.
const GATHERED: u64 = 256;
/// How long the writer waits for those who still read from the log before it writes on behind what is there.
const FOR_READERS: Duration = Duration::from_millis(50);
/// As everywhere else.
const BUSY: Duration = Duration::from_secs(5);

/// How the log stands, in pages.
#[derive(Debug, Clone, Copy)]
struct Log {
    /// Somebody was in the way.
    busy: bool,
    pages: u64,
    /// Those that are in the database as well.
    moved: u64,
}

/// The writer's end.
pub(super) struct Checkpoints {
    tell: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
    /// Held by whoever moves pages.
    turn: Arc<Mutex<()>>,
    failures: Failures,
    page: u64,
    /// Pages of the log at which it is begun anew.
    most: u64,
    /// The same, where readers kept it from being begun anew.
    next: u64,
}

impl Checkpoints {
    /// Takes the checkpoints of the database at `path` over from `conn`, the writer's connection.
    pub(super) fn start(
        conn: &Connection,
        path: &Path,
        budget: Option<u64>,
        pulse: &Arc<Pulse>,
    ) -> rusqlite::Result<Self> {
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        let page: u64 = conn.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))?.max(1).into();
        let most = most(budget) / page;
        // The file keeps the size that it has come to: where a log is written over what was there, a sync of the disk has one thing to write,
        // and where the file grows it has two. A quarter more for what readers may hold up.
        conn.pragma_update(None, "journal_size_limit", i64::try_from((most + most / 4) * page).unwrap_or(i64::MAX))?;
        let own = Connection::open(path)?;
        own.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -256; PRAGMA wal_autocheckpoint = 0;")?;
        // The writer, which ends last, decides.
        own.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let (tell, told) = sync_channel(1);
        let turn = Arc::<Mutex<()>>::default();
        let failures =
            || Failures { path: path.to_owned(), pulse: Arc::clone(pulse), judge: Judge::default(), failing: false };
        let beside = Beside { conn: own, turn: Arc::clone(&turn), failures: failures() };
        // Without a thread the writer does all of it.
        let thread = std::thread::Builder::new().name("toktra-log".into()).spawn(move || beside.run(&told));
        let thread = thread.inspect_err(|error| tracing::warn!(%error, "no thread for checkpoints")).ok();
        Ok(Self { tell, thread, turn, failures: failures(), page, most, next: most })
    }

    /// A group has been committed on `conn`: has the log brought into the database where it is time.
    pub(super) fn committed(&mut self, conn: &Connection) {
        if self.failures.pulse.is_poisoned() {
            return;
        }
        let log = match checkpoint(conn, "NOOP") {
            Ok(log) => log,
            Err(error) => return self.failures.failed(&error),
        };
        if log.pages < self.most {
            self.next = self.most;
        }
        // If there is little room, the log is written over before it grows.
        let crowded = self.failures.pulse.is_short() && log.pages * self.page >= STEP;
        if crowded || log.pages >= self.next {
            self.begin_anew(conn);
        } else if (log.pages - log.moved.min(log.pages)) * self.page >= STEP {
            // One that is told already, or is at it, looks for itself.
            let _ = self.tell.try_send(());
        }
    }

    fn begin_anew(&mut self, conn: &Connection) {
        let _turn = self.turn.lock();
        let done = conn.busy_timeout(FOR_READERS).and_then(|()| checkpoint(conn, "RESTART"));
        let done = conn.busy_timeout(BUSY).and(done);
        match done {
            // An eighth more before the next try, so that a reader of minutes does not make every group wait.
            Ok(log) if log.busy => self.next = log.pages + self.most / 8,
            Ok(_) => {
                self.next = self.most;
                self.failures.over();
            }
            Err(error) => {
                self.next += self.most / 8;
                self.failures.failed(&error);
            }
        }
    }

    /// Ends the thread; what is under way comes to its end.
    pub(super) fn stop(self) {
        drop(self.tell);
        if self.thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that makes checkpoints ended in a panic");
        }
    }
}

/// The thread's end.
struct Beside {
    conn: Connection,
    turn: Arc<Mutex<()>>,
    failures: Failures,
}

impl Beside {
    fn run(mut self, told: &Receiver<()>) {
        while told.recv().is_ok() && !self.failures.pulse.is_poisoned() {
            let turn = self.turn.lock();
            let done = checkpoint(&self.conn, "PASSIVE");
            drop(turn);
            match done {
                Ok(_) => self.failures.over(),
                Err(error) => self.failures.failed(&error),
            }
        }
    }
}

/// Brings all of the log into the database, for a connection that has it alone. What the disk answers is the result.
pub(super) fn finish(conn: &Connection) -> rusqlite::Result<()> {
    checkpoint(conn, "TRUNCATE").map(drop)
}

/// The same for a connection that writes on: where enough has gathered.
pub(super) fn relieve(conn: &Connection) -> rusqlite::Result<()> {
    let log = checkpoint(conn, "NOOP")?;
    if log.pages.saturating_sub(log.moved) >= GATHERED { checkpoint(conn, "PASSIVE").map(drop) } else { Ok(()) }
}

/// Has the log stay as it is when the connection is closed: the next start reads it.
pub(super) fn leave_the_log(conn: &Connection) {
    if let Err(error) = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::warn!(%error, "the log may be brought into the database although the disk failed");
    }
}

/// What failed of the checkpoints that a connection made.
struct Failures {
    /// The database.
    path: PathBuf,
    pulse: Arc<Pulse>,
    judge: Judge,
    /// The last one failed.
    failing: bool,
}

impl Failures {
    /// One succeeded.
    fn over(&mut self) {
        self.judge.written();
        if std::mem::take(&mut self.failing) {
            tracing::info!("the log is brought into the database again");
        }
    }

    /// Says once that one failed; where the disk itself did, nothing is accepted any more.
    fn failed(&mut self, error: &rusqlite::Error) {
        let verdict = self.judge.verdict(error, &self.path);
        if verdict == Verdict::Full {
            self.pulse.starve();
        }
        if verdict == Verdict::Broken {
            if self.pulse.poison() {
                tracing::error!(
                    %error,
                    "the disk failed while the log was brought into the database: nothing is accepted any more. Check the disk, then restart"
                );
            }
        } else if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "the log could not be brought into the database: it grows until that succeeds");
        }
    }
}

/// Bytes of the log at which it is begun anew.
pub(super) fn most(budget: Option<u64>) -> u64 {
    budget.map_or(MOST, |budget| (budget / OF_BUDGET).clamp(STEP, MOST))
}

fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<Log> {
    conn.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?.query_row([], |row| {
        let pages = |at| row.get::<_, i64>(at).map(|pages| u64::try_from(pages).unwrap_or(0));
        Ok(Log { busy: row.get::<_, i64>(0)? != 0, pages: pages(1)?, moved: pages(2)? })
    })
}
