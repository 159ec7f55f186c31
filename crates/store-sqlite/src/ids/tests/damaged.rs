//! Parts of the index that cannot be read: nobody is refused, no merge stands still, and in the end every id is known again.

use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{ConnectorId, StreamId, StreamKind};
use toktra_siem_store::StoreError;
use toktra_siem_store::deliveries::{Lease, Open, Taken};
use toktra_siem_store::next::{Next, Offer};

use super::super::super::fault::Outcome;
use super::super::super::{stored, streams};
use super::*;

type Work = fn(&mut Engine) -> Outcome<()>;
type AnyWork = Box<dyn Fn(&mut Engine) -> Outcome<()> + Send>;
/// What each append, and each other piece of work, came to.
type Told = (Vec<Result<Vec<Appended>, StoreError>>, Vec<Result<(), StoreError>>);

impl Bench {
    /// Appends: whatever cannot be read, nobody is refused.
    pub(super) fn sent(&mut self, events: &[NewEvent]) -> Vec<Appended> {
        self.runtime.block_on(self.store.append(events.to_vec())).unwrap()
    }

    /// Makes the page unreadable that the next table has to be made room on, which is of the first partition.
    fn tear_what_a_table_moves(&mut self) {
        self.tear_where(
            "SELECT pageno FROM dbstat WHERE pagetype = 'leaf' AND name <> ?1 AND name LIKE '%_1'
             AND pageno = 1 + (SELECT max(rootpage) FROM sqlite_master)",
            "",
        );
    }

    /// Sends each known id again while the index is damaged. Nobody is refused; what was taken for new meanwhile is known again afterwards.
    fn send_while_damaged(&mut self) {
        let known: Vec<EventId> = self.known.keys().map(|(_, id)| *id).collect();
        let mut twice = Vec::new();
        for call in known.chunks(10) {
            let sent: Vec<NewEvent> = call.iter().map(|id| event(ORGS[0], *id, false)).collect();
            let told = self.sent(&sent);
            let new = call.iter().zip(told).filter(|(_, told)| matches!(told, Appended::Accepted(_)));
            twice.extend(new.map(|(id, _)| *id));
            self.settle();
        }
        self.known.retain(|(_, id), _| !twice.contains(id));
        assert!(twice.len() < known.len(), "most are known");
        let sent: Vec<NewEvent> = twice.iter().map(|id| event(ORGS[0], *id, false)).collect();
        let told = self.sent(&sent);
        assert!(told.iter().all(|told| matches!(told, Appended::Duplicate { .. })), "{told:?}");
        self.send_again();
        self.check();
    }
}

/// A row that cannot be read costs nobody a post: it is made anew of the records, and then every id is known again.
#[test]
fn a_bucket_that_cannot_be_read_is_made_anew() {
    for damage in [
        "UPDATE ids_recent SET prints = 7 WHERE place % 3 = 1",
        "UPDATE ids_recent SET keys = substr(keys, 2)",
        "UPDATE ids_part SET keys = 'x'",
    ] {
        let mut bench = Bench::new(20, IdSizes { bucket: 4, piece: 2, merge_at: 3 });
        bench.fill(110);
        bench.settle();
        bench.fill(30);
        bench.settle();
        assert!(bench.count("SELECT count(*) FROM ids_recent") > 0 && bench.count("SELECT count(*) FROM ids_part") > 0);
        bench.ask(move |engine| assert!(engine.conn.execute(damage, []).unwrap() > 0));
        bench.check();
        bench.send_while_damaged();
        bench.fill(60);
        bench.settle();
        bench.send_again();
        bench.check();
    }
}

