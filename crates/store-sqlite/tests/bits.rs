//! Every single bit of a stored run, flipped: each of its events is delivered as it was accepted, or is noted as damaged, and none is silently
//! gone. What lies beside it is not touched.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{Seq, StreamId};
use toktra_siem_core::members::Members;
use toktra_siem_store::conformance::{Fixture, World};
use toktra_siem_store::{AtRest as _, EventLog as _, ReadLimit, Store, StoreError};
use toktra_siem_store_sqlite::{Directory, Sqlite, SqliteOptions};

/// Only a thread that does not pack takes longer.
const PATIENCE: Duration = Duration::from_mins(2);
const ALL: ReadLimit = ReadLimit { events: usize::MAX >> 1, bytes: usize::MAX };
/// Events in each of three runs; the one in the middle is damaged.
const RUN: u64 = 3;

/// What is stored, and a stream waits for.
struct Stored {
    dir: tempfile::TempDir,
    world: World,
    stream: StreamId,
    events: Vec<Arc<StoredEvent>>,
    /// Events in the run that is damaged.
    run: u64,
}

impl Stored {
    async fn new(partition_rows: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().to_path_buf();
        let world = World::new(|clock| {
            // Nothing of it is in memory, so that what is read is what is on disk.
            let options = SqliteOptions { clock, partition_rows, ring_bytes: 0, ..SqliteOptions::default() };
            Fixture { store: Sqlite::open(&path, options).expect("a new store"), damages: None, keep: Box::new(()) }
        })
        .await;
        // A stream that waits for all of it.
        let stream = world.stream().await;
        for _ in 0..3 {
            world.append(usize::try_from(RUN).expect("a count")).await;
        }
        let events = world.store.read(world.org, Seq(0), ALL).await.expect("events");
        assert_eq!(events.len() as u64, 3 * RUN);
        Self { dir, world, stream, events, run: RUN }
    }

    fn file(&self) -> Connection {
        let file = Connection::open(self.path()).expect("the database");
        file.busy_timeout(PATIENCE).expect("patience");
        file
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("toktra.db")
    }

    /// Nobody takes the file for whole.
    fn is_no_backup(&self, what: &str) {
        let to = self.dir.path().join("backup.db");
        let made = Directory(self.dir.path().to_path_buf()).backup(&to, &mut |_| {});
        assert!(matches!(made, Err(StoreError::Damaged(_))), "{what}: {made:?}");
    }

    /// Whether each event reads as it was or is noted, and how many are noted.
    async fn judge(&self, store: &dyn Store, what: &str) -> usize {
        let read = store.read(self.world.org, Seq(0), ALL).await.expect("a read goes on");
        let all = Members::from_runs([(1, 1 << 20)]);
        let noted = store.damaged(self.world.org, &all).await.expect("notes");
        for event in &self.events {
            let whole = read.iter().find(|read| read.seq == event.seq);
            let is_noted = noted.iter().any(|damage| damage.seq == event.seq);
            assert!(whole.is_none_or(|read| read == event), "{what}: {} is not what was accepted", event.seq);
            assert!(whole.is_some() != is_noted, "{what}: {} is read or noted, and not both", event.seq);
        }
        assert_eq!(read.len() + noted.len(), self.events.len(), "{what}: nothing was made up");
        assert!(noted.len() as u64 <= self.run, "{what}: its neighbours are whole");
        noted.len()
    }
}

/// A row that was there.
struct Row {
    table: &'static str,
    columns: [&'static str; 4],
    values: Vec<Value>,
}

const HEAD: (&str, [&str; 4]) = ("head_1", ["key", "events", "accepted_at", "head"]);
const BODY: (&str, [&str; 4]) = ("body_1", ["key", "events", "present", "body"]);

impl Row {
    fn read_at(file: &Connection, (table, columns): (&'static str, [&'static str; 4]), at: usize) -> Self {
        let sql = format!("SELECT {} FROM {table} ORDER BY key", columns.join(", "));
        let mut statement = file.prepare(&sql).expect("a table");
        let rows = statement
            .query_map([], |row| (0..4).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>())
            .expect("rows")
            .collect::<rusqlite::Result<Vec<_>>>()
            .expect("rows");
        Self { table, columns, values: rows.into_iter().nth(at).expect("a row") }
    }

    fn bits(&self, column: usize) -> usize {
        match &self.values[column] {
            Value::Integer(_) => 64,
            Value::Blob(bytes) => bytes.len() * 8,
            other => panic!("a column of {other:?}"),
        }
    }

