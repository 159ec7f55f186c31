//! `toktra-siem backup` and `restore`: a copy of the database while the server runs, and its way back.
//!
//! The copy is made page by page (SQLite's backup interface) from within one read transaction of a connection of its own: it is the
//! database as of one moment, however long it takes, and nobody waits for it. Meanwhile the log cannot begin anew, so that it grows by
//! what is written.
//!
//! A copy is checked before it gets its name, and so is a backup before it takes the database's place.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::StrDeserializer;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::backend::{BackedUp, Copied, Restored};
use toktra_siem_store::error::{Result, StoreError};

use super::check::{self, Pages};
use super::fault::failure;
use super::place::{self, Need};
use super::swap::Aside;
use super::{DATABASE, lock, migrate, private, swap};

/// Pages that are copied between two reports.
const STEP: i32 = 256;
/// Bytes that are copied between two reports.
const PIECE: usize = 4 * 1024 * 1024;
/// The database that is brought back, until it is checked.
const UNFINISHED: &str = "toktra.db.restoring";
/// The file beside the database that says of which moment the newest backup is.
const LAST: &str = "last-backup";

/// [`AtRest::backup`](toktra_siem_store::AtRest::backup) of the database in `dir`.
pub(super) fn backup(dir: &Path, to: &Path, report: &mut dyn FnMut(Copied)) -> Result<BackedUp> {
    place::look(dir, Need::Read)?;
    swap::finished(dir)?;
    let path = dir.join(DATABASE);
    if !path.is_file() {
        return Err(StoreError::NotFound);
    }
    if to.exists() {
        return Err(StoreError::Conflict(format!("{} exists already: name another file", to.display())));
    }
    let source = migrate::open_reader(&path)?;
    let layout = migrate::layout(&source)?;
    if layout != migrate::newest() {
        return Err(StoreError::Conflict(format!(
            "the database has layout {layout} and this version copies {}: run `backup` of the version that wrote it",
            migrate::newest()
        )));
    }
    let unfinished = beside(to, ".part");
    new_file(&unfinished).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => StoreError::Conflict(format!(
            "{} exists: another backup to this file is under way, or was interrupted. Remove it then",
            unfinished.display()
        )),
        _ => place::fault(&unfinished, &error),
    })?;
    let made = copy_pages(&source, &unfinished, report).and_then(|bytes| {
        report(Copied { done: bytes, total: bytes, step: "checking" });
        let events = check::whole(&open_still(&unfinished)?, Pages::Quickly);
        let events = events.ok_or_else(|| {
            StoreError::Damaged(
                "the copy is not whole, so that the database may not be: run `toktra-siem \
                repair` once the server is stopped"
                    .to_owned(),
            )
        })?;
        name(&unfinished, to).map_err(|error| place::fault(to, &error))?;
        Ok(BackedUp { bytes, events })
    });
    // Where it was given its name, this takes the other one away.
    let removed = swap::remove(&unfinished);
    let _ = swap::remove(&beside(&unfinished, "-journal"));
    let made = made?;
    removed.map_err(|error| place::fault(&unfinished, &error))?;
    Ok(made)
}

/// Notes in `dir` that a backup of the moment `at` was made, for the server to tell of. In a file of its own: another process than the server
/// writes nothing into its database. Whoever makes the backup, the server's user may read it.
pub(super) fn note_backup(dir: &Path, at: Timestamp) -> io::Result<()> {
    let unfinished = dir.join(format!("{LAST}.part"));
    let mut file = File::create(&unfinished)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    writeln!(file, "{at}")?;
    file.sync_all()?;
    fs::rename(&unfinished, dir.join(LAST))
}

