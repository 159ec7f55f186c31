//! The embedded backend: one SQLite file, one thread that writes, a few connections that read.
//!
//! - [`writer`]: group commit, with [`turns`] between orgs and [`places`] for each. [`engine`]: what the writer remembers. [`append`]: events in.
//!   [`again`]: a group that met damage.
//! - [`checkpoint`]: the log into the database, beside the writer. [`walk`]: whether the log is whole after a kill.
//! - [`partition`], [`batch`](mod@batch), [`ids`]: the event tables by time, and how a duplicate is found without slowing inserts. [`pack`]: old
//!   ones take less room. [`convert`]: older layouts.
//! - [`ring`], [`read`]: events out, from memory where a stream keeps up. [`damage`]: those that are not what was accepted any more.
//! - [`open`], [`settle`], [`streams`]: deliveries and counts. [`fate`]: where one event stands. [`expire`]: retention. [`evict`]: room under the disk
//!   budget, by what each org takes ([`stored`]). [`space`]: room on the file system.
//! - [`jobs`]: what people ask to be sent again, or given up.
//! - [`backup`](mod@backup), [`repair`](mod@repair), [`check`], [`swap`]: copies, and what is done with a damaged file. [`place`]: why
//!   a file cannot be used. [`placed`], [`aside`], [`standin`]: rows that are damaged. [`at_rest`]: all of it as the server's commands see it.
//! - [`orgs`], [`people`], [`connectors`], [`audit`], [`history`]: configuration, who changed it, and what people look at. [`insight`], [`recent`], [`traffic`], [`tally`]: how it goes.
//!   [`overview`], [`vitals`]: what operators watch. [`cluster`]: the one node that works here.
//!
//! The layout is in `migrations/`; how values look in columns in [`codec`].

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use toktra_siem_store::error::{Result, StoreError};
use toktra_siem_store::{Aging, Clock, ClockTrust};

use place::Need;

mod again;
mod append;
mod aside;
mod at_rest;
mod audit;
mod backup;
mod batch;
mod causes;
mod channels;
mod check;
mod checkpoint;
#[cfg(test)]
mod clocks;
mod cluster;
mod codec;
mod connectors;
mod convert;
mod damage;
mod deliveries;
mod ends;
mod engine;
mod evict;
mod expire;
#[cfg(test)]
mod failures;
mod fate;
mod fault;
mod history;
mod ids;
mod insight;
mod jobs;
mod kept;
mod lanes;
mod log;
mod migrate;
mod open;
mod orgs;
mod outages;
mod overview;
mod pack;
mod partition;
mod people;
mod place;
mod placed;
mod places;
mod read;
mod readers;
mod recent;
mod recount;
mod repair;
mod ring;
mod rows;
mod settle;
mod space;
mod standin;
mod stored;
mod streams;
mod swap;
mod sweep;
mod tally;
mod test_delivery;
mod traffic;
mod turns;
mod vitals;
mod walk;
mod writer;

pub use at_rest::Directory;
pub use ids::IdSizes;
pub use migrate::newest as newest_layout;
pub use place::explained;

/// The database in the data directory.
const DATABASE: &str = "toktra.db";
/// Locked by the running server.
const LOCK: &str = "toktra.lock";

/// How the embedded backend is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// Acceptance times and the times of saves come from it.
    pub clock: Clock,
    /// Whether that clock is believed when something is removed because of its age.
    pub clock_trust: ClockTrust,
    /// The disk budget in bytes, log included; `None` leaves it to the disk.
    pub max_bytes: Option<u64>,
    /// Bytes of the budget that appends may not use, so that a full store can still record deliveries and trim; at most half of it.
    pub reserve: u64,
    /// Bytes of recent events that are kept in memory, over all orgs.
    pub ring_bytes: usize,
    /// A partition is sealed at this many events, fewer under a small budget; ids of the open one take 17 to 35 bytes each in memory, and as much
    /// again until they are indexed. Just below where their map would double.
    pub partition_rows: u64,
    /// A partition is sealed at this many bytes of payload, fewer under a small budget.
    pub partition_bytes: u64,
    /// How the ids of sealed partitions are kept; another choice holds for what is sealed from then on.
    pub ids: IdSizes,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            clock: engine::wall_clock(),
            clock_trust: ClockTrust::Always,
            max_bytes: None,
            reserve: 64 << 20,
            ring_bytes: 16 << 20,
            partition_rows: 450_000,
            partition_bytes: 1 << 30,
            ids: IdSizes::default(),
        }
    }
}

impl std::fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteOptions")
            .field("max_bytes", &self.max_bytes)
            .field("reserve", &self.reserve)
            .field("ring_bytes", &self.ring_bytes)
            .field("partition_rows", &self.partition_rows)
            .field("partition_bytes", &self.partition_bytes)
            .field("ids", &self.ids)
            .finish_non_exhaustive()
    }
}

