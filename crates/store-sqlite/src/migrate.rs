//! Opening the file: the settings that hold for its whole life, and the numbered migrations that bring an older one up to date.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::time::Instant;
use toktra_siem_store::error::{Result, StoreError};

use super::checkpoint;
use super::convert;
use super::fault::failure;
use super::stored;

/// Marks the file as ours ("TkSI"), so that another program's database is not taken for one.
pub(super) const APPLICATION_ID: i64 = 0x546b_5349;
/// Each brings the layout from its index to the next.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_questions.sql"),
    include_str!("../migrations/0003_once.sql"),
    include_str!("../migrations/0004_kept.sql"),
    include_str!("../migrations/0005_own_events.sql"),
    include_str!("../migrations/0006_outages.sql"),
    include_str!("../migrations/0007_probes.sql"),
    include_str!("../migrations/0008_channels.sql"),
    include_str!("../migrations/0009_damage.sql"),
    include_str!("../migrations/0010_ids.sql"),
    include_str!("../migrations/0011_batches.sql"),
    include_str!("../migrations/0012_nodes.sql"),
    include_str!("../migrations/0013_stored.sql"),
];
/// Of a fresh file. Larger than the usual 4 KiB: an event of 800 bytes then rarely needs an overflow page.
pub(super) const PAGE_SIZE: u32 = 8192;

/// The newest layout.
pub fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Opens (or makes) the database for writing and brings it to the newest layout.
pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    let began = Instant::now();
    let conn = Connection::open(path).map_err(|e| failure(&e, "opening the database"))?;
    let brought = bring_along(&conn);
    if brought.is_err() {
        // What the disk answered counts, and is not asked again as the connection closes.
        checkpoint::leave_the_log(&conn);
    }
    let (from, parts) = brought?;
    // A start that goes on after a kill finds the newest layout, and events to convert. A fresh file has had none.
    let to = newest();
    if from > 0 && (from < to || parts > 0) {
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(from, to, seconds, "the database has the newest layout");
    }
    Ok(conn)
}

/// Brings a file to the newest layout, its events too: which layout was found, 0 of a fresh file, and how many partitions had to be converted.
/// SQLite would bring the log into the database by itself, and pass over what the disk answers; so it is done here.
fn bring_along(conn: &Connection) -> Result<(i64, usize)> {
    const CONTEXT: &str = "bringing the stored events to the newest layout";
    let from = lay_out(conn)?;
    let parts = convert::all(conn).map_err(|fault| fault.into_error(CONTEXT))?;
    stored::count(conn).map_err(|fault| fault.into_error(CONTEXT))?;
    if from < newest() || parts > 0 {
        checkpoint::finish(conn).map_err(|error| failure(&error, CONTEXT))?;
    }
    Ok((from, parts))
}

/// The same, but for the events: they may still lie as an earlier layout had them.
#[cfg(test)]
pub(super) fn laid_out(path: &Path) -> Result<Connection> {
    let conn = Connection::open(path).map_err(|e| failure(&e, "opening the database"))?;
    lay_out(&conn)?;
    Ok(conn)
}

fn lay_out(conn: &Connection) -> Result<i64> {
    prepare(conn).map_err(|e| failure(&e, "opening the database"))?;
    migrate(conn)
}

/// All that the newest layout makes, in a database that is in memory.
pub(super) fn in_memory() -> Result<Connection> {
    let conn = Connection::open_in_memory().map_err(|e| failure(&e, "making a database in memory"))?;
    migrate(&conn)?;
    Ok(conn)
}

/// Opens a connection that can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| failure(&e, "opening a read connection"))?;
    conn.execute_batch("PRAGMA cache_size = -4096; PRAGMA busy_timeout = 5000; PRAGMA query_only = 1;")
        .map_err(|e| failure(&e, "opening a read connection"))?;
    conn.set_prepared_statement_cache_capacity(64);
    keep_plans(&conn).map_err(|e| failure(&e, "opening a read connection"))?;
    Ok(conn)
}

/// `page_size` and `auto_vacuum` only take effect while the file is empty, so they come first.
fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_SIZE};
         PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA busy_timeout = 5000;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA cache_size = -8192;
         PRAGMA temp_store = MEMORY;"
    ))?;
    conn.set_prepared_statement_cache_capacity(128);
    keep_plans(conn)
}

/// Otherwise a statement whose plan might depend on a bound value is compiled anew whenever that value changes: measured, a sixth of the writer's
/// time, and of all time while many connectors are made.
fn keep_plans(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// What the file says of itself: whose it is, and its layout.
fn marks(conn: &Connection) -> Result<(i64, i64)> {
    let number = |name: &str| {
        conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|e| failure(&e, "reading the database's version"))
    };
    Ok((number("application_id")?, number("user_version")?))
}

/// The layout of a file that is ours.
pub(super) fn layout(conn: &Connection) -> Result<i64> {
    match marks(conn)? {
        (APPLICATION_ID, version) => Ok(version),
        _ => Err(StoreError::Conflict("the database belongs to another program".into())),
    }
}

/// Brings the layout up to date, and says which one it found.
fn migrate(conn: &Connection) -> Result<i64> {
    let (application, version) = marks(conn)?;
    let newest = newest();
    if (application, version) != (0, 0) && application != APPLICATION_ID {
        return Err(StoreError::Conflict(
            "the database file in the data directory belongs to another program: if it is this service's, its first bytes are damaged, and \
             `toktra-siem repair` restores them"
                .into(),
        ));
    }
    if version > newest {
        return Err(StoreError::Conflict(format!(
            "the database was written by a newer version of toktra-siem (layout {version}, this one knows {newest}): start that \
             version, or restore a backup made before the upgrade"
        )));
    }
    let done = usize::try_from(version).unwrap_or(0);
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        // One transaction each: a kill in the middle leaves the old layout, whole.
        conn.execute_batch(&format!(
            "BEGIN IMMEDIATE; {sql} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}; COMMIT;",
            index + 1
        ))
        .map_err(|e| {
            let _ = conn.execute_batch("ROLLBACK");
            failure(&e, "bringing the database to the newest layout")
        })?;
        checkpoint::relieve(conn).map_err(|e| failure(&e, "bringing the database to the newest layout"))?;
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_file_has_the_settings_that_cannot_be_changed_later() {
        let dir = tempfile::tempdir().unwrap();
        let conn = open_writer(&dir.path().join("x.db")).unwrap();
        let get = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((get("page_size"), get("auto_vacuum"), get("synchronous")), (8192, 2, 2));
        assert_eq!(usize::try_from(get("user_version")), Ok(MIGRATIONS.len()));
    }

    #[test]
    fn a_newer_database_and_a_foreign_one_are_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let conn = open_writer(&path).unwrap();
        conn.pragma_update(None, "user_version", 99).unwrap();
        drop(conn);
        let newer = open_writer(&path).unwrap_err().to_string();
        assert!(newer.contains("newer version"), "{newer}");
        let foreign = dir.path().join("y.db");
        Connection::open(&foreign).unwrap().execute_batch("PRAGMA application_id = 7; CREATE TABLE t (x);").unwrap();
        assert!(open_writer(&foreign).unwrap_err().to_string().contains("another program"));
        let text = dir.path().join("z.db");
        std::fs::write(&text, "this is no database, however long it goes on and on and on").unwrap();
        assert!(matches!(open_writer(&text), Err(StoreError::Damaged(why)) if why.contains("repair")));
    }
}