/// The same of a page of the table; it keeps no merge from its end.
#[test]
fn a_page_that_cannot_be_read_keeps_no_merge_from_its_end() {
    let mut bench = Bench::new(400, IdSizes { bucket: 16, piece: 4, merge_at: 2 });
    bench.fill(2_500);
    bench.settle();
    let generation = bench.count("SELECT max(generation) FROM ids_level");
    bench.runtime.block_on(bench.store.close()).unwrap();
    let path = bench.dir.path().join("toktra.db");
    let middle = "SELECT keys FROM ids_recent ORDER BY place LIMIT 1 OFFSET (SELECT count(*) / 2 FROM ids_recent)";
    let read = || rusqlite::Connection::open(&path)?.query_row(middle, [], |row| row.get::<_, Vec<u8>>(0));
    let (keys, bytes) = (read().unwrap(), std::fs::read(&path).unwrap());
    // The same bytes may be left on pages that are not used any more.
    let places = (0..bytes.len() - keys.len()).filter(|at| bytes[*at..].starts_with(&keys));
    let torn = places.map(|at| at / 8192 * 8192).any(|page| {
        let mut torn = bytes.clone();
        torn[page..page + 16].fill(0xff);
        std::fs::write(&path, torn).unwrap();
        read().is_err()
    });
    assert!(torn);
    (bench.store, bench.keeper) = open(bench.dir.path(), &bench.options);
    bench.check();
    bench.send_while_damaged();
    for _ in 0..3 {
        bench.fill(1_000);
        bench.settle();
    }
    assert!(bench.count("SELECT max(generation) FROM ids_level") > generation, "merges go on");
    assert_eq!(bench.count("SELECT count(*) FROM ids_level WHERE next IS NOT NULL"), 0);
    bench.send_again();
    bench.check();
}

/// What cannot be made anew keeps nothing else from being made.
#[test]
fn a_bucket_that_cannot_be_made_anew_holds_up_no_other() {
    let mut bench = Bench::new(20, IdSizes { bucket: 4, piece: 2, merge_at: 9 });
    bench.fill(65);
    bench.settle();
    let lost = "SELECT count(*) FROM ids_part WHERE place >> 24 = 1";
    let (lost, all) = (bench.count(lost), bench.count("SELECT count(*) FROM ids_part"));
    assert!(lost > 0 && all > lost);
    bench.ask(|engine| {
        engine.conn.execute("UPDATE ids_of SET bits = 'x' WHERE partition = 1", []).unwrap();
        engine.conn.execute("UPDATE ids_part SET keys = 'x'", []).unwrap();
    });
    let sent: Vec<NewEvent> = bench.known.keys().map(|(_, id)| event(ORGS[0], *id, false)).collect();
    bench.sent(&sent);
    bench.settle();
    assert!(!bench.ask(|engine| engine.partitions.ids.wants_mending()));
    let whole = "SELECT count(*) FROM ids_part WHERE place >> 24 IN (2, 3) AND typeof(keys) = 'blob'";
    assert_eq!(bench.count(whole), all - lost, "all others were made anew");
    // It goes on as well: what is sealed from now on is indexed.
    bench.fill(40);
    bench.settle();
    assert_eq!(bench.count("SELECT count(*) FROM partition WHERE sealed = 1 AND indexed = 0"), 0);
}

impl Bench {
    /// Makes the leaves of a table's tree unreadable, and starts again. Those that a new table would move out of its way are left.
    fn tear(&mut self, table: &'static str) {
        self.tear_where("SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' AND pageno NOT IN (SELECT max(rootpage) + value FROM sqlite_master, json_each('[1,2,3,4]') GROUP BY value)", table);
    }

    fn tear_where(&mut self, pages: &str, table: &str) {
        self.runtime.block_on(self.store.close()).unwrap();
        let path = self.dir.path().join("toktra.db");
        let file = rusqlite::Connection::open(&path).unwrap();
        let mut leaves = file.prepare(pages).unwrap();
        let leaves = leaves.query_map([table], |row| row.get::<_, u32>(0)).unwrap();
        let leaves: Vec<usize> = leaves.map(|page| page.unwrap() as usize).collect();
        let mut bytes = std::fs::read(&path).unwrap();
        assert!(!leaves.is_empty(), "{table}");
        for page in leaves {
            bytes[(page - 1) * 8192..][..16].fill(0xff);
        }
        std::fs::write(&path, bytes).unwrap();
        (self.store, self.keeper) = open(self.dir.path(), &self.options);
    }