/// The embedded backend. Implements every trait of [`toktra_siem_store::Store`].
pub struct Sqlite {
    writer: writer::Writer,
    readers: readers::Readers,
    shared: Arc<engine::Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    alone: cluster::Alone,
    aging: Arc<Aging>,
    /// The database file.
    path: PathBuf,
    max_bytes: Option<u64>,
    reserve: u64,
    /// Locked until the writer's thread has ended.
    lock: File,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens (or makes) the database in the directory `dir`, which has to exist, and starts its writer.
    ///
    /// Errors: `Conflict` where another process has the directory open, or a newer version wrote the database; `Damaged` where it cannot
    /// be read; `Unusable` where this process may not use the directory or a file in it; `Unavailable` where the disk refuses.
    pub fn open(dir: &Path, options: SqliteOptions) -> Result<Arc<Self>> {
        Self::assemble(dir, options, Some(Arc::default())).map_err(|error| match error {
            // SQLite says of a file that finds no room that it cannot be opened.
            StoreError::Unavailable { .. } if space::probe(&dir.join(DATABASE)).is_err_and(|e| space::is_short(&e)) => {
                StoreError::Full
            }
            other => other,
        })
    }

    /// As [`Sqlite::open`]; `keeping` is true while the thread that keeps the index of ids runs, and `None` where the caller is that thread.
    fn assemble(dir: &Path, options: SqliteOptions, keeping: Option<Arc<AtomicBool>>) -> Result<Arc<Self>> {
        place::look(dir, Need::Write)?;
        let (lock, options) = (lock(dir)?, options.fitted());
        let path = dir.join(DATABASE);
        swap::finish(dir).map_err(|error| place::fault(&path, &error))?;
        // SQLite gives its log and its index the mode of the database.
        private(&path).map_err(|error| place::fault(&path, &error))?;
        let (writer, inbox) = writer::Writer::new();
        match walk::walk(&path, (options.clock)()) {
            Ok(lost) => writer.pulse().set_log_lost(lost),
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be looked through"),
        }
        let mut space = space::Space::new(&path, &options, Arc::clone(writer.pulse()));
        let conn = migrate::open_writer(&path).or_else(|error| match error {
            // A log and its index have to be made, and there may be things to convert.
            StoreError::Full | StoreError::Unavailable { .. } if space.give_up() => migrate::open_writer(&path),
            other => Err(other),
        })?;
        if let Err(fault) = placed::set_right(&conn) {
            let error = fault.into_error("looking at which partition is open, and whose the streams are");
            tracing::error!(%error, "whose the streams are cannot be read whole; what can be goes on");
        }
        if let Err(fault) = standin::tell(&conn) {
            let error = fault.into_error("looking at what is configured");
            tracing::error!(%error, "what is configured cannot be read whole; what can be goes on");
        }
        let (max_bytes, reserve) = (options.max_bytes, options.reserve);
        let engine = engine::Engine::load(conn, path.clone(), options, writer.clone(), space, keeping)
            .map_err(|fault| fault.into_error("reading the state of the database"))?;
        let (shared, aging) = (Arc::clone(&engine.shared), Arc::clone(&engine.aging));
        let checkpoints = checkpoint::Checkpoints::start(&engine.conn, &path, max_bytes, writer.pulse())
            .map_err(|error| fault::failure(&error, "opening the database"))?;
        let thread = writer::Writer::start(inbox, engine, checkpoints)
            .map_err(|e| StoreError::Unavailable { context: "starting the writer's thread", source: e.into() })?;
        let readers = readers::Readers::new(&path);
        let thread = Mutex::new(Some(thread));
        Ok(Arc::new(Self {
            writer,
            readers,
            shared,
            thread,
            alone: cluster::Alone::default(),
            aging,
            path,
            max_bytes,
            reserve,
            lock,
        }))
    }

    /// Writes everything that is queued, brings the log into the database, ends the thread and unlocks the directory. Calls made
    /// afterwards are refused.
    pub async fn close(&self) -> Result<()> {
        self.readers.close().await;
        self.writer.stop();
        let thread = self.thread.lock().take();
        let joined = tokio::task::spawn_blocking(move || thread.map(JoinHandle::join)).await;
        match joined {
            Ok(None | Some(Ok(()))) => self
                .lock
                .unlock()
                .map_err(|e| StoreError::Unavailable { context: "closing the store", source: e.into() }),
            Ok(Some(Err(_))) | Err(_) => Err(StoreError::Unavailable {
                context: "closing the store",
                source: "the writer's thread ended in a panic".into(),
            }),
        }
    }

    /// Bytes that the database takes on disk: its pages in use and its log.
    pub async fn used_bytes(&self) -> Result<u64> {
        self.writer.call("measuring the database", |engine| engine.used_bytes()).await
    }
}

impl Drop for Sqlite {
    /// Without [`Sqlite::close`] the thread still writes what is queued before the directory is unlocked.
    fn drop(&mut self) {
        self.writer.stop();
        if let Some(thread) = self.thread.lock().take() {
            // A panic there was printed by its thread; nobody is left to tell.
            let _ = thread.join();
        }
    }
}

/// Opens a file for writing that only the server's user may read, whatever the umask says; one that exists keeps its mode.
fn private(path: &Path) -> std::io::Result<File> {
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    match made {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(0o600))?;
            Ok(file)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => OpenOptions::new().write(true).open(path),
        Err(error) => Err(error),
    }
}

/// Whether another process has the data directory open at this moment.
pub fn in_use(dir: &Path) -> bool {
    File::open(dir.join(LOCK)).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let unusable = |error: std::io::Error| place::fault(&path, &error);
    let file = private(&path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Conflict(format!(
            "the data directory {} is in use by a running server: stop it first, or choose another directory",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}
