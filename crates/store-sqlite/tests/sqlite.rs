//! The embedded backend passes the suite.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};
use toktra_siem_core::ids::{OrgId, Seq};
use toktra_siem_store::batch::{self, Payload, read_body, read_head};
use toktra_siem_store::conformance::Fixture;
use toktra_siem_store::{AtRest as _, Backend, Broken, Clock, Cluster};
use toktra_siem_store_sqlite::{Directory, Sqlite, SqliteOptions};

fn sqlite(clock: Clock) -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Sqlite::open(dir.path(), SqliteOptions { clock, ..SqliteOptions::default() }).expect("a new store");
    Fixture { store, damages: None, keep: Box::new(dir) }
}

fn node(clock: Clock) -> (Fixture, Arc<dyn Cluster>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Sqlite::open(dir.path(), SqliteOptions { clock, ..SqliteOptions::default() }).expect("a new store");
    (Fixture { store: store.clone(), damages: None, keep: Box::new(dir) }, store)
}

/// As above, but a partition is full after a few events and the ring holds next to none, so that every path reads the tables.
fn crowded(clock: Clock) -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = SqliteOptions { clock, partition_rows: 4, ring_bytes: 600, ..SqliteOptions::default() };
    let store = Sqlite::open(dir.path(), options).expect("a new store");
    Fixture { store, damages: None, keep: Box::new(dir) }
}

/// One whose events can be damaged: nothing is remembered of what the tables hold, and they are changed from outside.
fn damaged(clock: Clock) -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = SqliteOptions { clock, ring_bytes: 0, ..SqliteOptions::default() };
    let store = Sqlite::open(dir.path(), options).expect("a new store");
    let path = dir.path().join("toktra.db");
    Fixture { store, damages: None, keep: Box::new(dir) }
        .damaged_by(move |org, seq, broken| damage(&path, org, seq, broken))
}

/// The same over many small partitions.
fn damaged_and_crowded(clock: Clock) -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = SqliteOptions { clock, partition_rows: 2, ring_bytes: 0, ..SqliteOptions::default() };
    let store = Sqlite::open(dir.path(), options).expect("a new store");
    let path = dir.path().join("toktra.db");
    Fixture { store, damages: None, keep: Box::new(dir) }
        .damaged_by(move |org, seq, broken| damage(&path, org, seq, broken))
}

fn damage(path: &Path, org: OrgId, seq: Seq, broken: Broken) {
    let file = Connection::open(path).expect("the file");
    let numbers: Vec<i64> = file
        .prepare("SELECT number FROM partition")
        .and_then(|mut all| all.query_map([], |row| row.get(0))?.collect())
        .expect("the partitions");
    let org: i64 =
        file.query_row("SELECT num FROM org WHERE id = ?1", [org.0.as_bytes()], |row| row.get(0)).expect("the org");
    let key = (org << 40) | i64::try_from(seq.0).expect("a sequence");
    let changed = numbers.into_iter().filter(|number| match broken {
        Broken::Payload => change(&file, *number, key, |payload| {
            if let Some(payload) = payload {
                let mut flipped = payload.bytes.to_vec();
                flipped[0] ^= 1;
                payload.bytes = flipped.into();
            }
        }),
        Broken::Gone => change(&file, *number, key, |payload| *payload = None),
        Broken::Whole => break_head(&file, *number, key),
    });
    assert_eq!(changed.count(), 1, "{seq} is in no partition");
}

/// Changes a payload; its checksum stays what it was. Whether the partition has it.
fn change(file: &Connection, number: i64, key: i64, change: impl FnOnce(&mut Option<Payload>)) -> bool {
    let Some((place, body)) = run_with(file, &format!("body_{number}"), "body", key) else { return false };
    let mut payloads = read_body(&body).expect("a whole body");
    change(&mut payloads[usize::try_from(key - place).expect("a place")]);
    let present = i64::try_from(payloads.iter().flatten().count()).expect("a count");
    let body = batch::body(payloads.iter().map(|p| p.as_ref().map(|p| (p.crc, &p.bytes[..]))));
    let sql = format!("UPDATE body_{number} SET present = ?2, body = ?3 WHERE key = ?1");
    file.execute(&sql, (place, present, body)).expect("a change") == 1
}

