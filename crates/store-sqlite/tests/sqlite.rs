//! The embedded backend passes the suite.

use toktra_siem_store::Clock;
use toktra_siem_store::conformance::Fixture;
use toktra_siem_store_sqlite::{Sqlite, SqliteOptions};

fn sqlite(clock: Clock) -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Sqlite::open(dir.path(), SqliteOptions { clock, ..SqliteOptions::default() }).expect("a new store");
    Fixture { store, keep: Box::new(dir) }
}

/// As above, but a partition is full after a few events and the ring holds next to none, so that every path reads the tables.
fn crowded(clock: Clock) -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = SqliteOptions { clock, partition_rows: 4, ring_bytes: 600, ..SqliteOptions::default() };
    let store = Sqlite::open(dir.path(), options).expect("a new store");
    Fixture { store, keep: Box::new(dir) }
}

toktra_siem_store::conformance_tests!(sqlite);

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