    /// Appends in one group, in this order where the org is the same, with `work` behind them; what each comes to.
    fn in_one_group(&self, appends: Vec<Vec<NewEvent>>, work: Vec<Work>) -> Told {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let spawn = |work: AnyWork| {
            let writer = self.store.writer.clone();
            self.runtime.spawn(async move { writer.call("testing", work).await })
        };
        let held = spawn(Box::new(move |_| {
            // The second time, nobody holds the other end.
            let _ = wait.recv();
            Ok(())
        }));
        let appends: Vec<_> = appends
            .into_iter()
            .map(|events| {
                let store = Arc::clone(&self.store);
                self.runtime.spawn(async move { store.append(events).await })
            })
            .collect();
        let work: Vec<_> = work.into_iter().map(|work| spawn(Box::new(work))).collect();
        self.runtime.block_on(async {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            drop(go);
            held.await.unwrap().unwrap();
            let (mut appended, mut worked) = (Vec::new(), Vec::new());
            for append in appends {
                appended.push(append.await.unwrap());
            }
            for work in work {
                worked.push(work.await.unwrap());
            }
            (appended, worked)
        })
    }

    /// So many ids of the first org, the oldest ones first.
    fn oldest(&self, ids: usize) -> Vec<(Seq, EventId)> {
        let of = self.known.iter().filter(|((org, _), _)| *org == ORGS[0]);
        let mut all: Vec<_> = of.map(|((_, id), (seq, _))| (*seq, *id)).collect();
        all.sort_unstable();
        all.truncate(ids);
        all
    }
}

/// A page of records, of payloads or of the index that cannot be read costs nobody a post, and is met once.
#[test]
fn a_page_that_cannot_be_read_costs_no_post() {
    for (table, sent) in [("head_1", 400), ("body_1", 400), ("body_3", 1_000), ("ids_part", 400), ("extent", 400)] {
        let mut bench =
            Bench::new(400, IdSizes { merge_at: if table == "extent" { 1 } else { 9 }, ..IdSizes::default() });
        bench.fill(1_000);
        bench.settle();
        bench.tear(table);
        let known = bench.oldest(sent);
        let again = |from: usize| known[from..].iter().take(200).map(|(_, id)| event(ORGS[0], *id, false)).collect();
        let new: Vec<EventId> = (0..20).map(|_| bench.new_id()).collect();
        let other: Vec<Vec<NewEvent>> = new.iter().map(|id| vec![event(ORGS[1], *id, false)]).collect();
        let appends = other.iter().cloned().chain((0..sent).step_by(200).map(again)).collect();
        let (told, _) = bench.in_one_group(appends, Vec::new());
        let told: Vec<Appended> =
            told.into_iter().flat_map(|told| told.unwrap_or_else(|e| panic!("{table}: {e}"))).collect();
        let expected: Vec<_> = (1..=20).map(|seq| Appended::Accepted(Seq(seq))).collect();
        assert_eq!(told[..20], expected, "{table}");
        let twice = told[20..].iter().filter(|told| matches!(told, Appended::Accepted(_))).count();
        if table == "ids_part" {
            assert!(twice <= sent, "for some seconds they may be taken for new");
        } else {
            let known: Vec<_> =
                known.iter().map(|(seq, _)| Appended::Duplicate { seq: *seq, differs: false }).collect();
            assert_eq!(told[20..], known, "{table}");
        }
        let met = bench.ask(|engine| engine.partitions.ids.stretches());
        assert!(met <= 2, "{table}: {met} looks");
        // The same again, with all of it on disk.
        let (told, _) = bench.in_one_group(other, Vec::new());
        let known: Vec<_> = (1..=20).map(|seq| vec![Appended::Duplicate { seq: Seq(seq), differs: false }]).collect();
        assert_eq!(told.into_iter().map(Result::unwrap).collect::<Vec<_>>(), known, "{table}");
    }
}

