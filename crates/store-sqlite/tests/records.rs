//! Every single bit of what stands around the events, flipped: it costs the row that it hits, and everything else is read as before.

use std::path::PathBuf;

use rusqlite::{Connection, params};
use toktra_siem_core::connector::{Connector, Resume};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::StreamKind;
use toktra_siem_store::conformance::flow::Flow;
use toktra_siem_store::conformance::world::{datadog, stream_of};
use toktra_siem_store::conformance::{Fixture, World};
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
