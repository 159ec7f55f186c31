//! Against a set in memory: whatever is appended in whatever order, sealed, merged, restarted or killed, an id of the last 48 hours is known
//! and a new one is not. The test is the index's thread itself, so that it can stop between any two pieces.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use rusqlite::params;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use toktra_siem_core::event::intake::SentFields;
use toktra_siem_core::event::{EventType, NewEvent, Severity};
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{Appended, AuditEntry, Change, ConfigStore, EventLog, OrgRecord, OrgStore};
use uuid::Uuid;

use super::super::batch::{Order, walk};
use super::super::codec::key;
use super::super::engine::Engine;
use super::super::{Sqlite, SqliteOptions};
use super::bucket::{Level, Row};
use super::keeper::Keeper;
use super::{DUPLICATES_MS, IdSizes, Place};

mod damaged;

const START: i64 = 1_767_225_600_000;
const HOUR: i64 = 3_600_000;
const ORGS: [OrgId; 2] = [OrgId(Uuid::from_u128(1)), OrgId(Uuid::from_u128(2))];
const FILES: [&str; 2] = ["toktra.db", "toktra.db-wal"];

/// A store whose index only grows when the test says so, and what it has to know.
struct Bench {
    runtime: Runtime,
    dir: TempDir,
    options: SqliteOptions,
    clock: Arc<AtomicI64>,
    store: Arc<Sqlite>,
    keeper: Keeper,
    /// Of each id its newest sequence, and when that was accepted.
    known: HashMap<(OrgId, EventId), (Seq, i64)>,
    made: u64,
}

fn open(dir: &Path, options: &SqliteOptions) -> (Arc<Sqlite>, Keeper) {
    let store = Sqlite::assemble(dir, options.clone(), None).unwrap();
    let keeper = Keeper::new(&store.path, &store.writer, options.ids);
    (store, keeper)
}

impl Bench {
    fn new(partition_rows: u64, ids: IdSizes) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let time = Arc::clone(&clock);
        let clocked = Arc::new(move || Timestamp(time.load(Ordering::Relaxed)));
        let options = SqliteOptions { clock: clocked, partition_rows, ids, ..SqliteOptions::default() };
        let dir = tempfile::tempdir().unwrap();
        let runtime = Builder::new_current_thread().build().unwrap();
        let (store, keeper) = open(dir.path(), &options);
        for (at, id) in ORGS.into_iter().enumerate() {
            let value = OrgRecord { id, name: id.to_string(), is_default: at == 0, created_at: Timestamp(0) };
            let (actor, action) = ("test".into(), "org.create".into());
            let detail = serde_json::Value::Null;
            let audit = AuditEntry { at: Timestamp(0), actor, action, object: id.to_string(), detail };
            runtime.block_on(store.create_org(Change { value, audit })).unwrap();
        }
        Self { runtime, dir, options, clock, store, keeper, known: HashMap::new(), made: 0 }
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Appends, and compares each answer with what has to be known.
    fn append(&mut self, events: Vec<(OrgId, EventId, bool)>) {
        let sent: Vec<_> = events.iter().map(|(org, id, made)| event(*org, *id, *made)).collect();
        let appended = self.sent(&sent);
        let now = self.now();
        for ((org, id, _), appended) in events.into_iter().zip(appended) {
            match (self.known.get(&(org, id)), appended) {
                (Some((known, _)), Appended::Duplicate { seq, .. }) => assert_eq!(seq, *known, "{id}"),
                (Some((_, at)), Appended::Accepted(_)) if *at >= now - DUPLICATES_MS => {
                    panic!("{id} of {org} was accepted a second time after {} h", (now - at) / HOUR)
                }
                (_, Appended::Accepted(seq)) => drop(self.known.insert((org, id), (seq, now))),
                (None, Appended::Duplicate { .. }) => panic!("{id} of {org} is new"),
            }
        }
    }

    /// Appends events with new random ids.
    fn fill(&mut self, events: u64) {
        let ids: Vec<EventId> = (0..events).map(|_| self.new_id()).collect();
        for call in ids.chunks(10) {
            self.append(call.iter().map(|id| (ORGS[0], *id, false)).collect());
        }
    }

    fn new_id(&mut self) -> EventId {
        self.made += 1;
        random(1 << 40 | self.made)
    }