/// The same where the group has begun another partition before it meets the page.
#[test]
fn a_group_that_began_a_partition_is_written_whole() {
    let mut bench = Bench::new(400, IdSizes { merge_at: 9, ..IdSizes::default() });
    bench.fill(1_000);
    bench.settle();
    bench.tear("ids_part");
    let ids: Vec<EventId> = (0..300).map(|_| bench.new_id()).collect();
    let of = |ids: &[EventId], made| ids.iter().map(|id| event(ORGS[0], *id, made)).collect::<Vec<_>>();
    let old: Vec<EventId> = bench.oldest(400).into_iter().map(|(_, id)| id).collect();
    // What the service makes asks nothing that is on disk, so that the page is met behind the beginning.
    let (told, _) = bench.in_one_group(vec![of(&ids[..250], true), of(&ids[250..], true), of(&old, false)], Vec::new());
    let told: Vec<Appended> = told.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(told[..300], (1_001..=1_300).map(|seq| Appended::Accepted(Seq(seq))).collect::<Vec<_>>());
    // Those whose part of the index cannot be read are taken for new.
    let new_ones: Vec<_> = told[300..].iter().filter(|told| matches!(told, Appended::Accepted(_))).collect();
    assert!(
        !new_ones.is_empty() && new_ones.iter().zip(1_301..).all(|(told, seq)| **told == Appended::Accepted(Seq(seq)))
    );
    // The beginning was taken back with the transaction: at its own, the open one had room.
    assert_eq!(bench.count("SELECT max(number) FROM partition"), 3);
    bench.crash();
    for (at, told) in bench.sent(&of(&ids, false)).into_iter().enumerate() {
        assert_eq!(told, Appended::Duplicate { seq: Seq(1_001 + at as u64), differs: false });
    }
}

/// A table that is made moves a page out of its way. If that one is damaged, events go on into the partition that there is.
#[test]
fn where_no_partition_can_be_begun_the_open_one_is_gone_on_with() {
    let mut bench = Bench::new(400, IdSizes { merge_at: 9, ..IdSizes::default() });
    bench.fill(1_150);
    bench.settle();
    bench.tear_what_a_table_moves();
    let ids: Vec<EventId> = (0..600).map(|_| bench.new_id()).collect();
    for (at, ids) in ids.chunks(100).enumerate() {
        let (told, _) =
            bench.in_one_group(ids.iter().map(|id| vec![event(ORGS[at % 2], *id, false)]).collect(), Vec::new());
        let told: Vec<Appended> = told.into_iter().flat_map(Result::unwrap).collect();
        let first = if at % 2 == 0 { 1_151 } else { 1 } + at as u64 / 2 * 100;
        assert_eq!(told, (first..first + 100).map(|seq| Appended::Accepted(Seq(seq))).collect::<Vec<_>>());
    }
    assert_eq!(bench.count("SELECT max(number) FROM partition"), 3);
}

/// The same if retention, or a pass that makes room, would seal the open one before an append has found that out: it finds out itself.
#[test]
fn what_no_partition_can_follow_is_not_sealed_early() {
    let mut bench = Bench::new(400, IdSizes { merge_at: 9, ..IdSizes::default() });
    bench.fill(1_150);
    bench.settle();
    bench.tear_what_a_table_moves();
    let seal: Work = |engine| engine.seal_early().map(drop);
    for seq in 1..=3 {
        let event = event(ORGS[1], bench.new_id(), false);
        let (_, worked) = bench.in_one_group(Vec::new(), vec![seal]);
        assert_eq!(worked[0].is_err(), seq == 1, "{worked:?}");
        let (told, _) = bench.in_one_group(vec![vec![event]], Vec::new());
        assert_eq!(told.into_iter().flat_map(Result::unwrap).collect::<Vec<_>>(), [Appended::Accepted(Seq(seq))]);
    }
    bench.crash();
    let event = event(ORGS[1], bench.new_id(), false);
    assert_eq!(bench.sent(&[event]), [Appended::Accepted(Seq(4))]);
}