/// The moment of the newest backup that was noted in `dir`.
pub(super) fn last(dir: &Path) -> Option<Timestamp> {
    let text = fs::read_to_string(dir.join(LAST)).ok()?;
    let text: StrDeserializer<'_, serde::de::value::Error> = text.trim().into_deserializer();
    Timestamp::deserialize(text).ok()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// For its owner alone, whatever the umask says.
fn new_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

/// Copies what `source` shows at this moment; the bytes of the copy.
fn copy_pages(source: &Connection, to: &Path, report: &mut dyn FnMut(Copied)) -> Result<u64> {
    const CONTEXT: &str = "copying the database";
    let failed = |error: rusqlite::Error| failure(&error, CONTEXT);
    let mut target = Connection::open(to).map_err(failed)?;
    // The file counts once it is whole and has its name: until then nothing has to survive.
    target.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;").map_err(failed)?;
    let page: u32 = source.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
    let moment = source.unchecked_transaction().map_err(failed)?;
    // A transaction sees the state of its first read.
    moment.query_row("SELECT count(*) FROM org", [], |row| row.get::<_, i64>(0)).map_err(failed)?;
    let total = {
        let copy = Backup::new(&moment, &mut target).map_err(failed)?;
        loop {
            let step = copy.step(STEP).map_err(failed)?;
            let pages = copy.progress();
            let bytes = |count: i32| u64::try_from(count).unwrap_or(0) * u64::from(page);
            let total = bytes(pages.pagecount);
            report(Copied { done: total.saturating_sub(bytes(pages.remaining)), total, step: "" });
            match step {
                StepResult::Done => break total,
                StepResult::More => {}
                _ => {
                    let source = "the database is locked by something else than a server".into();
                    return Err(StoreError::Unavailable { context: CONTEXT, source });
                }
            }
        }
    };
    moment.finish().map_err(failed)?;
    target.close().map_err(|(_, error)| failed(error))?;
    Ok(total)
}

/// Opens a file that nobody changes, for reading: nothing is made beside it.
fn open_still(path: &Path) -> Result<Connection> {
    let context = "opening the backup";
    let mut name = String::from("file:");
    for byte in std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => name.push(char::from(*byte)),
            // Writing to memory does not fail.
            other => drop(write!(name, "%{other:02x}")),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(name + "?immutable=1", flags).map_err(|error| failure(&error, context))
}

/// Makes the file durable, and gives it its name, which nobody else has taken meanwhile.
fn name(unfinished: &Path, to: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    match fs::hard_link(unfinished, to) {
        Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => return Err(taken),
        // Not every file system has links (exFAT, many shares). A rename takes a name that somebody else took in this very moment.
        Err(_) if !to.try_exists()? => fs::rename(unfinished, to)?,
        linked => linked?,
    }
    swap::sync(parent(to))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// [`AtRest::restore`](toktra_siem_store::AtRest::restore) into `dir`, which has to exist.
pub(super) fn restore(
    from: &Path,
    dir: &Path,
    replace: bool,
    now: Timestamp,
    report: &mut dyn FnMut(Copied),
) -> Result<Restored> {
    place::readable(from)?;
    place::look(dir, Need::Write)?;
    let lock = lock(dir)?;
    swap::finish(dir).map_err(|error| place::fault(&dir.join(DATABASE), &error))?;
    if dir.join(DATABASE).is_file() && !replace {
        return Err(StoreError::Conflict(format!(
            "there is a database in {} already. With --replace it is kept aside under another name",
            dir.display()
        )));
    }
    judge(from)?;
    let unfinished = dir.join(UNFINISHED);
    swap::remove_unfinished(dir, UNFINISHED).map_err(|error| place::fault(&unfinished, &error))?;
    let copied = copy_file(from, &unfinished, report).map_err(|error| place::fault(&unfinished, &error));
    let placed = copied.and_then(|bytes| {
        report(Copied { done: bytes, total: bytes, step: "checking" });
        let events = checked(&unfinished)?;
        let aside = swap::put_in_place(dir, UNFINISHED, Aside::Replaced, now);
        Ok(Restored { events, aside: aside.map_err(|error| place::fault(&dir.join(DATABASE), &error))? })
    });
    let restored = placed.inspect_err(|_| {
        // The next attempt removes it otherwise.
        let _ = swap::remove_unfinished(dir, UNFINISHED);
    })?;
    drop(lock);
    Ok(restored)
}

/// Refuses what is no backup, before it is copied.
fn judge(from: &Path) -> Result<()> {
    let log = beside(from, "-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(StoreError::Conflict(format!(
            "{} has a log beside it, which a backup has not: it is the database of a server. `toktra-siem backup` makes a backup of it",
            from.display()
        )));
    }
    let layout = migrate::layout(&open_still(from)?).map_err(|error| match error {
        StoreError::Damaged(_) => StoreError::Damaged("it is no database".to_owned()),
        StoreError::Conflict(why) => StoreError::Conflict(format!("{} is no backup of ours: {why}", from.display())),
        other => other,
    })?;
    if layout > migrate::newest() {
        return Err(StoreError::Conflict(format!(
            "{} was made by a newer version of toktra-siem (layout {layout}, this one knows {}): use that version",
            from.display(),
            migrate::newest()
        )));
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path, report: &mut dyn FnMut(Copied)) -> io::Result<u64> {
    let mut source = File::open(from)?;
    let mut target = private(to)?;
    let total = source.metadata()?.len();
    let mut buffer = vec![0; PIECE];
    let mut done = 0;
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok(done);
        }
        target.write_all(&buffer[..read])?;
        done += u64::try_from(read).unwrap_or(0);
        report(Copied { done, total, step: "" });
    }
}

/// Brings the copy to the newest layout and checks it; its events.
fn checked(path: &Path) -> Result<u64> {
    let damaged =
        || StoreError::Damaged("it is damaged: not every page and event in it is as it was written".to_owned());
    let conn = migrate::open_writer(path).map_err(|error| match error {
        StoreError::Damaged(_) => damaged(),
        other => other,
    })?;
    let events = check::whole(&conn, Pages::All).ok_or_else(damaged)?;
    let failed = |error: rusqlite::Error| failure(&error, "closing the restored database");
    // Whoever was logged in when the backup was made may have been shown out since.
    conn.execute_batch("DELETE FROM session;").map_err(failed)?;
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").map_err(failed)?;
    conn.close().map_err(|(_, error)| failed(error))?;
    Ok(events)
}