    /// Puts `value` in the place of what is in a column; false where there is such a row already.
    fn put(&self, file: &Connection, column: usize, was: &Value, value: &Value) -> bool {
        let key = if column == 0 { was } else { &self.values[0] };
        let sql = format!("UPDATE OR IGNORE {} SET {} = ?2 WHERE key = ?1", self.table, self.columns[column]);
        file.execute(&sql, [key, value]).expect("a change") == 1
    }

    fn flipped(&self, column: usize, bit: usize) -> Value {
        match self.values[column].clone() {
            Value::Integer(value) => Value::Integer(value ^ (1 << bit)),
            Value::Blob(mut bytes) => {
                bytes[bit / 8] ^= 1 << (bit % 8);
                Value::Blob(bytes)
            }
            other => other,
        }
    }
}

/// Flips each bit of the middle row of a table, looks, and flips it back.
async fn every_bit(stored: &Stored, table: (&'static str, [&'static str; 4])) {
    let file = stored.file();
    let rows =
        file.query_row(&format!("SELECT count(*) FROM {}", table.0), [], |row| row.get::<_, i64>(0)).expect("rows");
    let row = Row::read_at(&file, table, usize::try_from(rows / 2).expect("a place"));
    let mut seen = 0;
    for column in 0..4 {
        for bit in 0..row.bits(column) {
            let flipped = row.flipped(column, bit);
            if !row.put(&file, column, &row.values[column], &flipped) {
                continue;
            }
            let what = format!("bit {bit} of {} in {}", row.columns[column], row.table);
            let noted = stored.judge(&*stored.world.store, &what).await;
            assert!(noted == 0 || ![1, 2].contains(&column), "{what}: what the run itself tells is believed");
            seen += noted;
            if bit < 64 {
                stored.is_no_backup(&what);
            }
            assert!(row.put(&file, column, &flipped, &row.values[column]), "{what}: back again");
            file.execute("DELETE FROM damage", []).expect("forgotten");
        }
    }
    assert!(seen > 0, "some flipped bits cost events");
    assert_eq!(stored.judge(&*stored.world.store, "whole again").await, 0);
}

#[tokio::test]
async fn no_bit_of_a_run_hides_an_event() {
    let stored = Stored::new(1000).await;
    every_bit(&stored, HEAD).await;
    every_bit(&stored, BODY).await;
}

/// The three runs are one by then, and its payloads compressed.
#[tokio::test]
async fn no_bit_of_a_packed_run_hides_an_event() {
    let mut stored = Stored::new(3 * RUN).await;
    stored.world.append(1).await;
    let done = async {
        let sql = "SELECT packed FROM partition WHERE number = 1";
        while !stored.file().query_row(sql, [], |row| row.get(0)).unwrap_or(false) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("the partition is packed");
    stored.events = stored.world.store.read(stored.world.org, Seq(0), ALL).await.expect("events");
    stored.run = 3 * RUN;
    every_bit(&stored, HEAD).await;
    every_bit(&stored, BODY).await;
}

/// The last run of the open partition tells which sequence comes next: none is given again, and none is left out.
#[tokio::test]
async fn no_bit_of_the_last_run_moves_the_head() {
    let stored = Stored::new(1000).await;
    let file = stored.file();
    for table in [HEAD, BODY] {
        let row = Row::read_at(&file, table, 2);
        for column in 0..3 {
            for bit in 0..64 {
                let flipped = row.flipped(column, bit);
                if !row.put(&file, column, &row.values[column], &flipped) {
                    continue;
                }
                let what = format!("bit {bit} of {} in {}", row.columns[column], row.table);
                let stream = stored.world.store.stream(stored.stream).await.expect("a stream");
                assert_eq!(stream.head, Seq(3 * RUN), "{what}, as readers see it");
                // A start finds it in a copy, as the first one still has its file.
                let dir = copy(&stored);
                let store = Sqlite::open(dir.path(), SqliteOptions::default()).expect("a start");
                assert_eq!(*store.head(stored.world.org).await.expect("a head").borrow(), Seq(3 * RUN), "{what}");
                store.close().await.expect("a clean end");
                drop(store);
                assert!(row.put(&file, column, &flipped, &row.values[column]), "{what}: back again");
            }
        }
    }
}

/// The database as it is at this moment.
fn copy(stored: &Stored) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("toktra.db");
    stored.file().execute("VACUUM INTO ?1", [to.to_str()]).expect("a copy");
    dir
}