/// What cannot be read of one piece of work costs that piece, however much it has written before, and no event.
#[test]
fn work_that_meets_damage_leaves_the_others_of_its_group_alone() {
    let mut bench = Bench::new(400, IdSizes { merge_at: 9, ..IdSizes::default() });
    bench.fill(500);
    bench.settle();
    bench.tear("body_1");
    let note: Work = |engine| {
        engine.conn.execute("INSERT INTO milestone (name, at) VALUES ('kept', 1)", [])?;
        Ok(())
    };
    let page: Work = |engine| {
        engine.conn.execute("INSERT INTO milestone (name, at) VALUES ('lost', 1)", [])?;
        Ok(engine.conn.query_row("SELECT sum(length(body)) FROM body_1", [], |row| row.get::<_, i64>(0)).map(drop)?)
    };
    let value: Work = |engine| {
        engine.conn.execute("INSERT INTO milestone (name, at) VALUES ('lost too', 1)", [])?;
        Ok(engine.conn.query_row("SELECT 'x'", [], |row| row.get::<_, i64>(0)).map(drop)?)
    };
    let ids = [0; 3].map(|_| bench.new_id());
    let appends = ids.map(|id| vec![event(ORGS[1], id, false)]).to_vec();
    let (told, worked) = bench.in_one_group(appends.clone(), vec![value, note, page]);
    let told: Vec<_> = told.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(told, [1, 2, 3].map(|seq| Appended::Accepted(Seq(seq))));
    assert!(worked[0].is_err() && matches!(worked[2], Err(StoreError::Damaged(_))), "{worked:?}");
    assert!(worked[1].is_ok(), "{worked:?}");
    assert_eq!(bench.count("SELECT count(*) FROM milestone WHERE name = 'kept'"), 1);
    assert_eq!(bench.count("SELECT count(*) FROM milestone WHERE name LIKE 'lost%'"), 0);
    let head = bench.runtime.block_on(bench.store.head(ORGS[1])).unwrap();
    assert_eq!(*head.borrow(), Seq(3));
    bench.crash();
    let (told, _) = bench.in_one_group(appends, Vec::new());
    assert!(told.into_iter().flat_map(Result::unwrap).all(|told| matches!(told, Appended::Duplicate { .. })));
}

/// Takes whatever comes.
#[derive(Debug)]
struct Takes;

impl Next for Takes {
    fn cut(&mut self, _: &[Arc<StoredEvent>]) -> Option<Open> {
        Some(Open { deliveries: Vec::new(), taken: Taken::Beside, job: None })
    }

    fn pinned(self: Box<Self>) {
        panic!("what cannot be read was pinned");
    }
}

/// A stream that cannot be read keeps nobody's events from being accepted.
#[test]
fn an_offer_of_a_damaged_stream_costs_no_post() {
    let mut bench = Bench::new(400, IdSizes::default());
    let stream = StreamId { connector: ConnectorId(Uuid::from_u128(9)), kind: StreamKind::Events };
    bench.ask(move |engine| {
        streams::create(&engine.conn, stream, 1, Seq(0), "{}", "{}").unwrap();
        engine.conn.execute("UPDATE stream SET cursor = 'x'", []).unwrap();
    });
    // A partition is open when the group begins.
    let first = bench.new_id();
    bench.append(vec![(ORGS[1], first, false)]);
    let lease = Lease { stream, epoch: 0 };
    bench.store.shared.offers.put(Offer { lease, org: ORGS[0], from: Seq(0), next: Box::new(Takes) });
    let (own, other) = (bench.new_id(), bench.new_id());
    bench.append(vec![(ORGS[0], own, false), (ORGS[1], other, false)]);
    bench.append(vec![(ORGS[0], own, false), (ORGS[1], other, false)]);
    assert_eq!(bench.count("SELECT count(*) FROM head_1"), 3);
    // The runs were written twice, and take their room once.
    bench.ask(|engine| {
        for (org, bytes) in stored::sizes_of(&engine.conn, 1).unwrap() {
            assert_eq!(i64::try_from(engine.stored.of(org)), Ok(bytes), "org {org}");
        }
    });
}