/// Gives each event of a run a head of its own, and damages that of one. Whether the partition has it.
fn break_head(file: &Connection, number: i64, key: i64) -> bool {
    let table = format!("head_{number}");
    let Some((place, head)) = run_with(file, &table, "head", key) else { return false };
    let records = read_head(place, Seq(u64::try_from(place & ((1 << 40) - 1)).expect("a sequence")), &head);
    file.execute(&format!("DELETE FROM {table} WHERE key = ?1"), [place]).expect("the run's head");
    for (at, record) in (place..).zip(records.expect("a whole head")) {
        let mut head = batch::head(at, std::slice::from_ref(&record));
        if at == key {
            head[9] ^= 1;
        }
        let sql = format!("INSERT INTO {table} (key, events, accepted_at, head) VALUES (?1, 1, ?2, ?3)");
        file.execute(&sql, (at, record.accepted_at.0, head)).expect("a head");
    }
    true
}

/// The run of a table that has this key: the key of its first event, and its bytes.
fn run_with(file: &Connection, table: &str, column: &str, key: i64) -> Option<(i64, Vec<u8>)> {
    let sql = format!("SELECT key, {column} FROM {table} WHERE key <= ?1 AND key + events > ?1");
    let found = file.query_row(&sql, [key], |row| Ok((row.get(0)?, row.get(1)?)));
    found.optional().expect("a look")
}

toktra_siem_store::conformance_tests!(sqlite);
toktra_siem_store::node_tests!(node);

mod damage_cases {
    toktra_siem_store::damage_tests!(super::damaged);
}

mod damage_cases_over_many_partitions {
    toktra_siem_store::damage_tests!(super::damaged_and_crowded);
}

/// Random operations have the same answers, and leave the same behind, as with the reference.
#[test]
fn agrees_with_the_reference() {
    toktra_siem_store::conformance::model::agrees(sqlite, 40);
}

/// The same over many small partitions.
#[test]
fn agrees_over_many_partitions() {
    toktra_siem_store::conformance::model::agrees(crowded, 20);
}

/// Retention gives up a delivery that lies in an old partition and in a younger one.
#[test]
fn younger_events_of_a_delivery_are_kept() {
    toktra_siem_store::conformance::run(crowded, toktra_siem_store::conformance::retention::younger_ones_are_parked);
}

/// The event of a test goes with its delivery: nothing is left behind but what is still pending.
#[test]
fn no_event_of_a_test_is_left_behind() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let make = |clock| Fixture {
        store: Sqlite::open(dir.path(), SqliteOptions { clock, ..SqliteOptions::default() }).expect("a new store"),
        damages: None,
        keep: Box::new(()),
    };
    toktra_siem_store::conformance::run(make, toktra_siem_store::conformance::test_deliveries::go_with_the_history);
    let file = rusqlite::Connection::open(dir.path().join("toktra.db")).expect("the file");
    let left: i64 = file.query_row("SELECT count(*) FROM test_event", [], |row| row.get(0)).expect("a number");
    assert_eq!(left, 1);
}

/// What people look at, over many small partitions, whose events are counted once they are sealed.
#[test]
fn what_people_look_at_is_put_together_from_many_partitions() {
    use toktra_siem_store::conformance::{insight, recent, run};
    run(crowded, recent::newest_first_by_filter);
    run(crowded, insight::previews_count_and_show);
    run(crowded, insight::previews_outlive_payloads);
    run(crowded, insight::standings_name_the_oldest);
    run(crowded, insight::deleted_connectors_are_remembered);
}

#[tokio::test]
async fn a_server_can_close_it_and_the_next_one_open_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = Directory(dir.path().to_owned());
    assert!(!data.exists().expect("a look"));
    let open = || Sqlite::open(dir.path(), SqliteOptions::default()).expect("the store") as Arc<dyn Backend>;
    toktra_siem_store::conformance::backend::closes_in_order(open).await;
    assert!(data.exists().expect("a look"));
}
