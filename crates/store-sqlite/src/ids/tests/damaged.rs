//! Parts of the index that cannot be read: nobody is refused for long, no merge stands still, and in the end every id is known again.

use toktra_siem_store::StoreError;

use super::*;

impl Bench {
    /// Appends, as a producer does who sends again what was not accepted: a page that cannot be read costs the group that meets it, once.
    pub(super) fn sent(&mut self, events: &[NewEvent]) -> Vec<Appended> {
        let mut lost = 0;
        loop {
            match self.runtime.block_on(self.store.append(events.to_vec())) {
                Ok(appended) => return appended,
                Err(StoreError::Damaged(_)) if lost < 10 => {
                    lost += 1;
                    self.settle();
                }
                Err(error) => panic!("{error}"),
            }
        }
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