    /// Every id is found, and with its newest event.
    fn check(&self) {
        for ((org, id), (seq, _)) in &self.known {
            let found = self.runtime.block_on(self.store.event(*org, *id));
            assert_eq!(found.unwrap_or_else(|error| panic!("{id} of {org}: {error}")).0.seq, *seq, "{id}");
        }
    }

    /// Everything of the last 48 hours is a duplicate.
    fn send_again(&mut self) {
        let oldest = self.now() - DUPLICATES_MS;
        let young = self.known.iter().filter(|(_, (_, at))| *at >= oldest).map(|((org, id), _)| (*org, *id, false));
        self.append(young.collect());
    }

    /// Does up to so many pieces of the index's work; whether there was nothing left to do.
    fn step(&mut self, pieces: usize) -> bool {
        (0..pieces).any(|_| !self.keeper.step().unwrap())
    }

    fn settle(&mut self) {
        while !self.step(1) {}
    }

    fn restart(&mut self) {
        self.runtime.block_on(self.store.close()).unwrap();
        (self.store, self.keeper) = open(self.dir.path(), &self.options);
    }

    /// As after a kill: what goes on is a copy of the files as they are.
    fn crash(&mut self) {
        let copy = tempfile::tempdir().unwrap();
        for name in FILES {
            std::fs::copy(self.dir.path().join(name), copy.path().join(name)).unwrap();
        }
        (self.store, self.keeper) = open(copy.path(), &self.options);
        self.dir = copy;
    }

    fn ask<T: Send + 'static>(&self, look: impl Fn(&mut Engine) -> T + Send + 'static) -> T {
        self.runtime.block_on(self.store.writer.call("looking", move |engine| Ok(look(engine)))).unwrap()
    }

    fn count(&self, sql: &'static str) -> i64 {
        self.ask(move |engine| engine.conn.query_row(sql, [], |row| row.get(0)).unwrap())
    }

    /// The rows that an append of this id would read.
    fn places(&self, id: EventId) -> Vec<Place> {
        self.ask(move |engine| {
            let known = &engine.partitions.ids;
            known.places(known.hash(1, id), super::time_of(id.0.as_bytes())).collect()
        })
    }
}

fn event(org: OrgId, event_id: EventId, made: bool) -> NewEvent {
    NewEvent {
        org,
        event_id,
        made,
        event_type: EventType::Anomaly,
        severity: Severity::High,
        event_time: Timestamp(0),
        payload: Bytes::from_static(b"{}"),
        sent: SentFields::default(),
    }
}

