//! Every single bit of what stands around the events, flipped: it costs the row that it hits, and everything else is read as before.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params};
use toktra_siem_core::connector::{Connector, Resume};
use toktra_siem_core::delivery::ParkKind;
use toktra_siem_core::event::Severity::{High, Low};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{Seq, StreamId, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_store::cluster::Claim;
use toktra_siem_store::conformance::flow::Flow;
use toktra_siem_store::conformance::world::{datadog, only, stream_of};
use toktra_siem_store::conformance::{Fixture, Owner, World};
use toktra_siem_store::{DeliveryStore as _, EventLog as _, OrgStore as _};
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};

struct Stored {
    dir: tempfile::TempDir,
    world: World,
}

impl Stored {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().to_path_buf();
        let world = World::new(|clock| {
            let options = SqliteOptions { clock, ring_bytes: 0, ..SqliteOptions::default() };
            Fixture { store: Sqlite::open(&path, options).expect("a new store"), damages: None, keep: Box::new(()) }
        })
        .await;
        Self { dir, world }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("toktra.db")
    }

    fn file(&self) -> Connection {
        Connection::open(self.path()).expect("the database")
    }

    /// Each bit of a text of this row flipped in turn; then it is what it was.
    async fn each_bit(&self, table: &str, column: &str, row: i64, look: impl AsyncFn(&str)) {
        let file = self.file();
        let was: Vec<u8> = file
            .query_row(&format!("SELECT CAST({column} AS BLOB) FROM {table} WHERE num = ?1"), [row], |row| row.get(0))
            .expect("the row");
        let put = |bytes: &[u8]| {
            let sql = format!("UPDATE {table} SET {column} = CAST(?2 AS TEXT) WHERE num = ?1");
            file.execute(&sql, params![row, bytes]).expect("a change");
        };
        for bit in 0..was.len() * 8 {
            let mut bytes = was.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            put(&bytes);
            look(&format!("bit {bit} of {column} in {table}: {}", String::from_utf8_lossy(&bytes))).await;
        }
        put(&was);
    }

    async fn everything_is_read(&self, what: &str) {
        let (world, store) = (&self.world, &self.world.store);
        let all = store.all_connectors().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(all.iter().map(|record| record.connector.streams().count()).collect::<Vec<_>>(), [1, 2], "{what}");
        let of_org = store.connectors(world.org).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(of_org, all, "{what}");
        for record in all {
            let id = record.connector.id;
            assert_eq!(store.connector(world.org, id).await.expect("a connector"), record, "{what}");
        }
        let overview = store.overview().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(overview.len(), 3, "{what}");
        let standings = store.standings(world.org, None, world.now()).await;
        assert_eq!(standings.unwrap_or_else(|error| panic!("{what}: {error}")).len(), 3, "{what}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_no_other_connector() {
    let stored = Stored::new().await;
    let world = &stored.world;
    let made = world.splunk(Filter::default()).await;
    world.create(Connector { name: "other".into(), ..world.draft(datadog(true), true) }).await;
    world.append(2).await;
    stored.each_bit("connector", "record", 1, async |what| stored.everything_is_read(what).await).await;
    let last = world.store.connector(world.org, made.id).await.expect("the connector");
    assert!(!last.connector.settings.is_unreadable());

    let file = stored.file();
    let halve = "UPDATE connector SET record = substr(record, 1, length(record) / 2)";
    file.execute(halve, []).expect("damage");
    let store = &world.store;
    let unread = store.connector(world.org, made.id).await.expect("what stands in").connector;
    assert!(unread.settings.is_unreadable() && unread.active);
    assert_eq!((unread.name.as_str(), unread.settings.platform), (made.name.as_str(), made.settings.platform));
    assert_eq!(unread.streams().map(|id| id.kind).collect::<Vec<_>>(), [StreamKind::Events]);
    assert_eq!((unread.revision, &unread.filter), (made.revision, &made.filter));
    // It is saved again as any other is, and its events were kept.
    let again = Connector { settings: made.settings.clone(), ..unread };
    world.save(again, Resume::Backlog).await;
    let saved = store.connector(world.org, made.id).await.expect("the connector").connector;
    assert_eq!(saved.settings, made.settings);
    let stream = saved.streams().next().expect("a stream");
    let record = store.stream(stream).await.expect("the stream");
    assert_eq!(record.cursor.until(record.head), 2);
    file.execute(halve, []).expect("damage");
    let audit = world.audit("connector.delete", &made.id);
    store.delete_connector(world.org, made.id, None, audit).await.expect("it can be deleted");
    assert_eq!(store.all_connectors().await.expect("the other").len(), 1);
}

#[tokio::test]
async fn what_a_stream_says_of_outages_stops_nobody() {
    let stored = Stored::new().await;
    let world = &stored.world;
    let made = world.splunk(Filter::default()).await;
    world.create(Connector { name: "other".into(), ..world.draft(datadog(true), true) }).await;
    let flow = Flow::take_over(world, stream_of(&made, StreamKind::Events)).await;
    world.append(1).await;
    flow.fail(&flow.open_all().await).await;
    for column in ["breaker", "outages", "archived"] {
        stored.each_bit("stream", column, 1, async |what| stored.everything_is_read(what).await).await;
    }
    for column in ["breaker", "outages", "archived"] {
        stored.file().execute(&format!("UPDATE stream SET {column} = 'x'"), []).expect("damage");
    }
    flow.record().await;
    let counts = flow.record().await.counts;
    assert_eq!(world.store.recount(flow.stream).await.expect("a recount"), counts);
}

/// Two deliveries that are pending, one of them with holes, and two parked events, in a file that nobody has open.
async fn on_their_way() -> (tempfile::TempDir, StreamId, Vec<u64>) {
    let stored = Stored::new().await;
    let world = &stored.world;
    let made = world.splunk(only(&[High])).await;
    let stream = stream_of(&made, StreamKind::Events);
    let flow = Flow::take_over(world, stream).await;
    world.append_severities(&[High, Low, High, High, Low, High]).await;
    world.append_severities(&[High, High, High, Low, High]).await;
    let holes = flow.open_to(6).await.expect("a delivery");
    let more = flow.open_to(9).await.expect("another one");
    flow.fail(&flow.open_to(11).await.expect("the last one")).await;
    let mut waiting: Vec<u64> = holes.members.iter().chain(more.members.iter()).map(|seq| seq.0).collect();
    waiting.push(11);
    assert_eq!(waiting, [1, 3, 4, 6, 7, 8, 9, 11]);
    let Stored { dir, world } = stored;
    drop(world);
    (dir, stream, waiting)
}

/// Changes a copy of the file; whoever takes the stream over then finds every event on its way, parked, or damaged, and the counts add up.
async fn nothing_is_lost(dir: &Path, stream: StreamId, waiting: &[u64], what: &str, change: impl FnOnce(&Path)) {
    let copy = tempfile::tempdir().expect("a directory");
    let path = copy.path().join("toktra.db");
    std::fs::copy(dir.join("toktra.db"), &path).expect("a copy");
    change(&path);
    let store = Sqlite::open(copy.path(), SqliteOptions::default()).expect("a start");
    Owner::default().take_over(&*store, stream).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let pending = store.pending(stream).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let parked = store.parked(stream, ParkKind::Failed, Seq(0), 99).await;
    let parked = parked.unwrap_or_else(|error| panic!("{what}: {error}"));
    let org = store.stream(stream).await.expect("the stream").org;
    let damaged = store.damaged(org, &Members::from_runs([(1, 99)])).await.expect("notes");
    let mut found: Vec<u64> = pending.iter().flat_map(|delivery| delivery.members.iter()).map(|seq| seq.0).collect();
    found.extend(parked.iter().map(|parked| parked.seq.0));
    found.extend(damaged.iter().map(|damage| damage.seq.0));
    found.sort_unstable();
    assert_eq!(found, waiting, "{what}: {pending:?} {damaged:?}");
    let record = store.stream(stream).await.expect("the stream");
    assert!(record.accounting().adds_up(), "{what}: {record:?}");
    assert_eq!(store.recount(stream).await.expect("a recount"), record.counts, "{what}");
    store.close().await.expect("a clean end");
}

/// Changes a column of a table whose index `index` keeps what it was, as a flipped bit does.
fn behind(path: &Path, index: &str, sql: &str, values: impl rusqlite::Params) {
    let open = || Connection::open(path).expect("the database");
    let schema = open();
    schema.execute_batch("PRAGMA writable_schema = 1").expect("a schema that can be changed");
    let kept: Vec<Value> = schema
        .query_row("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master WHERE name = ?1", [index], |row| {
            (0..5).map(|at| row.get(at)).collect()
        })
        .expect("the index");
    schema.execute("DELETE FROM sqlite_master WHERE name = ?1", [index]).expect("it is hidden");
    drop(schema);
    assert_eq!(open().execute(sql, values).expect("a change"), 1);
    let schema = open();
    schema.execute_batch("PRAGMA writable_schema = 1").expect("a schema that can be changed");
    let put = "INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) VALUES (?1, ?2, ?3, ?4, ?5)";
    schema.execute(put, rusqlite::params_from_iter(kept)).expect("it is back");
}

#[tokio::test]
async fn a_damaged_row_of_a_delivery_loses_no_event() {
    let (dir, stream, waiting) = on_their_way().await;
    let dir = dir.path();
    let ids: Vec<Vec<u8>> = {
        let file = Connection::open(dir.join("toktra.db")).expect("the database");
        let mut pending = file.prepare("SELECT id FROM delivery WHERE status = 0 ORDER BY id").expect("deliveries");
        pending.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("deliveries")
    };
    assert_eq!(ids.len(), 2);
    for id in &ids {
        for column in ["first_seq", "last_seq", "members", "accounted", "trigger", "root"] {
            let read = format!("SELECT {column} FROM delivery WHERE id = ?1");
            let was: Value = Connection::open(dir.join("toktra.db"))
                .and_then(|file| file.query_row(&read, [id], |row| row.get(0)))
                .expect("the row");
            let bits = match &was {
                Value::Blob(bytes) => bytes.len() * 8,
                Value::Integer(_) => 63,
                _ => 0,
            };
            for bit in 0..bits {
                let flipped = match was.clone() {
                    Value::Integer(value) => Value::Integer(value ^ (1 << bit)),
                    Value::Blob(mut bytes) => {
                        bytes[bit / 8] ^= 1 << (bit % 8);
                        Value::Blob(bytes)
                    }
                    other => other,
                };
                let sql = format!("UPDATE delivery SET {column} = ?2 WHERE id = ?1");
                let what = format!("bit {bit} of {column}: {flipped:?}");
                nothing_is_lost(dir, stream, &waiting, &what, |path| {
                    behind(path, "delivery_root", &sql, params![id, flipped]);
                })
                .await;
            }
        }
        for status in [1, 2, 3, 4, 8, 64] {
            let what = format!("status {status}");
            let sql = "UPDATE delivery SET status = ?2 WHERE id = ?1";
            nothing_is_lost(dir, stream, &waiting, &what, |path| {
                behind(path, "delivery_exception", sql, params![id, status]);
            })
            .await;
        }
        for column in ["cause", "awaiting", "outage"] {
            let sql = format!("UPDATE delivery SET {column} = CAST(x'7bff' AS TEXT) WHERE id = ?1");
            nothing_is_lost(dir, stream, &waiting, column, |path| {
                Connection::open(path).and_then(|file| file.execute(&sql, [id])).expect("a change");
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_damaged_row_of_a_parked_event_loses_no_event() {
    let (dir, stream, waiting) = on_their_way().await;
    for state in [1, 2, 3, 4, 8, 64] {
        nothing_is_lost(dir.path(), stream, &waiting, &format!("state {state}"), |path| {
            behind(path, "parked_waiting", "UPDATE parked SET state = ?1", [state]);
        })
        .await;
    }
    nothing_is_lost(dir.path(), stream, &waiting, "a cause", |path| {
        let sql = "UPDATE parked SET cause = CAST(x'7bff' AS TEXT)";
        Connection::open(path).and_then(|file| file.execute(sql, [])).expect("a change");
    })
    .await;
}

/// One stream of which nothing can be made leaves the others their workers.
#[tokio::test]
async fn a_stream_that_cannot_be_read_keeps_no_other_from_being_claimed() {
    for (column, damaged) in [("kind", "kind + 8"), ("cursor", "'x'"), ("epoch", "x'00'")] {
        let stored = Stored::new().await;
        let world = &stored.world;
        world.splunk(Filter::default()).await;
        world.create(Connector { name: "other".into(), ..world.draft(datadog(true), true) }).await;
        let node = world.owner.node(&*world.store).await.expect("a node");
        stored.file().execute(&format!("UPDATE stream SET {column} = {damaged} WHERE num = 1"), []).expect("damage");
        let claimed = world.store.claim(node, Claim::Free, 9).await.expect("the others");
        assert_eq!(claimed.len(), 2, "{column}");
    }
}

/// An old version of a filter that cannot be read holds nobody up: what was accepted in its time is sent, and later events by their own filter.
#[tokio::test]
async fn a_version_of_a_filter_that_cannot_be_read_filters_nothing() {
    let stored = Stored::new().await;
    let world = &stored.world;
    let made = world.splunk(only(&[High])).await;
    world.append_severities(&[High, Low]).await;
    world.save(Connector { filter: only(&[Low]), ..made.clone() }, Resume::Backlog).await;
    world.append_severities(&[High, Low]).await;
    let was: Vec<u8> = stored
        .file()
        .query_row("SELECT CAST(filter AS BLOB) FROM connector_revision WHERE revision = 1", [], |row| row.get(0))
        .expect("a version");
    let put = |bytes: &[u8]| {
        let sql = "UPDATE connector_revision SET filter = CAST(?1 AS TEXT) WHERE revision = 1";
        assert_eq!(stored.file().execute(sql, [bytes]).expect("a change"), 1);
    };
    let mut unread = 0;
    for bit in 0..was.len() * 8 {
        let mut bytes = was.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        put(&bytes);
        let timeline = world.store.timeline(made.id).await.unwrap_or_else(|error| panic!("bit {bit}: {error}"));
        assert_eq!(timeline.at(Seq(3)).expect("a version").filter, only(&[Low]), "bit {bit}");
        unread += usize::from(timeline.at(Seq(2)).expect("a version").filter == Filter::default());
    }
    assert!(unread > was.len() * 4, "{unread} of {} bits", was.len() * 8);
    put(&was[..was.len() / 2]);
    let flow = Flow::take_over(world, stream_of(&made, StreamKind::Events)).await;
    let sent: Vec<u64> = flow.open_all().await.members.iter().map(|seq| seq.0).collect();
    assert_eq!(sent, [1, 2, 4]);
}

/// A stream that has delivered, filtered, parked and waits.
async fn half_way() -> (tempfile::TempDir, StreamId) {
    let stored = Stored::new().await;
    let world = &stored.world;
    world.append(7).await;
    let made = world.splunk(only(&[High])).await;
    let stream = stream_of(&made, StreamKind::Events);
    let flow = Flow::take_over(world, stream).await;
    world.append_severities(&[High, Low, High, High, Low, Low, High, Low, Low]).await;
    flow.fail(&flow.open_to(9).await.expect("a delivery")).await;
    flow.open_to(11).await.expect("another one");
    assert!(flow.open_to(13).await.is_none());
    let Stored { dir, world } = stored;
    drop(world);
    (dir, stream)
}

/// No bit of the cursor, and none of a count, leaves an event out or sends one again.
#[tokio::test]
async fn no_bit_of_a_cursor_leaves_an_event_out() {
    let (dir, stream) = half_way().await;
    for column in ["cursor", "delivered", "failed", "pending", "filtered", "expired", "starts_after"] {
        for bit in (0..8).chain([16, 32, 40, 61, 62, 63]) {
            let what = format!("bit {bit} of {column}");
            let copy = tempfile::tempdir().expect("a directory");
            let path = copy.path().join("toktra.db");
            std::fs::copy(dir.path().join("toktra.db"), &path).expect("a copy");
            let flip = format!("UPDATE stream SET {column} = ({column} | ?1) - ({column} & ?1)");
            let file = Connection::open(&path).expect("the database");
            file.execute(&flip, [1i64 << bit]).expect("a change");
            drop(file);
            let store = Sqlite::open(copy.path(), SqliteOptions::default()).expect("a start");
            let owner = Owner::default();
            owner.take_over(&*store, stream).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            let record = store.stream(stream).await.expect("the stream");
            // What was taken ends at 11, and what is behind 13 was not looked at yet.
            assert!((11..=13).contains(&record.cursor.0), "{what}: {record:?}");
            assert_eq!(record.head, Seq(16), "{what}");
            let pending = store.pending(stream).await.expect("deliveries");
            let on_their_way: Vec<u64> = pending.iter().flat_map(|d| d.members.iter()).map(|seq| seq.0).collect();
            assert_eq!(on_their_way, [10, 11], "{what}");
            let parked = store.parked(stream, ParkKind::Failed, Seq(0), 9).await.expect("parked events");
            assert_eq!(parked.iter().map(|parked| parked.seq.0).collect::<Vec<_>>(), [8], "{what}");
            if column != "starts_after" {
                assert!(record.accounting().adds_up(), "{what}: {record:?}");
            }
            store.close().await.expect("a clean end");
        }
    }
}

/// A connector whose row is gone although nobody deleted it: its stream, and what waits in it, stay as they are.
#[tokio::test]
async fn a_connector_that_is_gone_takes_no_stream_with_it() {
    let (dir, stream) = half_way().await;
    let path = dir.path().join("toktra.db");
    let rows = |what: &str| -> Vec<(bool, i64)> {
        let file = Connection::open(&path).expect("the database");
        let mut asked = file.prepare("SELECT removed, cursor FROM stream ORDER BY num").expect("a question");
        let rows = asked.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect(what);
        rows.map(|row| row.expect("a stream")).collect()
    };
    let before = rows("before");
    let file = Connection::open(&path).expect("the database");
    assert_eq!(
        file.execute("DELETE FROM connector WHERE id = ?1", [stream.connector.0.as_bytes()]).expect("damage"),
        1
    );
    drop(file);
    let store = Sqlite::open(dir.path(), SqliteOptions::default()).expect("a start");
    store.close().await.expect("a clean end");
    assert_eq!(rows("after"), before);
    assert!(before.iter().any(|(removed, _)| !removed));
}

/// Which partition is open, whose a stream is, and whether it is removed: each is known from something else as well.
#[tokio::test]
async fn no_bit_says_another_partition_or_another_org() {
    let stored = Stored::new().await;
    let world = &stored.world;
    let made = world.splunk(Filter::default()).await;
    let other = world.other_org().await;
    world.append(5).await;
    let Stored { dir, world } = stored;
    let org = world.org;
    drop(world);
    let stream = stream_of(&made, StreamKind::Events);
    let flips = [
        "partition SET sealed = ?1",
        "stream SET removed = ?1",
        "stream SET org = org + ?1",
        "connector SET org = org + ?1",
        "stream SET connector = ?1",
        "connector SET id = ?1",
    ];
    for (at, flip) in flips.iter().enumerate() {
        for bit in [0, 1, 2, 7, 31, 62] {
            for index_too in [true, false] {
                let what = format!("bit {bit} of {flip}, index too: {index_too}");
                let copy = tempfile::tempdir().expect("a directory");
                let path = copy.path().join("toktra.db");
                std::fs::copy(dir.path().join("toktra.db"), &path).expect("a copy");
                let sql = format!("UPDATE {flip}");
                let mut id = made.id.0.into_bytes();
                id[bit / 8] ^= 1 << (bit % 8);
                let value = if at < 4 { Value::Integer(1 << bit) } else { Value::Blob(id.to_vec()) };
                let index = ["partition_open", "stream_id", "stream_org", "connector_rotation", "stream_id"].get(at);
                match index.filter(|_| !index_too) {
                    None => {
                        let file = Connection::open(&path).expect("the database");
                        file.execute(&sql, [value]).expect("a change");
                    }
                    Some(index) => behind(&path, index, &sql, [value]),
                }
                let store = Sqlite::open(copy.path(), SqliteOptions::default())
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(*store.head(org).await.expect("a head").borrow(), Seq(5), "{what}");
                let found = store.connector(org, made.id).await.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(found.connector.name, made.name, "{what}");
                assert!(store.connectors(other).await.expect("connectors").is_empty(), "{what}");
                let record = store.stream(stream).await.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!((record.org, record.head), (org, Seq(5)), "{what}");
                Owner::default().take_over(&*store, stream).await.unwrap_or_else(|error| panic!("{what}: {error}"));
                store.close().await.expect("a clean end");
            }
        }
    }
}
