//! `toktra-siem repair`: saves what is whole of a damaged database into a new one, and says exactly what was lost.
//!
//! The damaged file is only ever read, but for its first bytes ([`header`]); at the end it is kept aside under another name, with its log. The new file takes its place in one
//! step once it is complete and on disk, so that a repair can be interrupted and begun again.
//!
//! Invariant D1 holds afterwards: counters are saved with their streams. A lost event that is still to be delivered is passed as expired
//! when its stream comes to it, as any event whose payload is gone; one whose delivery was lost with it is counted as expired at once.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::backend::Repaired;
use toktra_siem_store::error::{Result, StoreError};

use super::check::{self, Pages};
use super::fault::Outcome;
use super::place::{self, Need};
use super::swap::{self, Aside};
use super::{DATABASE, jobs, lock, migrate, private, walk};
use header::Header;

mod books;
mod events;
mod header;
mod salvage;

/// The new file, until it is complete.
const UNFINISHED: &str = "toktra.db.repairing";

/// [`AtRest::repair`](toktra_siem_store::AtRest::repair) of the database in `dir`; takes as long as it takes to read and write everything.
pub(super) fn repair(dir: &Path, now: Timestamp) -> Result<Repaired> {
    place::look(dir, Need::Write)?;
    swap::finished(dir)?;
    let path = dir.join(DATABASE);
    if !path.is_file() {
        return Err(StoreError::NotFound);
    }
    let lock = lock(dir)?;
    swap::finish(dir).map_err(|error| place::fault(&path, &error))?;
    walk::walk(&path, now).map_err(|error| place::fault(&path, &error))?;
    let mut header = Header::restore(&path)?;
    let source = match open_source(&path, &mut header) {
        Ok(source) => source,
        Err(error) => {
            header.give_up(&path)?;
            return Err(error);
        }
    };
    if check::whole(&source, Pages::All).is_some() {
        drop(source);
        header.restore_size(&path)?;
        return Ok(Repaired { header: header.told(), ..Repaired::default() });
    }
    let unfinished = dir.join(UNFINISHED);
    swap::remove_unfinished(dir, UNFINISHED).map_err(|error| place::fault(&unfinished, &error))?;
    let rebuilt = rebuild(&source, &unfinished, now).map_err(|fault| fault.into_error("writing the repaired database"));
    let mut repaired = rebuilt.inspect_err(|_| {
        // The next repair removes it otherwise.
        let _ = swap::remove_unfinished(dir, UNFINISHED);
    })?;
    drop(source);
    let placed = swap::put_in_place(dir, UNFINISHED, Aside::Damaged, now);
    repaired.damaged = placed.map_err(|error| place::fault(&path, &error))?;
    repaired.header = header.told();
    drop(lock);
    Ok(repaired)
}

/// Opens the damaged file for reading alone. Without its first page nothing is known of the rest.
fn open_source(path: &Path, header: &mut Header) -> Result<Connection> {
    let (source, version) = read_layout(path).map_err(|error| unread(&error))?;
    if header.is_restored() && !header::is_ours(&source)? {
        return Err(StoreError::Conflict("the database file in the data directory belongs to another program".into()));
    }
    if version == migrate::newest() {
        return Ok(source);
    }
    if header.restore_layout(path, &source)? {
        drop(source);
        return read_layout(path).map(|(source, _)| source).map_err(|error| unread(&error));
    }
    Err(StoreError::Conflict(format!(
        "the database has layout {version} and this version repairs {}: run `repair` of the version that wrote it",
        migrate::newest()
    )))
}

/// Only what was read can be damaged: a file that could not be opened may be whole.
fn unread(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => hopeless(&error.to_string()),
        _ => StoreError::Unavailable { context: "reading the database file", source: error.to_string().into() },
    }
}

fn hopeless(why: &str) -> StoreError {
    StoreError::Damaged(format!(
        "nothing can be saved: the part of the database file that says where everything is cannot be read ({why}). The file was left \
         as it is. Bring back a backup"
    ))
}

fn read_layout(path: &Path) -> rusqlite::Result<(Connection, i64)> {
    let source = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    // A file that was cut off, or whose list of tables is damaged in part, is then read as far as it goes.
    source.execute_batch("PRAGMA writable_schema = 1;")?;
    // SQLite reports a damaged list once; from then on it works with what it could read of it.
    let _ = source.prepare("SELECT name FROM sqlite_master");
    let version = source.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((source, version))
}

fn rebuild(source: &Connection, path: &Path, now: Timestamp) -> Outcome<Repaired> {
    private(path).map_err(|error| place::fault(path, &error))?;
    let target = migrate::open_writer(path)?;
    // One transaction for each table would only cost time: nothing counts before the file is in its place.
    target.execute_batch("BEGIN IMMEDIATE")?;
    let mut repaired = Repaired::default();
    books::copy_tables(source, &target, &mut repaired)?;
    if !target.prepare("SELECT 1 FROM org")?.exists([])? {
        return Err(hopeless("no org was found in it").into());
    }
    let seen = events::copy(source, &target, &mut repaired)?;
    let heads = books::settle_heads(&target)?;
    books::restore_streams(&target, &heads)?;
    events::find_lost(&target, &seen, &mut repaired, now)?;
    repaired.expired = books::balance(&target)?;
    jobs::restore(&target, now)?;
    target.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA optimize;")?;
    target.close().map_err(|(_, error)| error)?;
    Ok(repaired)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    /// Nobody brings back a backup because of a file that the wrong user tried to read.
    #[test]
    fn what_cannot_be_opened_is_not_called_damaged() {
        let failed = |code: i32| unread(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [ffi::SQLITE_CANTOPEN, ffi::SQLITE_PERM, ffi::SQLITE_READONLY, ffi::SQLITE_IOERR, ffi::SQLITE_BUSY]
        {
            let error = failed(code);
            assert!(matches!(error, StoreError::Unavailable { .. }), "{code}: {error}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            assert!(failed(code).to_string().contains("Bring back a backup"), "{code}");
        }
    }
}