fn scattered(n: u64) -> [u8; 16] {
    let half = |n: u64| {
        n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    (u128::from(half(n)) << 64 | u128::from(half(!n))).to_be_bytes()
}

fn random(n: u64) -> EventId {
    EventId(uuid::Builder::from_random_bytes(scattered(n)).into_uuid())
}

fn timed(at: i64, n: u64) -> EventId {
    let [rest @ .., _, _, _, _, _, _] = scattered(n);
    EventId(uuid::Builder::from_unix_timestamp_millis(at.unsigned_abs(), &rest).into_uuid())
}

/// An id as a producer sends it.
#[derive(Debug, Clone)]
enum Sent {
    Random(u64),
    /// Of version 7, of a time so many hours before or after now, or exactly the start of the test.
    Timed(i64, u64),
    /// One of the same few of version 7, so that they are sent again.
    Fixed(i64, u64),
    /// Made by the service.
    Own,
}

#[derive(Debug, Clone)]
enum Act {
    Append(Vec<(bool, Sent)>),
    Step(usize),
    Settle,
    Restart,
    Crash,
    Pass(i64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let sent = prop_oneof![
        3 => (0u64..60).prop_map(Sent::Random),
        2 => (-60i64..60, any::<u64>()).prop_map(|(hours, n)| Sent::Timed(hours, n)),
        2 => (-60i64..60, 0u64..2).prop_map(|(hours, n)| Sent::Fixed(hours, n)),
        1 => Just(Sent::Own),
    ];
    let act = prop_oneof![
        6 => prop::collection::vec((any::<bool>(), sent), 1..12).prop_map(Act::Append),
        4 => (1usize..10).prop_map(Act::Step),
        1 => Just(Act::Settle),
        1 => Just(Act::Restart),
        1 => Just(Act::Crash),
        2 => (0i64..20).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 10..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn what_is_known_is_what_was_sent(acts in acts(), merge_at in 1usize..4, bucket in 1u64..6, piece in 1u16..4) {
        let mut bench = Bench::new(6, IdSizes { bucket, piece, merge_at });
        for act in acts {
            match act {
                Act::Append(sent) => {
                    let now = bench.now();
                    let mut events = Vec::new();
                    for (other, sent) in sent {
                        let (id, made) = match sent {
                            Sent::Random(n) => (random(n), false),
                            Sent::Timed(hours, n) => (timed(now + hours * HOUR, n), false),
                            Sent::Fixed(hours, n) => (timed(START + hours * HOUR, n), false),
                            Sent::Own => {
                                bench.made += 1;
                                (timed(now, 1 << 41 | bench.made), true)
                            }
                        };
                        events.push((ORGS[usize::from(other)], id, made));
                    }
                    bench.append(events);
                }
                Act::Step(pieces) => drop(bench.step(pieces)),
                Act::Settle => bench.settle(),
                Act::Restart => bench.restart(),
                Act::Crash => bench.crash(),
                Act::Pass(hours) => drop(bench.clock.fetch_add(hours * HOUR, Ordering::Relaxed)),
            }
        }
        bench.check();
        bench.send_again();
        bench.settle();
        bench.check();
        bench.send_again();
    }
}

/// What a new id costs does not grow with the number of partitions.
#[test]
fn a_new_id_reads_one_row_however_many_partitions_there_are() {
    let mut bench = Bench::new(10, IdSizes::default());
    bench.fill(415);
    bench.settle();
    let at = |level: &str| format!("SELECT count(*) FROM ids_of WHERE level = {level}");
    let (own, merged) = (bench.count(at("0").leak()), bench.count(at("1").leak()));
    assert!(own < 8 && own + merged == 41, "{own} by themselves, {merged} merged");
    assert_eq!(bench.count("SELECT count(*) FROM ids_of WHERE level = 1 AND filter IS NOT NULL"), 0);
    let mut parts = 0;
    for n in 0..1000 {
        let places = bench.places(random(n));
        let merged = places.iter().filter(|place| matches!(place, Place::Recent { .. })).count();
        assert_eq!(merged, 1, "{places:?}");
        parts += places.len() - merged;
    }
    assert!(parts < 200, "{parts} rows of 1,000 times {own} partitions, whose filters should have said no");
    // The store has no id of version 7 yet; then one from the future, and one that is older than that.
    assert_eq!(bench.places(timed(START, 1)), []);
    bench.append(vec![(ORGS[0], timed(START + HOUR, 2), false)]);
    bench.fill(160);
    bench.settle();
    assert_eq!(bench.places(timed(START + HOUR + 1, 3)), []);
    assert_ne!(bench.places(timed(START + HOUR, 3)), []);
    // An id of the service's own asks nothing that is on disk: one that is there already would be accepted.
    let there = random(1 << 40 | 1);
    let sent = |made| bench.runtime.block_on(bench.store.append(vec![event(ORGS[0], there, made)])).unwrap();
    assert!(matches!(sent(false)[0], Appended::Duplicate { seq: Seq(1), .. }));
    assert!(matches!(sent(true)[0], Appended::Accepted(_)));
}

/// A print says nothing by itself: what counts is the id in the record.
#[test]
fn an_id_with_the_print_of_another_is_new() {
    let mut bench = Bench::new(10, IdSizes::default());
    bench.fill(95);
    bench.settle();
    let new = bench.new_id();
    bench.ask(move |engine| {
        let known = &engine.partitions.ids;
        let (print, table) = (known.hash(1, new).print(), known.recent.unwrap());
        for row in Row::of(table.number, table.bits, &[(print, key(1, Seq(1)))]) {
            row.write(&engine.conn, Level::Recent).unwrap();
        }
    });
    bench.append(vec![(ORGS[0], new, false)]);
}

/// Killed after any piece, a merge goes on where it was, and takes no more room than one table.
#[test]
fn a_merge_goes_on_after_a_kill_at_any_piece() {
    let mut bench = Bench::new(10, IdSizes { bucket: 2, piece: 8, merge_at: 3 });
    let mut merging = 0;
    for _ in 0..9 {
        bench.fill(10);
        while !bench.step(1) {
            // What a kill takes from the building of a partition is done again.
            let building = bench.count("SELECT count(*) FROM partition WHERE sealed = 1 AND indexed = 0") > 0;
            if !building && bench.count("SELECT count(*) FROM ids_level WHERE next > 0") > 0 {
                merging += 1;
                bench.crash();
                bench.send_again();
            }
            let entries = bench.count("SELECT coalesce(sum(length(keys)) / 8, 0) FROM ids_recent");
            assert!(entries <= 80 + 8, "{entries} entries of 80 ids");
        }
        bench.check();
    }
    assert!(merging > 5, "only {merging} kills in the middle of a merge");
    assert_eq!(bench.count("SELECT count(*) FROM ids_level"), 1);
    assert_eq!(bench.count("SELECT sum(length(keys)) / 8 FROM ids_recent"), 60);
}

/// What is older than 48 hours leaves the merged table, and is still found by its id.
#[test]
fn the_merged_table_holds_two_days() {
    let mut bench = Bench::new(10, IdSizes { bucket: 4, piece: 8, merge_at: 2 });
    for _ in 0..30 {
        bench.fill(10);
        bench.clock.fetch_add(6 * HOUR, Ordering::Relaxed);
        bench.settle();
    }
    let merged = bench.count("SELECT sum(length(keys)) / 8 FROM ids_recent");
    assert!((60..=110).contains(&merged), "{merged} of 300 ids are merged");
    assert!(bench.count("SELECT count(*) FROM ids_of WHERE level = 3 AND filter IS NULL") >= 18);
    bench.check();
    bench.send_again();
}

/// A database of an earlier layout is asked by its old tables until they are brought over, and can be killed at any moment.
#[test]
fn tables_of_an_earlier_layout_are_brought_over() {
    let mut bench = Bench::new(10, IdSizes { bucket: 4, piece: 4, merge_at: 3 });
    for _ in 0..7 {
        bench.fill(10);
        bench.clock.fetch_add(11 * HOUR, Ordering::Relaxed);
    }
    bench.settle();
    bench.ask(|engine| {
        let sealed = "SELECT number FROM partition WHERE sealed = 1";
        let sealed: Vec<i64> =
            engine.conn.prepare(sealed).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for number in sealed {
            let sql = format!(
                "CREATE TABLE lookup_{number} (event_id BLOB NOT NULL, key INTEGER NOT NULL, PRIMARY KEY (event_id, key)) WITHOUT ROWID;"
            );
            engine.conn.execute_batch(&sql).unwrap();
            let insert = format!("INSERT INTO lookup_{number} (event_id, key) VALUES (?1, ?2)");
            walk(&engine.conn, number, (i64::MIN, i64::MAX), Order::Up, |org, record| {
                let id = record.event_id.0.into_bytes();
                engine.conn.prepare_cached(&insert)?.execute(params![id, key(org, record.seq)])?;
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        }
        let sql = "DROP TABLE ids_hash; DROP TABLE ids_part; DROP TABLE ids_recent; DROP TABLE ids_of; DROP TABLE ids_level;
             UPDATE partition SET filter = zeroblob(16) WHERE sealed = 1; ALTER TABLE partition DROP COLUMN packed;
             ALTER TABLE test_event DROP COLUMN node;
             ALTER TABLE extent DROP COLUMN bytes; DROP TABLE growing; DROP TABLE cause;
             PRAGMA user_version = 9;";
        engine.conn.execute_batch(sql).unwrap();
    });
    bench.crash();
    let old = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'lookup#_%' ESCAPE '#'";
    let before = bench.count(old);
    assert!(before >= 6, "{before}");
    bench.check();
    bench.send_again();
    let mut left = before;
    // Each third kill is in the middle of a partition, which is then begun again.
    for pieces in [3, 4, 5].into_iter().cycle() {
        if bench.step(pieces) {
            break;
        }
        bench.crash();
        bench.check();
        bench.send_again();
        let now = bench.count(old);
        assert!((left - 2..=left).contains(&now), "{left} tables, then {now}");
        left = now;
    }
    bench.check();
    bench.send_again();
    assert_eq!((bench.count(old), bench.count("SELECT count(*) FROM partition WHERE filter IS NOT NULL")), (0, 0));
    assert_eq!(
        bench.count("SELECT count(*) FROM ids_of"),
        bench.count("SELECT count(*) FROM partition WHERE sealed = 1")
    );
}
